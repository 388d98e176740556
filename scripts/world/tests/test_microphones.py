"""Rooms and microphones: what each part does to sounds that are known, and that the voice stays where
the truth record says.

    cd scripts && .venv/bin/python -m unittest world.tests.test_microphones
"""

import unittest

import numpy as np

from world import microphones, render
from world.conditions import CONDITIONS
from world.conversation import truth
from world.microphones import MICROPHONES, NEAR
from world.stream import SAMPLE_RATE, UNIT, seconds


def tone(frequency, length=1.0):
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(seconds(length)) / SAMPLE_RATE)).astype(np.float32)


def level(sound):
    return 10 * np.log10(np.mean(sound.astype(np.float64) ** 2) + 1e-20)


def rms(sound):
    return np.sqrt(np.mean(sound.reshape(-1, UNIT) ** 2, 1))


class Parts(unittest.TestCase):
    def test_a_band_passes_what_is_inside_and_nothing_outside(self):
        for microphone in MICROPHONES:
            low, high = microphone.passes
            for frequency in (low / 2, low - 60, low + 60, (low + high) / 2, high - 60, high + 60):
                sound = tone(frequency)
                passed = microphones.band(sound, low, high)
                middle = slice(seconds(0.3), seconds(0.7))
                lost = level(sound[middle]) - level(passed[middle])
                with self.subTest(microphone=microphone.name, frequency=frequency):
                    if low < frequency < high:
                        np.testing.assert_allclose(passed[middle], sound[middle], atol=2e-3)
                    else:
                        self.assertGreater(lost, 40)

    def test_u_law_has_few_steps_that_are_finer_where_it_is_quiet(self):
        rng = np.random.default_rng(1)
        for loud in (0.9, 0.1, 0.01):
            sound = rng.uniform(-loud, loud, 20000).astype(np.float32)
            sent = microphones.u_law(sound)
            self.assertLessEqual(len(np.unique(sent)), 255)
            self.assertTrue(25 < level(sound) - level(sent - sound) < 45)
            np.testing.assert_allclose(microphones.u_law(sent), sent, atol=1e-6)

    def test_clipping_keeps_the_level_and_flattens_the_peaks(self):
        sound = tone(440)
        for gain in (2, 8):
            loud = microphones.clipped(sound, np.float32(gain))
            self.assertAlmostEqual(level(loud), level(sound), places=3)
            flat = np.mean(np.abs(loud) > 0.999 * np.abs(loud).max())
            self.assertEqual(flat > 0.1, 0.3 * gain > microphones.LOUDEST)

    def test_a_room_answers_after_the_voice_and_fades_as_long_as_it_should(self):
        for decay in (0.2, 0.6):
            response = microphones.room(np.random.default_rng(2), 1.0, decay)
            self.assertEqual(len(response), seconds(decay))
            early, late = (level(response[seconds(decay * a) : seconds(decay * (a + 0.2))]) for a in (0.25, 0.75))
            self.assertTrue(25 < early - late < 35, early - late)
        click = np.zeros(SAMPLE_RATE, np.float32)
        click[5000] = 1
        heard = microphones.convolved(click, response)
        self.assertLess(np.abs(heard[:5000]).max(), 1e-6)
        np.testing.assert_allclose(heard[5000 : 5000 + len(response)], response, atol=1e-6)

    def test_farther_away_the_voice_is_quieter_and_the_room_is_not(self):
        near, far = (microphones.room(np.random.default_rng(3), distance, 0.4) for distance in (0.4, 1.6))
        self.assertAlmostEqual(near[0] / far[0], 1.6 / NEAR, places=5)
        np.testing.assert_array_equal(near[1:], far[1:])

    def test_hum_is_the_mains_and_its_harmonics(self):
        spectrum = np.abs(np.fft.rfft(microphones.hum(np.random.default_rng(4), SAMPLE_RATE, 0))) ** 2
        loud = np.flatnonzero(spectrum > 1e-6 * spectrum.max())
        self.assertTrue(set(loud) <= set(range(50, 401, 50)) or set(loud) <= set(range(60, 481, 60)), loud)

    def test_babble_goes_on_all_the_time_and_is_the_seeds_own(self):
        a, again, b = (microphones.babble(np.random.default_rng(seed), UNIT * 30, 100_000) for seed in (5, 5, 6))
        np.testing.assert_array_equal(a, again)
        self.assertFalse(np.array_equal(a, b))
        self.assertAlmostEqual(level(a), 0, places=3)
        self.assertGreater(rms(a).min(), 0.1)


class Heard(unittest.TestCase):
    def test_every_microphone_changes_the_sound_and_leaves_the_voice_where_it_was(self):
        dry = CONDITIONS["quiet"](100_000, 20)
        sound = render.user_audio(dry)
        speaks = np.array([entry["user"] for entry in truth(dry)["timeline"]])
        for microphone in (*MICROPHONES, microphones.LOUD_ROOM):
            with self.subTest(microphone=microphone.name):
                heard, again = (
                    microphones.heard(np.random.default_rng(7), sound, microphone, dry.seed) for _ in range(2)
                )
                np.testing.assert_array_equal(heard, again)
                self.assertEqual((heard.dtype, heard.shape), (np.float32, sound.shape))
                self.assertGreater(np.abs(heard - sound).max(), 0.01)
                # From unit to unit it is as loud as the voice is, and nowhere earlier or later.
                lags = [np.corrcoef(rms(sound), np.roll(rms(heard), -lag))[0, 1] for lag in (-1, 0, 1)]
                self.assertEqual(int(np.argmax(lags)), 1)
                self.assertGreater(lags[1], 0.85)
                self.assertGreater(np.median(rms(heard)[speaks]), 2 * np.median(rms(heard)[~speaks]))

    def test_which_microphone_it_is_follows_from_the_seed_and_stands_in_the_record(self):
        named = [truth(CONDITIONS["microphones"](seed, 5))["microphone"] for seed in range(100_000, 100_004)]
        self.assertEqual(named, [microphone.name for microphone in MICROPHONES])


if __name__ == "__main__":
    unittest.main()
