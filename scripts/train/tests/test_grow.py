"""A grown stage is what it was, with room to learn more.

    cd scripts && .venv/bin/python -m unittest train.tests.test_grow
"""

import os
import tempfile
import unittest

import torch
import torch.nn.functional as F

from train import stacks
from train.grow import grown
from train.loop import train

BEFORE = [{"op": "conv", "channels": 3, "kernel": [2, 1, 1]}]
AFTER = [{"op": "residual", "kernel": [3, 1, 1], "dilation": 2, "channels": 5}, *BEFORE]
MOVED = [("x.0", "x.1")]
SHAPE = [4, 1, 1, 2]


def first(layers, seed):
    torch.manual_seed(seed)
    shapes = stacks.stack_tensors(layers, SHAPE, "x")[0]
    return {name: stacks.initial(name, shape) for name, shape in shapes.items()}


def fit(out, layers, weights, steps):
    """Trains a stack until `steps`, with a probe beside it; leaves OUT/stage.state."""
    weights = {**weights, "probe": torch.ones(2, 2)}
    weights = {name: w.clone().requires_grad_(True) for name, w in weights.items()}

    def loss(step):
        x = torch.randn(4, 2, 12, 1, 1)
        y = stacks.run(weights, "x", layers, x)
        return (y[:, 0] - x.sum(1)).pow(2).mean() + F.linear(x[..., 0, 0].mT, weights["probe"]).pow(2).mean(), {}

    train("stage", out, weights, loss, steps, rate=0.01, save_every=5, average=0.9)


class Grow(unittest.TestCase):
    x = torch.randn(1, 2, 12, 1, 1, generator=torch.Generator().manual_seed(3))

    def test_the_state_makes_what_it_made_and_learns_on(self):
        with tempfile.TemporaryDirectory() as out:
            path = os.path.join(out, "stage.state")
            fit(out, BEFORE, first(BEFORE, 1), 20)
            old = torch.load(path)
            new = grown(old, first(AFTER, 2), MOVED)
            for kept in ("weights", "mean"):
                wanted = stacks.run(old[kept], "x", BEFORE, self.x)
                torch.testing.assert_close(stacks.run(new[kept], "x", AFTER, self.x), wanted)
            torch.save(new, path)
            fit(out, AFTER, first(AFTER, 2), 40)
            learned = torch.load(path)
            self.assertEqual(learned["step"], 40)
            for name, w in learned["weights"].items():
                self.assertFalse(torch.equal(w, new["weights"][name]), name)

    def test_moments_stay_with_their_weights(self):
        with tempfile.TemporaryDirectory() as out:
            fit(out, BEFORE, first(BEFORE, 1), 20)
            old = torch.load(os.path.join(out, "stage.state"))
        new = grown(old, first(AFTER, 2), MOVED)
        # In both: matrices, then biases and gains; the new layer's have none yet.
        moments = lambda state: [state["optimizer"]["state"][i] for i in sorted(state["optimizer"]["state"])]
        self.assertEqual(list(new["optimizer"]["state"]), [2, 3, 7])
        self.assertEqual([len(g["params"]) for g in new["optimizer"]["param_groups"]], [4, 4])
        for one, other in zip(moments(old), moments(new)):
            torch.testing.assert_close(one, other)

    def test_what_has_no_place_or_would_change_the_model_is_refused(self):
        with tempfile.TemporaryDirectory() as out:
            fit(out, BEFORE, first(BEFORE, 1), 5)
            old = torch.load(os.path.join(out, "stage.state"))
        with self.assertRaisesRegex(ValueError, "no x.0.bias: --moved OLD=NEW"):
            grown(old, first(AFTER, 2), [("y", "z")])
        with self.assertRaisesRegex(ValueError, "x.1.weight is new and not of a residual layer"):
            grown(old, first([*BEFORE, *BEFORE], 2), [])


if __name__ == "__main__":
    unittest.main()
