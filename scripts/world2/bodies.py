"""A character's clothes, drawn: shoulders, collar, weave."""

import numpy as np

from .faces import darker, layer, shaded
from .layers import Layer, common, oval, rectangle, union, without
from .looks import Look


def cloth(look: Look, first, second):
    """The weave as a colour of every place."""
    base = shaded(look, first, look.cx - 20, 165, 60)

    def colour(x, y):
        lit = base(x, y) if callable(base) else np.broadcast_to(np.asarray(base, np.float32), (*x.shape, 3))
        part = woven(look.weave, x - look.cx, y)[..., None] * 0.9
        return lit * (1 - part) + np.asarray(second, np.float32) * part

    return colour


def woven(weave: str, x, y):
    """0 or 1: where the second colour is."""
    if weave == "stripes":
        on = (y % 18) < 8
    elif weave == "bars":
        on = (x % 22) < 8
    elif weave == "dots":
        row = np.floor(y / 13)
        on = np.hypot((x + 7 * (row % 2)) % 14 - 7, y % 13 - 6.5) < 3.6
    elif weave == "checks":
        on = ((x % 24) < 12) ^ ((y % 24) < 12)
    elif weave == "zigzag":
        on = ((y + np.abs(x % 20 - 10)) % 18) < 8
    elif weave == "halves":
        on = x > 0
    else:
        on = np.zeros(x.shape, bool)
    return on.astype(np.float32)


def body(look: Look) -> Layer:
    at, cx, top = layer(look, -30, 100, 396, 130), look.cx, look.cy + look.ry + 10
    first, second = look.cloth, look.cloth_second
    weave = cloth(look, first, second)
    plain = shaded(look, second, cx, 165, 60)
    torso = union(oval(cx, top + 62, look.broad, 58), rectangle(cx, top + 90, look.broad, 58, 30))
    skin = shaded(look, darker(look.skin, 0.12), cx, top, 40)
    kind = look.clothes
    at.paint(torso, weave if kind != "dungarees" else cloth(look, second, first), outline=True)
    if kind in ("crew", "scoop"):
        r = 30 if kind == "crew" else 42
        at.ellipse(cx, top + 2, r + 4, r * 0.62 + 4, plain, outline=True)
        at.ellipse(cx, top + 1, r, r * 0.62, skin)
    elif kind == "vee":
        at.polygon([(cx - 33, top - 12), (cx + 33, top - 12), (cx, top + 44)], plain, outline=True)
        at.polygon([(cx - 26, top - 12), (cx + 26, top - 12), (cx, top + 35)], skin)
    elif kind == "turtleneck":
        at.box(cx, top + 2, 27, 17, shaded(look, first, cx, top, 30), corner=8, outline=True)
        at.stroke([(cx - 25, top + 6), (cx + 25, top + 6)], 1.6, darker(first, 0.3))
    elif kind == "shirt":
        at.polygon([(cx - 20, top - 10), (cx + 20, top - 10), (cx, top + 26)], skin)
        at.stroke([(cx, top + 24), (cx, 240)], 1.8, darker(first, 0.45))
        for s in (-1, 1):
            at.polygon([(cx + s * 22, top - 14), (cx + s * 2, top + 24), (cx + s * 24, top + 30), (cx + s * 40, top + 2)], plain, outline=True)
    elif kind == "hoodie":
        at.paint(without(oval(cx, top + 4, 54, 30), oval(cx, top - 2, 30, 22)), shaded(look, darker(first, 0.2), cx, top, 40), outline=True)
        at.ellipse(cx, top - 2, 30, 22, skin)
        for s in (-1, 1):
            at.stroke([(cx + s * 13, top + 26), (cx + s * 15, top + 54)], 3, second, outline=True)
    elif kind == "jacket":
        shirt = shaded(look, (242, 240, 236), cx, top, 50)
        at.polygon([(cx - 30, top - 14), (cx + 30, top - 14), (cx, top + 92)], shirt, outline=True)
        at.polygon([(cx - 17, top - 14), (cx + 17, top - 14), (cx, top + 14)], skin)
        at.polygon([(cx - 5, top + 12), (cx + 5, top + 12), (cx + 8, top + 60), (cx - 8, top + 60)], plain, outline=True)
        for s in (-1, 1):
            lapel = [(cx + s * 26, top - 12), (cx + s * 2, top + 74), (cx + s * 34, top + 40), (cx + s * 46, top + 4)]
            at.polygon(lapel, darker(first, 0.25), outline=True)
    elif kind == "dungarees":
        at.ellipse(cx, top + 1, 30, 19, skin)
        at.box(cx, top + 82, 44, 40, shaded(look, first, cx, top + 60, 40), corner=6, outline=True)
        for s in (-1, 1):
            at.polygon([(cx + s * 30, top + 46), (cx + s * 42, top + 46), (cx + s * 52, top), (cx + s * 42, top - 2)], first, outline=True)
            at.ellipse(cx + s * 35, top + 50, 4, 4, (240, 206, 90), outline=True)
    if look.extra == "necklace" and kind in ("crew", "scoop", "vee"):
        at.stroke([(cx - 22, top - 2), (cx - 10, top + 13), (cx, top + 16), (cx + 10, top + 13), (cx + 22, top - 2)], 2, (238, 196, 64))
        at.ellipse(cx, top + 19, 4, 4, (238, 196, 64), outline=True)
    if look.style == "soft":  # the head's shadow
        at.paint(common(torso, oval(cx, top - 10, look.rx * 0.95, 28)), (20, 12, 30), alpha=0.22, soft=8)
    return at
