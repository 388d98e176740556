"""Counterfactuals: one thing is another, everything else of the user's part stays.

    cd scripts && .venv/bin/python -m unittest world.tests.test_counterfactual
"""

import json
import unittest

import numpy as np

from world import counterfactual, render, words
from world.conversation import Conversation, truth

SEEDS = range(100_000, 100_010)


def questions(c):
    return [event for event in c.events if event["type"] == "question"]


class Counterfactual(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.plain = [Conversation(seed, length=30) for seed in SEEDS]
        cls.cards = [Conversation(seed, length=30) for seed in SEEDS]
        cls.questions = [Conversation(seed, length=30) for seed in SEEDS]
        for c in cls.cards:
            counterfactual.swap(c, "card")
        for c in cls.questions:
            counterfactual.swap(c, "question")

    def test_saying_again_what_was_said_changes_nothing(self):
        for c in self.plain:
            before, sound = json.dumps(truth(c)), render.agent_audio(c)
            counterfactual.say_again(c)
            self.assertEqual(json.dumps(truth(c)), before)
            np.testing.assert_array_equal(render.agent_audio(c), sound)

    def test_other_cards_leave_the_users_sound_as_it_was(self):
        for a, b in zip(self.plain, self.cards):
            np.testing.assert_array_equal(render.user_audio(a), render.user_audio(b))
            self.assertEqual(a.typed, b.typed)
            self.assertEqual(a.presence, b.presence)

    def test_other_cards_make_every_answer_another(self):
        for a, b in zip(self.plain, self.cards):
            for before, after in zip(questions(a), questions(b)):
                self.assertEqual(before["text"], after["text"])
                self.assertNotEqual(before["words"], after["words"])

    def test_other_questions_leave_cards_and_faces_as_they_were(self):
        for a, b in zip(self.plain, self.questions):
            self.assertEqual(a.cards, b.cards)
            self.assertEqual(len(questions(a)), len(questions(b)))
            asked = [e["text"] for e in questions(b)]
            self.assertNotEqual([e["text"] for e in questions(a)], asked)
            self.assertEqual(a.units, b.units)

    def test_answers_are_right_for_what_is_shown_and_asked_now(self):
        for c in self.cards + self.questions:
            record = truth(c)
            for event in questions(c):
                entry = record["timeline"][event["end"]]
                right = words.answer(event["kind"], entry["card"], entry["previous"])
                self.assertEqual(event["words"], right)
                # An interruption is answered no sooner than the agent has fallen silent.
                self.assertIn(event["answer"] - event["end"], range(1, 4 + 3 * event["interrupts"]))

    def test_the_same_swap_comes_from_the_same_seed(self):
        again = Conversation(SEEDS[0], length=30)
        counterfactual.swap(again, "question")
        self.assertEqual(json.dumps(truth(again)), json.dumps(truth(self.questions[0])))


if __name__ == "__main__":
    unittest.main()
