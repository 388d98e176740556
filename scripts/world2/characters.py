"""The agents' characters: a look from a seed, its pictures in any state, and how to tell them apart.

    python -m world2.sheet --out FILE     (in scripts/) draws many of them
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import bodies, faces, scenes
from .layers import Cut
from .looks import Look, look

HEIGHT, WIDTH = scenes.HEIGHT, scenes.WIDTH
# By how many half pixels a head moves at the most, to the side and down; its features move a little more,
# the body less.
SWAY, NOD = 10, 9
MOUTHS, LIDS = 13, 4  # states that are drawn: mouth closed to open, lids open to closed
FEATURES = (27, 48)  # of a face, high and wide

Array = np.ndarray
Sides = tuple[int, int, int, int]


@dataclass(frozen=True)
class Character:
    """seed: 0-99999 for training, 100000-199999 for evaluation (world.stream)."""

    seed: int

    @property
    def look(self) -> Look:
        return looked(self.seed)

    @property
    def boxes(self) -> dict[str, Sides]:
        """Where the mouth is in every frame, the lips with what is around them, the eyes, and the face: left,
        right, top, bottom in pixels, right and bottom not included."""
        it = self.look
        (cx, my), wide = faces.mouth_place(it), it.mouth_width
        right, down = reach(SWAY), reach(NOD)
        sides = lambda left, end, top, bottom: (
            max(0, int(np.floor(left - right))),
            min(WIDTH, int(np.ceil(end + right))),
            max(0, int(np.floor(top - down))),
            min(HEIGHT, int(np.ceil(bottom + down))),
        )
        outline = 3 if it.style == "outlined" else 0
        beside, thick, low = wide + 4 + outline, 5.5 + it.smile, my + faces.OPENS + 7
        (left, ey), (end, _) = faces.eye_places(it)
        high = faces.eye_half(it)[1]
        side = 18 if it.glasses else 17
        return {
            "mouth": sides(cx - beside, cx + beside, my - thick, low),
            "lips": sides(cx - beside - 6, cx + beside + 6, my - thick - 6, low + 6),
            "eyes": sides(left - side, end + side, ey - max(high + 6, 15), ey + max(high + 3, 16)),
            "face": sides(cx - it.rx, cx + it.rx, it.cy - it.ry, it.cy + it.ry),
        }

    def reference(self) -> Array:
        """uint8 [192, 336, 3]: the reference image, mouth closed, eyes open, at rest."""
        return self.frames([0], [0], [0], [0])[0]

    def frames(self, mouth, blink, nod, sway) -> Array:
        """uint8 [n, 192, 336, 3]. mouth [n]: 0 closed to 1; blink [n]: 0 open to 1 closed; nod [n]: -1 up to
        1 down; sway [n]: -1 left to 1 right."""
        parts = parts_of(self.seed)
        states = np.stack([np.asarray(v, np.float64) for v in (mouth, blink, nod, sway)], 1)
        low = np.array([0, 0, -1, -1])
        scale = np.array([MOUTHS - 1, LIDS - 1, NOD, SWAY])
        whole = np.round(states.clip(low, 1) * scale).astype(int)
        return np.stack([parts.frame(*(int(v) for v in state)) for state in whole])

    @property
    def mouth_green(self) -> float:
        """Below this level of green (0-255) a pixel of the mouth box is likely the open mouth's."""
        return 0.8 * self.look.skin[1]

    def mouth_depths(self) -> tuple[float, float]:
        """Mean of max(0, mouth_green - green) over the mouth box with the mouth closed and with it open, at
        rest. How open a mouth is in any picture of it, of whatever skin: where its mean lies between the two."""
        left, right, top, bottom = self.boxes["mouth"]
        green = self.frames([0, 1], [0, 0], [0, 0], [0, 0])[:, top:bottom, left:right, 1].astype(np.float64)
        closed, opened = np.maximum(0, self.mouth_green - green).mean((1, 2))
        return float(closed), float(opened)


def character(seed: int) -> Character:
    return Character(int(seed))


NAMED = {"ada": 36, "bo": 73, "cleo": 26, "dev": 64}


def named() -> dict[str, Character]:
    """Four characters of the training range, plainly unlike each other."""
    return {name: character(seed) for name, seed in NAMED.items()}


def reach(halves: int) -> float:
    """By how many pixels features move at the most."""
    return followed(halves) / 2 + 0.5


def followed(halves: int) -> int:
    """Half pixels that features move when the head moves by so many."""
    return round(1.3 * halves)


class Parts:
    """A character's layers, drawn once, and its pictures without eyes and mouth where they were needed."""

    def __init__(self, look: Look):
        self.look, self.scene = look, scenes.scene(look)
        self.behind, self.body, self.neck, self.head, self.features = (
            draw(look).at_phases() for draw in (faces.hair_behind, bodies.body, faces.neck, faces.head, faces.features)
        )
        self.eyes = functools.lru_cache(maxsize=None)(lambda lids: faces.eyes(look, lids / (LIDS - 1)).at_phases())
        self.mouth = functools.lru_cache(maxsize=None)(lambda opening: faces.mouth(look, opening / (MOUTHS - 1)).at_phases())
        self.still = functools.lru_cache(maxsize=32)(self._still)

    def _still(self, nod: int, sway: int) -> Array:
        picture = self.scene.copy()
        self.behind.over(picture, sway, nod)
        self.neck.over(picture, sway // 2, nod // 2)
        self.body.over(picture, sway // 4, 0)
        self.head.over(picture, sway, nod)
        self.features.over(picture, followed(sway), followed(nod))
        return whole(picture)

    def frame(self, mouth: int, lids: int, nod: int, sway: int) -> Array:
        picture = self.still(nod, sway).copy()
        for cut in (self.mouth(mouth), self.eyes(lids)):
            self._lay(cut, picture, followed(sway), followed(nod))
        return picture

    def _lay(self, cut: Cut, picture: Array, right: int, down: int):
        height, width = cut.size
        top, left = cut.top + down // 2, cut.left + right // 2
        part = picture[top : top + height + 1, left : left + width + 1].astype(np.float32)
        colour, clear = cut.phase(right % 2, down % 2)
        picture[top : top + height + 1, left : left + width + 1] = whole(part * clear + colour[..., :3])


def whole(picture: Array) -> Array:
    return (picture + np.float32(0.5)).astype(np.uint8)  # mixtures of colours stay in their range


@functools.lru_cache(maxsize=4096)
def looked(seed: int) -> Look:
    return look(seed)


@functools.lru_cache(maxsize=16)
def parts_of(seed: int) -> Parts:
    return Parts(looked(seed))


@functools.lru_cache(maxsize=8)
def shares(pixels: int, cells: int) -> Array:
    """float32 [cells, pixels]: the part that each pixel has in the mean of each cell."""
    edges = np.linspace(0, pixels, cells + 1)
    at = np.arange(pixels)
    shared = np.minimum(edges[1:, None], at + 1) - np.maximum(edges[:-1, None], at)
    return (shared.clip(0) * cells / pixels).astype(np.float32)


def face_features(frames: Array, boxes: dict[str, Sides] | None = None) -> Array:
    """float32 [27, 48, 3]: the mean of frames (uint8 [n, h, w, 3]), made small; NaN where the boxes of mouth
    and eyes are (of the character that ought to be seen), which are left out."""
    mean = np.asarray(frames, np.float32).mean(0) if len(frames) < 500 else sum(f.astype(np.float32) for f in frames) / len(frames)
    height, width = mean.shape[:2]
    small = np.einsum("ry,yxc,sx->rsc", shares(height, FEATURES[0]), mean, shares(width, FEATURES[1]), optimize=True)
    for left, right, top, bottom in (boxes["mouth"], boxes["eyes"]) if boxes else ():
        rows = slice(int(top * FEATURES[0] / HEIGHT), -int(-bottom * FEATURES[0] // HEIGHT))
        small[rows, int(left * FEATURES[1] / WIDTH) : -int(-right * FEATURES[1] // WIDTH)] = np.nan
    return small.astype(np.float32)


def nearest(features: Array, candidates: Sequence[Character]) -> int:
    """Which of the candidates looks most like it: the least mean squared difference over the cells that
    aren't left out."""
    seen = ~np.isnan(features)
    errors = [np.mean((features - rest_features(c.seed))[seen] ** 2) for c in candidates]
    return int(np.argmin(errors))


@functools.lru_cache(maxsize=256)
def rest_features(seed: int) -> Array:
    return face_features(character(seed).reference()[None])
