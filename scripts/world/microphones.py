"""Users' rooms and microphones. Every draw comes from the generator that is handed in; sound is float32
at 16 kHz and stays as long as it is, and the voice stays where it was."""

from dataclasses import dataclass

import numpy as np

from . import voices, words
from .stream import SAMPLE_RATE, seconds

TALKERS = 4
SLOPE = 100  # Hz between what passes a microphone and what doesn't
LOUDEST = 0.95
CRITICAL = 0.8  # metres at which the room is as loud as the voice itself
NEAR = 0.4  # metres at which a voice is as loud as it was recorded


@dataclass(frozen=True)
class Microphone:
    """What passes it (Hz; None: everything), how far the user is (metres; None: it hears no room), how long
    the room sounds (seconds until 60 dB less), the levels (dB of full scale) of hum and babble beside the
    user (None: there is none), how much too loud it is set (dB), and whether it sends u-law."""

    name: str
    passes: tuple | None = None
    distance: tuple | None = None
    decay: tuple = (0.2, 0.6)
    hum: tuple | None = None
    babble: tuple | None = None
    overload: tuple | None = None
    u_law: bool = False


LOUD_ROOM = Microphone("in a loud room", hum=(-50, -36), babble=(-48, -34))
MICROPHONES = (
    Microphone("headset", passes=(100, 7500), overload=(6, 18)),
    Microphone("telephone", passes=(300, 3400), babble=(-60, -45), u_law=True),
    Microphone("laptop", passes=(180, 7000), distance=(0.4, 0.9), hum=(-60, -42)),
    Microphone("across the room", passes=(120, 6000), distance=(1.2, 2.5), babble=(-60, -48)),
)


def heard(rng, sound, microphone, seed):
    """A user's sound, noises and noise floor by a microphone. seed: the conversation's, whose range babble's voices are of."""
    if microphone.distance is not None:
        distance, decay = rng.uniform(*microphone.distance), rng.uniform(*microphone.decay)
        sound = convolved(sound, room(rng, distance, decay))
    for noise, level in ((hum, microphone.hum), (babble, microphone.babble)):
        if level is not None:
            sound = sound + noise(rng, len(sound), seed) * amplitude(rng.uniform(*level))
    if microphone.passes is not None:
        sound = band(sound, *microphone.passes)
    if microphone.overload is not None:
        sound = clipped(sound, amplitude(rng.uniform(*microphone.overload)))
    return u_law(sound) if microphone.u_law else sound


def room(rng, distance, decay):
    """A room's impulse response: the voice itself at its first sample, some early reflections, and a tail
    of noise that loses 60 dB in `decay` seconds. distance: metres."""
    count = seconds(decay)
    t = np.arange(count) / SAMPLE_RATE
    tail = rng.standard_normal(count) * 10 ** (-3 * t / decay)
    tail[: seconds(0.004)] = 0
    for at in rng.uniform(0.004, 0.03, 6):
        tail[seconds(at)] += rng.choice([-1, 1]) * rng.uniform(5, 12)
    tail *= NEAR / CRITICAL / np.sqrt(np.sum(tail**2))
    tail[0] = min(1, NEAR / distance)
    return tail.astype(np.float32)


def convolved(sound, response):
    size = _size(len(sound) + len(response))
    spectrum = np.fft.rfft(sound, size) * np.fft.rfft(response, size)
    return np.fft.irfft(spectrum, size)[: len(sound)].astype(np.float32)


def band(sound, low, high):
    """What lies between two frequencies (Hz), without a delay."""
    size = _size(len(sound) + SAMPLE_RATE // SLOPE * 4)
    frequency = np.arange(size // 2 + 1) * SAMPLE_RATE / size
    inside = np.minimum(frequency - low, high - frequency) / SLOPE + 0.5
    passes = 0.5 - 0.5 * np.cos(np.pi * inside.clip(0, 1))
    return np.fft.irfft(np.fft.rfft(sound, size) * passes, size)[: len(sound)].astype(np.float32)


def u_law(sound):
    """In 256 steps of ITU-T G.711's curve, as telephones send it."""
    steps, bend = 127, np.log(256)
    curve = np.sign(sound) * np.log1p(255 * np.abs(sound).clip(0, 1)) / bend
    curve = np.round(curve * steps) / steps
    return (np.sign(curve) * np.expm1(np.abs(curve) * bend) / 255).astype(np.float32)


def clipped(sound, gain):
    """So many times too loud for the microphone, and then turned down to the level that it had."""
    loud = (sound * gain).clip(-LOUDEST, LOUDEST)
    return loud * np.sqrt(np.mean(sound**2) / np.mean(loud**2))


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


def hum(rng, count, _seed):
    """float32 [count] at an RMS of 1: the mains' 50 or 60 Hz and its harmonics."""
    t = np.arange(count) * float(rng.choice([50, 60])) / SAMPLE_RATE
    parts = [
        rng.uniform(0.2, 1) / k * np.sin(2 * np.pi * (k * t + rng.uniform(0, 1))) for k in range(1, 9)
    ]
    return unit_level(np.sum(parts, axis=0).astype(np.float32))


def unit_level(sound):
    return sound / np.sqrt(np.mean(sound**2) + np.float32(1e-12))


def _size(count):
    """A power of two with room for so many samples."""
    return 1 << (count - 1).bit_length()
