"""The user's picture, 112x64, as a webcam or a phone gives it: a person before a background like a
photograph, the card, changing light, the sensor's noise; letterboxed as the engine does it.

Everything follows from the view's seed. What is drawn is cached by state; light and noise are applied to
all frames at once.
"""

import functools
from dataclasses import dataclass, replace

import numpy as np

from world.stream import FPS, FRAME

from . import bodies, cards, faces
from .looks import Look, look

Array = np.ndarray
WIDTH, HIGH = 112, 64
# The seen part's width and height in the picture, and how often it is that.
ASPECTS = {"webcam": ((112, 64), 0.45), "4:3": ((86, 64), 0.2), "wide": ((112, 52), 0.1), "phone": ((36, 64), 0.12), "phone 3:4": ((48, 64), 0.13)}
MOUTHS, SWAYS, WOBBLES = 6, 9, 16


@dataclass(frozen=True)
class View:
    """The user's camera and room."""

    seed: int
    aspect: str

    @property
    def size(self) -> tuple[int, int]:
        return ASPECTS[self.aspect][0]


def view(seed: int) -> View:
    rng = np.random.default_rng([seed, 31])
    names = list(ASPECTS)
    return View(int(seed), names[int(rng.choice(len(names), p=[share for _, share in ASPECTS.values()]))])


def person(face, at: View) -> Look:
    """A look for the user: world 1's face (world.draw.face) has skin, hair, clothes and glasses; the rest
    follows from the view."""
    it = look(at.seed)
    skin, hair, clothes, *_, glasses = face
    worn = it.hair in ("scarf", "beanie")
    return replace(
        it, style="soft", skin=skin, hair_colour=it.hair_colour if worn else hair, cloth=clothes, glasses=it.glasses or ("round" if glasses else ""),
        lips=(skin[0] * 0.72, skin[1] * 0.45, skin[2] * 0.48),
    )  # fmt: skip


@functools.lru_cache(maxsize=4)
def figure(face, at: View):
    """A function of mouth and lids: the person, premultiplied float32 [192, 336, 4]."""
    it = person(face, at)
    behind, neck, body, head, features = (
        draw(it) for draw in (faces.hair_behind, faces.neck, bodies.body, faces.head, faces.features)
    )
    still = stacked(behind, neck, body, head, features)
    return functools.lru_cache(maxsize=None)(
        lambda mouth, lids: stacked(faces.mouth(it, mouth / (MOUTHS - 1)), faces.eyes(it, float(lids)), onto=still)
    )


def stacked(*layers, onto: Array | None = None) -> Array:
    """Layers over each other at half their fineness: premultiplied float32 [192, 336, 4]."""
    picture = np.zeros((192, 336, 4), np.float32) if onto is None else onto.copy()
    for layer in layers:
        layer.at_phases().over(picture, 0, 0)
    return picture


@functools.lru_cache(maxsize=64)
def resampling(into: int, out_of: int, middle: float, onto: float, scale: float) -> Array:
    """float32 [into, out_of]: makes a line of pixels smaller by `scale`, so that what was at `middle` is at
    `onto`; each pixel is the mean of what it covers."""
    edges = (np.arange(into + 1) - onto) / scale + middle
    at = np.arange(out_of)
    return ((np.minimum(edges[1:, None], at + 1) - np.maximum(edges[:-1, None], at)).clip(0) * scale).astype(np.float32)


class Scene:
    """What a view shows, by states."""

    def __init__(self, face, at: View):
        self.view, self.face = at, face
        self.width, self.height = at.size
        rng = np.random.default_rng([at.seed, 33])
        self.background = background(at)
        narrow = self.width < 60
        # Where the head's middle is, and by how much the person is made smaller.
        if narrow:
            self.head, self.scale = (self.width * rng.uniform(0.42, 0.58), 18 + rng.uniform(-2, 2)), rng.uniform(0.24, 0.29)
        else:
            left = rng.random() < 0.5
            self.head = (self.width * (rng.uniform(0.24, 0.33) if left else rng.uniform(0.67, 0.76)), self.height * rng.uniform(0.4, 0.48))
            self.scale = rng.uniform(0.28, 0.4) * self.height / 64
        self.card_at = (
            (self.width * rng.uniform(0.46, 0.54), self.height * 0.7)
            if narrow
            else (self.width * (rng.uniform(0.66, 0.73) if left else rng.uniform(0.27, 0.34)), self.height * rng.uniform(0.48, 0.58))
        )
        self.card_half = (rng.uniform(14.5, 17) if narrow else rng.uniform(17, 24) * self.height / 64)
        self.skin = face[0] if face is not None else (210, 160, 120)
        self.drawn = functools.lru_cache(maxsize=1500)(self._drawn)
        self.shown = functools.lru_cache(maxsize=400)(self._shown)
        self.body = functools.lru_cache(maxsize=400)(self._body)
        self.flattened = functools.lru_cache(maxsize=None)(self._flattened)

    def _flattened(self, mouth: int, lids: int) -> Array:
        """float32 [height, 336, 4]: the person, made smaller up and down."""
        tall = figure(self.face, self.view)(mouth, lids)
        down = resampling(self.height, 192, person(self.face, self.view).cy, self.head[1], self.scale)
        return (down @ tall.reshape(192, -1)).reshape(self.height, 336, 4)

    def _body(self, mouth: int, lids: int, sway: int) -> Array:
        """Premultiplied float32 [height, width, 4]. sway: -SWAYS//2 to SWAYS//2, in half pixels."""
        right = resampling(self.width, 336, person(self.face, self.view).cx, self.head[0] + sway / 2, self.scale)
        return right @ self.flattened(mouth, lids)

    def _shown(self, card, index: int, wobble: int) -> Array:
        how = cards.held(self.view.seed, index, self.skin)
        turn = 2 * np.pi * wobble / WOBBLES
        rng = np.random.default_rng([self.view.seed, 34, index])
        size = rng.uniform(0.2, 1)
        moved = (0.04 * size * np.sin(turn), 0.1 * size * np.cos(turn + 1), 0.08 * size * np.sin(turn + 2))
        x, y = self.card_at + rng.uniform(-2, 2, 2) + 0.8 * size * np.array([np.cos(turn), np.sin(2 * turn)])
        return cards.seen(card, how, x, y, self.card_half, moved, self.width, self.height)

    def _drawn(self, there: bool, mouth: int, lids: int, sway: int, card, index: int, wobble: int) -> Array:
        """uint8 [height, width, 3]"""
        picture = self.background.copy()
        for over in ([self.body(mouth, lids, sway)] if there else []) + ([self.shown(card, index, wobble)] if card is not None else []):
            picture *= 1 - over[..., 3:]
            picture += over[..., :3]
        return picture.clip(0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=4)
def scene(face, at: View) -> Scene:
    return Scene(face, at)


def user_frames(face, presence, timeline, at: View, n: int, mouth=None, blink=None, first: int = 0, last: int | None = None) -> Array:
    """uint8 [n, 64, 112, 3], or frames first to last of these n alone.

    face: world.draw.face's, or None; presence, timeline: (sample, bool) and (sample, card or None) lists, as
    world.conversation has them; mouth [n]: 0 to 1; blink [n]: 0 or 1."""
    wanted = np.arange(first, n if last is None else last)
    it, rng = scene(face, at), np.random.default_rng([at.seed, 35])
    mouths = np.zeros(n) if mouth is None else np.asarray(mouth)
    lids = np.zeros(n) if blink is None else np.asarray(blink)
    mouths, lids = np.round(mouths.clip(0, 1) * (MOUTHS - 1)).astype(int), (lids > 0.5).astype(int)
    moved = np.arange(n) / FPS
    sway = np.round((SWAYS // 2) * np.sin(rng.uniform(0, 6.28) + 2 * np.pi * moved / rng.uniform(2.5, 7))).astype(int)
    wobble = np.floor(moved / rng.uniform(1.2, 4) * WOBBLES).astype(int) % WOBBLES
    there, index = changes(presence, wanted), changes(timeline, wanted)
    frames = np.zeros((len(wanted), HIGH, WIDTH, 3), np.uint8)
    top, left = (HIGH - it.height) // 2, (WIDTH - it.width) // 2
    inner = frames[:, top : top + it.height, left : left + it.width]
    for row, i in enumerate(wanted):
        card = timeline[index[row]][1]
        present = bool(presence[there[row]][1]) and face is not None
        state = (int(mouths[i]), int(lids[i]), int(sway[i])) if present else (0, 0, 0)
        held = (int(index[row]), int(wobble[i])) if card is not None else (0, 0)
        inner[row] = it.drawn(present, *state, card, *held)
    inner[:] = lit(inner, at, n, wanted)
    return frames


def changes(entries, frames: Array) -> Array:
    """int [frames]: which entry of a list (sample, value) holds in each video frame, as world.render has it."""
    starts = np.array([start for start, _ in entries])
    return np.maximum(np.searchsorted(starts, (frames + 1) * FRAME, "left") - 1, 0)


def lit(frames: Array, at: View, n: int, wanted: Array) -> Array:
    """Light that changes slowly and at once, its colour, light from a side, a soft lens, noise."""
    rng = np.random.default_rng([at.seed, 36])
    height, width = frames.shape[1:3]
    seconds = np.arange(n) / FPS
    level = rng.uniform(-0.35, 0.1) + rng.uniform(0, 0.12) * np.sin(2 * np.pi * seconds / rng.uniform(5, 30) + rng.uniform(0, 6))
    for _ in range(rng.poisson(n / FPS / 40)):
        start = rng.uniform(0, n / FPS)
        level += rng.uniform(-0.25, 0.2) / (1 + np.exp(-(seconds - start) / rng.choice([0.04, 0.3, 1.0])))
    warm = rng.uniform(-0.1, 0.12) + rng.uniform(0, 0.03) * np.sin(2 * np.pi * seconds / rng.uniform(8, 40))
    gain = np.exp(level.clip(-0.8, 0.3))[:, None] * np.exp(warm[:, None] * np.array([0.5, 0.0, -0.9]))
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    angle = rng.uniform(0, 2 * np.pi)
    field = np.exp(rng.uniform(0, 0.3) * (x * np.cos(angle) + y * np.sin(angle)) - rng.uniform(0, 0.2) * (x * x + y * y))
    noise = rng.uniform(0, 6)
    bank = (rng.standard_normal(2 * height * width * 3) * noise).astype(np.float32)
    offsets = rng.integers(height * width * 3, size=n)
    soft = float(rng.choice([0, 0, 0.12, 0.2]))
    out = np.empty_like(frames)
    field = field[..., None].astype(np.float32)
    for row, i in enumerate(wanted):
        picture = frames[row] * (field * gain[i].astype(np.float32))
        if soft:
            picture[:, 1:-1] += soft * (picture[:, :-2] + picture[:, 2:] - 2 * picture[:, 1:-1])
            picture[1:-1] += soft * (picture[:-2] + picture[2:] - 2 * picture[1:-1])
        picture += bank[offsets[i] : offsets[i] + picture.size].reshape(picture.shape)
        out[row] = picture.clip(0, 255)
    return out


# Backgrounds like photographs, made of noise.


@functools.lru_cache(maxsize=32)
def background(at: View) -> Array:
    """float32 [height, width, 3], not to be written to."""
    rng = np.random.default_rng([at.seed, 37])
    width, height = at.size
    make = (landscape, blurred_room, rough_wall, blurred_room)[int(rng.integers(4))]
    picture = make(rng, height, width)
    picture.setflags(write=False)
    return picture


def fractal(rng, height: int, width: int, power: float) -> Array:
    """1/f**power noise, mean 0, deviation 1."""
    size = 128
    fy, fx = np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size), indexing="ij")
    spectrum = np.fft.fft2(rng.standard_normal((size, size))) / np.maximum(np.hypot(fx, fy), 1 / size) ** power
    spectrum[0, 0] = 0
    values = np.fft.ifft2(spectrum).real[:height, :width]
    return ((values - values.mean()) / values.std()).astype(np.float32)


def between(a, b, part: Array) -> Array:
    part = np.clip(part, 0, 1)[..., None]
    return np.asarray(a, np.float32) * (1 - part) + np.asarray(b, np.float32) * part


def landscape(rng, height: int, width: int) -> Array:
    """Sky with clouds, ridges, ground."""
    x, y = np.arange(width), np.linspace(0, 1, height)[:, None] + np.zeros((1, width))
    hue = rng.uniform(-20, 20, 3)
    picture = between(np.array([96, 140, 200]) + hue, np.array([220, 224, 226]) + hue, y * 1.6)
    clouds = fractal(rng, height, width, 1.6)
    picture += (240 - picture) * np.clip(clouds * 0.4, 0, 0.7)[..., None]
    for base in (0.42, 0.56, 0.72):
        line = base + 0.06 * np.interp(x, np.linspace(0, width, 9), rng.standard_normal(9)) + 0.02 * fractal(rng, 1, width, 1)[0]
        tone = np.array([70, 92, 62]) + rng.uniform(-30, 30, 3) - 30 * base
        ground = tone + 14 * fractal(rng, height, width, 1.1)[..., None]
        picture = np.where((y > line)[..., None], ground, picture)
    return picture.clip(0, 255).astype(np.float32)


def blurred_room(rng, height: int, width: int) -> Array:
    """Furniture, doors, lamps and windows out of focus."""
    base = rng.uniform(70, 225) + rng.uniform(-18, 18, 3)
    picture = np.broadcast_to(base, (height, width, 3)).copy()
    for _ in range(rng.integers(5, 12)):
        w, h = rng.uniform(0.06, 0.35) * width, rng.uniform(0.1, 0.6) * height
        x, y = rng.uniform(-0.1, 1) * width, rng.uniform(-0.1, 1) * height
        tone = rng.uniform(20, 235) + rng.uniform(-35, 35, 3)
        picture[max(0, int(y)) : max(0, int(y + h)), max(0, int(x)) : max(0, int(x + w))] = tone
    for _ in range(rng.integers(0, 3)):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height * 0.6), rng.uniform(3, 8)
        yy, xx = np.mgrid[0:height, 0:width]
        picture += (250 - picture) * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * r * r))[..., None]
    for _ in range(3):
        picture = smoothed(picture, int(rng.integers(1, 5)))
    return (picture + 4 * fractal(rng, height, width, 1.2)[..., None]).clip(0, 255).astype(np.float32)


def smoothed(picture: Array, reach: int) -> Array:
    """The mean over (2 reach + 1) pixels, each way."""
    for axis in (0, 1):
        pads = [(0, 0)] * picture.ndim
        pads[axis] = (reach + 1, reach)
        sums = np.cumsum(np.pad(picture, pads, mode="edge"), axis)
        size = picture.shape[axis]
        take = lambda start: np.take(sums, np.arange(start, start + size), axis)
        picture = (take(2 * reach + 1) - take(0)) / (2 * reach + 1)
    return picture


def rough_wall(rng, height: int, width: int) -> Array:
    """Plaster, wood or leaves, with the shadow of something."""
    base = rng.uniform(60, 220) + rng.uniform(-30, 30, 3)
    grain = fractal(rng, height, width, rng.uniform(0.7, 1.6))
    if rng.random() < 0.4:  # wood: drawn out to the side
        grain = fractal(rng, height, width, 1.2)[:, :1] * 0.7 + 0.3 * grain
    picture = base + rng.uniform(6, 24) * grain[..., None] * rng.uniform(0.7, 1.3, 3)
    return (picture * np.exp(0.18 * fractal(rng, height, width, 2.2))[..., None]).clip(0, 255).astype(np.float32)
