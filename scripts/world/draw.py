"""Pictures of the world, drawn with numpy: the user's face beside a card (64x64), the agent (128x128).

Shapes are signed distances, in pixels, blended with soft edges. Frames are cached by what they show.
"""

import functools

import numpy as np

from .words import COLOURS

USER_SIZE = 64
AGENT_SIZE = 128
# Of the agent: its skin, and where its face, its lips and its mouth are, whatever it does: left, right,
# top, bottom in pixels (io/eval/measures/lips.ts measures the mouth in parts of the picture).
SKIN = (246, 205, 170)
FACE, LIPS, MOUTH = (24, 104, 32, 104), (46, 82, 68, 100), (50, 78, 68, 92)


@functools.lru_cache(maxsize=4)
def grid(size):
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    return x + 0.5, y + 0.5


def ellipse(x, y, cx, cy, rx, ry):
    """Distance in pixels to an ellipse's rim, negative inside (first order)."""
    u, v = (x - cx) / rx, (y - cy) / ry
    r = np.sqrt(u * u + v * v) + 1e-6
    return (r - 1) * r / np.sqrt((u / rx) ** 2 + (v / ry) ** 2 + 1e-9)


def box(x, y, cx, cy, rx, ry, corner=0.0):
    dx, dy = np.abs(x - cx) - rx + corner, np.abs(y - cy) - ry + corner
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
    return outside + np.minimum(np.maximum(dx, dy), 0) - corner


def polygon(x, y, points):
    """Distance to a polygon, negative inside (even-odd)."""
    distance = np.full(x.shape, 1e9, np.float32)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
        ex, ey, wx, wy = bx - ax, by - ay, x - ax, y - ay
        along = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0, 1)
        distance = np.minimum(distance, np.hypot(wx - ex * along, wy - ey * along))
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < ex * (y - ay) / (by - ay) + ax)
    return np.where(inside, -distance, distance)


def paint(picture, distance, colour, strength=1.0):
    cover = (np.clip(0.5 - distance, 0, 1) * strength)[..., None]
    picture += (np.asarray(colour, np.float32) - picture) * cover


def shape_distance(x, y, shape, cx, cy, r):
    if shape == "circle":
        return ellipse(x, y, cx, cy, r * 0.9, r * 0.9)
    if shape == "square":
        return box(x, y, cx, cy, r * 0.8, r * 0.8)
    if shape == "triangle":
        return polygon(x, y, [(cx, cy - r), (cx + r, cy + 0.75 * r), (cx - r, cy + 0.75 * r)])
    if shape == "star":
        points = []
        for i in range(10):
            radius, angle = (r * 1.1 if i % 2 == 0 else r * 0.45), np.pi * i / 5 - np.pi / 2
            points.append((cx + radius * np.cos(angle), cy + radius * np.sin(angle)))
        return polygon(x, y, points)
    if shape == "heart":
        lobes = np.minimum(
            ellipse(x, y, cx - 0.46 * r, cy - 0.3 * r, 0.54 * r, 0.54 * r),
            ellipse(x, y, cx + 0.46 * r, cy - 0.3 * r, 0.54 * r, 0.54 * r),
        )
        point = [(cx - 0.95 * r, cy - 0.08 * r), (cx + 0.95 * r, cy - 0.08 * r), (cx, cy + r)]
        return np.minimum(lobes, polygon(x, y, point))
    raise ValueError(shape)


PLACES = {
    1: [(0, 0)],
    2: [(-0.5, -0.5), (0.5, 0.5)],
    3: [(0, -0.55), (-0.55, 0.5), (0.55, 0.5)],
    4: [(-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)],
}


def draw_card(picture, card, cx, cy, scale):
    """card: (colour, shape, count); scale: 0.8 to 1."""
    x, y = grid(USER_SIZE)
    colour, shape, count = card
    half_x, half_y = 14.0, 17.0
    paint(picture, box(x, y, cx, cy, half_x + 1, half_y + 1, 2), (70, 70, 74))
    paint(picture, box(x, y, cx, cy, half_x, half_y, 2), (250, 249, 245))
    radius = 10.5 * scale if count == 1 else 6.0 * scale
    for dx, dy in PLACES[count]:
        place = (cx + dx * 14.5, cy + dy * 17)
        paint(picture, shape_distance(x, y, shape, *place, radius), COLOURS[colour])


SKINS = [(255, 219, 190), (240, 194, 150), (210, 155, 110), (160, 110, 75), (110, 74, 50), (232, 180, 160)]
HAIRS = [(40, 28, 20), (90, 58, 30), (160, 110, 50), (215, 180, 100), (120, 120, 125), (150, 60, 30)]
CLOTHES = [(60, 80, 120), (130, 50, 60), (60, 110, 80), (110, 110, 110), (170, 150, 110), (80, 60, 110)]
WALLS = [(205, 214, 220), (225, 215, 200), (190, 205, 190), (214, 200, 212), (170, 180, 195), (236, 236, 230)]


def face(rng):
    """Draws an identity: a tuple that user_picture understands."""
    pick = lambda options: options[int(rng.integers(len(options)))]
    return (
        pick(SKINS),
        pick(HAIRS),
        pick(CLOTHES),
        pick(WALLS),
        float(rng.uniform(9.5, 12.5)),  # half width of the head
        float(rng.uniform(12.5, 15.5)),  # half height
        float(rng.uniform(3.6, 5.2)),  # eyes' distance from the middle
        int(rng.integers(3)),  # hair style
        bool(rng.random() < 0.25),  # glasses
    )


@functools.lru_cache(maxsize=4000)
def user_picture(who, mouth, blink, sway, card, place):
    """uint8 [64, 64, 3]. who: a face, or None for an empty chair; mouth 0-5; blink 0/1; sway: whole
    pixels; card or None; place: the card's (dx, dy, scale)."""
    picture = user_backdrop(who, sway).copy()
    x, y = grid(USER_SIZE)
    if who is not None:
        skin, hair, _, _, rx, ry, eye, _, glasses = who
        cx, cy = 16.5 + sway, 30.0
        for side in (-1, 1):
            ex, ey = cx + side * eye, cy - 2
            if blink:
                paint(picture, box(x, y, ex, ey, 1.9, 0.5), np.multiply(skin, 0.6))
            else:
                paint(picture, ellipse(x, y, ex, ey, 2.1, 1.6), (250, 250, 250))
                paint(picture, ellipse(x, y, ex, ey, 1.0, 1.2), (30, 25, 25))
            if glasses:
                rim = np.abs(ellipse(x, y, ex, ey, 3.2, 2.8)) - 0.4
                paint(picture, rim, (30, 30, 30))
        my = cy + ry * 0.5
        paint(picture, ellipse(x, y, cx, my, 3.6, 0.9 + 0.75 * mouth), (150, 50, 55))
        if mouth > 1:
            paint(picture, ellipse(x, y, cx, my, 2.6, 0.75 * mouth - 0.5), (60, 15, 20))
    if card is not None:
        draw_card(picture, card, 47.5 + place[0], 33.0 + place[1], place[2])
    return picture.clip(0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=400)
def user_backdrop(who, sway):
    x, y = grid(USER_SIZE)
    wall = WALLS[0] if who is None else who[3]
    picture = np.empty((USER_SIZE, USER_SIZE, 3), np.float32)
    picture[:] = wall
    paint(picture, box(x, y, 32, 66, 34, 9), np.multiply(wall, 0.75))
    if who is None:
        paint(picture, box(x, y, 16.5, 46, 9, 16, 3), (95, 75, 60))
        return picture
    skin, hair, clothes, _, rx, ry, _, style, _ = who
    cx, cy = 16.5 + sway, 30.0
    if style == 2:
        paint(picture, box(x, y, cx, cy + 4, rx + 2.5, ry + 3, 6), hair)
    paint(picture, ellipse(x, y, cx, 66, 16, 19), clothes)
    paint(picture, box(x, y, cx, cy + ry, 3.5, 5), np.multiply(skin, 0.9))
    paint(picture, ellipse(x, y, cx, cy, rx, ry), skin)
    cap = np.maximum(ellipse(x, y, cx, cy - 2, rx + 1.5, ry + 0.5), y - (cy - (6 if style else 8)))
    paint(picture, cap, hair)
    return picture


# The agent: one character. Its state: mouth 0-7, blink 0-2, sway and nod in half pixels.
MOUTHS, BLINKS = 8, 3


@functools.lru_cache(maxsize=6000)
def agent_picture(mouth, blink, sway, nod):
    """uint8 [128, 128, 3], not to be written to."""
    x, y = grid(AGENT_SIZE)
    picture = agent_backdrop().copy()
    cx, cy = 64 + sway / 2, 60 + nod / 2
    skin, hair = SKIN, (58, 42, 92)
    paint(picture, box(x, y, cx, cy + 12, 37, 44, 24), hair)
    paint(picture, ellipse(x, y, 64 + sway / 8, 142, 52, 42), (38, 132, 140))
    paint(picture, box(x, y, (64 + cx) / 2, 98, 11, 14, 4), np.multiply(skin, 0.88))
    paint(picture, ellipse(x, y, cx, cy, 31, 38), skin)
    fringe = np.maximum(ellipse(x, y, cx, cy - 3, 33, 38), y - (cy - 16) - 0.18 * (x - cx))
    paint(picture, fringe, hair)
    for side in (-1, 1):
        ex, ey = cx + side * 13, cy - 2 + nod / 4
        height = (6.0, 2.6, 0.8)[blink]
        paint(picture, ellipse(x, y, ex, ey, 7, height + 0.6), (70, 45, 45))
        if blink < 2:
            paint(picture, ellipse(x, y, ex, ey, 6.2, height), (252, 252, 252))
            iris = np.maximum(ellipse(x, y, ex, ey, 3.6, 3.8), ellipse(x, y, ex, ey, 6.2, height))
            paint(picture, iris, (40, 80, 120))
            pupil = np.maximum(ellipse(x, y, ex, ey, 1.8, 2), ellipse(x, y, ex, ey, 6.2, height))
            paint(picture, pupil, (15, 20, 30))
        paint(picture, box(x, y, ex, ey - 11, 7, 1.2, 1), hair)
        paint(picture, ellipse(x, y, cx + side * 19, cy + 12, 5, 3.5), (240, 150, 140), 0.45)
    paint(picture, ellipse(x, y, cx, cy + 8 + nod / 4, 2.6, 2), np.multiply(skin, 0.85))
    my, open_by = cy + 21 + nod / 4, mouth / (MOUTHS - 1)
    paint(picture, ellipse(x, y, cx, my, 10 - 1.5 * open_by, 1.7 + 8.3 * open_by), (178, 62, 70))
    if mouth > 0:
        inner = ellipse(x, y, cx, my, 8.2 - 1.5 * open_by, 0.2 + 7.6 * open_by)
        paint(picture, inner, (74, 20, 30))
        teeth = np.maximum(inner, y - (my - 4.2 * open_by))
        paint(picture, teeth, (250, 245, 240))
    return picture.clip(0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=1)
def agent_backdrop():
    x, y = grid(AGENT_SIZE)
    picture = np.empty((AGENT_SIZE, AGENT_SIZE, 3), np.float32)
    shade = (y / AGENT_SIZE)[..., None]
    picture[:] = np.array((228, 236, 240)) * (1 - shade) + np.array((176, 200, 210)) * shade
    return picture
