"""Recordings of two people as material, in every form of folder.

    cd scripts && .venv/bin/python -m unittest train.tests.test_recordings
"""

import glob
import json
import os
import shutil
import subprocess
import tempfile
import unittest
from unittest import mock

import numpy as np
import torch

import safetensors_file
from train.base import REPOSITORY, InputError, begin, nano
from train.codecs import codec_weights
from train.data import Material
from train.recordings import Recordings
from train.tensors import is_codec
from train.tests.odd import odd_configs, write_checkpoint
from world.conversation import Conversation

SAMPLES = os.path.join(REPOSITORY, "samples/eval")


@unittest.skipUnless(shutil.which("ffmpeg") and shutil.which("ffprobe"), "skipped: no ffmpeg on PATH")
class Folders(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        torch.set_num_threads(1)
        cls.base = nano()
        cls.codecs = {n: w for medium in ("audio", "video") for n, w in codec_weights(cls.base.config, medium).items()}

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def tone(self, path, *hertz):
        """A sound of two seconds with a channel for each frequency, silent in its second half."""
        parts = ";".join(f"sine={f}:duration=1,apad=whole_dur=2[c{i}]" for i, f in enumerate(hertz))
        join = "".join(f"[c{i}]" for i in range(len(hertz))) + f"join=inputs={len(hertz)}"
        join = join if len(hertz) > 1 else "[c0]anull"
        command = ["ffmpeg", "-v", "error", "-filter_complex", f"{parts};{join}", "-ar", "48000", path]
        subprocess.run(command, check=True)

    def write(self, name, *entries):
        with open(os.path.join(self.folder, name), "w") as file:
            file.writelines(json.dumps({"at": at, "text": text}) + "\n" for at, text in entries)

    def test_a_made_conversation_is_what_the_world_makes_of_it(self):
        recorded = Recordings(self.base, self.codecs, os.path.join(SAMPLES, "100000"), units=24)
        whole = recorded.tensors(recorded.pieces[0])
        made = Material(self.base, self.codecs).tensors(Conversation(100_000, 20))
        units = len(whole["text"])
        self.assertLessEqual(abs(units - len(made["text"])), 1)
        same = whole["text"] == made["text"][:units]
        self.assertGreater(float(same.float().mean()), 0.9)
        self.assertTrue(torch.equal(whole["typed"], made["typed"][:units]))
        mel, wanted = whole["mel"], made["mel"][:, : whole["mel"].shape[1]]
        self.assertLess(float((mel - wanted).abs().mean()), 1.0)  # they were coded by AAC
        frames, pictures = whole["frames"].float(), made["frames"][:, : whole["frames"].shape[1]].float()
        self.assertLess(float((frames - pictures).abs().mean()), 8)
        batch = recorded.batch(0, 2)
        self.assertEqual(list(batch["text"].shape), [2, 24, 1])

    def test_one_file_with_two_channels_and_words(self):
        self.tone(os.path.join(self.folder, "both.wav"), 440, 880)
        self.write("words.jsonl", (0.2, "red"), (0.5, "star"))
        self.write("typed.jsonl", (1.0, "what"))
        recorded = Recordings(self.base, self.codecs, self.folder, units=12)
        whole, tokens = recorded.tensors(recorded.pieces[0]), self.base.tokens
        self.assertNotIn("frames", whole)
        self.assertEqual(len(whole["text"]), 12)
        text = whole["text"][:, 0].tolist()
        self.assertEqual([text[1], text[3]], [tokens.said("red")[0], tokens.said("star")[0]])
        self.assertEqual([text[0], text[4], text[11]], [tokens.continues, tokens.continues, tokens.filler])
        self.assertEqual(whole["typed"][6].tolist(), tokens.typed("what"))
        for side, hertz in (("observation", 440), ("response", 880)):
            sound = recorded.sound(recorded.recordings[0], side, 0, 5)
            loudest = np.argmax(np.abs(np.fft.rfft(sound))) * 16000 / len(sound)
            self.assertAlmostEqual(loudest, hertz, delta=3)
        batch = recorded.batch(0, 1)
        self.assertNotIn("frames", batch)

    def test_pieces_are_held_out_and_know_where_they_begin(self):
        self.tone(os.path.join(self.folder, "user.wav"), 300)
        self.tone(os.path.join(self.folder, "agent.wav"), 500)
        recorded = Recordings(self.base, self.codecs, self.folder, units=4)
        recorded.pieces = [(recorded.recordings[0], 6)]
        whole = recorded.conversation(0)
        self.assertEqual((whole["start"], len(whole["text"])), (6, 6))
        batch = recorded.batch(0, 1)
        self.assertFalse(batch["counts"].any())  # what came before is not known
        self.assertEqual(list(recorded.agents("video", np.random.default_rng(1), 2, 3).shape), [2, 3, 12, 128, 128])

    @unittest.skipUnless(shutil.which("deno"), "skipped: no deno on PATH")
    def test_latents_of_the_engine_are_those_that_training_makes(self):
        checkpoint, latents = os.path.join(self.folder, "checkpoint"), os.path.join(self.folder, "agent.safetensors")
        write_checkpoint(checkpoint, odd_configs()["plain"])
        for side in ("user", "agent"):
            whole = os.path.join(SAMPLES, "100000", f"{side}.mp4")
            part = os.path.join(self.folder, f"{side}.mkv")
            subprocess.run(["ffmpeg", "-v", "error", "-ss", "6", "-i", whole, "-t", "4.8", "-c:v", "ffv1", "-c:a", "pcm_s16le", part], check=True)
        agent = os.path.join(self.folder, "agent.mkv")
        command = ["deno", "task", "-q", "codec", agent, "--latents", latents, "--model", checkpoint, "--quiet"]
        subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
        base = begin(os.path.join(self.folder, "run", "out"), init=checkpoint)
        codecs = {name: w for name, w in base.weights().items() if is_codec(name)}
        codecs["observation.audio.encoder.1.weight"] = torch.ones(2)  # stage 2 trains it, stage 3 gives all weights
        opened = lambda: Recordings(base, codecs, self.folder, units=12)
        with mock.patch("glob.glob", lambda path, glob=glob.glob: [] if path.endswith(os.path.join("*", "")) else glob(path)):
            both = opened()
            digest, with_sound = both.digest(), both.tensors(both.pieces[0])
            os.rename(agent, os.path.join(self.folder, "away.mkv"))
            alone = opened()
            with torch.autocast("cpu", torch.bfloat16):  # as within a step
                without = alone.tensors(alone.pieces[0])
            self.assertNotEqual(digest, alone.digest())
            os.rename(os.path.join(self.folder, "away.mkv"), agent)
            kept = safetensors_file.read(latents), safetensors_file.metadata(latents)
            os.rename(latents, os.path.join(self.folder, "other"))
            made = opened()
            encoded = made.tensors(made.pieces[0])
            for medium in ("audio", "video"):
                found, wanted = with_sound[f"{medium}_latents"], encoded[f"{medium}_latents"]
                self.assertEqual(found.shape, wanted.shape)
                self.assertLess(float((found - wanted).norm() / wanted.norm()), 0.1, medium)  # FFmpeg scales in two ways
                self.assertTrue(torch.equal(found, without[f"{medium}_latents"]))
            self.assertTrue(torch.equal(with_sound["text"], encoded["text"]))
            self.assertEqual(float(without["video_weight"].min()), 1)
            wrongs = {
                "isn't a file of latents": {"wanstream": "x"},
                "has units of 80 ms": {"unit_ms": "80"},
                "has audio of another codec": {"audio.digest": "aa"},
            }
            for message, metadata in wrongs.items():
                safetensors_file.write(latents, kept[0], {**kept[1], **metadata})
                with self.assertRaisesRegex(InputError, message):
                    opened()
            safetensors_file.write(latents, *kept)
            name = next(name for name in codecs if ".encoder." in name)
            codecs[name] = codecs[name] + 1
            with self.assertRaisesRegex(InputError, "the run has trained .* on"):
                opened()
            base.init = None
            with self.assertRaisesRegex(InputError, "begins with --init"):
                opened()

    def test_what_is_no_recording_is_refused(self):
        with self.assertRaisesRegex(InputError, "holds neither user"):
            Recordings(self.base, self.codecs, self.folder)
        for name in ("user.wav", "agent.wav"):
            with open(os.path.join(self.folder, name), "w") as file:
                file.write("no sound")
        with self.assertRaisesRegex(InputError, "user.wav: FFmpeg can't read it"):
            Recordings(self.base, self.codecs, self.folder)


if __name__ == "__main__":
    unittest.main()
