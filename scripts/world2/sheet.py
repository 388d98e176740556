"""A contact sheet of characters, as a PNG file.

    .venv/bin/python -m world2.sheet --out FILE [--first SEED] [--count N]      (in scripts/)
    .venv/bin/python -m world2.sheet --out FILE --users [--first SEED] [--count N]
"""

import argparse
import struct
import zlib

import numpy as np

from world import draw, words
from world.stream import FRAME

from . import camera
from .characters import character, named


def write_png(path: str, picture: np.ndarray):
    """picture: uint8 [h, w, 3]."""
    height, width = picture.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(picture))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def tiled(pictures, columns: int) -> np.ndarray:
    """Pictures of one size as a table, with white lines between them."""
    blank = np.full_like(pictures[0], 255)
    pictures = [np.pad(p, ((0, 2), (0, 2), (0, 0)), constant_values=255) for p in [*pictures, *[blank] * (-len(pictures) % columns)]]
    return np.concatenate([np.concatenate(pictures[i : i + columns], 1) for i in range(0, len(pictures), columns)])


def characters(first: int | None, count: int):
    """At rest, and speaking: half open, open with closed eyes and turned."""
    who = list(named().values()) if first is None else [character(first + i) for i in range(count)]
    for one in who:
        yield from one.frames([0, 0.4, 1], [0, 0, 1], [0, 0, 0.6], [0, -0.5, 1])


def users(first: int, count: int):
    """With two cards each, twice as large as they are seen."""
    for seed in range(first, first + count):
        rng = np.random.default_rng(seed)
        pick = lambda options: options[int(rng.integers(len(options)))]
        shown = [(at * FRAME, (pick(list(words.COLOURS)), pick(words.SHAPES), pick([1, 2, 3, 4]))) for at in (0, 1)]
        face, mouth = draw.face(rng), rng.uniform(0, 1, 2) * (rng.random(2) < 0.5)
        yield from camera.user_frames(face, [(0, True)], shown, camera.view(seed), 2, mouth).repeat(2, 1).repeat(2, 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, help="PNG file to write")
    parser.add_argument("--first", type=int, help="seed of the first character (the four named ones when absent)")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--users", action="store_true", help="users before their cameras in place of characters")
    args = parser.parse_args()
    drawn = users(args.first or 0, args.count) if args.users else characters(args.first, args.count)
    write_png(args.out, tiled(list(drawn), 8 if args.users else 6))


if __name__ == "__main__":
    main()
