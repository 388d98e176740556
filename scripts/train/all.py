"""Every stage of nano's training, one after the other, and the export.

    .venv/bin/python -m train.all --out FOLDER [--hours H] [--cores 2] [--to CHECKPOINT]  (in scripts/)
    .venv/bin/python -m train.all --out FOLDER --world 2 --config train/shapes/nano_2.json --hours H

What is done already is skipped, what was broken off goes on: run it again after an interruption. --until ends
after a stage, so that a part can be looked at before the rest.
"""

import argparse
import functools
import os
import shlex
import sys

import torch

from .base import above_0, add_arguments, from_arguments, one_or_more
from .codecs import refine_decoder, train_codec
from .device import DEVICE, fast_bf16
from .distill import train_student
from .export import export
from .look import train_look
from .run import about, command, locked, say, together
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


def run(stage, out, cores, options):
    """One stage, on all cores: where models train on the CPU, in a process each with batches of its own
    for the long ones."""
    several = stage in ("lessons", "conversations") and DEVICE.type == "cpu"
    together(cores if several else 1, functools.partial(take, stage, out, 1 if several else cores, options))


def take(stage, out, threads, options):
    torch.set_num_threads(threads)
    few, validate = options.pop("few", None), options.pop("validate", 0)
    if stage == "look":
        train_look(out, **options)
    elif stage.startswith("codec_"):
        train_codec(stage[6:], out, **options)
    elif stage.startswith("refine_"):
        refine_decoder(stage[7:], out, **options)
    elif stage == "voice":
        train_voice(out, "conversations", **options)
    elif stage == "student":
        train_student(out, validate=validate, **({"few": few} if few else {}), **options)
    else:
        train_talk(stage, out, held_out=15, validate=validate if stage == "conversations" else 0, **options)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_arguments(parser)
    parser.add_argument("--hours", type=above_0, help="time for all; without it each stage's steps")
    parser.add_argument("--until", choices=list(SHARES), help="the last stage to run; nothing is exported before the student")
    parser.add_argument("--few", type=one_or_more, help="the student's solver steps (4)")
    parser.add_argument("--validate", type=float, default=0, metavar="MINUTES", help="from one 'wanstream eval' of the weights of the last stages to the next (0: never)")
    parser.add_argument("--to", help="checkpoint folder to write; default OUT/export")
    parser.add_argument("--cores", type=one_or_more, default=2, help="CPU cores to use")
    args = parser.parse_args()
    with locked(args.out):
        new = not any(name.endswith(".safetensors") for name in os.listdir(args.out))
        base = from_arguments(args)
        # What the card names: the command that began a folder in which nothing was trained yet.
        path, command_line = os.path.join(args.out, "all.txt"), f".venv/bin/python -m train.all {shlex.join(sys.argv[1:])}"
        if new:
            with open(path, "w") as file:
                file.write(command_line)
        stages = list(SHARES)
        if args.until:
            stages = stages[: stages.index(args.until) + 1]
        for stage, (share, steps) in ((stage, SHARES[stage]) for stage in stages):
            if stage == "look" and base.config["observation"]["video"]["encoder"] == "codec":
                continue  # there is no encoder of its own
            if about(args.out, stage) is not None:
                say(f"{stage}: there already")
                continue
            length = {"minutes": args.hours * 60 * share} if args.hours else {"steps": steps}
            run(stage, args.out, args.cores, {**length, "bf16": fast_bf16(), "few": args.few, "validate": args.validate})
        if args.until not in (None, "student"):
            return
        made_by = None
        if os.path.exists(path):
            with open(path) as file:
                made_by = file.read()
        export(args.out, "student", args.to or os.path.join(args.out, "export"), made_by=made_by)


if __name__ == "__main__":
    command(main)
