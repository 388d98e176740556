"""Curves of a training run as PNG, from its JSONL logs (Debian: python3-matplotlib).

    .venv/bin/python -m train.curves --out FOLDER      writes OUT/curves.png      (in scripts/)
"""

import argparse
import glob
import json
import os


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True)
    draw(parser.parse_args().out)


def draw(out):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    paths = sorted(glob.glob(os.path.join(out, "*.jsonl")))
    figure, axes = pyplot.subplots(len(paths), 1, figsize=(8, 3 * len(paths)), squeeze=False)
    for axis, path in zip(axes[:, 0], paths):
        with open(path) as file:
            entries = [json.loads(line) for line in file]
        keys = sorted({key for entry in entries for key in entry} - {"step", "seconds", "lr", "norm"})
        for key in keys:
            points = [(entry["seconds"] / 60, entry[key]) for entry in entries if key in entry]
            axis.plot(*zip(*points), label=key, linewidth=1)
        axis.set(title=os.path.basename(path)[:-6], xlabel="minutes")
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(os.path.join(out, "curves.png"), dpi=100)


if __name__ == "__main__":
    main()
