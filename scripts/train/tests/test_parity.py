"""The engine gives what PyTorch gives: on the checkpoint that comes with the repository, and on odd ones.

    cd scripts && .venv/bin/python -m unittest train.tests.test_parity
"""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

import torch

from train import parity
from train.base import NANO, REPOSITORY, read_json
from train.tests.odd import odd_configs, write_checkpoint, write_qwen

UNITS = 7  # more than the odd configs' history holds


def compared(pairs):
    """What parity.ts says of each (checkpoint, folder that train.parity wrote)."""
    script = ["deno", "run", "--allow-read", "--allow-env", "scripts/train/parity.ts"]
    command = [*script, *(path for pair in pairs for path in pair)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


@unittest.skipUnless(shutil.which("deno"), "skipped: no deno on PATH")
class Parity(unittest.TestCase):
    def setUp(self):
        torch.set_num_threads(1)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def same(self, name, figures, units):
        with self.subTest(name):
            self.assertEqual(figures["sameTokens"], units)
            self.assertLessEqual(figures["worstPixel"], 1)
            for what, error in figures["relativeErrors"].items():
                self.assertLess(error, 1e-3, what)

    def test_on_the_shipped_checkpoint(self):
        pairs = [(NANO, os.path.join(self.folder, name)) for name in ("all", "velocities")]
        for steps, (checkpoint, out) in zip((None, 1), pairs):
            parity.run(checkpoint, out, units=12, steps=steps)
        every, one = compared(pairs)
        self.same("latents", every, 12)
        self.same("velocities", one, 12)
        self.assertIn("velocities", one["relativeErrors"])

    def test_on_odd_checkpoints(self):
        pairs = []
        for i, c in enumerate(odd_configs().values()):
            checkpoint, out = (os.path.join(self.folder, f"{part}{i}") for part in ("checkpoint", "out"))
            write_checkpoint(checkpoint, c)
            # Some are given something before: one of these, or all.
            names = [(), ("prompt",), ("voice",), ("picture",), ("prompt", "voice", "picture")][i % 5]
            given = parity.drawn(c)
            parity.run(checkpoint, out, units=UNITS, references={name: given[name] for name in names})
            pairs.append((checkpoint, out))
        for name, figures in zip(odd_configs(), compared(pairs), strict=True):
            self.same(name, figures, UNITS)

    def test_on_the_shape_of_nano_2_with_all_that_is_given_before(self):
        c = read_json(os.path.join(REPOSITORY, "scripts/train/shapes/nano_2.json"))
        checkpoint, out = (os.path.join(self.folder, name) for name in ("checkpoint", "out"))
        write_checkpoint(checkpoint, {**c, "history_units": 3})
        parity.run(checkpoint, out, units=4, steps=2, references=parity.drawn(c))
        (figures,) = compared([(checkpoint, out)])
        self.same("nano 2", figures, 4)

    def test_on_a_qwen3_backbone(self):
        qwen, checkpoint, out = (os.path.join(self.folder, name) for name in ("qwen", "checkpoint", "out"))
        write_qwen(qwen)
        config = os.path.join(REPOSITORY, "scripts/train/walks/mimi_wan_like.json")
        command = ["deno", "task", "-q", "init", "--config", config, "--backbone", qwen, "--dtype", "bf16"]
        subprocess.run([*command, "-o", checkpoint], cwd=REPOSITORY, check=True, capture_output=True)
        # Where the user types, words of several tokens, from unit 11 on.
        parity.run(checkpoint, out, seed=100_092, units=14)
        with open(os.path.join(out, "units.json")) as file:
            self.assertTrue(any(json.load(file)["typed"]))
        (figures,) = compared([(checkpoint, out)])
        self.same("qwen", figures, 14)


if __name__ == "__main__":
    unittest.main()
