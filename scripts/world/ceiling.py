"""How high an agent's activity F1 can be (docs/eval.md) where the oracle throws dice: when it answers,
greets and names, in which frame of a unit it begins, whether it nods or says 'mm'. Nothing that is
heard or seen tells how they fall. Measured is an agent that knows all the rest: it takes the likeliest
delay, always says 'mm', begins in a frame of its own, and says every word as the oracle does.

    /usr/bin/python3 -m world.ceiling [--seeds 100000 100] [--world 2]     (in scripts/)
"""

import argparse
import importlib

import numpy as np

from . import words
from .conversation import Conversation, cut_clips
from .render import faded, mixed
from .stream import ACTIVE, FRAME, FRAMES, UNIT


class Foresight:
    """Makes a Conversation one of which every utterance also has `likeliest`, the unit in which it would begin if
    the oracle took its usual delay."""

    def __init__(self, *arguments, **options):
        self.sooner, self.earliest = 0, 0
        super().__init__(*arguments, **options)

    def _timing(self, drawn, usual):
        self.sooner = drawn - usual
        return drawn

    def _ask(self, t, kind=None, interrupts=False, not_before=0):
        self.earliest = not_before
        return super()._ask(t, kind, interrupts, not_before)

    def _agent_says(self, said, unit):
        result = super()._agent_says(said, unit)
        self.utterances[-1]["likeliest"] = max(unit - self.sooner, min(unit, self.earliest))
        self.sooner = 0
        return result


class Foreseen(Foresight, Conversation):
    """The same of world 1."""


def likeliest_voice(conversation, frame):
    """Agent clips of one who takes the likeliest of all; frame(): the frame in which a unit's utterance
    begins."""
    said = [(one["likeliest"], one["words"], one["cut"]) for one in conversation.utterances]
    stories = (event for event in conversation.events if event["type"] == "story")
    breaks = (each for story in stories for each in story["breaks"])
    said += [(each["reaction"], words.BACKCHANNEL, None) for each in breaks if not each["spoken"]]
    clips = []
    for unit, each, cut in said:
        words_of = conversation.clips(conversation.told(each), unit * UNIT + frame() * FRAME)
        spoken = [(t, samples, False) for t, _, samples in words_of]
        clips += spoken if cut is None else cut_clips(spoken, cut * UNIT)
    return clips


def active(clips, units):
    """bool [units]: where agent clips sound."""
    sound = mixed(faded(clips), units)
    return np.sqrt(np.mean(sound.reshape(units, UNIT) ** 2, 1)) >= ACTIVE


def f1(mine, truth):
    return 2 * np.sum(mine & truth) / (np.sum(mine) + np.sum(truth))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs=2, default=[100_000, 100], metavar=("FIRST", "COUNT"))
    parser.add_argument("--world", type=int, choices=(1, 2), default=1)
    args = parser.parse_args()
    foreseen = Foreseen
    if args.world == 2:
        foreseen = type("Foreseen2", (Foresight, importlib.import_module("world2.conversation").Conversation), {})
    conversations = [foreseen(args.seeds[0] + i) for i in range(args.seeds[1])]
    truth = np.concatenate([active(c.agent_clips, c.units) for c in conversations])
    rng = np.random.default_rng(0)
    starts = {f"always in frame {k}": lambda k=k: k for k in range(FRAMES)}
    starts["in frames 0 to 2, as the oracle"] = lambda: int(rng.integers(3))
    for name, frame in starts.items():
        mine = [active(likeliest_voice(c, frame), c.units) for c in conversations]
        print(f"begins {name:32s} activity F1 {f1(np.concatenate(mine), truth):.3f}")


if __name__ == "__main__":
    main()
