"""Conditions: what each makes harder, and truth records that hold in all of them.

    cd scripts && .venv/bin/python -m unittest world.tests.test_conditions
"""

import json
import unittest

import numpy as np

from world import counterfactual, render, words
from world.conditions import CONDITIONS
from world.conversation import STOP_AFTER, truth
from world.stream import UNIT, seconds

SEEDS = range(100_000, 100_008)


def events(c, type):
    return [event for event in c.events if event["type"] == type]


def rms(sound):
    return np.sqrt(np.mean(sound.reshape(-1, UNIT) ** 2, 1))


class Conditions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Other synthesizers may be missing here: test_synthesizers.py has those that aren't.
        kinds = {name: kind for name, kind in CONDITIONS.items() if "voices" not in name}
        cls.made = {name: [kind(seed, 20) for seed in SEEDS] for name, kind in kinds.items()}

    def every(self):
        """Each conversation under each condition."""
        return [c for conversations in self.made.values() for c in conversations]

    def count(self, name, type):
        return sum(len(events(c, type)) for c in self.made[name])

    def test_the_same_seed_gives_the_same_bytes_and_another_condition_others(self):
        sounds = set()
        for name, conversations in self.made.items():
            again = CONDITIONS[name](SEEDS[0], 20)
            self.assertEqual(json.dumps(truth(again)), json.dumps(truth(conversations[0])))
            for stream in (render.user_audio, render.agent_audio, render.agent_states):
                np.testing.assert_array_equal(stream(again), stream(conversations[0]))
            sounds.add(render.user_audio(again).tobytes())
        self.assertEqual(len(sounds), len(self.made))

    def test_a_recordings_name_and_record_say_the_condition(self):
        for c in self.every():
            quiet = c.condition == "quiet"
            self.assertEqual(c.name, f"{c.seed}" if quiet else f"{c.seed}-{c.condition}")
            self.assertEqual(truth(c).get("condition"), None if quiet else c.condition)

    def test_users_and_agents_sound_where_the_record_says(self):
        for c in self.every():
            timeline = truth(c)["timeline"]
            user, agent = (np.array([entry[side] for entry in timeline]) for side in ("user", "agent"))
            disturbed = np.zeros(c.units, bool)
            for event in events(c, "distraction"):
                disturbed[event["start"] : event["end"] + 1] = True
            voice = rms(render.mixed([clip for clip in c.user_clips if clip[3]], c.units))
            self.assertFalse(voice[~user].any())
            # A voice's last samples may be zeros, and those alone be in a unit.
            self.assertGreater(np.mean(voice[user] > 0), 0.95)
            self.assertFalse(rms(render.agent_audio(c))[~agent].any())
            # In what is heard, units full of the voice stand out from those with nobody's.
            heard = rms(render.user_audio(c))
            full = heard[user & (voice > np.median(voice[user]))]
            self.assertGreater(np.median(full), 1.5 * np.median(heard[~user & ~disturbed]))

    def test_answers_are_right_and_come_as_the_oracles_do(self):
        for c in self.every():
            for kind in (None, *counterfactual.SWAPS):
                if kind:
                    c = type(c)(c.seed, 20)
                    counterfactual.swap(c, kind)
                timeline = truth(c)["timeline"]
                for event in events(c, "question"):
                    entry = timeline[event["end"]]
                    self.assertEqual(event["words"], words.answer(event["kind"], entry["card"], entry["previous"]))
                    self.assertIn(event["answer"] - event["end"], range(1, 4 + 3 * event["interrupts"]))
                for event in events(c, "interruption"):
                    self.assertLessEqual(event["stop"] - event["onset"], STOP_AFTER)
                    self.assertFalse(timeline[event["stop"]]["agent"])

    def test_pauses_are_silent_and_as_long_as_the_condition_says(self):
        low, high = seconds(0.16), seconds(0.64)
        lengths = {"pauses": (seconds(0.5), seconds(1.5))}
        for c in self.every():
            timeline = truth(c)["timeline"]
            voice = render.mixed([clip for clip in c.user_clips if clip[3]], c.units)
            for event in events(c, "question"):
                for start, end in event["pauses"]:
                    shortest, longest = lengths.get(c.condition, (low, high))
                    self.assertTrue(shortest <= end - start <= longest)
                    self.assertFalse(voice[start:end].any())
                    self.assertTrue(voice[start - 200 : start].any() and voice[end : end + 200].any())
                    if not event["interrupts"]:
                        self.assertFalse(any(timeline[u]["agent"] for u in range(start // UNIT, end // UNIT)))

    def test_pauses_break_most_questions(self):
        asked = [event for c in self.made["pauses"] for event in events(c, "question") if not event["typed"]]
        self.assertGreater(np.mean([len(event["pauses"]) for event in asked]), 0.8)

    def test_noisy_users_have_a_louder_floor_and_more_noises(self):
        floor = lambda name: np.median([np.quantile(rms(render.user_audio(c)), 0.1) for c in self.made[name]])
        self.assertGreater(floor("noisy"), 3 * floor("quiet"))
        self.assertGreater(self.count("noisy", "distraction"), 1.3 * self.count("quiet", "distraction"))

    def test_overlapping_users_interrupt_and_say_mhm_more_often(self):
        self.assertGreater(self.count("overlap", "interruption"), 1.5 * self.count("quiet", "interruption"))
        mhms = lambda name: sum(e["kind"] == "mhm" for c in self.made[name] for e in events(c, "distraction"))
        self.assertGreater(mhms("overlap"), 1.5 * mhms("quiet"))


if __name__ == "__main__":
    unittest.main()
