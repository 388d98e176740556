"""Writes a checkpoint folder for the engine: config.json, model.safetensors (f16), tokenizer.json and
README.md, the model card.

    .venv/bin/python -m train.export --out FOLDER --stage conversations --to CHECKPOINT  (in scripts/)
"""

import argparse
import json
import os

import safetensors_file

from .base import check, exported, one_or_more, opened, write_checkpoint
from .run import InputError, about, command
from .talk import stage_weights
from .tensors import expected_tensors

STAGES = ["look", "codec_video", "codec_audio", "lessons", "conversations", "student"]
LOGS = [*STAGES[:3], "refine_video", "refine_audio", "lessons", "conversations", "voice", "student"]


def export(out, stage, folder, solver=None, made_by=None):
    """Writes OUT/STAGE.safetensors as a checkpoint folder; solver: overrides of the config's. A student
    takes the steps that it was taught, and has its guidance in its weights. made_by: the one command that
    made all stages, for the card. Raises InputError for a solver that the engine refuses and for
    weights that f16 can't hold."""
    base = opened(out)
    made = about(out, stage) or {}
    few = made.get("settings", {}).get("few") if stage == "student" else None
    c = exported(base, few, recordings(out), solver)
    check(c, base.tokens.json, folder)
    shapes = expected_tensors(c)
    weights = stage_weights(out, stage)
    for name, shape in shapes.items():
        if list(weights[name].shape) != shape:
            raise InputError(f"{stage}: {name} has shape {list(weights[name].shape)}, the config says {shape}")
    parameters = write_checkpoint(folder, c, base.tokens, weights)
    with safetensors_file.replaced(os.path.join(folder, "README.md"), "w") as file:
        name = os.path.basename(os.path.abspath(folder))
        file.write(card(name, base, c, out, stage, parameters, made_by))


def last_figures(out, name):
    """Step, seconds and the last figures in OUT/NAME.jsonl, or None. Not every line has every figure."""
    path = os.path.join(out, f"{name}.jsonl")
    if not os.path.exists(path):
        return None
    figures = {}
    with open(path) as file:
        for line in file.readlines()[-50:]:
            entry = json.loads(line)
            if "run" not in entry:
                figures.update(entry)
    return figures


def measured(out):
    """A section of the card: the table that `wanstream eval --markdown` printed into OUT/measured.md."""
    path = os.path.join(out, "measured.md")
    if not os.path.exists(path):
        return ""
    with open(path) as file:
        table = file.read()
    return f"\n## Measured\n\nClosed loop, by the engine; `docs/eval.md` defines every line.\n\n{table}"


def recordings(out):
    """Name of the folder of recordings that a stage of this run learned from; "" where all learned from
    the world."""
    folders = [(about(out, name) or {}).get("settings", {}).get("recordings") for name in STAGES]
    return next((os.path.basename(folder) for folder in folders if folder), "")


WORLD = (
    "on a world that they\nmake: 'show and tell' (`scripts/world/`)",
    "It speaks with one synthetic voice (espeak-ng) and one drawn face, about coloured shapes on cards.",
    " Seeds 0-99999 of the world are for training,\n100000-199999 (with other voices of the same synthesizer) for evaluation.",
    "It knows the words of its world and no others, sees cards with one to four shapes in six colours\nand five forms, and",
)

WORLD_2 = (
    "on a world that they\nmake: 'show and tell' with agents of many looks and voices (`scripts/world2/`)",
    "It looks and sounds like the picture and the sound that it is given (drawn characters, voices of Kokoro-82M,\n"
    "Apache-2.0), and talks about coloured shapes on cards, in the manner that a prompt asks for: brief, in sentences,\n"
    "only when asked.",
    " Seeds 0-99999 of the world are for training,\n100000-199999 (with other characters, voices and phrasings) for evaluation.",
    WORLD[3],
)


def origin(base):
    """What the weights began as, for the card."""
    if base.init is None:
        return "trained from nothing"
    fate = {"train": "trained on", "frozen": "kept as it was", "lora": f"adapted by matrices of rank {base.rank}"}
    return f"trained from the checkpoint {os.path.basename(base.init)}, its backbone {fate[base.backbone]},"


def card(name, base, c, out, stage, parameters, made_by=None):
    """The model card, from the logs that lie in OUT."""
    rows = []
    until = LOGS.index("voice" if stage == "conversations" else stage) + 1
    for log in LOGS[:until]:
        figures = last_figures(out, log)
        if figures is None:
            continue
        shown = {k: v for k, v in figures.items() if k not in ("step", "seconds", "lr", "norm")}
        text = ", ".join(f"{k} {v:.4g}" for k, v in shown.items())
        rows.append(f"| {log} | {figures['step']:,} | {figures['seconds'] / 60:.1f} | {text} |")
    metrics = measured(out)
    video = c["response"]["video"]
    data, speaks, seeds, knows = WORLD if base.world == 1 else WORLD_2
    if folder := recordings(out):
        data, speaks, seeds, knows = f"on the recordings `{folder}`", "Its voice and face are theirs.", "", "It"
    made = f"Made by `cd scripts && {made_by}`." if made_by else (
        f"Made by the stages below, run one by one (`scripts/README.md`); exported as it was after `{stage}`."
    )
    return f"""# {name}

A checkpoint for wanstream, {origin(base)} by this repository's scripts {data}. {parameters:,} parameters, stored as f16.

Response: {video["width"]}x{video["height"]} at {c["fps"]} frames/s, sound at {c["response"]["audio"]["sample_rate"] / 1000:g} kHz, in units of {c["unit_ms"]} ms.
{speaks}

## Training

{made}
Minutes are wall time on the machine that trained it.{seeds}

| stage | steps | minutes | last figures |
|---|---:|---:|---|
{chr(10).join(rows)}
{metrics}
## What it can't do

{knows} remembers about {c["history_units"] * c["unit_ms"] / 1000:.0f} seconds.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, help="folder of the training run")
    parser.add_argument("--stage", default="conversations", choices=STAGES[3:])
    parser.add_argument("--to", required=True, help="the checkpoint folder to write")
    parser.add_argument("--steps", type=one_or_more, help="solver steps")
    args = parser.parse_args()
    export(args.out, args.stage, args.to, {} if args.steps is None else {"steps": args.steps})


if __name__ == "__main__":
    command(main)
