"""The agents' voices: Kokoro's, and in training many that lie between two of them; their words, each said
once and kept in the cache of world.synthesizers; the reference sounds that tell the model which voice it has.

    python -m world2.agents [--voices N]     says all words and references ahead (in scripts/)
"""

import argparse
import functools

import numpy as np

from world import synthesizers
from world.stream import SAMPLE_RATE

from . import prompts

KOKORO = synthesizers.SYNTHESIZERS["kokoro"]
EVALUATION = tuple(f"kokoro/{voice}" for voice in KOKORO.evaluation)
MIXED = 60
# Voices of the named characters; the first is what the agent sounds like without a reference.
NAMED = {"ada": "kokoro/af_heart", "bo": "kokoro/am_fenrir", "cleo": "kokoro/af_bella", "dev": "kokoro/am_adam"}
DEFAULT = NAMED["ada"]
# Little words are said faster, as in a sentence, and end where the voice first falls silent: Kokoro, asked
# for so little, adds sounds to it ('is' is heard as 'isn't').
LITTLE = frozenset("it is was a there are i the on your you".split())
SPEED, LITTLE_SPEED = 1.15, 1.3
SOONEST, LATEST = 0.16, 0.3  # seconds at which a little word may end
ARTICLE, ARTICLE_LEVEL = 0.13, 0.8  # 'a': so many seconds, at so much of the others' level
SILENT, HOP = 0.15, SAMPLE_RATE // 50  # of its loudest 20 ms
# How a word is written for it to be said as in a sentence.
SPELT = {"a": "uh", "mm": "mmm"}
# Something else than the agent ever says.
REFERENCES = (
    "Good morning, I hope that you slept well.",
    "The boat leaves at noon from the old harbour.",
    "Could you please pass me the salt?",
    "We walked along the river until dark.",
    "My brother plays the piano every evening.",
    "That was the best soup I have had in years.",
    "The library closes early on Fridays.",
    "Nobody knew where the music came from.",
)
SHORTEST, LONGEST = 1.0, 4.0  # seconds of a reference
LIKENESS = 4  # seconds of each of the voices among which one is told
FADE = SAMPLE_RATE // 100


@functools.lru_cache(maxsize=1)
def training() -> tuple[str, ...]:
    """Kokoro's training voices, and MIXED voices that lie in the middle between two American ones of them."""
    rng = np.random.default_rng([43])
    american = [voice for voice in KOKORO.training if voice.startswith("a")]
    pairs = [f"{one}+{other}" for i, one in enumerate(american) for other in american[i + 1 :]]
    mixed = sorted(pairs[i] for i in rng.permutation(len(pairs))[:MIXED])
    return tuple(f"kokoro/{voice}" for voice in (*KOKORO.training, *mixed))


def voices(evaluation: bool) -> tuple[str, ...]:
    """All voices that agents of one side may have, those of the named characters among training's."""
    return EVALUATION if evaluation else training()


@functools.lru_cache(maxsize=20000)
def word(said: str, voice: str) -> np.ndarray:
    """A word of the agent's: float32 at 16 kHz, not to be written to.
    @raises synthesizers.Missing where Kokoro isn't installed."""
    text = SPELT.get(said, said) + "."
    if said not in LITTLE:
        return synthesizers.say(text, voice, SPEED)
    sound = synthesizers.say(text, voice, LITTLE_SPEED)
    if said == "a":
        return np.float32(ARTICLE_LEVEL) * faded(sound[: int(ARTICLE * SAMPLE_RATE)])
    return ended(sound)


def ended(sound: np.ndarray) -> np.ndarray:
    """The sound up to its first silence from SOONEST on, or where it is quietest before LATEST, at an RMS of
    0.1."""
    level = np.sqrt(np.mean(sound[: len(sound) // HOP * HOP].reshape(-1, HOP) ** 2, 1))
    soonest = int(SOONEST * SAMPLE_RATE / HOP)
    part = level[soonest : int(LATEST * SAMPLE_RATE / HOP)]
    if len(part) == 0:
        return sound
    silent = np.flatnonzero(part < SILENT * level.max())
    end = (soonest + int(silent[0] if len(silent) else np.argmin(part))) * HOP + FADE
    return faded(sound[:end])


def faded(sound: np.ndarray) -> np.ndarray:
    """The sound, faded out at its end, at an RMS of 0.1."""
    cut = sound.copy()
    cut[-FADE:] *= np.linspace(1, 0, len(cut[-FADE:]), dtype=np.float32)
    return (cut * np.float32(0.1 / np.sqrt(np.mean(cut**2)))).clip(-0.9, 0.9)


def reference(rng, voice: str) -> np.ndarray:
    """float32: 1 to 4 s of the voice, saying something else than the agent does."""
    said = synthesizers.say(REFERENCES[int(rng.integers(len(REFERENCES)))], voice)
    longest = min(len(said), int(LONGEST * SAMPLE_RATE))
    sound = said[: int(rng.uniform(min(SHORTEST * SAMPLE_RATE, longest), longest))].copy()
    sound[-FADE:] *= np.linspace(1, 0, FADE, dtype=np.float32)
    return sound * np.float32(10 ** (rng.uniform(-6, 3) / 20))


def likeness(voice: str) -> np.ndarray:
    """float32 [LIKENESS x SAMPLE_RATE]: what a voice is told by among others, saying the same as they."""
    said = np.concatenate([synthesizers.say(text, voice) for text in REFERENCES[:2]])
    return np.resize(said, LIKENESS * SAMPLE_RATE)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--voices", type=int, help="the first so many of each side alone")
    args = parser.parse_args()
    for side in (False, True):
        known = voices(side)[: args.voices]
        for i, voice in enumerate(known):
            for said in prompts.agent_words():
                word(said, voice)
            for text in REFERENCES:
                synthesizers.say(text, voice)
            print(f"{'evaluation' if side else 'training'}: {i + 1} of {len(known)}, {voice}", flush=True)


if __name__ == "__main__":
    main()
