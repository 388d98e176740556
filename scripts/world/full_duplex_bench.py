"""A small set of recordings in the layout of Full-Duplex-Bench v1.0 and v1.5, spoken by the world's voices.

    /usr/bin/python3 -m world.full_duplex_bench ../samples/full-duplex-bench     (in scripts/)

Everything is drawn from one seed for evaluation. Samples are short, so that the set can be committed.
"""

import json
import os
import sys

import numpy as np

from . import voices, words
from .render import write_wav
from .stream import EVALUATION_SEEDS, SAMPLE_RATE, seconds

SEED = EVALUATION_SEEDS.start + 78
LEAD, PAUSE, ANSWER, REST = 0.3, 0.9, 2.0, 1.4  # seconds: before speech, in it, for answers, after all
WINDOW = 0.2  # of the distribution of people's backchannels


class Take:
    """A recording that grows: clips one after the other, each with the moments of its beginning and end."""

    def __init__(self, rng):
        self.rng, self.at, self.clips = rng, seconds(LEAD), []
        self.speaker = voices.speaker(rng, SEED)

    def say(self, text, gain=1.0, speaker=None, at=None):
        start = self.at if at is None else at
        sound = voices.say(text, *(speaker or self.speaker)) * np.float32(gain)
        self.clips.append((start, sound))
        self.at = max(self.at, start + len(sound))
        return [round(start / SAMPLE_RATE, 3), round((start + len(sound)) / SAMPLE_RATE, 3)]

    def wait(self, length):
        self.at += seconds(length)

    def sound(self, without=()):
        """Clips on a noise floor at -65 dB, but for those of these numbers."""
        noise = np.random.default_rng([SEED, self.at]).standard_normal(self.at)
        mixed = (noise * 10 ** (-65 / 20)).astype(np.float32)
        for i, (start, sound) in enumerate(self.clips):
            if i not in without:
                mixed[start : start + len(sound)] += sound
        return mixed.clip(-1, 1)


def question(rng, pieces):
    """A question of so many pieces."""
    options = [one for group in words.QUESTIONS.values() for one in group if len(one) == pieces]
    return options[int(rng.integers(len(options)))]


def event(name, timestamp, **fields):
    return [{"text": f"[{name}]", **fields, "timestamp": timestamp}]


def pause_handling(take):
    first, second = question(take.rng, 2)
    _, begin = take.say(first)
    take.wait(PAUSE)
    end, _ = take.say(second + "?")
    take.wait(LEAD)
    return {"pause.json": event("PAUSE", [begin, end])}


def turn_taking(take):
    _, end = take.say(" ".join(question(take.rng, 2)) + "?")
    take.wait(ANSWER)
    return {"turn_taking.json": event("TURN-TAKING", [end, round(end + 0.4, 3)])}


def user_interruption(take):
    context, interrupt = (" ".join(question(take.rng, 2)) + "?" for _ in range(2))
    take.say(context)
    take.wait(ANSWER)
    timestamp = take.say(interrupt)
    take.wait(ANSWER)
    return {"interrupt.json": [{"context": context, "interrupt": interrupt, "timestamp": timestamp}]}


def backchannel(take):
    pieces = words.STORIES[int(take.rng.integers(len(words.STORIES)))]
    said = []
    for i, piece in enumerate(pieces):
        said.append({"text": piece, "timestamp": take.say(piece + (",", ".")[i == len(pieces) - 1])})
        take.wait(0.7 if i < len(pieces) - 1 else LEAD)
    return {"transcription.json": [{"speaker": 0, "item": said}]}


def overlap(kind):
    def make(take):
        context = " ".join(question(take.rng, 2)) + "?"
        take.say(context)
        take.wait(REST)
        other = voices.speaker(take.rng, SEED)
        text, gain, speaker = {
            "user_interruption": (" ".join(question(take.rng, 2)) + "?", 1.0, None),
            "user_backchannel": (str(take.rng.choice(words.MHM)) + ".", 0.6, None),
            "talking_to_other": ("please close the window over there.", 0.5, None),
            "background_speech": (str(take.rng.choice(words.BACKGROUND)) + ".", 0.1, other),
        }[kind]
        timestamp = take.say(text, gain, speaker)
        take.wait(REST)
        metadata = {"context_text": context, "current_turn_text": text, "timestamps": timestamp}
        return {"metadata.json": metadata, "clean_input.wav": take.sound(without=[1])}

    return make


SETS = {
    "v1.0/synthetic_pause_handling": (pause_handling, 2),
    "v1.0/turn_taking": (turn_taking, 2),
    "v1.0/synthetic_user_interruption": (user_interruption, 1),
    "v1.0/backchannel": (backchannel, 1),
    "v1.5/user_interruption": (overlap("user_interruption"), 1),
    "v1.5/user_backchannel": (overlap("user_backchannel"), 1),
}


def people(transcription, length):
    """When a listener would give backchannels: in the window that follows each piece of a story."""
    shares = np.full(int(length / WINDOW) + 1, 1e-10)
    for piece in transcription[0]["item"]:
        shares[min(len(shares) - 1, int(piece["timestamp"][1] / WINDOW) + 1)] += 1
    return [float(f"{share:.6g}") for share in shares / shares.sum()]


def write_json(path, value):
    with open(path, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def main(folder):
    for number, (path, (make, count)) in enumerate(SETS.items()):
        listeners = {}
        for i in range(1, count + 1):
            take = Take(np.random.default_rng([SEED, number, i]))
            files = make(take)
            place = os.path.join(folder, path, str(i))
            os.makedirs(place, exist_ok=True)
            for name, content in {"input.wav": take.sound(), **files}.items():
                target = os.path.join(place, name)
                write_wav(target, content) if name.endswith(".wav") else write_json(target, content)
            if make is backchannel:
                listeners[str(i)] = people(files["transcription.json"], take.at / SAMPLE_RATE)
        if listeners:
            write_json(os.path.join(folder, path, "icc_gt_distribution.json"), listeners)


if __name__ == "__main__":
    main(*sys.argv[1:])
