"""What the audio decoder learns on: latents of the model beside the truth's sound.

    cd scripts && .venv/bin/python -m unittest train.tests.test_voice
"""

import unittest

import numpy as np
import torch

from train.base import nano
from train.codecs import codec_weights
from train.coders import decode
from train.voice import ENDING as PARTS
from train.voice import LEAD, LOUD, UNITS, Pool, broken_off, cut_off, decoded, hush, remade

C, UNIT = nano().config, 2560
ENDING = UNIT // PARTS


class Exact:
    """A model that knows the truth: from any z its velocity leads straight there. Keeps the tau that it
    was first asked for."""

    def __init__(self, *truth):
        self.truth, self.first = truth, None

    def forward(self, _batch, z, tau):
        self.first = tau if self.first is None else self.first
        return z, tau

    def heads(self, passed):
        z, tau = passed
        return None, tuple((a - b) / tau[..., None, None] for a, b in zip(z, self.truth)), None


class Voice(unittest.TestCase):
    def test_the_solver_runs_to_its_end(self):
        torch.manual_seed(1)
        truth = {f"{medium}_latents": torch.randn(2, 5, 3, 4) for medium in ("audio", "video")}
        sound = torch.randn(2, 5, 7)
        sound[1, 2:4] = 0
        exact = Exact(*truth.values())
        made = remade(exact, {**truth, "sound": sound})
        torch.testing.assert_close(made, truth["audio_latents"], atol=1e-5, rtol=0)
        self.assertEqual(exact.first[1].tolist(), [0.75, 0.75, 1, 1, 0.75])

    def test_latents_and_sound_are_of_the_same_units(self):
        number = 1.0 + torch.arange(3 * 20).reshape(3, 20)
        latents, sound = number[..., None, None].expand(3, 20, 2, 4), number[..., None].expand(3, 20, 10)
        z, x = Pool(latents, sound).windows(np.random.default_rng(2))
        self.assertEqual(z.shape, (4, UNITS + LEAD, 2, 4))
        self.assertTrue((z[:, :, 0, 0].repeat_interleave(10, 1) == x).all())
        self.assertTrue((z[:, 1:] - z[:, :-1] == 1).all())

    def test_stretches_with_a_voice_are_taken_more_often(self):
        sound = torch.zeros(2, 20, 10)
        sound[0] = 1
        latents = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 20, 2, 4)
        z, _ = Pool(latents, sound).windows(np.random.default_rng(3), size=200)
        self.assertLess(int(z[:, 0, 0, 0].sum()), 70)

    def test_a_voice_that_is_broken_off_is_silent_from_the_next_unit_on(self):
        torch.manual_seed(4)
        weights = codec_weights(C, "audio")
        z, sound = broken_off(C, weights, np.random.default_rng(4), 3, 8)
        self.assertEqual(z.shape[:2], (3, 8))
        for row in sound.numpy():
            stop = -(-int(np.flatnonzero(row)[-1]) // UNIT) * UNIT
            self.assertGreater(np.abs(row[stop - ENDING : stop]).mean(), LOUD)
        self.assertTrue(cut_off(sound.unflatten(1, (8, -1))).any(1).all())

    def test_silence_after_a_loud_end_is_a_voice_cut_off(self):
        sound = torch.zeros(1, 6, UNIT)
        sound[0, 0], sound[0, 3, :ENDING] = 0.1, 0.1  # the second ends within its unit
        self.assertEqual(cut_off(sound)[0].tolist(), [False, True, False, False, False, False])

    def test_half_of_the_stretches_have_a_voice_cut_off(self):
        sound = 0.1 * torch.ones(20, 40, 2 * ENDING)
        sound[7, 30:33] = 0
        latents = torch.zeros(20, 40, 2, 4)
        _, x = Pool(latents, sound).windows(np.random.default_rng(6), size=40)
        cut = cut_off(x.unflatten(1, (UNITS + LEAD, -1)))[:, LEAD:].any(1)
        self.assertTrue(cut[:20].all())
        self.assertLess(int(cut[20:].sum()), 5)

    def test_only_sound_after_the_cut_is_to_be_hushed(self):
        x = torch.zeros(1, 4 * UNIT)
        x[0, :UNIT] = 0.1
        y = torch.full((1, 4 * UNIT), 0.02)
        self.assertAlmostEqual(float(hush(y, x, UNIT)), 2, places=2)
        y[0, UNIT : 2 * UNIT] = 0
        self.assertLess(float(hush(y, x, UNIT)), 0.02)

    def test_what_a_unit_leaves_for_the_next_is_told_apart(self):
        torch.manual_seed(5)
        weights = codec_weights(C, "audio", seed=5)
        z = torch.randn(2, 3, 2, 32)
        sound, spilt = decoded(C, weights, z)
        whole = decode(C, weights, "audio", z.flatten(1, 2).transpose(1, 2)[..., None, None])
        torch.testing.assert_close(sound, whole[:, 0, :, 0, 0])
        hop = spilt.shape[2]
        last = max(
            (name for name in weights if ".decoder." in name and name.endswith(".weight")),
            key=lambda name: int(name.split(".")[3]),
        )
        for name in (last, last.replace("weight", "bias")):
            weights[name] = torch.cat([weights[name][:hop], torch.zeros_like(weights[name][hop:])])
        heads, _ = decoded(C, weights, z)
        start = (sound - heads).unflatten(1, (3, -1))[:, 1:, :hop]
        torch.testing.assert_close(start, spilt[:, :-1], atol=1e-5, rtol=0)
        self.assertGreater(float(spilt.abs().mean()), 1e-4)


if __name__ == "__main__":
    unittest.main()
