"""The walks of docs/train.md run as they stand there, with few steps.

    cd scripts && .venv/bin/python -m unittest train.tests.test_walks
"""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import torch

from train import all as every
from train.base import NANO, REPOSITORY, read_json
from train.run import about
from train.tests.odd import write_qwen

PAGE = os.path.join(REPOSITORY, "docs/train.md")
# What makes a command short, by the word that it has.
SHORT = {
    "train.look": "--steps 2",
    "train.codecs": "--steps 2",
    "train.talk": "--steps 2 --batch 1 --units 12 --held-out 0",
    "train.distill": "--steps 2 --batch 1 --units 12 --few 2 --substeps 1",
    "replay": "--units 6 --no-tune",
    "--seeds": "--seeds 100000..100000 --seconds 10 --swaps 0 --no-tune",
    "eval": "--no-tune",
}


def commands(heading):
    """The lines of the shell blocks under a heading."""
    with open(PAGE) as file:
        text = file.read()
    chapter = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", chapter, re.S)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


@unittest.skipUnless(shutil.which("deno") and shutil.which("ffmpeg"), "skipped: no deno or no ffmpeg on PATH")
class Walks(unittest.TestCase):
    def setUp(self):
        torch.set_num_threads(1)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(os.path.join(REPOSITORY, "scripts"))

    def walk(self, heading):
        """Runs a walk; returns its last command's stdout."""
        printed = ""
        for line in commands(heading):
            words = shlex.split(line.replace("../out", self.folder).replace("Qwen3-0.6B", f"{self.folder}/qwen").replace("../recordings", f"{self.folder}/recordings").replace("../validation", f"{self.folder}/validation"))
            short = next((shlex.split(add) for word, add in SHORT.items() if word in words), [])
            for name in filter(lambda word: word.startswith("--"), short):
                if name in words:
                    del words[words.index(name) : words.index(name) + 2]
            with self.subTest(line):
                if words[0] == ".venv/bin/python":
                    module = importlib.import_module(words[2])
                    with mock.patch.object(sys, "argv", [*words[2:], *short]):
                        module.main()
                else:
                    done = subprocess.run([*words, *short], capture_output=True, text=True)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    printed = done.stdout
        return printed

    def test_another_size(self):
        self.walk("Another size")
        c = read_json(f"{self.folder}/small/checkpoint/config.json")
        self.assertEqual(c["response"]["audio"]["sample_rate"], 24000)
        self.assertEqual(c["solver"]["name"], "euler")
        with open(f"{self.folder}/small/checkpoint/README.md") as file:
            card = file.read()
        self.assertIn("trained from nothing", card)
        self.assertTrue(card.startswith("# checkpoint\n"))
        self.assertIn("run one by one", card)
        self.assertGreater(os.path.getsize(f"{self.folder}/small/answer.mkv"), 1000)

    def test_a_qwen3_backbone(self):
        write_qwen(f"{self.folder}/qwen")
        printed = self.walk("A Qwen3 backbone")
        tokenizer = read_json(f"{self.folder}/qwen/tokenizer.json")
        theirs, mine = tokenizer, read_json(f"{self.folder}/run/checkpoint/tokenizer.json")
        self.assertEqual(mine["model"], theirs["model"])
        with open(f"{self.folder}/run/checkpoint/README.md") as file:
            self.assertIn("from the checkpoint start, its backbone adapted by matrices of rank 8", file.read())
        ids = [token["id"] for token in mine["added_tokens"]]
        self.assertEqual(len(ids), len(theirs["added_tokens"]) + 2)
        self.assertFalse(set(ids) & set(mine["model"]["vocab"].values()))
        self.assertGreater(os.path.getsize(f"{self.folder}/answer/answer.mkv"), 1000)
        (system,) = json.loads(printed)["systems"]
        self.assertEqual(len(system["conversations"]), 1)

    def test_own_recordings(self):
        shutil.copytree(os.path.join(REPOSITORY, "samples/eval/100000"), f"{self.folder}/recordings/one")
        shutil.copytree(os.path.join(REPOSITORY, "samples/eval/100001"), f"{self.folder}/validation/one")
        report = json.loads(self.walk("Own recordings"))
        with open(f"{self.folder}/own/conversations.jsonl") as file:
            entries = [json.loads(line) for line in file]
        self.assertTrue(0 <= entries[-1]["engine_activityF1"] <= 1)
        self.assertEqual(about(f"{self.folder}/own", "conversations.best")["step"], 2)
        self.assertEqual(report["recordings"], 1)
        with open(f"{self.folder}/own/checkpoint/README.md") as file:
            card = file.read()
        self.assertIn("on the recordings `recordings`.", card)
        self.assertNotIn("show and tell", card)


class OneCommand(unittest.TestCase):
    def test_the_card_names_it_where_it_made_all(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("new", "new", "begun"):
                out = os.path.join(folder, name)
                os.makedirs(out, exist_ok=True)
                if name == "begun":
                    shutil.copy(os.path.join(NANO, "model.safetensors"), os.path.join(out, "look.safetensors"))
                with (
                    mock.patch.object(sys, "argv", ["train.all", "--out", out, "--cores", "1"]),
                    mock.patch.object(every, "run"),
                    mock.patch.object(every, "export") as export,
                ):
                    every.main()
                made_by = export.call_args.kwargs["made_by"]
                wanted = f".venv/bin/python -m train.all --out {out} --cores 1"
                self.assertEqual(made_by, wanted if name == "new" else None)


if __name__ == "__main__":
    unittest.main()
