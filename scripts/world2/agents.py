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
# Little words are said fast, as in a sentence, and their tone stays up.
LITTLE = frozenset("it is was a there are i see the on your what you that this before hold".split())
SPEED, LITTLE_SPEED = 1.15, 1.6
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


def word(said: str, voice: str) -> np.ndarray:
    """A word of the agent's: float32 at 16 kHz, not to be written to.
    @raises synthesizers.Missing where Kokoro isn't installed."""
    little = said in LITTLE
    text = SPELT.get(said, said) + ("," if little else ".")
    return synthesizers.say(text, voice, LITTLE_SPEED if little else SPEED)


def reference(rng, voice: str) -> np.ndarray:
    """float32: 1 to 4 s of the voice, saying something else than the agent does."""
    said = synthesizers.say(REFERENCES[int(rng.integers(len(REFERENCES)))], voice)
    longest = min(len(said), int(LONGEST * SAMPLE_RATE))
    sound = said[: int(rng.uniform(min(SHORTEST * SAMPLE_RATE, longest), longest))].copy()
    sound[-FADE:] *= np.linspace(1, 0, FADE, dtype=np.float32)
    return sound * np.float32(10 ** (rng.uniform(-6, 3) / 20))


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
