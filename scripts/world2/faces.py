"""A character's head, drawn: hair behind, head and hair, features, eyes by lids, mouth by opening.

Each function draws on a layer whose places are those of the head at rest.
"""

import numpy as np

from world.draw import box, ellipse

from .layers import Layer, above, along, common, implicit, mixed, oval, rectangle, union, without
from .looks import Look

# Within an open mouth: the same for all, darker than any skin or lip.
INSIDE, TONGUE, TEETH = (52, 6, 16), (148, 50, 60), (252, 248, 242)
INK = (34, 26, 34)
OPENS = 22.0  # pixels by which a mouth opens at the most


def layer(look: Look, left=0, top=-40, width=336, height=300) -> Layer:
    outlined = look.style == "outlined"
    return Layer(left, top, width, height, INK if outlined else None, 1.7 if outlined else 0)


def around(look: Look) -> Layer:
    """A layer for the head and its hair."""
    return layer(look, int(look.cx) - 92, -20, 184, 216)


def shaded(look: Look, colour, cx: float, cy: float, reach: float):
    """The colour as the style has it: in 'soft' lit from the upper left."""
    if look.style != "soft":
        return colour
    lit, dark = mixed(colour, (255, 255, 255), 0.2), mixed(colour, (50, 14, 34), 0.28)

    def light(x, y):
        part = np.clip(0.42 + ((x - cx) * 0.5 + (y - cy) * 0.75) / (2 * reach), 0, 1)[..., None]
        return np.asarray(lit, np.float32) * (1 - part) + np.asarray(dark, np.float32) * part

    return light


def darker(colour, part=0.25):
    return mixed(colour, (24, 12, 24), part)


def skull(look: Look):
    """The head's outline."""

    def shape(x, y):
        v = (y - look.cy) / look.ry
        half = look.rx * (1 - look.taper * np.clip(v, 0, 1.2) ** 2)
        power = look.square
        value = (np.abs((x - look.cx) / half) ** power + np.abs(v) ** power) ** (1 / power)
        return implicit(value - 1)

    return shape


def hair_paint(look: Look):
    return shaded(look, look.hair_colour, look.cx, look.cy - look.ry * 0.5, look.ry)


def hair_behind(look: Look) -> Layer:
    """What hangs or stands behind head and shoulders."""
    at, (cx, cy, rx, ry), size = around(look), (look.cx, look.cy, look.rx, look.ry), look.hair_size
    colour = shaded(look, darker(look.hair_colour, 0.18), cx, cy, ry)
    if look.hair == "bob":
        at.box(cx, cy + 6, rx + 9 + 5 * size, ry * 0.98, colour, corner=26, outline=True)
    elif look.hair == "long":
        at.box(cx, cy + 28, rx + 9 + 6 * size, ry + 26, colour, corner=36, outline=True)
    elif look.hair == "waves":
        lobes = [oval(cx + s * (rx + 2 + (i % 2) * 5), cy - 22 + 19 * i, 15 + 3 * size, 15) for i in range(6) for s in (-1, 1)]
        at.paint(union(rectangle(cx, cy + 22, rx + 4, ry + 18, 30), *lobes), colour, outline=True)
    elif look.hair == "afro":
        r = ry * (1.12 + 0.2 * size)
        bumps = [oval(cx + r * 0.93 * np.cos(a), cy - 14 + r * 0.86 * np.sin(a), 15, 15) for a in np.linspace(0.35, -np.pi - 0.35, 15)]
        at.paint(union(oval(cx, cy - 14, r, r * 0.92), *bumps), colour, outline=True)
    elif look.hair == "scarf":
        at.paint(union(oval(cx, cy + 2, rx + 13, ry + 11), rectangle(cx, cy + ry + 8, rx + 4, 30, 20)), colour, outline=True)
    elif look.hair == "bun":
        r = 15 + 6 * size
        at.ellipse(cx + look.side * 6 * size, cy - ry - r * 0.55, r, r, hair_paint(look), outline=True)
    elif look.hair == "bunches":
        for s in (-1, 1):
            at.ellipse(cx + s * (rx + 17), cy + 4, 15 + 5 * size, 26 + 10 * size, hair_paint(look), outline=True)
    elif look.hair == "plaits":
        for s in (-1, 1):
            for i in range(6):
                at.ellipse(cx + s * (rx + 5 + i), cy + 18 + 14 * i, 10 - 0.6 * i, 9.5, hair_paint(look), outline=True)
    elif look.hair == "curls":
        for a in np.linspace(0.2, -np.pi - 0.2, 12):
            at.ellipse(cx + (rx + 6) * np.cos(a), cy - 10 + (ry + 2) * np.sin(a), 14, 14, colour, outline=True)
    return at


def neck(look: Look) -> Layer:
    at = around(look)
    shade = darker(look.skin, 0.16)
    half = look.rx * 0.42
    at.box(look.cx, look.cy + look.ry + 12, half, 30, shade, corner=4, outline=True)
    if look.style != "flat":
        at.paint(
            common(rectangle(look.cx, look.cy + look.ry + 12, half, 30), oval(look.cx, look.cy + look.ry - 8, half * 1.5, 22)),
            darker(look.skin, 0.3),
        )
    return at


def head(look: Look) -> Layer:
    """Ears, face, what grows on it, hair in front."""
    at, (cx, cy, rx, ry) = around(look), (look.cx, look.cy, look.rx, look.ry)
    skin = shaded(look, look.skin, cx, cy, ry)
    if look.hair not in ("scarf", "long", "bob"):
        for s in (-1, 1):
            at.ellipse(cx + s * (rx + 1), cy + 4, 7.5, 10.5, skin, outline=True)
            at.ellipse(cx + s * (rx + 1.5), cy + 5, 3.6, 6, darker(look.skin, 0.2))
            if look.extra == "earrings":
                at.ellipse(cx + s * (rx + 2), cy + 17, 3.2, 3.8, (238, 196, 64), outline=True)
    at.paint(skull(look), skin, outline=True)
    if look.style == "soft" or look.extra == "blush":
        for s in (-1, 1):
            at.ellipse(cx + s * rx * 0.58, cy + ry * 0.3, 10, 7, mixed(look.skin, (236, 84, 84), 0.6), alpha=0.45, soft=7)
    if look.extra == "freckles":
        for s in (-1, 1):
            for dx, dy in ((0, 0), (6, 2), (-5, 3), (3, 6), (-2, 7), (9, 6)):
                at.ellipse(cx + s * rx * 0.5 + dx, cy + ry * 0.2 + dy, 1.3, 1.3, darker(look.skin, 0.35))
    if look.extra == "mole":
        at.ellipse(cx + look.side * rx * 0.56, cy + ry * 0.34, 2, 2, darker(look.skin, 0.7))
    beard(at, look)
    hair_before(at, look)
    return at


def beard(at: Layer, look: Look):
    cx, cy, rx, ry = look.cx, look.cy, look.rx, look.ry
    grown = darker(look.hair_colour, 0.1) if look.hair not in ("scarf", "beanie") else (62, 44, 34)
    my = cy + ry * look.mouth_y
    free = oval(cx, my + 5, look.mouth_width + 7, 15)  # lips are seen, open or closed
    if look.beard in ("full", "stubble"):
        jaw = common(skull(look), lambda x, y: cy + ry * 0.16 + 26 * (1 - np.abs(x - cx) / rx).clip(0, 0.62) - y)
        hole = oval(cx, my + 3, look.mouth_width + 4, 14) if look.beard == "stubble" else free
        at.paint(without(jaw, hole), grown, alpha=0.28 if look.beard == "stubble" else 1)
    elif look.beard == "goatee":
        at.paint(without(oval(cx, my + 12, look.mouth_width + 12, 27), union(free, above(my - 9))), grown)
    elif look.beard == "chin":
        at.paint(without(oval(cx, cy + ry - 2, 15, 13), free), grown)


def hair_before(at: Layer, look: Look):
    """Hair, or what is worn, over the forehead: a cap around the head without the window of the face."""
    (cx, cy, rx, ry), size, colour = (look.cx, look.cy, look.rx, look.ry), look.hair_size, hair_paint(look)
    high, kind, side = look.hairline, look.hair, look.side
    brow = cy - ry * (0.36 + 0.16 * high)  # where a fringe may end
    outer = oval(cx, cy - 3, rx + 4 + 3 * size, ry + 4 + 3 * size)
    upper = lambda height: common(outer, above(height))
    window = oval(cx, cy + ry * 0.32, rx * 0.9, ry * (0.86 + 0.14 * high))
    draw = lambda shape, paint=colour, **options: at.paint(shape, paint, outline=options.pop("outline", True), **options)
    if kind == "buzz":
        draw(without(common(oval(cx, cy - 1, rx + 1.5, ry + 1.5), above(cy - 4)), window), outline=False, alpha=0.8)
    elif kind == "parted":
        slanted = lambda x, y: brow - 4 + side * 0.3 * (x - cx) - y
        draw(without(upper(cy - 2), common(oval(cx, cy + ry * 0.3, rx * 0.93, ry), slanted)))
    elif kind in ("fringe", "bob"):
        ends = without(upper(cy + (10 if kind == "bob" else 0)), rectangle(cx, brow + 60, rx * (0.84 + 0.08 * high), 60, 8))
        draw(ends)
    elif kind in ("long", "bunches", "plaits"):
        lobes = union(oval(cx - rx * 0.5, cy + 14, rx * 0.52, ry * 0.9), oval(cx + rx * 0.5, cy + 14, rx * 0.52, ry * 0.9))
        draw(without(upper(cy + 2), union(lobes, rectangle(cx, cy + 20, rx * 0.9, ry * 0.62, 10))))
        if kind == "long":
            for s in (-1, 1):
                at.box(cx + s * (rx + 3), cy + 36, 6 + 3 * size, ry, colour, corner=6, outline=True)
        if kind == "bunches":
            for s in (-1, 1):
                at.ellipse(cx + s * (rx + 4), cy - 14, 5, 5, look.cloth, outline=True)
    elif kind == "waves":
        lobes = union(oval(cx + side * rx * 0.3, cy + 16, rx * 0.76, ry * 0.92), oval(cx - side * rx * 0.62, cy + 22, rx * 0.4, ry * 0.8))
        draw(without(upper(cy + 14), lobes))
    elif kind == "afro":
        draw(without(upper(cy - 4), window))
    elif kind == "curls":
        draw(without(upper(cy - 6), oval(cx, cy + ry * 0.34, rx * 0.92, ry * 0.9)))
        for i in range(7):
            at.ellipse(cx + (i - 3) * rx * 0.28, brow - 5 - 5 * (1 - ((i - 3) / 3) ** 2), 9, 9, colour, outline=True)
    elif kind == "spikes":
        tips = [(cx - rx - 3, cy - ry * 0.3)]
        for i in range(7):
            angle = np.pi * (0.9 - 0.8 * i / 6)
            tips.append((cx + (rx + 6) * np.cos(angle + 0.18), cy - 8 - (ry * 0.72) * np.sin(angle + 0.18)))
            tips.append((cx + (rx + 12 + 10 * size) * np.cos(angle), cy - 10 - (ry + 10 + 10 * size) * np.sin(angle)))
        tips += [(cx + rx + 3, cy - ry * 0.3), (cx, brow - 8)]
        at.polygon(tips, colour, outline=True)
        draw(without(upper(cy - 10), window), outline=False)
    elif kind == "bun":
        draw(without(upper(cy - 2), window))
    elif kind == "mohawk":
        draw(without(common(oval(cx, cy - 1, rx + 1, ry + 1), above(cy - 8)), window), darker(look.skin, 0.3), outline=False, alpha=0.5)
        rise = 16 + 14 * size
        draw(union(oval(cx, cy - ry + 4, 12 + 4 * size, rise), rectangle(cx, cy - ry * 0.76, 10 + 3 * size, ry * 0.22, 8)))
    elif kind == "quiff":
        draw(without(upper(cy - 8), oval(cx, cy + ry * 0.32, rx * 0.93, ry * (0.9 + 0.1 * high))))
        draw(union(oval(cx + side * 8, cy - ry * 0.86, rx * 0.74, 15 + 8 * size), oval(cx - side * rx * 0.42, cy - ry * 0.74, rx * 0.44, 13)))
    elif kind == "receding":
        for s in (-1, 1):
            at.ellipse(cx + s * (rx - 1), cy - 10, 8 + 3 * size, 19, colour, outline=True)
        draw(without(skull(look), rectangle(cx, cy + 60, rx * 0.86, ry + 40, 10)), outline=False)
    elif kind == "scarf":
        draw(without(oval(cx, cy + 2, rx + 12, ry + 10), oval(cx, cy + 6, rx * 0.92, ry * 0.9)))
        at.stroke([(cx - rx * 0.8, cy + ry * 0.8), (cx, cy + ry + 6), (cx + rx * 0.9, cy + ry * 0.5)], 2, darker(look.hair_colour, 0.35))
    elif kind == "beanie":
        draw(common(oval(cx, cy - 6, rx + 5, ry + 4 + 8 * size), above(brow + 4)))
        at.box(cx, brow + 1, rx + 6, 8, shaded(look, look.cloth_second, cx, brow, 20), corner=5, outline=True)
        if size > 0.5:
            at.ellipse(cx, cy - ry - 16, 11, 11, look.cloth_second, outline=True)


def features(look: Look) -> Layer:
    """Brows and nose."""
    at, (cx, cy, ry) = around(look), (look.cx, look.cy, look.ry)
    dark = darker(look.skin, 0.32)
    ny = cy + ry * 0.2
    if look.nose == "round":
        at.ellipse(cx, ny, 6, 5, darker(look.skin, 0.16), outline=look.style == "outlined")
        if look.style == "outlined":
            at.box(cx, ny - 5, 7, 4, look.skin)
    elif look.nose == "line":
        at.stroke([(cx + look.side, cy + 1), (cx + look.side * 5, ny + 3), (cx - look.side * 2, ny + 4)], 2, dark)
    elif look.nose == "wide":
        at.stroke([(cx - 7, ny + 1), (cx - 4, ny + 4), (cx + 4, ny + 4), (cx + 7, ny + 1)], 2.2, dark)
    elif look.nose == "button":
        for s in (-1, 1):
            at.ellipse(cx + s * 3, ny + 2, 1.6, 1.4, dark)
    else:
        at.stroke([(cx - 4, cy), (cx - 5, ny + 2), (cx, ny + 6), (cx + 5, ny + 2)], 2, dark)
    hair = look.hair_colour if look.hair not in ("scarf", "beanie") else (62, 44, 34)
    tint = darker(hair, 0.35)
    width = 2.2 + 2.6 * look.brow_heavy + (1.6 if look.brow == "bushy" else 0)
    for s in (-1, 1):
        bx, by = cx + s * look.eye_apart, cy - ry * 0.08 - 14 * look.eye_size - 1
        inner, middle, outer = {"straight": (0, 0, 0), "arched": (1, -3.5, 1), "slanted": (1.5, -0.5, -1.5), "bushy": (0.5, -1.5, 1.5)}[look.brow]
        at.stroke([(bx - s * 8.5, by + inner), (bx, by + middle), (bx + s * 8.5, by + outer)], width, tint)
    return at


def eye_places(look: Look):
    return [(look.cx + s * look.eye_apart, look.cy - look.ry * 0.08) for s in (-1, 1)]


def eye_half(look: Look) -> tuple[float, float]:
    wide, high = {"round": (7.6, 7.2), "almond": (9.4, 6.0), "dot": (4.4, 5.4), "wide": (8.8, 8.4)}[look.eye]
    return wide * look.eye_size, high * look.eye_size


def eyes(look: Look, lids: float) -> Layer:
    """lids: 0 open to 1 closed."""
    at = layer(look, int(look.cx) - 50, int(look.cy) - 40, 100, 64)
    wide, high = eye_half(look)
    line = darker(look.skin, 0.72)
    for s, (ex, ey) in zip((-1, 1), eye_places(look)):
        shut = lids > 0.85
        opened = max(high * (1 - lids), 0.8)
        if shut:
            at.stroke([(ex - wide, ey), (ex - wide * 0.4, ey + 2.2), (ex + wide * 0.4, ey + 2.2), (ex + wide, ey)], 2, line)
        elif look.eye == "dot":
            at.ellipse(ex, ey, wide, opened, darker(look.iris, 0.6))
            at.ellipse(ex - 1.4, ey - opened * 0.4, 1.4, min(1.4, opened * 0.4), (255, 255, 255))
        else:
            white = oval(ex, ey, wide, opened)
            at.paint(oval(ex, ey - 0.4, wide + 1.1, opened + 1.1), line)
            at.paint(white, (252, 252, 250))
            r = min(high * 0.74, wide * 0.62)
            at.paint(common(white, oval(ex, ey, r, r)), look.iris)
            at.paint(common(white, oval(ex, ey, r * 0.5, r * 0.5)), (14, 14, 20))
            if lids < 0.4:
                at.ellipse(ex - r * 0.35, ey - r * 0.4, 1.5, 1.5, (255, 255, 255))
        if look.lashes and not shut:
            for i in (0, 1, 2):
                start = (ex + s * wide * (0.45 + 0.25 * i), ey - opened * (0.9 - 0.3 * i))
                at.stroke([start, (start[0] + s * (2 + i), start[1] - 4 + i)], 1.4, line)
    if look.glasses:
        frame = look.glasses_colour
        outline = {"round": lambda x, y, ex, ey: ellipse(x, y, ex, ey, 14, 13), "square": lambda x, y, ex, ey: box(x, y, ex, ey, 14.5, 11, 4)}
        kind = outline.get(look.glasses, outline["square"])
        half = look.glasses == "half"
        for ex, ey in eye_places(look):
            rim = lambda x, y: np.abs(kind(x, y, ex, ey + 1)) - 1.3
            at.paint(common(rim, above(ey)) if half else rim, frame)
            at.paint(lambda x, y: kind(x, y, ex, ey + 1), (255, 255, 255), alpha=0.12)
        (lx, ey), (rx, _) = eye_places(look)
        at.stroke([(lx + 14, ey - 1), (rx - 14, ey - 1)], 2.4, frame)
        at.stroke([(look.cx - look.rx, ey - 2), (lx - 14, ey - 1)], 2.2, frame)
        at.stroke([(rx + 14, ey - 1), (look.cx + look.rx, ey - 2)], 2.2, frame)
    return at


def mouth_place(look: Look) -> tuple[float, float]:
    return look.cx, look.cy + look.ry * look.mouth_y


def mouth(look: Look, opening: float) -> Layer:
    """opening: 0 closed to 1. The upper lip stays; the lower one falls."""
    cx, my = mouth_place(look)
    at = layer(look, int(cx) - 40, int(my) - 26, 80, 64)
    wide = look.mouth_width * (1 - 0.16 * opening)
    thick = (1.5 + 1.4 * look.full_lips) * (1 + 0.4 * opening)
    gap = OPENS * opening
    middle = my + gap * 0.5
    smiling = lambda shape: lambda x, y: shape(x, y + look.smile * ((x - cx) / look.mouth_width) ** 2)
    at.paint(smiling(oval(cx, middle, wide, thick + gap * 0.5)), look.lips, outline=True)
    if opening > 0:
        inside = smiling(oval(cx, middle, wide - 2.4, max(gap * 0.5, 0.5)))
        at.paint(inside, INSIDE)
        if gap > 6:
            at.paint(common(inside, oval(cx, middle + gap * 0.5, wide * 0.6, gap * 0.26)), TONGUE)
            at.paint(common(inside, smiling(above(my + min(gap * 0.16, 3)))), TEETH)
    else:
        line = smiling(lambda x, y: along(x, y, [(cx - wide + 1, my), (cx + wide - 1, my)]) - 0.75)
        at.paint(line, darker(look.lips, 0.55))
    if look.moustache:
        grown = darker(look.hair_colour if look.hair not in ("scarf", "beanie") else (62, 44, 34), 0.1)
        ty = my - 1.5 - 1.4 * look.full_lips - 3
        for s in (-1, 1):
            at.polygon([(cx, ty - 3.5), (cx + s * 9, ty - 2.5), (cx + s * 17, ty + 3), (cx + s * 9, ty + 2.4), (cx, ty + 2)], grown, soft=1)
    return at
