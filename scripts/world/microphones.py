"""What a microphone hears beside its user. Every draw comes from the generator that is handed in."""

import numpy as np

from . import voices, words
from .stream import SAMPLE_RATE, seconds

TALKERS = 4


def amplitude(level):
    """Of a level in dB of full scale."""
    return np.float32(10 ** (level / 20))


def babble(rng, count, seed):
    """float32 [count] at an RMS of 1: people of the seed's range who talk at once, all the time."""
    sentences = words.BACKGROUND + [piece for story in words.STORIES for piece in story]
    sound = np.zeros(count, np.float32)
    for _ in range(TALKERS):
        who, gain, t = voices.speaker(rng, seed), rng.uniform(0.5, 1), -seconds(rng.uniform(0, 1))
        while t < count:
            said = voices.say(sentences[int(rng.integers(len(sentences)))] + ".", *who) * np.float32(gain)
            first, last = max(t, 0), min(t + len(said), count)
            sound[first : max(first, last)] += said[first - t : max(first, last) - t]
            t += len(said) + seconds(rng.uniform(0.1, 0.5))
    return unit_level(sound)


def hum(rng, count, seed):
    """float32 [count] at an RMS of 1: the mains' 50 or 60 Hz and its harmonics."""
    t = np.arange(count) * float(rng.choice([50, 60])) / SAMPLE_RATE
    parts = [
        rng.uniform(0.2, 1) / k * np.sin(2 * np.pi * (k * t + rng.uniform(0, 1))) for k in range(1, 9)
    ]
    return unit_level(np.sum(parts, axis=0).astype(np.float32))


def unit_level(sound):
    return sound / np.sqrt(np.mean(sound**2) + np.float32(1e-12))
