"""A checkpoint becomes a state that training goes on from.

    cd scripts && .venv/bin/python -m unittest train.tests.test_restore
"""

import os
import tempfile
import unittest

import torch

import safetensors_file
from train.base import nano
from train.loop import train
from train.restore import restored
from train.tensors import expected_tensors, initial_weights, is_codec

STEP, C = 700, nano().config


class Restore(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.weights = initial_weights(C, seed=3)

    def test_it_holds_what_the_stage_learns_and_a_probe(self):
        state = restored(C, self.weights, STEP)
        names = [name for name in expected_tensors(C) if not is_codec(name)]
        self.assertEqual(list(state["weights"]), [*names, "probe"])
        self.assertTrue(all(torch.equal(state["weights"][name], self.weights[name]) for name in names))
        self.assertTrue(any(is_codec(name) for name in expected_tensors(C)))

    def test_training_goes_on_slowly_at_first(self):
        for budget in ({"minutes": 60}, {}):
            state = restored(C, self.weights, STEP)
            before = {name: w.clone() for name, w in state["weights"].items()}
            fresh = {name: torch.zeros_like(w).requires_grad_(True) for name, w in before.items()}
            pull = lambda step: (sum((w - 1).pow(2).mean() for w in fresh.values()), {})
            with tempfile.TemporaryDirectory() as out:
                torch.save(state, os.path.join(out, "stage.state"))
                run = lambda steps: train("stage", out, fresh, pull, steps, rate=0.01, warmup=100, **budget)
                moved = []
                # The second run finds the optimizer that the first one began.
                for steps in (STEP + 1, STEP + 2):
                    after = {name: w.clone() for name, w in run(steps).items()}
                    moved.append(max(float((after[name] - w).abs().max()) for name, w in before.items()))
                    before = after
                self.assertEqual(torch.load(os.path.join(out, "stage.state"))["step"], STEP + 2)
            # Adam's steps are about as long as the learning rate, here hundredths of its peak.
            for step, length in enumerate(moved, 1):
                self.assertGreater(length, 0)
                self.assertLess(length, 0.01 * 0.011 * step + 1e-6)

    def test_other_shapes_are_refused(self):
        wrong = {**self.weights, "model.norm.weight": torch.ones(3)}
        with self.assertRaisesRegex(ValueError, r"model.norm.weight has shape \[3\]"):
            restored(C, wrong, STEP)
        del wrong["model.norm.weight"]
        with self.assertRaisesRegex(ValueError, "model.norm.weight has shape none"):
            restored(C, wrong, STEP)

    def test_the_shipped_checkpoint_can_be_restored(self):
        path = os.path.join(os.path.dirname(__file__), "../../../engine/models/nano-1/model.safetensors")
        state = restored(C, safetensors_file.read(path), STEP)
        self.assertEqual(state["step"], STEP)


if __name__ == "__main__":
    unittest.main()
