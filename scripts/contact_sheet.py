"""A contact sheet of a replay: frames of both sides, the agent's words under them, both waveforms.

    deno task replay samples/conversation.mp4 -o out/r.mkv --events out/r.jsonl --side-by-side out/both.mkv
    /usr/bin/python3 scripts/contact_sheet.py out/both.mkv out/r.jsonl docs/conversation.jpg --from 4 --to 16

Needs FFmpeg, python3-numpy and python3-matplotlib. The sheet covers the seconds from --from to --to of
the stream, with --frames frames at even distances.
"""

import argparse
import json
import subprocess

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

RATE = 16000
USER, AGENT = "#3b6ea8", "#c2571a"


def read(path, first, length, *options):
    command = ["ffmpeg", "-nostdin", "-v", "error", "-ss", str(first), "-t", str(length), "-i", path]
    return subprocess.run([*command, *options, "-"], check=True, stdout=subprocess.PIPE).stdout


def size_of(path):
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height"]
    shown = subprocess.run([*command, "-of", "csv=p=0", path], check=True, stdout=subprocess.PIPE)
    return [int(part) for part in shown.stdout.decode().strip().split(",")[:2]]


def words(path):
    """[(second, word)] of the agent."""
    said = []
    with open(path) as file:
        for line in file:
            event = json.loads(line)
            if event.get("type") == "unit" and event["text"].strip():
                said.append((event["start"], event["text"].strip()))
    return said


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("both", help="what --side-by-side wrote")
    parser.add_argument("events", help="what --events wrote")
    parser.add_argument("sheet", help="picture to write: .jpg or .png")
    parser.add_argument("--from", dest="first", type=float, default=0)
    parser.add_argument("--to", dest="last", type=float, default=16)
    parser.add_argument("--frames", type=int, default=4)
    args = parser.parse_args()
    length = args.last - args.first
    width, height = size_of(args.both)
    rgb = ["-an", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    frames = np.frombuffer(read(args.both, args.first, length, *rgb), np.uint8)
    frames = frames.reshape(-1, height, width, 3)
    floats = ["-vn", "-ar", str(RATE), "-ac", "2", "-f", "f32le"]
    sound = np.frombuffer(read(args.both, args.first, length, *floats), "<f4").reshape(-1, 2)

    figure = plt.figure(figsize=(12, 4.4), dpi=110, facecolor="white")
    grid = figure.add_gridspec(2, args.frames, height_ratios=[1.7, 2.2], hspace=0.08, wspace=0.04)
    each = length / args.frames
    for i in range(args.frames):
        axes = figure.add_subplot(grid[0, i])
        middle = (i + 0.5) * each
        axes.imshow(frames[min(len(frames) - 1, int(middle / length * len(frames)))])
        axes.set_title(f"{args.first + middle:.1f} s", fontsize=9, color="#555")
        axes.axis("off")
    axes = figure.add_subplot(grid[1, :])
    at = args.first + np.arange(len(sound)) / RATE
    for side, (offset, colour, name) in enumerate(((1.1, USER, "user"), (-1.1, AGENT, "agent"))):
        loudest = max(0.05, np.abs(sound[:, side]).max())
        axes.plot(at, sound[:, side] / loudest + offset, color=colour, linewidth=0.4)
        axes.text(args.first - 0.01 * length, offset, name, color=colour, ha="right", va="center")
    for second, word in words(args.events):
        if args.first <= second < args.last:
            axes.text(second, -2.75, word, color=AGENT, fontsize=9, rotation=35, ha="left", va="bottom")
    axes.set_xlim(args.first, args.last)
    axes.set_ylim(-3, 2.2)
    axes.set_yticks([])
    axes.set_xlabel("seconds of stream")
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    figure.savefig(args.sheet, bbox_inches="tight", pil_kwargs={"quality": 88} if args.sheet.endswith("jpg") else {})


if __name__ == "__main__":
    main()
