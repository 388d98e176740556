"""Cards as people hold them up: plain, drawn by pen, printed, a whole sheet, on a screen; held at an angle,
with a hand at an edge.

A card is world 1's (colour, shape, count). It is made large and flat, float32 RGBA, and then seen in
perspective.
"""

import functools
from dataclasses import dataclass

import numpy as np

from world.draw import shape_distance
from world.words import COLOURS

from .layers import FINE, Colour, Layer, mixed

Array = np.ndarray
Card = tuple[str, str, int]

KINDS = ("plain", "drawn", "printed", "sheet", "screen")
WIDE, HIGH = 72, 88  # a flat card's size, on a layer's grid

# Where the shapes of a card stand, in parts of its half size; people don't all lay them out alike.
PLACES: dict[int, list[list[tuple[float, float]]]] = {
    1: [[(0, 0)]],
    2: [[(-0.46, -0.46), (0.46, 0.46)], [(0.46, -0.46), (-0.46, 0.46)], [(0, -0.5), (0, 0.5)], [(-0.5, 0), (0.5, 0)]],
    3: [[(0, -0.52), (-0.5, 0.46), (0.5, 0.46)], [(0, 0.52), (-0.5, -0.46), (0.5, -0.46)], [(-0.55, -0.58), (0, 0), (0.55, 0.58)], [(0, -0.64), (0, 0), (0, 0.64)]],
    4: [[(-0.48, -0.48), (0.48, -0.48), (-0.48, 0.48), (0.48, 0.48)], [(0, -0.62), (-0.56, 0), (0.56, 0), (0, 0.62)]],
}  # fmt: skip


@dataclass(frozen=True)
class Held:
    """How one card is made and held."""

    kind: str
    layout: int
    size: float  # of its shapes, 0.88 to 1.06
    turn: float  # in the picture's plane, radians
    tilt: tuple[float, float]  # about its upright and level axes, radians
    hand: int  # 0: below, 1: left, 2: right, 3: none seen
    reach: float  # 0 to 1: how far the hand reaches in
    skin: Colour
    seed: int


def held(seed: int, index: int, skin: Colour) -> Held:
    """The index-th card of a conversation."""
    rng = np.random.default_rng([seed, 32, index])
    uniform = lambda low, high: float(rng.uniform(low, high))
    return Held(
        kind=KINDS[int(rng.choice(len(KINDS), p=[0.25, 0.22, 0.22, 0.23, 0.08]))],
        layout=int(rng.integers(1 << 16)),
        size=uniform(0.88, 1.06),
        turn=float(np.clip(rng.normal(0, 0.12), -0.35, 0.35)),
        tilt=(uniform(-0.6, 0.6), uniform(-0.45, 0.45)),
        hand=int(rng.integers(4)),
        reach=uniform(0, 1),
        skin=skin,
        seed=int(rng.integers(1 << 30)),
    )


@functools.lru_cache(maxsize=256)
def flat(card: Card, how: Held) -> Array:
    """Premultiplied float32 [HIGH, WIDE, 4]: the card seen from the front, the hand with it."""
    colour, shape, count = card
    rng = np.random.default_rng(how.seed)
    at = Layer(0, 0, WIDE, HIGH)
    cx, cy = WIDE / 2, HIGH / 2
    half_x, half_y = (33, 41) if how.kind != "sheet" else (35, 42)
    paper = mixed((250, 249, 245), (238, 230, 208), float(rng.random()) if how.kind != "screen" else 0)
    if how.kind == "screen":
        at.box(cx, cy, 35, 43, (18, 18, 22), corner=6)
        half_x, half_y = 32, 38
    elif how.kind != "sheet":
        at.box(cx, cy, half_x + 2, half_y + 2, (30, 30, 32) if how.kind == "printed" else (84, 84, 88), corner=4)
    at.box(cx, cy, half_x, half_y, paper, corner=0 if how.kind in ("sheet", "printed") else 4)
    if how.kind == "printed":
        at.box(cx, cy, half_x - 4, half_y - 4, (34, 34, 36))
        at.box(cx, cy, half_x - 5.5, half_y - 5.5, paper)
    ink = inked(COLOURS[colour], how, rng)
    radius = (24 if count == 1 else 12.6 if count < 4 else 12.2) * how.size * (0.92 if how.kind == "drawn" else 1)
    options = PLACES[count]
    for dx, dy in options[how.layout % len(options)]:
        # In a line of three and in a cross of four there is less room.
        room = 0.8 if (count == 3 and how.layout % len(options) >= 2) or (count == 4 and how.layout % 2) else 1
        wobble = rng.uniform(-0.7, 0.7, 2) if how.kind in ("drawn", "sheet") else (0, 0)
        x0, y0 = cx + dx * half_x + wobble[0], cy + dy * half_y + wobble[1]
        draw_shape(at, shape, x0, y0, radius * room, ink, how, rng)
    picture = at.rgba
    if how.kind in ("printed", "sheet", "drawn"):
        grain = rng.normal(0, 3, picture.shape[:2]).astype(np.float32)[..., None]
        fold = 7 * np.abs(np.sin(at.x / WIDE * 3 + float(rng.uniform(0, 3))))[..., None]
        picture[..., :3] = (picture[..., :3] + (grain - fold) * picture[..., 3:]).clip(0, 255)
    hand(at, how)
    return picture.reshape(HIGH, FINE, WIDE, FINE, 4).mean((1, 3))


def inked(colour, how: Held, rng):
    if how.kind == "printed":
        return mixed(colour, (255, 255, 255), float(rng.uniform(0, 0.12)))
    if how.kind in ("drawn", "sheet"):
        return mixed(colour, (255, 255, 255), float(rng.uniform(0, 0.1)))
    return colour


def draw_shape(at: Layer, shape: str, cx: float, cy: float, r: float, ink, how: Held, rng):
    within = (cx - 1.3 * r - 2, cx + 1.3 * r + 2, cy - 1.3 * r - 2, cy + 1.3 * r + 2)
    if how.kind == "drawn":
        phase, size = rng.uniform(0, 6.28, 4), 0.05 * r
        angle, step = rng.uniform(0, np.pi), max(2.4, 0.2 * r)

        def wobbly(x, y):
            turn = np.arctan2(y - cy, x - cx)
            return shape_distance(x, y, shape, cx, cy, r) + size * (np.sin(2 * turn + phase[0]) + np.sin(3 * turn + phase[1]))

        hatched = lambda x, y: np.maximum(wobbly(x, y), np.abs((x * np.cos(angle) + y * np.sin(angle)) % step - step / 2) - step * 0.4)
        at.paint(wobbly, ink, within, alpha=0.55)
        at.paint(hatched, ink, within)
        at.paint(lambda x, y: np.abs(wobbly(x, y)) - 0.9, mixed(ink, (0, 0, 0), 0.15), within)
    elif how.kind == "printed":
        step = 3.0
        dots = lambda x, y: np.hypot((x + y) % step - step / 2, (x - y) % step - step / 2) - 0.72 * step
        at.paint(lambda x, y: shape_distance(x, y, shape, cx, cy, r), ink, within, alpha=0.72)
        at.paint(lambda x, y: np.maximum(shape_distance(x, y, shape, cx, cy, r), dots(x, y)), ink, within)
    else:
        at.paint(lambda x, y: shape_distance(x, y, shape, cx, cy, r), ink, within)


def hand(at: Layer, how: Held):
    """A thumb or fingers over an edge; never so far that a shape can't be told or counted."""
    if how.hand == 3:
        return
    shade = mixed(how.skin, (30, 10, 10), 0.25)
    deep = 5 + 5 * how.reach
    if how.hand == 0:
        x = WIDE * (0.3 + 0.4 * ((how.seed >> 3) % 100) / 100)
        ends = [((x, HIGH + 6.0), (x + 1, HIGH - deep))]
    else:
        edge, inner = (-4.0, deep) if how.hand == 1 else (WIDE + 4.0, WIDE - deep)
        ends = [((edge, HIGH * 0.5 + 9 * i), (inner - (2 * i if how.hand == 1 else -2 * i), HIGH * 0.5 + 9 * i - 2)) for i in range(3)]
    for start, end in ends:
        wide = 9 if how.hand == 0 else 7.5
        at.stroke([start, end], wide + 1.6, shade)
        at.stroke([start, end], wide, how.skin)


def seen(card: Card, how: Held, cx: float, cy: float, half_height: float, wobble: tuple[float, float, float], width: int, height: int) -> Array:
    """Premultiplied float32 [height, width, 4]: the card in the picture, its middle at (cx, cy) and half as
    high as said, turned and tilted; wobble: a little more of turn and tilts. Sampled twice as fine."""
    fine = 2
    source = flat(card, how)
    turn, yaw, pitch = how.turn + wobble[0], how.tilt[0] + wobble[1], how.tilt[1] + wobble[2]
    rotate = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    axes = rotate @ about_y @ about_x
    away = 4.5  # from the camera, in half heights of the card
    # Card coordinates (u, v, 1) to the picture's: x = (axes u) / (1 + z / away).
    onto = np.stack([axes[:, 0], axes[:, 1], [0, 0, 0]], 1)
    project = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]]) @ onto
    project[2] = [axes[2, 0] / away, axes[2, 1] / away, 1]
    back = np.linalg.inv(project)
    y, x = np.mgrid[0 : height * fine, 0 : width * fine]
    x, y = ((x + 0.5) / fine - cx) / half_height, ((y + 0.5) / fine - cy) / half_height
    u, v, w = (back[i, 0] * x + back[i, 1] * y + back[i, 2] for i in range(3))
    near = np.maximum(w, 1e-3)
    columns = (u / near * HIGH / WIDE + 1) * source.shape[1] / 2 - 0.5
    rows = (v / near + 1) * source.shape[0] / 2 - 0.5
    picture = sampled(source, rows, columns) * (w > 1e-3)[..., None]
    return picture.reshape(height, fine, width, fine, 4).mean((1, 3)).astype(np.float32)


def sampled(source: Array, rows: Array, columns: Array) -> Array:
    """Bilinear; nothing outside."""
    height, width = source.shape[:2]
    inside = (rows > -1) & (rows < height) & (columns > -1) & (columns < width)
    out = np.zeros((*rows.shape, source.shape[2]), np.float32)
    r, c = rows[inside] + 1, columns[inside] + 1
    padded = np.pad(source, ((1, 1), (1, 1), (0, 0)))
    top, left = r.astype(int), c.astype(int)
    down, right = (r - top)[:, None].astype(np.float32), (c - left)[:, None].astype(np.float32)
    above = padded[top, left] * (1 - right) + padded[top, left + 1] * right
    below = padded[top + 1, left] * (1 - right) + padded[top + 1, left + 1] * right
    out[inside] = above * (1 - down) + below * down
    return out
