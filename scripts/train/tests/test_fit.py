"""The world's streams at a config's rates, sizes and units.

    cd scripts && .venv/bin/python -m unittest train.tests.test_fit
"""

import unittest

import numpy as np

from train.base import nano
from train.fit import Fit, resampled
from train.tests.odd import patched


def fit(patch):
    return Fit(patched(nano().config, patch))


class World(unittest.TestCase):
    def test_what_fits_stays_as_it_is(self):
        rng = np.random.default_rng(1)
        sound, frames = rng.normal(size=5 * 2560).astype(np.float32), rng.integers(0, 256, (20, 128, 128, 3), np.uint8)
        self.assertTrue(np.array_equal(fit({}).sound(sound, 5), sound))
        self.assertTrue(np.array_equal(fit({}).frames(frames, 5), frames))
        self.assertEqual([fit({}).seen_last(unit) for unit in range(4)], [0, 1, 2, 3])

    def test_a_tone_is_the_same_tone_at_another_rate(self):
        at = lambda rate: np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate).astype(np.float32)
        for rate in (8000, 24000, 44100):
            made = resampled(at(16000), 16000, rate)
            self.assertEqual(len(made), rate // 2)
            middle = slice(rate // 20, -rate // 20)
            self.assertLess(np.abs(made - at(rate))[middle].max(), 0.02, rate)

    def test_pictures_come_in_the_configs_size_and_pace(self):
        frames = np.arange(20, dtype=np.uint8)[:, None, None, None].repeat(128, 1).repeat(128, 2).repeat(3, 3)
        made = fit({"fps": 12.5, "response": {"video": {"width": 96, "height": 64}}}).frames(frames, 5)
        self.assertEqual(made.shape, (10, 64, 96, 3))
        self.assertEqual(made[:, 0, 0, 0].tolist(), list(range(0, 20, 2)))

    def test_longer_and_shorter_units_cover_the_worlds(self):
        long, short = fit({"unit_ms": 320}), fit({"unit_ms": 80})
        self.assertEqual([long.units(5), short.units(5)], [2, 10])
        self.assertEqual([long.seen_last(unit) for unit in range(2)], [1, 3])
        self.assertEqual([short.seen_last(unit) for unit in range(4)], [0, 0, 1, 1])
        self.assertEqual([long.unit_of(unit) for unit in range(4)], [0, 0, 1, 1])
        self.assertEqual([short.unit_of(unit) for unit in range(3)], [0, 2, 4])


if __name__ == "__main__":
    unittest.main()
