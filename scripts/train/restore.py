"""A checkpoint as a stage's state again, where that is lost: training goes on from its weights, with
an optimizer and a probe that learn anew.

    .venv/bin/python -m train.restore ../engine/models/nano-1 --out FOLDER --step 25230     (in scripts/)

Writes OUT/codec_audio.safetensors, OUT/codec_video.safetensors and OUT/STAGE.state. `--step` is the
one that the checkpoint's card names: batches follow from it, and those already seen aren't met again.
"""

import argparse
import os

import torch

import safetensors_file

from .base import begin
from .run import command, locked
from .talk import initial_probe
from .tensors import expected_tensors, is_codec


def restored(c, weights, step):
    """The state of a stage, as loop.train saves it: its parameters are all weights but the codecs'.

    Raises ValueError when `weights` (name -> tensor) aren't of the config's shape.
    """
    for name, shape in expected_tensors(c).items():
        found = list(weights[name].shape) if name in weights else "none"
        if found != shape:
            raise ValueError(f"{name} has shape {found}, the config says {shape}")
    learned = {name: weights[name] for name in expected_tensors(c) if not is_codec(name)}
    learned["probe"] = initial_probe(c)
    return {
        "weights": learned,
        "mean": {name: value.clone() for name, value in learned.items()},
        "step": step,
        "seconds": 0.0,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", help="its folder")
    parser.add_argument("--out", required=True)
    parser.add_argument("--stage", default="conversations")
    parser.add_argument("--step", type=int, required=True)
    args = parser.parse_args()
    path = os.path.join(args.out, f"{args.stage}.state")
    if os.path.exists(path):
        parser.error(f"{path} is there already: remove it, or go on from it")
    with locked(args.out):
        base = begin(args.out, init=args.checkpoint)
        with safetensors_file.replaced(path) as file:
            torch.save(restored(base.config, base.weights(), args.step), file)


if __name__ == "__main__":
    command(main)
