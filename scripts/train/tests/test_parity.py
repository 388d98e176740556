"""The engine gives what PyTorch gives, on the checkpoint that comes with the repository.

    cd scripts && .venv/bin/python -m unittest train.tests.test_parity
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

REPOSITORY = os.path.join(os.path.dirname(__file__), "../../..")
NANO = os.path.abspath(os.path.join(REPOSITORY, "engine/models/nano"))


@unittest.skipUnless(shutil.which("deno"), "skipped: no deno on PATH")
class Parity(unittest.TestCase):
    def compare(self, *options):
        with tempfile.TemporaryDirectory() as out:
            subprocess.run(
                [sys.executable, "-m", "train.parity", NANO, "--out", out, "--units", "12", *options],
                cwd=os.path.join(REPOSITORY, "scripts"),
                check=True,
            )
            done = subprocess.run(
                ["deno", "run", "--allow-read", "--allow-env", "scripts/train/parity.ts", NANO, out],
                cwd=REPOSITORY,
                capture_output=True,
                text=True,
            )
        self.assertEqual(done.returncode, 0, done.stderr)
        figures = json.loads(done.stdout)
        self.assertEqual(figures["sameTokens"], 12)
        self.assertLessEqual(figures["worstPixel"], 1)
        for what, error in figures["relativeErrors"].items():
            self.assertLess(error, 1e-3, what)
        return figures["relativeErrors"]

    def test_logits_latents_samples_and_pixels_are_the_same(self):
        self.assertEqual(set(self.compare()), {"logits", "latents", "samples"})

    def test_velocities_are_the_same(self):
        self.assertIn("velocities", self.compare("--steps", "1"))


if __name__ == "__main__":
    unittest.main()
