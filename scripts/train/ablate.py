"""What the auxiliary card probe brings: stage 2 for some steps with it and without, each from the same
lessons and over the same batches; both are then measured on conversations that neither saw.

    .venv/bin/python -m train.ablate --out FOLDER [--steps N] [--runs N]      (in scripts/)

Writes FOLDER/ablation.json: word accuracy, text loss and velocity errors of every run.
"""

import argparse
import json
import os
import shutil
import tempfile

import torch

from world.practice import Practice

from .base import opened
from .data import Material
from .device import on_device
from .loop import say
from .model import Model
from .talk import HeldOut, load_codecs, stage_weights, train_talk


def measure(weights, out, batches=12, size=4):
    """Mean figures of `weights` on held-out crops, history and text given."""
    base = opened(out)
    figures = HeldOut(Material(base, load_codecs(out), Practice, 48), batches, size).measure(Model(base.config, on_device(weights)), base.tokens)
    return {key: round(value, 4) for key, value in figures.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, help="folder of a training run with lessons and codecs")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--runs", type=int, default=2, help="of each kind, with seeds of their own")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results = []
    for seed in range(args.runs):
        for probe in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                weights = [f"{name}.safetensors" for name in ("lessons", "codec_audio", "codec_video")]
                for name in [*weights, "config.json", "tokenizer.json", "base.json"]:
                    shutil.copy(os.path.join(args.out, name), folder)
                train_talk("conversations", folder, args.steps, seed=seed, size=3, units=32, probe_weight=probe)
                figures = measure(stage_weights(folder, "conversations"), folder)
            results.append({"probe": probe, "seed": seed, "steps": args.steps, **figures})
            say(f"ablation: {results[-1]}")
    with open(os.path.join(args.out, "ablation.json"), "w") as file:
        json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
