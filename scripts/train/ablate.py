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

from .base import opened
from .data import Material
from .loop import on_device, say
from .model import Model
from .talk import load_codecs, step_loss, train_talk

HELD_OUT = 90_000  # first seed; of the training range, but no run gets that far


def measure(weights, out, batches=12, size=4, units=48):
    """Mean figures of `weights` on held-out crops, history and text given."""
    base = opened(out)
    model = Model(base.config, on_device(weights))
    material = Material(base, load_codecs(out), units=units, fresh=0.0)
    sums = {}
    for step in range(batches):
        torch.manual_seed(step)
        examples = [material.conversation(HELD_OUT + step * size + i) for i in range(size)]
        batch = on_device(material.collated(examples, step))
        with torch.no_grad():
            for key, value in step_loss(model, base.tokens, None, batch)[1].items():
                sums.setdefault(key, []).append(float(value))
    return {key: round(sum(values) / len(values), 4) for key, values in sums.items()}


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
                weights = train_talk(
                    "conversations", folder, args.steps, seed=seed, size=3, units=32, probe_weight=probe
                )
                figures = measure(weights, folder)
            results.append({"probe": probe, "seed": seed, "steps": args.steps, **figures})
            say(f"ablation: {results[-1]}")
    with open(os.path.join(args.out, "ablation.json"), "w") as file:
        json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
