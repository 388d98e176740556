"""Every stage of nano's training, one after the other, and the export.

    .venv/bin/python -m train.all --out FOLDER [--hours H] [--cores 2] [--to CHECKPOINT]  (in scripts/)

What is done already is skipped, what was broken off goes on: run it again after an interruption.
"""

import argparse
import functools
import os

import torch

from .base import add_arguments, command, from_arguments
from .codecs import refine_decoder, train_codec
from .distill import train_student
from .export import export
from .look import train_look
from .loop import DEVICE, say, together
from .talk import train_talk
from .voice import train_voice

# Share of the time that each stage gets, and its steps when no time is given.
SHARES = {
    "look": (0.04, 600),
    "codec_video": (0.10, 4000),
    "codec_audio": (0.06, 2000),
    "refine_video": (0.06, 8000),
    "refine_audio": (0.06, 5000),
    "lessons": (0.07, 1000),
    "conversations": (0.60, 12000),
    "voice": (0.04, 3000),
    "student": (0.07, 400),
}


def run(stage, out, steps, minutes, cores):
    torch.set_num_threads(cores)
    if stage == "look":
        train_look(out, steps, minutes)
    elif stage.startswith("codec_"):
        train_codec(stage[6:], out, steps, minutes)
    elif stage.startswith("refine_"):
        refine_decoder(stage[7:], out, steps, minutes)
    elif stage == "voice":
        train_voice(out, "conversations", steps, minutes)
    elif stage == "student":
        train_student(out, steps, minutes)
    else:
        # A process per core, each with batches of its own.
        workers = cores if DEVICE.type == "cpu" else 1
        together(workers, functools.partial(talk, stage, out, steps, minutes))


def talk(stage, out, steps, minutes):
    torch.set_num_threads(1)
    train_talk(stage, out, steps, minutes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_arguments(parser)
    parser.add_argument("--hours", type=float, help="time for all; without it each stage's steps")
    parser.add_argument("--to", help="checkpoint folder to write; default OUT/export")
    parser.add_argument("--cores", type=int, default=2, help="CPU cores to use")
    args = parser.parse_args()
    from_arguments(args)
    for stage, (share, steps) in SHARES.items():
        if os.path.exists(os.path.join(args.out, f"{stage}.safetensors")):
            say(f"{stage}: there already")
            continue
        minutes = args.hours * 60 * share if args.hours else None
        run(stage, args.out, 10**9 if minutes else steps, minutes, args.cores)
    export(args.out, "student", args.to or os.path.join(args.out, "export"))


if __name__ == "__main__":
    command(main)
