"""Curves of a training run as PNG, from its JSONL logs: a row for a stage, an axis for a kind of figure.

    .venv/bin/python -m train.curves --out FOLDER      writes OUT/curves.png      (in scripts/)
"""

import argparse
import glob
import os

from .loop import Log

# Kinds of figures, each with an axis of its own, by how their names begin or end; the rest are losses.
KINDS = {
    "dB": ("psnr", "snr", "mouth", "aligned_snr"),
    "share right": ("colour", "shape", "count", "card", "previous", "question", "user", "unnamed", "words"),
    "learning rate": ("lr",),
    "gradient": ("norm", "skipped"),
}


def kind(name):
    name = name.removeprefix("held_out_")
    named = (what for what, names in KINDS.items() if name in names or name.removesuffix("_clean") in names)
    return next(named, "loss")


def draw(out):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    paths = sorted(glob.glob(os.path.join(out, "*.jsonl")))
    columns = ["loss", *KINDS]
    size = (4 * len(columns), 3 * len(paths))
    figure, axes = pyplot.subplots(len(paths), len(columns), figsize=size, squeeze=False)
    for row, path in zip(axes, paths):
        entries = [entry for entry in Log(path).entries() if "run" not in entry]
        names = sorted({name for entry in entries for name in entry} - {"step", "seconds"})
        for axis, column in zip(row, columns):
            for name in (name for name in names if kind(name) == column):
                points = [(entry["step"], entry[name]) for entry in entries if name in entry]
                axis.plot(*zip(*points), label=name, linewidth=1)
            axis.set(title=f"{os.path.basename(path)[:-6]}: {column}", xlabel="step")
            if axis.lines:
                axis.legend(fontsize=7)
            axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(os.path.join(out, "curves.png"), dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True)
    draw(parser.parse_args().out)


if __name__ == "__main__":
    main()
