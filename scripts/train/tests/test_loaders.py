"""Batches from processes of their own, and what a recording that lacks something doesn't teach.

    cd scripts && .venv/bin/python -m unittest train.tests.test_loaders
"""

import os
import shutil
import subprocess
import tempfile
import unittest

import torch

from train.base import nano
from train.data import Material
from train.device import products
from train.loaders import Batches
from train.recordings import Recordings
from train.talk import flow_losses, text_loss
from train.tensors import initial_weights, is_codec
from world.practice import Practice

SAMPLES = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../../samples/eval"))


class Loaders(unittest.TestCase):
    def test_batches_made_ahead_are_the_same_wherever_a_run_goes_on(self):
        base = nano()
        codecs = {name: w for name, w in initial_weights(base.config, 1).items() if is_codec(name)}
        made = lambda: Batches(Material(base, codecs, Practice, 12, pool=4), 1, loaders=2)
        whole, later = made(), made()
        first = [whole(step) for step in range(4)]
        for step in (2, 3):
            for key, value in later(step).items():
                self.assertTrue(torch.equal(value, first[step][key]), key)
        self.assertFalse(torch.equal(first[2]["mel"], first[3]["mel"]))


    def test_a_batch_is_the_same_where_products_are_in_bfloat16(self):
        base = nano()
        codecs = {name: w for name, w in initial_weights(base.config, 1).items() if is_codec(name)}
        made = lambda: Batches(Material(base, codecs, Practice, 12, pool=4), 1)(1)
        expected = made()
        with products(True):
            for key, value in made().items():
                self.assertTrue(torch.equal(value, expected[key]), key)


class Lacking(unittest.TestCase):
    def test_a_word_that_is_not_known_has_no_loss_but_its_sound_has(self):
        torch.manual_seed(1)
        logits, wanted, counts = torch.randn(1, 4, 1, 9), torch.tensor([[[0], [3], [5], [0]]]), torch.ones(1, 4)
        worded = torch.zeros(1, 4)
        a = text_loss(logits, wanted, counts, 0, worded)
        wanted[0, 1] = 7
        self.assertEqual(float(a), float(text_loss(logits, wanted, counts, 0, worded)))
        wanted[0, 1] = 0
        self.assertNotEqual(float(a), float(text_loss(logits, wanted, counts, 0, worded)))

    def test_a_medium_without_weight_has_no_loss(self):
        z, counts, none = (torch.randn(1, 3, 2, 4), torch.randn(1, 3, 4, 4)), torch.ones(1, 3), torch.zeros(1, 3)
        audio, video = flow_losses(z, (0 * z[0], 0 * z[1]), counts, none, none)
        self.assertEqual((float(audio), float(video)), (0, 0))

    @unittest.skipUnless(shutil.which("ffmpeg") and shutil.which("ffprobe"), "skipped: no FFmpeg on PATH")
    def test_recordings_say_what_they_lack(self):
        base = nano()
        codecs = {name: w for name, w in initial_weights(base.config, 1).items() if is_codec(name)}
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(os.path.join(SAMPLES, "100000"), os.path.join(folder, "one"))
            opened = lambda: Recordings(base, codecs, folder, units=24)
            whole = opened().held_out(0)
            self.assertEqual((float(whole["worded"].min()), float(whole["video_weight"].min())), (1, 1))
            before = opened().digest()
            agent = os.path.join(folder, "one", "agent")
            subprocess.run(["ffmpeg", "-v", "error", "-i", f"{agent}.mp4", "-vn", f"{agent}.wav"], check=True)
            os.remove(f"{agent}.mp4")
            os.remove(os.path.join(folder, "one", "truth.json"))
            less = opened().held_out(0)
            self.assertEqual((float(less["worded"].max()), float(less["video_weight"].max())), (0, 0))
            self.assertGreater(float(less["flow_weight"].min()), 0)
            self.assertNotEqual(before, opened().digest())


if __name__ == "__main__":
    unittest.main()
