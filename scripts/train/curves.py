"""Curves of a training run as PNG, from its JSONL logs: a row for a stage, an axis for a kind of figure.

    .venv/bin/python -m train.curves --out FOLDER      writes OUT/curves.png      (in scripts/)
"""

import argparse
import glob
import os

from .log import Log
from .run import InputError, command

# Kinds of figures, each with an axis of its own, by their names; of the engine's (docs/eval.md) the rest are
# shares, of the others losses.
KINDS = {
    "dB": ("psnr", "snr", "mouth", "aligned_snr"),
    "share right": ("colour", "shape", "count", "card", "previous", "question", "user", "unnamed", "words"),
    "learning rate": ("lr",),
    "gradient": ("norm", "skipped"),
    "engine: units": ("engine_delayP50", "engine_delayP95", "engine_stopDelayP50", "engine_stopDelayP95"),
    "engine: distances": ("engine_logMelDistance", "engine_logMelOverCodec", "engine_lipsLag", "engine_pictureFrechet"),
    "engine: counts, ms": ("engine_questions", "engine_longRecordings", "engine_solverMs"),
    "engine: shares": (),
}


def kind(name):
    name = name.removeprefix("held_out_")
    named = (what for what, names in KINDS.items() if name in names or name.removesuffix("_clean") in names)
    return next(named, "engine: shares" if name.startswith("engine_") else "loss")


def series(entries):
    """Kind -> name -> [(step, value)] of a log, step by step: where a run went on from an earlier step, what
    it did after that step before is left out."""
    kept: list = []
    for entry in (entry for entry in entries if "run" not in entry):
        while kept and kept[-1]["step"] >= entry["step"]:
            kept.pop()
        kept.append(entry)
    found: dict = {}
    for entry in kept:
        for name in sorted(entry.keys() - {"step", "seconds"}):
            found.setdefault(kind(name), {}).setdefault(name, []).append((entry["step"], entry[name]))
    return found


def draw(out):
    """Writes OUT/curves.png. Raises InputError where there is no log."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    paths = sorted(glob.glob(os.path.join(glob.escape(out), "*.jsonl")))
    if not paths:
        raise InputError(f"{out}: holds no log (*.jsonl); --out is the folder of a training run")
    stages = [series(Log(path).entries()) for path in paths]
    columns = [column for column in ("loss", *KINDS) if any(column in stage for stage in stages)]
    size = (4 * len(columns), 3 * len(paths))
    figure, axes = pyplot.subplots(len(paths), max(1, len(columns)), figsize=size, squeeze=False)
    for row, path, stage in zip(axes, paths, stages):
        for axis, column in zip(row, columns):
            for name, points in stage.get(column, {}).items():
                axis.plot(*zip(*points), label=name, linewidth=1)
            axis.set(title=f"{os.path.basename(path)[:-6]}: {column}", xlabel="step")
            if axis.lines:
                axis.legend(fontsize=7)
            axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(os.path.join(out, "curves.png"), dpi=100)
    pyplot.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True)
    draw(parser.parse_args().out)


if __name__ == "__main__":
    command(main)
