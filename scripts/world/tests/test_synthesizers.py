"""Other synthesizers' voices: who is heard where, what is said when one is missing, and for those that
are here that they speak, the same each time.

    cd scripts && .venv/bin/python -m unittest world.tests.test_synthesizers
"""

import json
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np

from world import render, synthesizers, voices
from world.conditions import CONDITIONS
from world.conversation import truth
from world.stream import SAMPLE_RATE
from world.synthesizers import SYNTHESIZERS, Missing

# A voice of each for evaluation, and a seed whose users speak with it.
TABLE = [("flite/awb", 100_002), ("festival/ked_diphone", 100_000), ("kokoro/bm_fable", 100_001)]


class Synthesizers(unittest.TestCase):
    def say(self, text, voice, speed=1.0):
        """Without cache, or skips."""
        synthesizers.say.cache_clear()
        with tempfile.TemporaryDirectory() as cache, mock.patch.object(synthesizers, "CACHE", cache):
            try:
                return synthesizers.say(text, voice, speed)
            except Missing as error:
                self.skipTest(f"{error}")

    def tearDown(self):
        synthesizers.say.cache_clear()

    def test_evaluations_voices_are_none_of_trainings(self):
        for name, known in SYNTHESIZERS.items():
            self.assertFalse(set(known.training) & set(known.evaluation), name)
        count = lambda evaluation: {name: len(synthesizers.voices(name, evaluation)) for name in synthesizers.OTHERS}
        self.assertEqual(count(True), {"flite": 2, "festival": 2, "kokoro": 12})
        self.assertEqual(count(False), {"flite": 2, "festival": 0, "kokoro": 42})
        british = [voice for voice in SYNTHESIZERS["kokoro"].training if voice.startswith("b")]
        self.assertEqual(british, [])

    def test_the_table_names_every_voice_once_with_its_source_and_licence(self):
        cells = [cell for row in synthesizers.table().split("\n")[2:] for cell in row.strip("| ").split(" | ")]
        self.assertEqual(len(cells), 5 * len(SYNTHESIZERS))
        self.assertNotIn("", cells)
        for known in SYNTHESIZERS.values():
            for voice in (*known.training, *known.evaluation):
                self.assertEqual(sum(voice in cell.split(", ") for cell in cells), 1, voice)

    def test_the_synthesizer_follows_from_the_seed(self):
        rng = np.random.default_rng(1)
        for voice, seed in TABLE:
            heard = {voices.other_speaker(rng, seed)[0] for _ in range(300)}
            self.assertEqual(heard, set(synthesizers.voices(voice.split("/")[0], True)))
        parts = CONDITIONS["classic-voices"].synthesizers + CONDITIONS["neural-voices"].synthesizers
        self.assertEqual(parts, CONDITIONS["voices"].synthesizers)
        trained = {voices.other_speaker(rng, seed)[0].split("/")[0] for seed in range(10)}
        self.assertEqual(trained, {"flite", "kokoro"})

    def test_what_is_missing_is_named_with_its_remedy(self):
        remedies = ["apt-get install flite", "apt-get install festival festvox-us-slt-hts", "setup --judges"]
        with mock.patch.object(synthesizers, "JUDGES", Path("/none")):
            with self.assertRaisesRegex(Missing, f"{remedies[2]}|apt-get install espeak-ng"):
                synthesizers.kokoro_child.__wrapped__(0)
        with mock.patch.dict(os.environ, {"PATH": ""}):
            for (voice, _), remedy in zip(TABLE[:2], remedies):
                with self.assertRaisesRegex(Missing, remedy):
                    synthesizers.say("not said before", voice)

    def test_speech_is_the_same_each_time_and_faster_where_it_should_be(self):
        for voice, _ in TABLE:
            with self.subTest(voice=voice):
                said = self.say("what colour is it?", voice)
                self.assertEqual(said.dtype, np.float32)
                np.testing.assert_array_equal(said, self.say("what colour is it?", voice))
                self.assertTrue(0.6 < len(said) / SAMPLE_RATE < 2.5)
                self.assertTrue(0.05 < np.sqrt(np.mean(said**2)) < 0.11)
                # Trimmed: it sounds from its first tenth to its last.
                self.assertGreater(np.abs(said[: len(said) // 10]).max(), 0.02)
                self.assertGreater(np.abs(said[-len(said) // 10 :]).max(), 0.01)
                slow = self.say("what colour is it?", voice, 0.75)
                self.assertTrue(1.15 < len(slow) / len(said) < 1.6, len(slow) / len(said))

    def test_conversations_are_the_same_from_the_same_seed(self):
        for voice, seed in TABLE:
            with self.subTest(voice=voice):
                self.say("what?", voice)
                a, b = (CONDITIONS["voices"](seed, 6) for _ in range(2))
                self.assertEqual(json.dumps(truth(a)), json.dumps(truth(b)))
                np.testing.assert_array_equal(render.user_audio(a), render.user_audio(b))
                self.assertEqual(truth(a)["voice"].split("/")[0], voice.split("/")[0])


if __name__ == "__main__":
    unittest.main()
