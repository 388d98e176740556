"""What is behind a character: rooms, plain gradients, patterns; float32 [192, 336, 3]."""

import numpy as np

from .layers import Layer, mixed
from .looks import Look

HEIGHT, WIDTH = 192, 336


def scene(look: Look) -> np.ndarray:
    rng = np.random.default_rng(look.scene_seed)
    at = Layer(0, 0, WIDTH, HEIGHT)
    at.paint(lambda x, y: x * 0 - 9, SCENES[look.scene](at, rng, *look.scene_colours) or look.scene_colours[0])
    DETAILS.get(look.scene, lambda *_: None)(at, np.random.default_rng(look.scene_seed + 1), *look.scene_colours)
    picture = at.at_phases().opaque()
    return np.ascontiguousarray(picture[:HEIGHT, :WIDTH])


def blend(first, second, part):
    """part [h, w], 0 to 1: colours in between."""
    part = np.clip(part, 0, 1)[..., None].astype(np.float32)
    return np.asarray(first, np.float32) * (1 - part) + np.asarray(second, np.float32) * part


def wall(at, rng, a, b, c):
    return lambda x, y: blend(mixed(a, (255, 255, 255), 0.12), mixed(a, (20, 20, 40), 0.12), y / HEIGHT)


def gradient(at, rng, a, b, c):
    angle, round_ = rng.uniform(0, 2 * np.pi), rng.random() < 0.4
    if round_:
        return lambda x, y: blend(mixed(a, (255, 255, 255), 0.25), b, np.hypot((x - 168) / 200, (y - 90) / 130))
    return lambda x, y: blend(a, b, 0.5 + ((x - 168) * np.cos(angle) + (y - 96) * np.sin(angle)) / 300)


def dotted(at, rng, a, b, c):
    step = rng.uniform(22, 40)
    radius = step * rng.uniform(0.18, 0.34)
    slant = lambda x, y: x + step / 2 * (np.floor(y / step) % 2)
    return lambda x, y: blend(a, mixed(a, b, 0.7), radius - np.hypot(slant(x, y) % step - step / 2, y % step - step / 2) + 0.5)


def striped(at, rng, a, b, c):
    angle, step = rng.choice([0, np.pi / 2, np.pi / 4, -np.pi / 4, np.pi / 3]), rng.uniform(18, 44)
    return lambda x, y: blend(a, mixed(a, b, 0.65), step / 4 - np.abs((x * np.cos(angle) + y * np.sin(angle)) % step - step / 2) + 0.5)


def checked(at, rng, a, b, c):
    step = rng.uniform(20, 44)
    return lambda x, y: blend(a, mixed(a, b, 0.6), (((x % (2 * step)) < step) ^ ((y % (2 * step)) < step)).astype(np.float32))


def rays(at, rng, a, b, c):
    count, turn, cx, cy = rng.integers(7, 14), rng.uniform(0, 6), rng.uniform(100, 236), rng.uniform(60, 130)
    return lambda x, y: blend(a, mixed(a, b, 0.65), 4 * np.sin(np.arctan2(y - cy, x - cx) * count + turn) + 0.5)


def wavy(at, rng, a, b, c):
    step, size, length = rng.uniform(24, 44), rng.uniform(5, 14), rng.uniform(50, 120)
    return lambda x, y: blend(a, mixed(a, b, 0.7), step / 4 - np.abs((y + size * np.sin(x * 2 * np.pi / length)) % step - step / 2) + 0.5)


def bricks(at, rng, a, b, c):
    high, wide = 15, 36
    bank = rng.uniform(-0.14, 0.14, (64, 64)).astype(np.float32)

    def colour(x, y):
        row = np.floor(y / high)
        shifted = x + wide / 2 * (row % 2)
        column = np.floor(shifted / wide)
        shade = bank[row.astype(int) % 64, column.astype(int) % 64][..., None]
        brick = blend(a, mixed(a, (0, 0, 0), 0.3), 0.4 + shade[..., 0] * 2)
        gap = ((y % high) < 2) | ((shifted % wide) < 2)
        return np.where(gap[..., None], np.asarray(mixed(a, (255, 255, 255), 0.55), np.float32), brick)

    return colour


def bokeh(at, rng, a, b, c):
    return lambda x, y: blend(mixed(a, (10, 10, 30), 0.25), mixed(b, (10, 10, 30), 0.1), y / HEIGHT)


def lights(at, rng, a, b, c):
    for _ in range(26):
        r = rng.uniform(6, 22)
        colour = mixed((a, b, c)[int(rng.integers(3))], (255, 250, 220), rng.uniform(0.3, 0.9))
        at.ellipse(rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), r, r, colour, alpha=float(rng.uniform(0.2, 0.6)), soft=2)


def furnished(at, rng, a, b, c):
    """A room: pictures, a lamp, a plant, a chest."""
    at.box(168, 210, 170, 36, mixed(b, (60, 40, 30), 0.35))
    at.box(168, 174, 170, 2, mixed(a, (255, 255, 255), 0.5))
    for left in (True, False):
        x = rng.uniform(24, 72) if left else rng.uniform(264, 312)
        thing = rng.choice(["picture", "lamp", "plant", "clock", "chest"])
        if thing == "picture":
            y, w, h = rng.uniform(40, 90), rng.uniform(18, 30), rng.uniform(18, 34)
            at.box(x, y, w, h, mixed(b, (40, 28, 20), 0.6), corner=1)
            at.box(x, y, w - 4, h - 4, (244, 240, 230))
            at.ellipse(x, y + h * 0.2, (w - 4) * 0.6, (h - 4) * 0.5, c)
        elif thing == "lamp":
            at.ellipse(x, 80, 52, 52, (255, 240, 190), alpha=0.4, soft=40)
            at.box(x, 140, 2.4, 56, (60, 50, 48))
            at.polygon([(x - 13, 58), (x + 13, 58), (x + 24, 94), (x - 24, 94)], mixed(c, (255, 244, 200), 0.5))
        elif thing == "plant":
            for angle in np.linspace(-1.1, 1.1, 7):
                tip = (x + 44 * np.sin(angle), 126 - 58 * np.cos(angle))
                side = (6 * np.cos(angle), 6 * np.sin(angle))
                middle = (x + 24 * np.sin(angle), 126 - 32 * np.cos(angle))
                leaf = [(x, 130), (middle[0] - side[0], middle[1] - side[1]), tip, (middle[0] + side[0], middle[1] + side[1])]
                at.polygon(leaf, (46, 116, 70) if angle * 10 % 2 < 1 else (66, 142, 84))
            at.polygon([(x - 17, 126), (x + 17, 126), (x + 12, 172), (x - 12, 172)], c)
        elif thing == "clock":
            at.ellipse(x, 58, 22, 22, mixed(c, (30, 30, 30), 0.3))
            at.ellipse(x, 58, 18, 18, (248, 246, 240))
            at.stroke([(x, 58), (x, 46)], 2.4, (40, 40, 44))
            at.stroke([(x, 58), (x + 9, 62)], 2.4, (40, 40, 44))
        else:
            at.box(x, 152, 34, 30, mixed(c, (60, 40, 30), 0.4), corner=2)
            at.box(x, 142, 29, 8, mixed(c, (60, 40, 30), 0.2), corner=2)
            at.box(x, 164, 29, 8, mixed(c, (60, 40, 30), 0.2), corner=2)


def shelved(at, rng, a, b, c):
    """Shelves of books."""
    for y in (50, 106, 162):
        at.box(168, y + 3, 170, 3, mixed(b, (60, 40, 26), 0.6))
        x = 4.0
        while x < WIDTH:
            wide, high = rng.uniform(6, 15), rng.uniform(24, 42)
            if rng.random() < 0.84:
                tone = mixed((a, b, c, (150, 60, 50), (60, 90, 120), (226, 214, 180))[int(rng.integers(6))], (40, 36, 40), rng.uniform(0, 0.4))
                at.box(x + wide / 2, y - high / 2, wide / 2 - 0.6, high / 2, tone, corner=1)
                at.box(x + wide / 2, y - high * 0.75, wide / 2 - 1.6, 1.4, mixed(tone, (255, 240, 200), 0.6))
            x += wide


def windowed(at, rng, a, b, c):
    """A window, with a sky by day or by night, and a curtain."""
    cx, night = float(rng.choice([62, 84, 256, 276])), rng.random() < 0.4
    top, low = ((24, 30, 66), (70, 66, 120)) if night else ((112, 176, 232), (216, 236, 248))
    at.box(cx, 84, 56, 62, (240, 238, 232), corner=2)
    at.paint(lambda x, y: np.maximum(np.abs(x - cx) - 51, np.abs(y - 84) - 57), lambda x, y: blend(top, low, (y - 27) / 114), (cx - 54, cx + 54, 20, 146))
    for _ in range(7):
        w, h, x = rng.uniform(8, 15), rng.uniform(16, 60), cx + rng.uniform(-42, 42)
        x = float(np.clip(x, cx - 51 + w, cx + 51 - w))
        at.box(x, 141 - h / 2, w, h / 2, (44, 44, 70) if night else mixed(c, (160, 170, 190), 0.6))
        if night:
            for _ in range(5):
                at.box(x + rng.uniform(-w + 2, w - 2), 141 - rng.uniform(3, h - 2), 1.3, 1.6, (250, 220, 130))
    at.box(cx, 84, 2, 58, (240, 238, 232))
    at.box(cx, 84, 52, 2, (240, 238, 232))
    for s in (-1, 1):
        at.box(cx + s * 56, 88, 13, 78, c, corner=4)
        at.box(cx + s * 56 + 4, 88, 2, 76, mixed(c, (0, 0, 0), 0.2))


def sky(at, rng, a, b, c):
    return lambda x, y: blend(mixed(a, (255, 255, 255), 0.1), mixed(b, (255, 240, 220), 0.6), y / 130)


def hills(at, rng, a, b, c):
    at.ellipse(rng.uniform(30, 306), rng.uniform(24, 70), 18, 18, (255, 238, 180))
    for i, base in enumerate((104, 130, 158)):
        phase, length, size = rng.uniform(0, 6), rng.uniform(90, 200), rng.uniform(10, 22)
        ridge = lambda x, y: base + size * np.sin(phase + x * 2 * np.pi / length) - y
        at.paint(ridge, mixed(mixed(c, (60, 120, 80), 0.5), (20, 30, 50), 0.15 + 0.2 * i))


SCENES = {
    "room": wall,
    "shelf": wall,
    "window": wall,
    "bricks": bricks,
    "gradient": gradient,
    "bokeh": bokeh,
    "dots": dotted,
    "stripes": striped,
    "checks": checked,
    "rays": rays,
    "hills": sky,
    "waves": wavy,
}
DETAILS = {"room": furnished, "shelf": shelved, "window": windowed, "bokeh": lights, "hills": hills}
