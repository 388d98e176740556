"""Conversations of world 2: what an agent is told changes what it says and when, and its record tells who it is.
Its words are espeak-ng's here: Kokoro may be missing.

    cd scripts && .venv/bin/python -m unittest world2.tests.test_conversation
"""

import json
import unittest
from unittest import mock

import numpy as np

from world import ceiling, counterfactual, render, synthesizers, voices, words
from world.conversation import NAMING_SILENCE
from world2 import agents, conditions, conversation, prompts
from world2.characters import named

SEEDS = range(100_000, 100_006)


def spoken(said, _voice):
    return voices.say("mmm" if said == "mm" else said, "en-us+f5", 62, 260 if said in agents.LITTLE else 175)


class Told(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        patches = [
            mock.patch.object(agents, "word", spoken),
            mock.patch.object(agents, "reference", lambda rng, voice: np.zeros(int(rng.integers(16_000, 64_000)), np.float32)),
            mock.patch.object(conversation.Conversation, "ears", {"espeak-ng": 1}),
        ]
        for patch in patches:
            patch.start()
            cls.addClassCleanup(patch.stop)
        cls.made = {kind: [told(kind)(seed, 30) for seed in SEEDS] for kind in (None, *prompts.KINDS)}

    def events(self, kind, type):
        return [event for c in self.made[kind] for event in c.events if event["type"] == type]

    def test_the_same_seed_gives_the_same_bytes_and_another_record(self):
        again = told("brief")(SEEDS[0], 30)
        self.assertEqual(json.dumps(conversation.truth(again)), json.dumps(conversation.truth(self.made["brief"][0])))
        np.testing.assert_array_equal(render.agent_audio(again), render.agent_audio(self.made["brief"][0]))

    def test_answers_are_the_cards_in_the_words_of_the_prompt(self):
        shortest = {None: 3, "wait": 3, "brief": 1, "sentences": 6}
        for kind in self.made:
            questions = self.events(kind, "question")
            self.assertGreater(len(questions), 10)
            for event in questions:
                plain = words.answer(event["kind"], event["card"], event["previous"])
                told_to = prompts.Prompt(kind, "") if kind else None
                self.assertEqual(event["words"], prompts.worded(told_to, plain))
                self.assertEqual(event["words"][-1], plain[-1])
                self.assertGreaterEqual(len(event["words"]), shortest[kind])
                if kind == "brief":
                    self.assertEqual(len(event["words"]), 1)

    def test_lessons_say_every_word_and_every_sentence(self):
        lesson = conversation.Lesson(7, length=12)
        said = [lesson._to_say() for _ in range(3000)]
        self.assertEqual({word for each in said for word in each}, set(prompts.agent_words()))
        for kind in ("brief", "sentences"):
            self.assertIn(prompts.worded(prompts.Prompt(kind, ""), ["it", "is", "red"]), said)

    def test_an_oracle_of_usual_delays_is_foreseen_as_it_was_told_to_talk(self):
        class Steady(ceiling.Foresight, told("sentences")):
            def _timing(self, drawn, usual):
                super()._timing(usual, usual)
                return usual

        for seed in SEEDS:
            c = Steady(seed, 20)
            self.assertTrue(all(one["likeliest"] == one["unit"] for one in c.utterances))
            mine, truth = (ceiling.active(clips, c.units) for clips in (ceiling.likeliest_voice(c, lambda: 1), c.agent_clips))
            self.assertGreater(ceiling.f1(mine, truth), 0.8)

    def test_what_is_said_is_what_the_record_says(self):
        for c in (c for made in self.made.values() for c in made):
            for event in c.events:
                begins = event.get("answer", event["start"]) if "words" in event else None
                if begins is None:
                    continue
                said = [c.tokens.get(unit) for unit in range(begins, min(c.units, begins + 30)) if unit in c.tokens]
                cuts = [cut for cut in c.cuts if cut > begins]
                count = 0 if cuts else len(event["words"])
                self.assertEqual(said[:count], event["words"][:count])

    def test_who_waits_neither_greets_nor_names_and_silences_are_long_enough_to(self):
        self.assertFalse(self.events("wait", "naming") + self.events("wait", "greeting"))
        self.assertTrue(self.events(None, "naming") and self.events(None, "greeting"))
        waiting = self.events("wait", "waiting")
        self.assertEqual({event["instead"] for event in waiting}, {"greeting", "naming"})
        for c in self.made["wait"]:
            timeline = conversation.truth(c)["timeline"]
            for event in c.events:
                if event["type"] != "waiting":
                    continue
                around = range(max(0, event["start"] - 3), min(c.units, event["start"] + 2))
                self.assertFalse(any(timeline[unit]["agent"] for unit in around))
                if event["instead"] == "naming":
                    before = range(max(0, event["start"] - NAMING_SILENCE + 2), event["start"] + 4)
                    self.assertFalse(any(timeline[unit]["user"] for unit in before if unit < c.units))

    def test_a_swapped_card_or_question_is_answered_in_the_same_way(self):
        for kind in self.made:
            for swap in counterfactual.SWAPS:
                changed = 0
                for seed in SEEDS[:4]:
                    c, before = told(kind)(seed, 30), self.made[kind][seed - SEEDS[0]]
                    conversation.swap(c, swap)
                    for old, new in zip(before.events, c.events):
                        if new["type"] == "question":
                            plain = words.answer(new["kind"], new["card"], new["previous"])
                            self.assertEqual(new["words"], prompts.worded(c.prompt, plain))
                            changed += new["words"] != old["words"]
                            if all(cut <= new["answer"] for cut in c.cuts):
                                self.assertEqual(c.tokens.get(new["answer"]), new["words"][0])
                    self.assertEqual(len(before.events), len(c.events))
                self.assertGreater(changed, 3)

    def test_practice_wants_words_that_the_prompt_allows(self):
        known, slips = set(prompts.agent_words()), 0
        for kind in prompts.KINDS:
            for seed in range(6):
                c = told(kind, conversation.Practice)(seed, 30)
                slips += len(c.wanted)
                wanted = {word for word in c.wanted.values() if word is not None}
                self.assertLessEqual(wanted | set(c.tokens.values()), known)
                if kind == "brief":
                    self.assertFalse(wanted & {"it", "is", "there", "are", "was"})
        self.assertGreater(slips, 20)

    def test_records_tell_who_the_agent_is_and_what_was_given(self):
        made = [conversation.Conversation(seed, 10) for seed in (*range(60), *range(100_000, 100_060))]
        given = np.array([(c.shown, c.heard_voice, c.prompt is not None) for c in made])
        self.assertTrue(((0.4 < given.mean(0)) & (given.mean(0) < 0.95)).all(), given.mean(0))
        for c in made:
            record = conversation.truth(c)
            evaluation = c.seed >= 100_000
            self.assertEqual((record["world"], record["evaluation"]), (2, evaluation))
            self.assertEqual(record["character"]["given"], c.shown)
            self.assertEqual(c.heard_voice, c.reference_sound is not None)
            if not c.shown:
                self.assertEqual(record["character"]["name"], "ada")
            elif evaluation:
                self.assertGreaterEqual(record["character"]["seed"], 100_000)
            if c.heard_voice and evaluation:
                self.assertIn(c.agent_voice, agents.EVALUATION)
            elif not c.heard_voice:
                self.assertEqual(c.agent_voice, agents.DEFAULT)
            among = record["agent_voice"]["among"]
            self.assertEqual((len(set(among)), among[0]), (8, c.agent_voice))
            self.assertLessEqual(set(among[1:]), set(agents.voices(evaluation)))
            faces = conversation.neighbours(c)
            self.assertEqual((len({one.seed for one in faces}), faces[0]), (8, c.character))

    def test_agents_of_evaluation_have_voices_that_none_of_training_has(self):
        parts = {voice for name in agents.training() for voice in name.removeprefix("kokoro/").split("+")}
        self.assertFalse(parts & {voice.removeprefix("kokoro/") for voice in agents.EVALUATION})
        self.assertFalse(parts & set(synthesizers.SYNTHESIZERS["kokoro"].evaluation))
        self.assertGreaterEqual(len(agents.EVALUATION), 8)
        self.assertLessEqual(set(agents.NAMED.values()), set(agents.training()))
        self.assertEqual(set(agents.NAMED), set(named()))

    def test_conditions_are_world_ones_and_three_more(self):
        for name, kind in conditions.CONDITIONS.items():
            with mock.patch.object(kind, "ears", {"espeak-ng": 1}):
                c = kind(100_001, 10)
            self.assertEqual(c.condition, name)
            self.assertEqual(c.name, "100001" if name == "quiet" else f"100001-{name}")
            self.assertEqual(conversation.truth(c).get("condition"), None if name == "quiet" else name)
            if name.endswith("voices"):
                self.assertIsNone(c.microphone)
        self.assertIsNotNone(conditions.CONDITIONS["microphones"](100_001, 10).microphone)
        self.assertTrue(all(conditions.CONDITIONS["prompts"](seed, 10).prompt for seed in SEEDS))


class Words(unittest.TestCase):
    def test_a_little_word_ends_at_its_first_silence_and_loses_what_comes_after(self):
        rng = np.random.default_rng(3)
        hop = agents.HOP
        for silent_from, ends in ((10, 10), (4, 8), (14, 14)):
            sound = 0.1 * rng.standard_normal(25 * hop).astype(np.float32)
            sound[silent_from * hop : max(12, silent_from + 2) * hop] *= 0.02
            made = agents.ended(sound)
            self.assertEqual(len(made), ends * hop + agents.FADE)
            self.assertAlmostEqual(float(np.sqrt(np.mean(made**2))), 0.1, 2)
            self.assertLess(abs(made[-1]), 0.01)
        short = 0.1 * rng.standard_normal(3 * hop).astype(np.float32)
        np.testing.assert_array_equal(agents.ended(short), short)


class Prompts(unittest.TestCase):
    def test_evaluations_phrasings_are_others_of_trainings_words(self):
        low = lambda texts: {word for text in texts for word in text.lower().rstrip(".").split()}
        for kind in prompts.KINDS:
            training, evaluation = prompts.TRAINING[kind], prompts.EVALUATION[kind]
            self.assertGreaterEqual(len(set(training)), 20)
            self.assertGreaterEqual(len(set(evaluation)), 10)
            self.assertFalse(set(training) & set(evaluation))
            self.assertLessEqual(low(evaluation), low(training))

    def test_every_word_has_a_token_once_and_world_ones_come_first(self):
        known = prompts.vocabulary()
        self.assertEqual(len(known), len(set(known)))
        self.assertEqual(known[: len(words.vocabulary())], words.vocabulary())
        said = {w for side in (prompts.TRAINING, prompts.EVALUATION) for texts in side.values() for t in texts for w in t.rstrip(".").split()}
        self.assertLessEqual(said | set(prompts.agent_words()), set(known))


def told(kind, base=conversation.Conversation):
    """Conversations whose agent was told this."""
    return type("Told", (base,), {"prompt_kind": kind, "prompted": 1.0 if kind else 0.0})


if __name__ == "__main__":
    unittest.main()
