"""What an agent can't foresee, and nothing else, stands between it and the oracle.

    cd scripts && .venv/bin/python -m unittest world.tests.test_ceiling
"""

import unittest

import numpy as np

from world.ceiling import Foreseen, active, f1, likeliest_voice
from world.conversation import Conversation, truth

SEEDS = range(40)


class Steady(Foreseen):
    """The oracle takes its usual delays."""

    def _timing(self, drawn, usual):
        super()._timing(usual, usual)
        return usual


class Ceiling(unittest.TestCase):
    def test_the_conversation_stays_what_it_is(self):
        for seed in SEEDS[:5]:
            self.assertEqual(truth(Foreseen(seed)), truth(Conversation(seed)))

    def test_an_oracle_that_takes_its_usual_delays_is_foreseen(self):
        for seed in SEEDS:
            for said in Steady(seed, length=20).utterances:
                self.assertEqual(said["likeliest"], said["unit"])

    def test_answers_are_likeliest_after_one_unit(self):
        later = 0
        for seed in SEEDS:
            c = Foreseen(seed, length=20)
            begun = {said["unit"]: said["likeliest"] for said in c.utterances}
            stops = {e["onset"]: e["stop"] for e in c.events if e["type"] == "interruption"}
            for event in c.events:
                if event["type"] != "question" or event["answer"] not in begun:
                    continue
                earliest = stops[event["start"]] + 1 if event["interrupts"] else 0
                self.assertEqual(begun[event["answer"]], max(event["end"] + 1, earliest))
                later += event["answer"] > begun[event["answer"]]
        self.assertGreater(later, 10)

    def test_the_likeliest_voice_is_near_the_oracles_and_silent_where_that_was_cut_off(self):
        mine, theirs, stopped = [], [], 0
        for seed in SEEDS:
            c = Foreseen(seed, length=20)
            mine.append(active(likeliest_voice(c, lambda: 1), c.units))
            theirs.append(active(c.agent_clips, c.units))
            for said in c.utterances:
                if said["cut"] is not None and mine[-1][said["cut"] - 1]:
                    self.assertFalse(mine[-1][said["cut"]])
                    stopped += 1
        self.assertGreater(stopped, 10)
        mine, theirs = np.concatenate(mine), np.concatenate(theirs)
        self.assertEqual(f1(theirs, theirs), 1)
        self.assertTrue(0.85 < f1(mine, theirs) < 0.96)


if __name__ == "__main__":
    unittest.main()
