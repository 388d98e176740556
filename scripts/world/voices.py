"""Voices: espeak-ng (Debian: espeak-ng), every utterance made once and kept in a cache folder."""

import functools
import hashlib
import os
import subprocess

import numpy as np

from .stream import SAMPLE_RATE, is_evaluation

CACHE = os.environ.get(
    "WANSTREAM_VOICES", os.path.join(os.path.expanduser("~"), ".cache", "wanstream-voices")
)

# Voice bases; those for evaluation are heard nowhere in training.
TRAINING_BASES = ["en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-us-nyc", "en-gb-x-gbclan"]
EVALUATION_BASES = ["en-029", "en-gb-x-gbcwmd"]
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
# Of all their combinations so many speakers are drawn, once: few enough to keep in a cache.
TRAINING_SPEAKERS, EVALUATION_SPEAKERS = 360, 24
AGENT = ("en-us+f5", 62, 175)
# Little words are said fast, as in a sentence.
QUICK = {"it": 260, "is": 280, "was": 260, "a": 300, "there": 240, "are": 260, "i": 260, "see": 220}


@functools.lru_cache(maxsize=2)
def speakers(evaluation):
    """All users' voices of one side: (voice, pitch, speed)."""
    rng = np.random.default_rng([7, evaluation])
    bases = EVALUATION_BASES if evaluation else TRAINING_BASES
    variants = VARIANTS if evaluation else VARIANTS + [f"+{name}" for name in MORE_VARIANTS]
    count = EVALUATION_SPEAKERS if evaluation else TRAINING_SPEAKERS
    return [
        (
            bases[i % len(bases)] + str(rng.choice(variants)),
            int(rng.choice(PITCHES)),
            int(rng.choice(SPEEDS)),
        )
        for i in range(count)
    ]


def speaker(rng, seed):
    """Draws a user's voice for a conversation."""
    options = speakers(is_evaluation(seed))
    return options[int(rng.integers(len(options)))]


def resample(samples, source):
    """To 16 kHz by cutting the spectrum: exact for what both rates can hold."""
    count = int(round(len(samples) * SAMPLE_RATE / source))
    # Silence at both ends keeps the circular transform from wrapping speech around.
    spectrum = np.fft.rfft(samples)[: count // 2 + 1]
    return np.fft.irfft(spectrum, count) * (count / len(samples))


def trim(samples, threshold=0.01):
    """Cuts silence off both ends."""
    loud = np.flatnonzero(np.abs(samples) > threshold)
    if len(loud) == 0:
        return samples[:0]
    return samples[max(0, loud[0] - 80) : loud[-1] + 160]


@functools.lru_cache(maxsize=20000)
def say(text, voice, pitch, speed):
    """Speech at 16 kHz, trimmed, at an RMS of 0.1; float32, not to be written to."""
    key = hashlib.sha1(f"{voice}|{pitch}|{speed}|{text}".encode()).hexdigest()
    path = os.path.join(CACHE, key[:2], key + ".npy")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", str(speed), "--stdout", text]
        wav = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        rate = int.from_bytes(wav[24:28], "little")
        samples = np.frombuffer(wav[44:], "<i2").astype(np.float64) / 32768
        samples = trim(resample(np.pad(samples, 2000), rate))
        if len(samples) == 0:
            raise RuntimeError(f"espeak-ng said nothing for {text!r} in voice {voice}")
        edge = min(80, len(samples) // 2)
        ramp = np.linspace(0, 1, edge)
        samples[:edge] *= ramp
        samples[-edge:] *= ramp[::-1]
        samples *= 0.1 / np.sqrt(np.mean(samples**2))
        samples = np.clip(samples, -0.9, 0.9)
        part = f"{path}.{os.getpid()}"
        with open(part, "wb") as file:
            np.save(file, (samples * 32767).astype(np.int16))
        os.replace(part, path)
    return np.load(path).astype(np.float32) / 32767


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
