"""How a character looks: numbers and names, drawn from a seed.

What people tell apart first, `kind` (drawing style, hair, clothes, scene), is divided between training
and evaluation: a combination that characters of training seeds may have, those of evaluation seeds never
have, and the other way round.
"""

import colorsys
import hashlib
from dataclasses import dataclass

import numpy as np

from world.stream import is_evaluation

from .layers import Colour, mixed

STYLES = ("flat", "soft", "outlined")
HAIRS = (
    "bald", "buzz", "parted", "fringe", "bob", "long", "afro", "curls", "spikes", "bun",
    "bunches", "mohawk", "quiff", "scarf", "beanie", "receding", "waves", "plaits",
)  # fmt: skip
CLOTHES = ("crew", "vee", "shirt", "turtleneck", "hoodie", "jacket", "dungarees", "scoop")
WEAVES = ("plain", "stripes", "bars", "dots", "checks", "zigzag", "halves")
SCENES = ("room", "shelf", "window", "bricks", "gradient", "bokeh", "dots", "stripes", "checks", "rays", "hills", "waves")
NOSES = ("round", "line", "wide", "button", "long")
EYES = ("round", "almond", "dot", "wide")
BROWS = ("straight", "arched", "slanted", "bushy")
GLASSES = ("", "round", "square", "half")
BEARDS = ("", "stubble", "full", "goatee", "chin")
EXTRAS = ("", "earrings", "freckles", "blush", "mole", "necklace")

SKINS = (
    (255, 224, 200), (246, 205, 170), (236, 188, 150), (222, 168, 124), (198, 140, 98), (168, 112, 76),
    (136, 88, 58), (104, 66, 44), (240, 200, 184), (214, 178, 140),
)  # fmt: skip
HAIR_COLOURS = (
    (32, 26, 28), (58, 38, 28), (92, 58, 34), (132, 84, 44), (176, 126, 66), (226, 188, 110), (150, 62, 30),
    (196, 84, 36), (150, 150, 156), (224, 222, 218), (58, 42, 92), (214, 96, 140), (40, 132, 140), (70, 108, 190),
)  # fmt: skip
IRISES = ((62, 40, 28), (96, 66, 36), (60, 104, 70), (52, 98, 148), (96, 120, 136), (30, 26, 28))


@dataclass(frozen=True)
class Look:
    """Lengths in pixels of the picture (336x192), colours 0-255."""

    style: str
    hair: str
    clothes: str
    scene: str
    # Head: middle, half width, half height; how square, how pointed its chin is.
    cx: float
    cy: float
    rx: float
    ry: float
    square: float
    taper: float
    skin: Colour
    hair_colour: Colour
    hair_size: float  # 0 to 1
    hairline: float  # 0 to 1: low to high
    side: int  # -1 or 1: of partings and the like
    eye: str
    eye_apart: float
    eye_size: float
    iris: Colour
    lashes: bool
    brow: str
    brow_heavy: float
    nose: str
    mouth_y: float
    mouth_width: float
    lips: Colour
    full_lips: float  # 0 to 1
    smile: float  # by how much the corners of the mouth are higher
    glasses: str
    glasses_colour: Colour
    beard: str
    moustache: bool
    extra: str
    weave: str
    cloth: Colour
    cloth_second: Colour
    broad: float  # half width of the shoulders
    scene_colours: tuple[Colour, Colour, Colour]
    scene_seed: int

    @property
    def kind(self) -> tuple[str, str, str, str]:
        return self.style, self.hair, self.clothes, self.scene


def of_evaluation(kind: tuple[str, ...]) -> bool:
    """Whether this combination is evaluation's: one in four is."""
    return hashlib.sha256("/".join(kind).encode()).digest()[0] < 64


def look(seed: int) -> Look:
    """seed: 0-99999 for training, 100000-199999 for evaluation (world.stream)."""
    rng = np.random.default_rng([seed, 21])
    pick = lambda options: options[int(rng.integers(len(options)))]
    while True:
        kind = (pick(STYLES), pick(HAIRS), pick(CLOTHES), pick(SCENES))
        if of_evaluation(kind) == is_evaluation(seed):
            break
    style, hair, clothes, scene = kind
    uniform = lambda low, high: float(rng.uniform(low, high))
    chance = lambda p: bool(rng.random() < p)
    skin = mixed(pick(SKINS), pick(SKINS), uniform(0, 0.3))
    cloth = apart(lambda: tinted(rng, (0.15, 0.75), (0.25, 0.9)), [skin], 75)
    cover = cloth if hair in ("scarf", "beanie") else None
    hair_colour = cover or apart(lambda: mixed(pick(HAIR_COLOURS), pick(HAIR_COLOURS), uniform(0, 0.35)), [skin], 55)
    bright = (0.62, 0.97) if chance(0.7) else (0.2, 0.5)
    wall = apart(lambda: tinted(rng, (0.08, 0.5), bright), [hair_colour, skin], 60)
    ry = uniform(45, 56)
    return Look(
        *kind,
        cx=168 + uniform(-20, 20),
        cy=84 + uniform(-3, 4),
        rx=ry * uniform(0.72, 0.88),
        ry=ry,
        square=uniform(1.9, 2.9),
        taper=uniform(0.0, 0.3),
        skin=skin,
        hair_colour=hair_colour,
        hair_size=uniform(0, 1),
        hairline=uniform(0, 1),
        side=1 if chance(0.5) else -1,
        eye=pick(EYES),
        eye_apart=uniform(15.5, 20),
        eye_size=uniform(0.85, 1.2),
        iris=pick(IRISES),
        lashes=chance(0.35),
        brow=pick(BROWS),
        brow_heavy=uniform(0, 1),
        nose=pick(NOSES),
        mouth_y=uniform(0.5, 0.56),
        mouth_width=uniform(14, 18.5),
        lips=lip_colour(rng, skin),
        full_lips=uniform(0, 1),
        smile=uniform(0.5, 5),
        glasses=pick(GLASSES[1:]) if chance(0.3) else "",
        glasses_colour=pick(((28, 28, 32), (120, 66, 30), (170, 36, 44), (40, 70, 140), (236, 236, 236))),
        beard=pick(BEARDS[1:]) if chance(0.28) and hair not in ("scarf", "plaits", "bunches") else "",
        moustache=chance(0.15) and hair not in ("scarf", "plaits", "bunches"),
        extra=pick(EXTRAS),
        weave=pick(WEAVES),
        cloth=cloth,
        cloth_second=apart(lambda: tinted(rng, (0.0, 0.8), (0.15, 0.98)), [cloth, skin], 75),
        broad=uniform(72, 96),
        scene_colours=(
            wall,
            apart(lambda: tinted(rng, (0.15, 0.7), (0.3, 0.95)), [wall], 50),
            apart(lambda: tinted(rng, (0.1, 0.8), (0.15, 0.98)), [wall], 80),
        ),
        scene_seed=int(rng.integers(1 << 30)),
    )


def tinted(rng, saturation, value) -> Colour:
    r, g, b = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return 255 * r, 255 * g, 255 * b


def apart(draw, others, least: float) -> Colour:
    """Draws until the colour is at least so far from the others; after 40 tries whatever comes."""
    for _ in range(40):
        colour = draw()
        if min(distance(colour, other) for other in others) >= least:
            break
    return colour


def distance(a, b) -> float:
    return float(np.linalg.norm(np.subtract(a, b)))


def lip_colour(rng, skin) -> Colour:
    """Redder than the skin, or made up."""
    natural = mixed((skin[0] * 0.84, skin[1] * 0.54, skin[2] * 0.56), (214, 96, 100), 0.25)
    made_up = ((186, 30, 56), (150, 34, 70), (206, 74, 92))[int(rng.integers(3))]
    return apart(lambda: mixed(natural, made_up, float(rng.choice([0, 0, 0.5, 1]))), [skin], 60)
