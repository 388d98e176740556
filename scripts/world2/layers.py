"""Layers to draw on: premultiplied RGBA at twice the picture's resolution, that move by half pixels.

Lengths and places are in pixels of the picture. Shapes are signed distances, negative inside
(`world.draw` has ellipse, box and polygon).
"""

import functools
from collections.abc import Callable

import numpy as np

from world.draw import box, ellipse, polygon

Array = np.ndarray
Distance = Callable[[Array, Array], Array]
Box = tuple[float, float, float, float]  # left, right, top, bottom
Colour = tuple[float, float, float]

FINE = 2  # pixels of a layer for one of the picture, each way


def mixed(a, b, part: float):
    """Between two colours: a at 0, b at 1."""
    return tuple(float(u + (v - u) * part) for u, v in zip(a, b))


def implicit(values: Array) -> Array:
    """Distance, to first order, to where a function on the fine grid is zero."""
    down, right = np.gradient(values, 1 / FINE)
    return values / np.maximum(np.hypot(down, right), 1e-4)


class Layer:
    """Drawn on once, then laid over pictures at half pixels.

    ink: colour of outlines, or None; line: their width."""

    def __init__(self, left: int, top: int, width: int, height: int, ink: Colour | None = None, line: float = 0):
        self.left, self.top, self.ink, self.line = left, top, ink, line
        self.rgba = np.zeros((height * FINE, width * FINE, 4), np.float32)
        y, x = np.mgrid[0 : height * FINE, 0 : width * FINE].astype(np.float32)
        self.x, self.y = left + (x + 0.5) / FINE, top + (y + 0.5) / FINE

    def paint(self, shape: Distance, colour, within: Box | None = None, alpha: float = 1, outline: bool = False, soft: float = 0):
        """colour: RGB, or a function of x and y that gives [h, w, 3]; within: outside of it nothing is
        drawn; outline: a line of ink around it, where the layer has ink; soft: width of a soft edge."""
        rows, columns = self._window(within)
        x, y = self.x[rows, columns], self.y[rows, columns]
        if not x.size:
            return
        distance = shape(x, y)
        part = self.rgba[rows, columns]
        if outline and self.ink is not None:
            lay(part, np.clip(0.5 - (distance - self.line) * FINE, 0, 1) * alpha, self.ink)
        edge = 1 / FINE + soft
        lay(part, np.clip(0.5 - distance / edge, 0, 1) * alpha, colour(x, y) if callable(colour) else colour)

    def ellipse(self, cx, cy, rx, ry, colour, **options):
        margin = self.line + options.get("soft", 0) + 2
        within = (cx - rx - margin, cx + rx + margin, cy - ry - margin, cy + ry + margin)
        self.paint(lambda x, y: ellipse(x, y, cx, cy, rx, ry), colour, within, **options)

    def box(self, cx, cy, rx, ry, colour, corner: float = 0, **options):
        margin = self.line + options.get("soft", 0) + 2
        within = (cx - rx - margin, cx + rx + margin, cy - ry - margin, cy + ry + margin)
        self.paint(lambda x, y: box(x, y, cx, cy, rx, ry, corner), colour, within, **options)

    def polygon(self, points, colour, **options):
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        margin = self.line + options.get("soft", 0) + 2
        within = (min(xs) - margin, max(xs) + margin, min(ys) - margin, max(ys) + margin)
        self.paint(lambda x, y: polygon(x, y, points), colour, within, **options)

    def stroke(self, points, width: float, colour, **options):
        """A line with round ends through points."""
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        margin = self.line + width + 2
        within = (min(xs) - margin, max(xs) + margin, min(ys) - margin, max(ys) + margin)
        self.paint(lambda x, y: along(x, y, points) - width / 2, colour, within, **options)

    def _window(self, within: Box | None):
        if within is None:
            return slice(None), slice(None)
        left, right, top, bottom = within
        height, width = self.rgba.shape[:2]
        clip = lambda value, most: int(min(max(value, 0), most))
        return (
            slice(clip((top - self.top) * FINE, height), clip((bottom - self.top) * FINE + 1, height)),
            slice(clip((left - self.left) * FINE, width), clip((right - self.left) * FINE + 1, width)),
        )

    def at_phases(self) -> "Cut":
        return Cut(self)


class Cut:
    """A finished layer, cut to what is drawn, averaged to the picture's pixels, at four half-pixel
    phases (each made when first asked for)."""

    def __init__(self, layer: Layer):
        drawn = layer.rgba[..., 3] > 0
        rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
        if not len(rows):
            rows = columns = np.array([0])
        top, bottom = rows[0] // FINE, rows[-1] // FINE + 1
        left, right = columns[0] // FINE, columns[-1] // FINE + 1
        self.left, self.top = layer.left + left, layer.top + top
        self._fine = layer.rgba[top * FINE : bottom * FINE, left * FINE : right * FINE].copy()
        self.size = self._fine.shape[0] // FINE, self._fine.shape[1] // FINE
        self._phases: dict[tuple[int, int], tuple[Array, Array]] = {}

    def phase(self, right: int, down: int) -> tuple[Array, Array]:
        """Colour times cover and cover [h, w, 4], and 1 - cover [h, w, 1], moved by 0 or 1 half pixels."""
        if (right, down) not in self._phases:
            padded = np.pad(self._fine, ((down, FINE - down), (right, FINE - right), (0, 0)))
            corners = [padded[r::FINE, c::FINE] for r in range(FINE) for c in range(FINE)]
            averaged = functools.reduce(np.add, corners) * np.float32(1 / FINE**2)
            self._phases[right, down] = averaged, 1 - averaged[..., 3:]
        return self._phases[right, down]

    def over(self, picture: Array, halves_right: int, halves_down: int):
        """Lays it over a picture, float32 [h, w, 3] (or 4: premultiplied), moved by so many half pixels."""
        colour, clear = self.phase(halves_right % 2, halves_down % 2)
        left, top = self.left + halves_right // 2, self.top + halves_down // 2
        rows = slice(max(0, top), max(0, top + len(colour)))
        columns = slice(max(0, left), max(0, left + colour.shape[1]))
        part = picture[rows, columns]
        height, width = part.shape[:2]
        inner = slice(rows.start - top, rows.start - top + height), slice(columns.start - left, columns.start - left + width)
        part *= clear[inner]
        part += colour[inner][..., : picture.shape[2]]

    def opaque(self) -> Array:
        """Colour times cover, float32 [h, w, 3], where it stands."""
        return self.phase(0, 0)[0][: self.size[0], : self.size[1], :3]


def lay(part: Array, cover: Array, colour):
    cover = cover[..., None]
    part *= 1 - cover
    part[..., :3] += np.asarray(colour, np.float32) * cover
    part[..., 3:] += cover


def along(x: Array, y: Array, points) -> Array:
    """Distance to a line through points."""
    distance = np.full(x.shape, 1e9, np.float32)
    for (ax, ay), (bx, by) in zip(points, points[1:]):
        ex, ey = bx - ax, by - ay
        part = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey + 1e-9), 0, 1)
        distance = np.minimum(distance, np.hypot(x - ax - ex * part, y - ay - ey * part))
    return distance


def union(*shapes: Distance) -> Distance:
    return lambda x, y: functools.reduce(np.minimum, (shape(x, y) for shape in shapes))


def common(*shapes: Distance) -> Distance:
    return lambda x, y: functools.reduce(np.maximum, (shape(x, y) for shape in shapes))


def without(shape: Distance, hole: Distance) -> Distance:
    return lambda x, y: np.maximum(shape(x, y), -hole(x, y))


def oval(cx: float, cy: float, rx: float, ry: float) -> Distance:
    return lambda x, y: ellipse(x, y, cx, cy, rx, ry)


def rectangle(cx: float, cy: float, rx: float, ry: float, corner: float = 0) -> Distance:
    return lambda x, y: box(x, y, cx, cy, rx, ry, corner)


def above(height: float, slope: float = 0, cx: float = 0) -> Distance:
    """Everything above a straight line, which falls by slope to the right and is at height at cx."""
    return lambda x, y: y - height - slope * (x - cx)
