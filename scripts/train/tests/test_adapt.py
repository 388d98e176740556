"""A checkpoint's backbone is trained, trained slowly, frozen or adapted.

    cd scripts && .venv/bin/python -m unittest train.tests.test_adapt
"""

import os
import shutil
import tempfile
import unittest

import torch

import safetensors_file
from train.adapt import TABLES, is_backbone
from train.base import begin, opened, read_weights
from train.distill import train_student
from train.talk import train_talk
from train.tensors import is_codec
from train.tests.odd import odd_configs, write_checkpoint

RATE, STEPS = 1e-2, 2


@unittest.skipUnless(shutil.which("deno"), "skipped: no deno on PATH")
class Backbone(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        torch.set_num_threads(1)
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.checkpoint = os.path.join(cls.folder, "checkpoint")
        write_checkpoint(cls.checkpoint, odd_configs()["sinks, slots, heun"])
        cls.before = read_weights(cls.checkpoint)

    def after(self, backbone, share=1.0):
        """The run's Base, and the weights that lessons leave."""
        out = tempfile.mkdtemp(dir=self.folder)
        begin(out, init=self.checkpoint, backbone=backbone, backbone_rate=share, rank=3)
        train_talk("lessons", out, STEPS, size=1, units=12, rate=RATE)
        base = opened(out)
        return out, base, safetensors_file.read(os.path.join(out, "lessons.safetensors"))

    def moved(self, after, which):
        return {n: float((w - self.before[n]).abs().max()) for n, w in after.items() if which(n)}

    def test_its_own_rate(self):
        _, _, whole = self.after("train")
        _, _, slow = self.after("train", 0.01)
        fast, slow_ones = self.moved(whole, is_backbone), self.moved(slow, is_backbone)
        self.assertLess(max(slow_ones.values()), 0.05 * max(fast.values()))
        others = lambda name: not is_backbone(name) and not is_codec(name)
        self.assertGreater(max(self.moved(slow, others).values()), 0.5 * max(self.moved(whole, others).values()))
        self.assertEqual(set(self.moved(whole, is_codec).values()), {0.0})

    def test_frozen_it_stays_but_for_the_rows_of_the_streams_own_tokens(self):
        out, base, weights = self.after("frozen")
        for name, far in self.moved(weights, is_backbone).items():
            if name not in TABLES:
                self.assertEqual(far, 0, name)
        changed = (weights[TABLES[0]] != self.before[TABLES[0]]).any(1).nonzero().flatten().tolist()
        self.assertEqual(changed, sorted([base.tokens.filler, base.tokens.continues]))
        self.assertGreater(self.moved(weights, lambda name: name == "response.audio.input.weight").popitem()[1], 0)
        # So it does for the student.
        safetensors_file.write(os.path.join(out, "conversations.safetensors"), weights)
        train_student(out, 1, few=2, substeps=1, size=1, units=3)
        student = safetensors_file.read(os.path.join(out, "student.safetensors"))
        layers = lambda name: name.startswith("model.layers.")
        self.assertEqual(set(self.moved(student, layers).values()), {0.0})

    def test_adapted_it_moves_by_matrices_of_low_rank(self):
        _, _, weights = self.after("lora")
        for name, far in self.moved(weights, is_backbone).items():
            if name.endswith("_proj.weight"):
                self.assertGreater(far, 0, name)
                difference = (weights[name] - self.before[name]).double()
                self.assertLessEqual(int(torch.linalg.matrix_rank(difference, rtol=1e-4)), 3, name)
            elif name not in TABLES:
                self.assertEqual(far, 0, name)


if __name__ == "__main__":
    unittest.main()
