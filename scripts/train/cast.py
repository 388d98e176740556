"""The agents of world 2 as material for the codecs, and users before a camera for seeing.

A character or a user takes a moment to be drawn for the first time, so that some are kept: a step takes
its own from the last few by its number, and a run that goes on meets the same.
"""

import functools

import numpy as np
import torch

from world import draw
from world.stream import FRAMES, SAMPLE_RATE, TRAINING_SEEDS
from world2 import agents, camera, characters, prompts

from .codecs import audio_stream, video_states
from .data import COLOURS, HELD_OUT, SHAPES, card_labels
from .fit import Fit

CHARACTERS, NEW = 6, 0.5  # that steps take theirs from, and how many a step adds
NAMED = 0.15  # share of clips of the named characters
SENTENCES = 0.3  # share of a voice's sounds that are sentences, as references are
SCENES, CARDS = 24, 12  # of users that steps take theirs from, and cards that each of them holds up


def one_of(number, seed):
    """The seed of a character of training by its number."""
    return int(np.random.default_rng([seed, 91, number]).integers(TRAINING_SEEDS.start, HELD_OUT))


class Cast:
    """Called as Recordings.agents: (medium, rng, batch, units) -> a batch of the agents' sound or pictures."""

    def __init__(self, c, seed=0):
        self.fit, self.seed = Fit(c), seed

    def __call__(self, medium, rng, batch, units):
        if medium == "video":
            return self.clips(rng, batch, units)[0]
        sounds = [self.fit.sound(self.stream(rng, self.fit.world_units(units)), units) for _ in range(batch)]
        return torch.from_numpy(np.stack(sounds))[:, None, :, None, None]

    def clips(self, rng, batch, units, step=None):
        """Pictures [B, 3, frames of `units` units of the config, height, width] in -1..1, and whose they are. step:
        of training; None: of any characters."""
        last = CHARACTERS + int((step or 0) * NEW)
        made, who = [], []
        for _ in range(batch):
            number = int(rng.integers(last - CHARACTERS, last)) if step is not None else int(rng.integers(1 << 30))
            one = characters.character(one_of(number, self.seed))
            if rng.random() < NAMED:
                one = list(characters.named().values())[int(rng.integers(4))]
            mouth, blink, sway, nod = video_states(rng, self.fit.world_units(units)).T
            frames = one.frames(mouth / (draw.MOUTHS - 1), blink / 2, nod / 8, sway / 4 * rng.uniform(0.2, 1))
            made.append(self.fit.frames(frames, units))
            who.append(one)
        x = torch.from_numpy(np.stack(made)).permute(0, 4, 1, 2, 3).float()
        return x / 127.5 - 1, who

    def terms(self, y, x, who):
        """picture_terms, for codecs.video_loss."""
        return picture_terms(y, x, who)

    def stream(self, rng, units, **options):
        """float32 [units x UNIT]: one voice's words with gaps, as codecs.audio_stream has them, and sentences."""
        voice = str(rng.choice(agents.training()))
        return audio_stream(rng, units, **options, say=lambda: spoken(rng, voice))


def spoken(rng, voice):
    """A word of the agent's in a voice, or a part of a sentence."""
    if rng.random() >= SENTENCES:
        said = prompts.agent_words()
        return agents.word(said[int(rng.integers(len(said)))], voice)
    sound = agents.reference(rng, voice)
    return sound[: int(rng.uniform(0.5, 1.5) * SAMPLE_RATE)]


def box(x, sides):
    """The part (left, right, top, bottom), in pixels as the world draws them, of pictures [..., height, width]."""
    height, width = x.shape[-2:]
    left, right = (round(at * width / characters.WIDTH) for at in sides[:2])
    top, bottom = (round(at * height / characters.HEIGHT) for at in sides[2:])
    return x[..., top:bottom, left:right]


@functools.lru_cache(maxsize=256)
def mouth_of(one):
    """Level of green, depth below it with the mouth closed, what opening adds (Character.mouth_depths), 0-255."""
    closed, opened = one.mouth_depths()
    return one.mouth_green, closed, opened - closed


def opening(x, one):
    """How far the mouth is open in pictures [3, T, height, width] in -1..1: 0 to 1 of each [T], as eval's lips
    has it."""
    level, closed, way = mouth_of(one)
    depths = (level - 127.5 * (box(x[1], one.boxes["mouth"]) + 1)).clamp(min=0).mean((1, 2))
    return (depths - closed) / way


def picture_terms(y, x, who):
    """Loss of pictures y beside the truth x, both [B, 3, T, height, width], of characters `who`, and its figures:
    the face, where things move, counts more, and the mouth most (codecs.video_loss)."""
    error, square = (y - x).abs(), (y - x).pow(2)
    face = mouth = opened = torch.zeros((), device=y.device)
    for i, one in enumerate(who):
        face = face + box(error[i], one.boxes["face"]).mean() / len(who)
        mouth = mouth + box(square[i], one.boxes["lips"]).mean() / len(who)
        opened = opened + (opening(y[i], one) - opening(x[i], one)).pow(2).mean() / len(who)
    loss = error.mean() + face + 2 * square.mean() + 10 * mouth + opened
    figures = {"opening": opened.sqrt(), "mouth": 10 * torch.log10(4 / mouth), "psnr": 10 * torch.log10(4 / square.mean())}
    return loss, {key: value.detach() for key, value in figures.items()}


# Seeing.


@functools.lru_cache(maxsize=SCENES + 8)
def seen(number, seed):
    """uint8 [CARDS x FRAMES, 64, 112, 3] of a user who holds up one card after the other, and the labels of each
    unit: colour, shape, count, and the mouth: 0 nobody is there, 1 closed, 2 open."""
    rng = np.random.default_rng([seed, 92, number])
    at = camera.view(int(rng.integers(TRAINING_SEEDS.start, HELD_OUT)))
    face = draw.face(rng) if rng.random() < 0.9 else None
    unit, shown = FRAMES * camera.FRAME, []
    for i in range(CARDS):
        card = (COLOURS[rng.integers(6)], SHAPES[rng.integers(5)], int(rng.integers(1, 5)))
        shown.append((i * unit, card if rng.random() < 0.9 else None))
    mouth = np.repeat(rng.integers(0, camera.MOUTHS, CARDS), FRAMES)
    blink = np.repeat(rng.random(CARDS) < 0.1, FRAMES)
    frames = camera.user_frames(face, [(0, True)], shown, at, CARDS * FRAMES, mouth / (camera.MOUTHS - 1), blink)
    speaks = lambda i: 0 if face is None else 1 + int(mouth[i * FRAMES] > 1)
    return frames, [(*card_labels(card), speaks(i)) for i, (_, card) in enumerate(shown)]


def example(rng, frames, step, seed=0, new=0.5):
    """So many frames, uint8 [frames, 64, 112, 3], and their labels, of one of the users that a step takes."""
    last = SCENES + int(step * new)
    pictures, labels = seen(int(rng.integers(last - SCENES, last)), seed)
    at = int(rng.integers(CARDS))
    part = pictures[at * FRAMES : (at + 1) * FRAMES]
    return part[np.arange(frames) * FRAMES // frames], labels[at]
