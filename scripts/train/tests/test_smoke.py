"""A smoke training of all stages in a minute or two: losses fall, and the export opens in the engine.

    cd scripts && .venv/bin/python -m unittest train.tests.test_smoke
"""

import functools
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import torch

import safetensors_file
from train import codecs, distill, export, look, rollout, run, talk, voice
from train.base import nano

REPOSITORY = os.path.join(os.path.dirname(__file__), "../../..")
OPEN = """
import { openCheckpoint } from "./engine/checkpoint/checkpoint.ts";
import { openTokenizer } from "./engine/checkpoint/tokenizer.ts";
const { config, tokenizer, tensors } = await openCheckpoint(Deno.args[0] ?? "");
const { encode, decode } = openTokenizer(tokenizer, config);
const ids = encode("what colour is it");
if (ids.length !== 4 || decode(ids) !== " what colour is it") throw new Error(`ids ${ids}`);
if (decode([SPECIALS]) !== "") throw new Error("special tokens are no text");
Deno.stdout.writeSync(new TextEncoder().encode(`${tensors.size} tensors`));
"""


def losses(out, name, key="loss"):
    with open(os.path.join(out, f"{name}.jsonl")) as file:
        entries = [json.loads(line) for line in file]
    return [entry[key] for entry in entries if key in entry]


class Smoke(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        torch.set_num_threads(1)
        cls.out = tempfile.mkdtemp()
        cls.stages(cls.out)

    @staticmethod
    def stages(out):
        look.train_look(out, 25)
        codecs.train_codec("video", out, 25, bf16=True)
        codecs.train_codec("audio", out, 25)
        talk.train_talk("lessons", out, 20, size=2, units=24)
        talk.train_talk("conversations", out, 10, size=2, units=24, bf16=True)
        codecs.refine_decoder("video", out, 2)
        voice.train_voice(out, "conversations", 2, count=1)
        distill.train_student(out, 10, size=2, units=12, substeps=2, every=5)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.out)

    def test_losses_fall(self):
        for name, key in (("look", "loss"), ("codec_video", "loss"), ("codec_audio", "loss"), ("lessons", "text")):
            first, *_, last = losses(self.out, name, key)
            self.assertLess(last, 0.9 * first, name)

    def test_every_stage_leaves_its_weights(self):
        for name in export.STAGES:
            self.assertTrue(os.path.exists(os.path.join(self.out, f"{name}.safetensors")), name)

    def test_a_run_that_was_broken_off_goes_on(self):
        short = tempfile.mkdtemp()
        try:
            for name in ("codec_audio", "codec_video"):
                shutil.copy(os.path.join(self.out, f"{name}.safetensors"), short)
            for steps in (4, 8):
                talk.train_talk("lessons", short, steps, size=1, units=12)
            with open(os.path.join(short, "lessons.jsonl")) as file:
                self.assertEqual([entry["step"] for entry in map(json.loads, file) if "run" not in entry], [4, 8])
        finally:
            shutil.rmtree(short)

    def copy(self):
        """The folder of the run again, for a test that changes it."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        shutil.copytree(self.out, folder.name, dirs_exist_ok=True)
        return folder.name

    def test_stages_that_are_done_change_nothing_when_run_again(self):
        again = self.copy()
        self.stages(again)
        for name in sorted(name for name in os.listdir(self.out) if os.path.isfile(os.path.join(self.out, name))):
            with open(os.path.join(self.out, name), "rb") as one, open(os.path.join(again, name), "rb") as other:
                self.assertEqual(one.read(), other.read(), name)
        codecs.train_codec("video", again, 50)  # what refinement has made of it stays
        self.assertEqual(run.about(again, "codec_video")["stage"], "refine_video")

    def test_a_decoder_that_was_not_yet_in_its_place_gets_there(self):
        again = self.copy()
        for name, stage in (("codec_audio", "voice"), ("codec_video", "refine_video")):
            done = safetensors_file.read(run.artefact(again, name))
            codecs.replaced(again, name[6:], stage)
            safetensors_file.write(run.artefact(again, name), {**done, **{n: 0 * w for n, w in done.items() if ".decoder." in n}})
            codecs.replaced(again, name[6:], stage)
            self.assertEqual(run.digest(safetensors_file.read(run.artefact(again, name))), run.digest(done))

    def test_an_old_encoder_is_not_joined_with_a_new_decoder(self):
        again = self.copy()
        c = nano().config
        for medium, stages in (("audio", (voice.train_voice,)), ("video", (functools.partial(codecs.refine_decoder, "video"),))):
            path = run.artefact(again, f"codec_{medium}")
            kept = safetensors_file.read(path)
            safetensors_file.write(path, codecs.codec_weights(c, medium, seed=9))
            wanted = [
                lambda: export.export(again, "student", os.path.join(again, "checkpoint")),
                lambda: distill.train_student(again, 20, size=2, units=12, substeps=2, every=5),
                lambda: talk.train_talk("conversations", again, 20, size=2, units=24, bf16=True),
                *(functools.partial(stage, again, steps=5) for stage in stages),
            ]
            for work in wanted:
                with self.assertRaisesRegex(run.InputError, "codec|encoder"):
                    work()
            safetensors_file.write(path, kept)

    def test_a_stage_is_tried_in_closed_loop(self):
        arguments = "--stage conversations --seeds 90000 2 --seconds 12 --steps 1 --keep 1 --unheard"
        rollout.main(["--out", self.out, *arguments.split()])
        with open(os.path.join(self.out, "rollout_conversations.json")) as file:
            figures = json.load(file)
        self.assertEqual(figures["conversations"], 2)
        self.assertTrue(0 <= figures["activity_f1"] <= 1)
        self.assertGreater(figures["log_mel_distance_forced"], 0)

    @unittest.skipUnless(shutil.which("deno"), "skipped: no deno on PATH")
    def test_the_engine_opens_the_export(self):
        folder = os.path.join(self.out, "checkpoint")
        export.export(self.out, "student", folder)
        size = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
        self.assertLess(size, 16e6)
        tokens = nano().tokens
        script = os.path.join(self.out, "open.ts")
        with open(script, "w") as file:
            script_text = OPEN.replace('"./engine', f'"{os.path.abspath(REPOSITORY)}/engine')
            file.write(script_text.replace("SPECIALS", f"{tokens.filler}, {tokens.continues}"))
        command = ["deno", "run", "--allow-read", "--config", "deno.json", script, folder]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("tensors", done.stdout)


if __name__ == "__main__":
    unittest.main()
