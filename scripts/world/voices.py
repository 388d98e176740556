"""Voices: espeak-ng's (Debian: espeak-ng), which the world speaks with; synthesizers.py has others."""

import functools
import re
import subprocess

import numpy as np

from . import synthesizers
from .stream import SAMPLE_RATE, is_evaluation

TRAINING_BASES = list(synthesizers.SYNTHESIZERS["espeak-ng"].training)
EVALUATION_BASES = list(synthesizers.SYNTHESIZERS["espeak-ng"].evaluation)
VARIANTS = ["", "+f1", "+f2", "+f3", "+f4", "+m1", "+m2", "+m3", "+m4", "+m5"]
# In training throats differ more widely (the agent's own is f5).
MORE_VARIANTS = (
    "m6 m7 m8 klatt klatt2 klatt4 klatt6 croak Alex Alicia Andrea Andy Annie Denis Gene Hugo Jacky Lee Marco"
    " Mario Michael Mike adam anika antonio aunty belinda benjamin boris caleb david ed edward grandma"
    " grandpa iven john linda marcelo max michel miguel norbert pablo paul pedro quincy rob robert sandro"
    " shelby steph travis victor zac"
).split()
PITCHES = [25, 40, 55, 70]
SPEEDS = [130, 150, 170, 190]
NORMAL_SPEED = 170  # of other synthesizers
# Of all their combinations so many speakers are drawn, once: few enough to keep in a cache.
TRAINING_SPEAKERS, EVALUATION_SPEAKERS = 360, 24
# More in training say some phonemes as others, each in a way of their own: accents that no voice of
# espeak-ng has. Names of phonemes are espeak-ng's. An accent's share of other vowels is drawn.
ACCENTED_SPEAKERS, OTHER_VOWEL, OTHER_CONSONANT, OTHER_STRESS = 900, (0.15, 0.55), 0.15, 0.3
FIRST_UNHEARD = 1_000_000  # accents from here on are no training speaker's
ACCENT = " accent "  # between a voice of espeak-ng and its accent's number
VOWELS = {
    "aU": ["oU", "aa", "a", "eI"],
    "oU": ["O:", "aU", "0"],
    "eI": ["E", "aI", "e@"],
    "aI": ["OI", "A:", "eI"],
    "A@": ["a", "O@", "A:"],
    "e@": ["E", "3:", "i@"],
    "o@": ["O:", "u:", "oU"],
    "i:": ["I", "eI"],
    "u:": ["U", "oU"],
    "A:": ["a", "O:"],
    "O:": ["0", "oU"],
    "3:": ["e@", "V"],
    "E": ["I", "a", "eI"],
    "I": ["i:", "E", "@"],
    "i": ["I", "eI"],
    "V": ["U", "0", "a"],
    "0": ["A:", "O:", "a"],
    "a": ["E", "A:"],
    "U": ["u:", "V"],
}
CONSONANTS = {"h": [""], "T": ["t", "f"], "D": ["d", "v"], "w": ["v"], "r": ["R"]}
STRESSES = {",": ["", "'"]}  # a word's weight in the sentence
AGENT = ("en-us+f5", 62, 175)
# Little words are said fast, as in a sentence.
QUICK = {"it": 260, "is": 280, "was": 260, "a": 300, "there": 240, "are": 260, "i": 260, "see": 220}


@functools.lru_cache(maxsize=2)
def speakers(evaluation):
    """All users' voices of one side: (voice, pitch, speed), as say() takes them."""
    rng = np.random.default_rng([7, evaluation])
    bases = EVALUATION_BASES if evaluation else TRAINING_BASES
    variants = VARIANTS if evaluation else VARIANTS + [f"+{name}" for name in MORE_VARIANTS]

    def drawn(base, accent=""):
        variant = str(rng.choice(variants))
        return f"{base}{variant}{accent}", int(rng.choice(PITCHES)), int(rng.choice(SPEEDS))

    count = EVALUATION_SPEAKERS if evaluation else TRAINING_SPEAKERS
    known = [drawn(bases[i % len(bases)]) for i in range(count)]
    if evaluation:
        return known
    return known + [drawn(bases[i % len(bases)], f"{ACCENT}{i}") for i in range(ACCENTED_SPEAKERS)]


def speaker(rng, seed):
    """Draws a user's voice for a conversation."""
    options = speakers(is_evaluation(seed))
    return options[int(rng.integers(len(options)))]


def other_speaker(rng, seed, kinds=tuple(synthesizers.OTHERS)):
    """Draws a user's voice of one of these synthesizers; which one follows from the seed."""
    evaluation = is_evaluation(seed)
    kinds = [kind for kind in kinds if synthesizers.voices(kind, evaluation)]
    options = synthesizers.voices(kinds[seed % len(kinds)], evaluation)
    return options[int(rng.integers(len(options)))], None, int(rng.choice(SPEEDS[1:]))


def described(voice, pitch, speed):
    return f"{voice}{'' if pitch is None else f', pitch {pitch}'}, speed {speed}"


def unheard(rng):
    """Draws a voice of training's bases with an accent that no speaker of training has."""
    accent = FIRST_UNHEARD + int(rng.integers(100_000))
    variant = str(rng.choice(VARIANTS))
    voice = f"{TRAINING_BASES[int(rng.integers(len(TRAINING_BASES)))]}{variant}{ACCENT}{accent}"
    return voice, int(rng.choice(PITCHES)), int(rng.choice(SPEEDS))


@functools.lru_cache(maxsize=20000)
def spelt(text, voice):
    """The text as espeak-ng's phonemes."""
    command = ["espeak-ng", "-v", voice, "-q", "-x", text]
    # One line for every clause.
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()
    return " ".join(lines.split())


def accented(text, voice, accent):
    """The text as phonemes in espeak-ng's brackets, some of the voice's changed for others: the same
    ones for one number of an accent."""
    rng = np.random.default_rng([11, accent])
    shares = (VOWELS, rng.uniform(*OTHER_VOWEL)), (CONSONANTS, OTHER_CONSONANT), (STRESSES, OTHER_STRESS)
    heard = {
        name: str(rng.choice(others)) if rng.random() < share else name
        for phonemes, share in shares
        for name, others in phonemes.items()
    }
    # Longer names first; what follows a vowel's name and belongs to it stays.
    names = "|".join(re.escape(name) for name in sorted(VOWELS, key=len, reverse=True))
    other = "|".join(re.escape(name) for name in [*CONSONANTS, *STRESSES])
    pattern = rf"{names}|@|(?:{other})(?![#:\d])"
    phonemes = re.sub(pattern, lambda match: heard.get(match[0], match[0]), spelt(text, voice))
    return f"[[{phonemes}]]" + (text[-1] if text[-1] in "?,.!" else "")


@functools.lru_cache(maxsize=20000)
def say(text, voice, pitch, speed):
    """Speech at 16 kHz, trimmed, at an RMS of 0.1; float32, not to be written to. speed: words a minute;
    pitch: 0 to 99, of espeak-ng's voices alone."""
    if "/" in voice:
        return synthesizers.say(text, voice, speed / NORMAL_SPEED)

    def make():
        base, _, accent = voice.partition(ACCENT)
        said = accented(text, base, int(accent)) if accent else text
        command = ["espeak-ng", "-v", base, "-p", str(pitch), "-s", str(speed), "--stdout", said]
        return synthesizers.read_wav(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    return synthesizers.cached(f"{voice}|{pitch}|{speed}|{text}", make)


def agent_word(word):
    """The agent's one voice, word by word."""
    voice, pitch, speed = AGENT
    return say("mmm" if word == "mm" else word, voice, pitch, QUICK.get(word, speed))


def cough(rng):
    """One or two bursts of noise through a broad resonance."""
    parts = []
    for _ in range(rng.integers(1, 3)):
        count = int(rng.integers(2400, 4200))
        noise = rng.standard_normal(count)
        noise = np.convolve(noise, np.exp(-np.arange(24) / 5) * np.cos(np.arange(24) * 0.5))[:count]
        t = np.arange(count) / count
        parts += [noise * np.minimum(t * 20, 1) * np.exp(-5 * t), np.zeros(int(rng.integers(400, 1600)))]
    return normalised(np.concatenate(parts))


def knock(rng):
    """Two to four dull thumps."""
    parts = []
    for _ in range(rng.integers(2, 5)):
        count = int(rng.integers(1600, 2800))
        t = np.arange(count) / SAMPLE_RATE
        thump = np.sin(2 * np.pi * rng.uniform(90, 240) * t) + 0.3 * rng.standard_normal(count)
        parts.append(thump * np.exp(-t * 60))
    return normalised(np.concatenate(parts))


def normalised(samples):
    return (samples * (0.1 / np.sqrt(np.mean(samples**2)))).clip(-0.9, 0.9).astype(np.float32)
