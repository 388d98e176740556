"""Stage 1, seeing: the picture encoder of observations learns to read single cards and faces.

    .venv/bin/python -m train.look --out FOLDER [--steps N | --minutes M]     (in scripts/)

Colour, shape and count of the card and the user's mouth are read off the encoder's output by linear
heads that are thrown away afterwards. Writes OUT/look.safetensors.
"""

import argparse
import functools
import math

import numpy as np
import torch
import torch.nn.functional as F

from world import draw, render

from . import cast, stacks
from .base import add_arguments, add_run_arguments, from_arguments, opened, run_options
from .coders import observation_encoder
from .data import COLOURS, SHAPES, card_labels
from .device import on_device
from .fit import Fit, resized
from .loop import done, learned, numbers, train
from .run import InputError, command, locked, together

HEADS = {"colour": 7, "shape": 6, "count": 5, "mouth": 3}


def example(rng, frames):
    """So many frames, uint8 [frames, 64, 64, 3], and their labels."""
    card = None
    if rng.random() < 0.9:
        card = (COLOURS[rng.integers(6)], SHAPES[rng.integers(5)], int(rng.integers(1, 5)))
    who = draw.face(rng) if rng.random() < 0.9 else None
    place = (*(float(v) for v in rng.integers(-4, 5, 2) / 2), float(rng.choice([0.8, 0.9, 1.0])))
    mouth, blink, sway = int(rng.integers(6)), int(rng.random() < 0.1), int(rng.integers(-1, 2))
    picture = draw.user_picture.__wrapped__(who, mouth, blink, sway, card, place)
    offsets = rng.integers(draw.USER_SIZE**2 * 3, size=frames)
    speaks = 0 if who is None else 1 + (mouth > 1)
    return render.camera(np.repeat(picture[None], frames, 0), rng, offsets), (*card_labels(card), speaks)


def batch(c, rng, size, example=example):
    """Pictures of a unit, [B, 3, frames, height, width] in -1..1, and labels. example: of the world."""
    fit, count = Fit(c, "observation"), observation_encoder(c, "video").shape[0]
    frames, labels = zip(*(example(rng, count) for _ in range(size)))
    x = torch.from_numpy(np.stack([resized(each, fit.height, fit.width) for each in frames])).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    return x, torch.tensor(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_arguments(parser)
    add_run_arguments(parser, 1500)
    args = parser.parse_args()
    with locked(args.out):
        from_arguments(args)
        together(args.workers, functools.partial(run, args))


def run(args):
    train_look(args.out, **run_options(args))


def train_look(out, steps=None, minutes=None, seed=0, size=48, **options):
    if done(out, "look", steps, minutes):
        return
    base = opened(out)
    c, encoder = base.config, observation_encoder(base.config, "video")
    if c["observation"]["video"]["encoder"] == "codec":
        raise InputError("look: observation.video.encoder is the response codec's: there is nothing to train; leave the stage out")
    torch.manual_seed(seed)
    weights = {key: stacks.initial(key, shape) for key, shape in encoder.tensors().items()}
    weights.update({key: w for key, w in base.weights().items() if key in weights})
    for head, classes in HEADS.items():
        weights[f"heads.{head}"] = torch.randn(classes, math.prod(encoder.output())) * 0.02
    weights = on_device(weights)
    learned(weights)

    def examples(step):
        if base.world == 1:
            return example
        return lambda rng, frames: cast.example(rng, frames, step, seed)

    def outputs(x):
        y = encoder.run(weights, x).flatten(1)
        return [F.linear(y, weights[f"heads.{head}"]) for head in HEADS]

    def step_loss(step):
        x, labels = (on_device(part) for part in batch(c, numbers(seed, 78, step), size, examples(step)))
        loss, right = torch.zeros((), device=x.device), {}
        for i, (head, logits) in enumerate(zip(HEADS, outputs(x))):
            loss = loss + F.cross_entropy(logits, labels[:, i])
            right[head] = (logits.detach().argmax(1) == labels[:, i]).float().mean()
        return loss, right

    kept = lambda trained: {key: value for key, value in trained.items() if key in encoder.tensors()}
    settings = {"batch": size}
    options |= {"seed": seed, "minutes": minutes, "settings": settings, "finish": kept}
    train("look", out, weights, step_loss, steps, **{"rate": 2e-3, **options})


if __name__ == "__main__":
    command(main)
