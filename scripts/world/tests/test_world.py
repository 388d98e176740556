"""The world: the same from the same seed, and every truth record keeps the oracle's rules.

    cd scripts && .venv/bin/python -m unittest world.tests.test_world
"""

import json
import tempfile
import unittest
from unittest import mock

import numpy as np

from world import render, synthesizers, voices, words
from world.conversation import GREETING_DELAYS, STOP_AFTER, Conversation, truth
from world.lessons import Lesson
from world.practice import LONGEST_WAIT, Practice
from world.render import CUT_FADE
from world.stream import FRAMES, UNIT

SEEDS = range(100_000, 100_030)


class Steady(Practice):
    """Without the slip that answers are begun late."""

    def _begins(self, unit, word):
        return unit


class World(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.conversations = [Conversation(seed, length=30) for seed in SEEDS]
        cls.truths = [truth(c) for c in cls.conversations]
        cls.events = [(t, e) for t in cls.truths for e in t["events"]]

    def of_type(self, type):
        return [(t, e) for t, e in self.events if e["type"] == type]

    def test_same_seed_gives_the_same_streams(self):
        a, b = Conversation(5, length=12), Conversation(5, length=12)
        self.assertEqual(json.dumps(truth(a)), json.dumps(truth(b)))
        for stream in (render.user_audio, render.agent_audio, render.user_frames, render.agent_states):
            np.testing.assert_array_equal(stream(a), stream(b))
        self.assertNotEqual(json.dumps(truth(a)), json.dumps(truth(Conversation(6, length=12))))

    def test_frames_of_some_units_are_those_of_all(self):
        c = self.conversations[0]
        part = render.user_frames(c, first=3, last=7)
        np.testing.assert_array_equal(part, render.user_frames(c)[3 * FRAMES : 7 * FRAMES])

    def test_streams_have_whole_units_in_range(self):
        c = self.conversations[1]
        for sound in (render.user_audio(c), render.agent_audio(c)):
            self.assertEqual(len(sound), c.units * UNIT)
            self.assertLessEqual(np.abs(sound).max(), 1)
        self.assertEqual(len(render.agent_states(c)), c.units * FRAMES)

    def test_every_behaviour_happens(self):
        types = {event["type"] for _, event in self.events}
        self.assertEqual(
            types, {"question", "interruption", "distraction", "story", "greeting", "naming"}
        )
        kinds = {event["kind"] for _, event in self.of_type("question")}
        self.assertEqual(kinds, set(words.QUESTIONS))
        self.assertTrue(any(event["typed"] for _, event in self.of_type("question")))
        self.assertTrue(any(event["pauses"] for _, event in self.of_type("question")))

    def test_in_the_world_the_agent_is_the_oracle(self):
        self.assertTrue(all(not c.wanted for c in self.conversations))

    def test_in_practice_the_oracle_wants_something_else_than_was_said(self):
        slipped = [Practice(seed, length=24) for seed in range(300, 340)]
        kinds = {"late": 0, "not to be said": 0, "another word": 0}
        for c in slipped:
            for unit, wanted in c.wanted.items():
                said = c.tokens.get(unit)
                if said is None and wanted is not None:
                    kinds["late"] += 1
                elif wanted is None and said is not None:
                    kinds["not to be said"] += 1
                elif wanted is not None:
                    self.assertNotEqual(said, wanted)
                    kinds["another word"] += 1
        self.assertGreater(min(kinds.values()), 10, kinds)

    def test_in_practice_a_word_is_wanted_while_the_agent_hesitates(self):
        class Hesitant(Practice):
            """Slips in no other way."""

            _begins, _stops, _wording = Conversation._begins, Conversation._stops, Conversation._wording
            _in_pause, _in_silence = Conversation._in_pause, Conversation._in_silence

        held = 0
        for seed in range(300, 340):
            c = Hesitant(seed, length=24)
            for unit, word in c.wanted.items():
                said = [u for u in c.tokens if u >= unit]
                # Cut off in the meantime, it says it no more.
                if not said or any(unit < cut <= min(said) for cut in c.cuts):
                    continue
                self.assertEqual(c.tokens[min(said)], word)
                self.assertIn(min(said) - unit, range(1, LONGEST_WAIT + 1))
                held += 1
        self.assertGreater(held, 20)

    def test_in_practice_an_answer_is_wanted_when_the_oracle_would_begin_it(self):
        held = 0
        for seed in range(300, 340):
            c = Practice(seed, length=24)
            wanted = [c.wanted.get(u, c.tokens.get(u)) for u in range(c.units)]
            for event in c.events:
                # After having begun in a pause the agent falls silent first.
                if event["type"] != "question" or event["pauses"] or event["interrupts"]:
                    continue
                answer = [u for u in range(event["end"] + 1, c.units) if wanted[u] is not None]
                self.assertIn(answer[0] - event["end"], (1, 2, 3))
                self.assertEqual(wanted[answer[0]], event["words"][0])
                held += 1
        self.assertGreater(held, 20)

    def test_answers_begin_one_to_three_units_after_the_question_and_are_right(self):
        for t, event in self.of_type("question"):
            self.assertIn(event["answer"] - event["end"], (1, 2, 3))
            entry = t["timeline"][event["end"]]
            self.assertEqual(event["card"], entry["card"])
            self.assertEqual(event["words"], words.answer(event["kind"], entry["card"], entry["previous"]))
            self.assertEqual(t["timeline"][event["answer"]]["word"], event["words"][0])

    def test_the_agent_is_silent_two_units_after_an_interruption_begins(self):
        self.assertGreater(len(self.of_type("interruption")), 5)
        for t, event in self.of_type("interruption"):
            self.assertLessEqual(event["stop"] - event["onset"], STOP_AFTER)
            self.assertTrue(t["timeline"][event["onset"]]["agent"])
            self.assertFalse(t["timeline"][event["stop"]]["agent"])

    def test_pauses_inside_questions_are_not_answered(self):
        for t, event in self.of_type("question"):
            for start, end in event["pauses"]:
                self.assertGreaterEqual(end - start, UNIT)
                for unit in range(start // UNIT, end // UNIT + 1):
                    if not event["interrupts"]:
                        self.assertFalse(t["timeline"][unit]["agent"])

    def test_greetings_follow_an_arrival(self):
        for _, event in self.of_type("greeting"):
            self.assertIn(event["start"] - event["appeared"], GREETING_DELAYS)

    def test_words_take_one_slot_each_where_they_sound(self):
        for t in self.truths:
            for entry in t["timeline"]:
                if entry["word"] is not None:
                    self.assertTrue(entry["agent"])

    def test_evaluation_voices_are_not_heard_in_training(self):
        base = lambda evaluation: {v[0].split("+")[0] for v in voices.speakers(evaluation)}
        self.assertFalse(base(True) & base(False))

    def test_a_voice_cached_at_one_rate_is_not_played_at_another(self):
        with tempfile.TemporaryDirectory() as cache, mock.patch.object(synthesizers, "CACHE", cache):
            lengths = []
            for rate in (16000, 8000, 16000):
                voices.say.cache_clear()
                with mock.patch.object(synthesizers, "SAMPLE_RATE", rate):
                    lengths.append(len(voices.agent_word("red")))
        voices.say.cache_clear()
        self.assertEqual(lengths[0], lengths[2])
        self.assertLess(abs(lengths[1] * 2 - lengths[0]), 1000)

    def test_an_accent_says_equal_words_alike_and_keeps_most_consonants(self):
        said = [voices.accented("seven and seven?", "en-us", accent) for accent in range(12)]
        self.assertGreater(len(set(said)), 2)
        vowels = set("".join([*voices.VOWELS, *sum(voices.VOWELS.values(), [])]))
        consonants = {"".join(letter for letter in phonemes if letter not in vowels) for phonemes in said}
        self.assertEqual(len(consonants), 1)
        for phonemes in said:
            self.assertRegex(phonemes, r"^\[\[(\S+) \S+ \1\]\]\?$")

    def test_an_accent_may_leave_out_or_change_some_consonants(self):
        said = [voices.accented("how are the three?", "en-us", accent) for accent in range(60)]
        begins = lambda word: {phonemes.strip("[]?").split()[word].lstrip(",'")[0] for phonemes in said}
        self.assertEqual(begins(0), {"h", "a"})
        self.assertEqual(begins(2), {"D", "d", "v"})
        self.assertEqual(begins(3), {"T", "t", "f"})

    def test_what_follows_a_phonemes_name_stays(self):
        for accent in range(40):
            self.assertIn("w#", voices.accented("what shape", "en-gb-scotland", accent))

    def test_accents_are_heard_in_training_only(self):
        accents = lambda evaluation: [v for v, *_ in voices.speakers(evaluation) if voices.ACCENT in v]
        self.assertEqual(len(accents(False)), voices.ACCENTED_SPEAKERS)
        self.assertEqual(accents(True), [])

    def test_unheard_voices_are_no_speakers_of_training_or_evaluation(self):
        rng = np.random.default_rng(1)
        drawn = {voices.unheard(rng)[0] for _ in range(300)}
        self.assertGreater(len(drawn), 250)
        for evaluation in (False, True):
            self.assertFalse(drawn & {voice for voice, *_ in voices.speakers(evaluation)})
        self.assertEqual({voice.split("+")[0].split(" ")[0] for voice in drawn}, set(voices.TRAINING_BASES))

    def test_a_voice_that_is_cut_off_is_loud_until_it_ends(self):
        loud = []
        for c in self.conversations:
            sound = render.agent_audio(c)
            for unit in c.cuts:
                before = sound[unit * UNIT - 320 : unit * UNIT]
                np.testing.assert_allclose(before[-1], 0, atol=1e-6)
                loud.append(np.abs(before[: -CUT_FADE]).mean())
        self.assertGreater(np.median(loud), 0.02)

    def test_without_fades_only_the_last_samples_before_a_cut_differ(self):
        differ = 0
        for c in self.conversations:
            changed = np.flatnonzero(render.agent_audio(c) != render.agent_audio(c, fades=False))
            ends = {(at // UNIT + 1) * UNIT - at for at in changed}
            self.assertLessEqual(max(ends, default=1), CUT_FADE)
            self.assertLessEqual({at // UNIT + 1 for at in changed}, set(c.cuts))
            differ += len(changed)
        self.assertGreater(differ, 0)

    def test_in_practice_delays_are_mostly_the_usual_one(self):
        answers = lambda kind: [
            e["answer"] - e["end"]
            for seed in range(40)
            for e in kind(seed, length=20).events
            if e["type"] == "question" and not e["interrupts"] and not e["pauses"]
        ]
        usual = lambda delays: np.mean(np.array(delays) == 1)
        self.assertGreater(usual(answers(Steady)), usual(answers(Conversation)) + 0.1)

    def test_in_practice_the_shortest_questions_are_asked_more_often(self):
        shortest = lambda kind: np.mean([
            event["text"] == " ".join(words.QUESTIONS[event["kind"]][0])
            for seed in range(40)
            for event in kind(seed, length=20).events
            if event["type"] == "question" and not event["typed"]
        ])
        self.assertGreater(shortest(Practice), shortest(Conversation) + 0.1)
        for options in words.QUESTIONS.values():
            self.assertEqual(len(options[0]), 1)

    def test_user_words_begin_anywhere_in_a_unit(self):
        offsets = [start % UNIT for c in self.conversations for start, *_ in c.user_clips]
        self.assertGreater(len(set(offsets)), len(offsets) // 2)

    def test_lessons_write_down_what_is_said_and_shown(self):
        lessons = [Lesson(seed, length=15) for seed in range(30)]
        readings = [(lesson, e) for lesson in lessons for e in lesson.events if e["type"] == "reading"]
        self.assertEqual({e["command"] for _, e in readings}, {"read", "card"})
        for lesson, event in readings:
            start, said = event["start"], event["words"]
            self.assertEqual(lesson.typed[start], event["command"])
            self.assertEqual([lesson.tokens.get(start + i) for i in range(len(said) + 1)], [*said, None])
            # Nothing is said while it is written: a cascade writes between two units.
            span = start * UNIT, (start + len(said)) * UNIT
            for at, samples, *_ in lesson.user_clips:
                self.assertFalse(at < span[1] and at + len(samples) > span[0])

    def test_lessons_say_what_is_typed(self):
        lessons = [Lesson(seed, length=15) for seed in range(30)]
        speaking = [(lesson, e) for lesson in lessons for e in lesson.events if e["type"] == "speaking"]
        self.assertTrue(any(e["stop"] for _, e in speaking))
        for lesson, event in speaking:
            start, stop = event["start"], event["stop"]
            self.assertEqual(lesson.typed[start], event["words"][0])
            self.assertEqual(lesson.tokens[start], event["words"][0])
            if stop is not None:
                self.assertEqual(lesson.typed[stop], "stop")
                self.assertFalse(any(u in lesson.tokens for u in range(stop, stop + 2)))

    def test_lessons_of_speaking_hear_and_see_nothing(self):
        lesson = next(one for one in (Lesson(seed, length=15) for seed in range(30)) if one.blind)
        self.assertFalse(render.user_audio(lesson).any() or render.user_frames(lesson, last=9).any())


if __name__ == "__main__":
    unittest.main()
