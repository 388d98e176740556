"""What a run starts from: the engine checks it first, and nothing late is said that could be said early.

    cd scripts && .venv/bin/python -m unittest train.tests.test_base
"""

import contextlib
import importlib
import io
import json
import os
import shutil
import sys
import tempfile
import unittest
from unittest import mock

import torch

import safetensors_file
from train.base import NANO, InputError, begin, check, nano, opened, read_json, read_weights, write_json
from train.base import write_checkpoint as write_checkpoint_of
from train.codecs import codec_weights
from train.coders import encode, response_decoder
from train.data import Material
from train.layout import Layout
from train.model import Model
from train.talk import load_codecs, stage_weights
from train.tensors import expected_tensors, initial_weights
from train.tests.odd import odd_configs, patched, write_checkpoint
from train.tokenizer import Tokens, tokenizer_json
from world.practice import Practice

VIDEO = {"response": {"video": {"width": 96, "height": 96}}}
CODEC = {"observation": {"video": {"encoder": "codec"}}}
# What nano's config can't be, and what the first line says of it.
REFUSED = {
    "heads of 64": ({"head_dim": 64}, r"mrope_section is \[8,4,4\]; it may be three numbers that sum to"),
    "heads of 10": ({"head_dim": 10, "rope_scaling": None}, "head_dim is 10; it may be a multiple of 8"),
    "96x96": (VIDEO, "isn't divisible by stride 2"),
    "half a sample": ({"unit_ms": 75, "fps": 40}, "isn't divisible by"),
    "half a frame": ({"fps": 24}, "a unit of 160 ms would hold 3.84 frames"),
    "another size through the codec": (CODEC, "its width and height differ"),
    "fewer rows than tokens": ({"vocab_size": 300}, "vocab_size 300 has no row for token"),
    "a word as filler": ({"filler_token_id": 97}, "filler_token_id 97 is a token of words"),
    "a solver": ({"solver": {"name": "rk4"}}, "rk4"),
}


class Options(unittest.TestCase):
    def test_numbers_that_train_nothing_are_refused_before_anything_is_written(self):
        for words, given in (
            ("train.all --hours", ("-1", "0", "nan", "inf", "soon")),
            ("train.all --cores", ("0", "-2", "1.5")),
            ("train.look --steps", ("0", "-1")),
            ("train.codecs audio --minutes", ("0", "-1")),
            ("train.talk lessons --batch", ("0", "six")),
            ("train.distill --rate", ("0", "-0.1")),
        ):
            for value in given:
                with self.subTest(f"{words} {value}"), tempfile.TemporaryDirectory() as folder:
                    out = os.path.join(folder, "run")
                    command = [*words.split(), value, "--out", out]
                    said = io.StringIO()
                    with mock.patch.object(sys, "argv", command), contextlib.redirect_stderr(said):
                        with self.assertRaises(SystemExit) as caught:
                            importlib.import_module(command[0]).main()
                    self.assertEqual(caught.exception.code, 2)
                    self.assertIn(f"{words.split()[-1]}: {value}: it may be", said.getvalue())
                    self.assertFalse(os.path.exists(out))


@unittest.skipUnless(shutil.which("deno"), "skipped: no deno on PATH")
class Begin(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def test_what_the_engine_refuses_is_refused_before_anything_is_written(self):
        for name, (patch, message) in REFUSED.items():
            with self.subTest(name):
                write_json(self.path("given.json"), patched(nano().config, patch))
                with self.assertRaisesRegex(InputError, message) as caught:
                    begin(self.path("out"), config=self.path("given.json"))
                self.assertNotIn("\n", str(caught.exception))
                self.assertFalse(os.path.exists(self.path("out")))

    def test_heads_of_64_with_their_own_sections_are_taken(self):
        wide = {"head_dim": 64, "rope_scaling": {"mrope_section": [16, 8, 8]}}
        check(patched(nano().config, wide), tokenizer_json(), "wide")

    def test_a_folder_stays_with_its_config(self):
        write_json(self.path("given.json"), {**nano().config, "num_hidden_layers": 2})
        self.assertEqual(begin(self.path("out"), config=self.path("given.json")).config["num_hidden_layers"], 2)
        self.assertEqual(opened(self.path("out")).config["num_hidden_layers"], 2)
        begin(self.path("out"))
        write_json(self.path("given.json"), {**nano().config, "num_hidden_layers": 3})
        with self.assertRaisesRegex(InputError, "is the folder of a run with another config"):
            begin(self.path("out"), config=self.path("given.json"))

    def test_a_checkpoint_gives_config_tokenizer_and_weights(self):
        begin(self.path("out"), init=NANO)
        base = opened(self.path("out"))
        given = read_weights(NANO)
        self.assertEqual(base.config, {**read_json(os.path.join(NANO, "config.json"))})
        self.assertTrue(torch.equal(base.weights()["model.norm.weight"], given["model.norm.weight"]))
        codec = safetensors_file.read(self.path("out", "codec_video.safetensors"))
        self.assertTrue(all(torch.equal(tensor, given[name]) for name, tensor in codec.items()))

    def test_odd_configs_can_be_learned(self):
        for name, c in odd_configs().items():
            with self.subTest(name):
                write_checkpoint(self.path("checkpoint"), c)
                base = begin(self.path(name.replace(",", "")), init=self.path("checkpoint"))
                codecs = {k: w for medium in ("audio", "video") for k, w in codec_weights(c, medium).items()}
                material = Material(base, codecs, units=6, pool=1)
                whole = material.tensors(Practice(3, length=12))
                lay = Layout(c)
                units = len(whole["text"])
                self.assertEqual(units, material.agent.units(Practice(3, length=12).units))
                self.assertEqual(list(whole["text"].shape), [units, lay.agent_text])
                self.assertEqual(list(whole["typed"].shape), [units, lay.user_text])
                self.assertEqual(list(whole["audio_latents"].shape), [units, *lay.latents[0]])
                self.assertEqual(list(whole["video_latents"].shape), [units, *lay.latents[1]])
                batch = material.collated([whole, whole], 0)
                with torch.no_grad():
                    normed = Model(c, initial_weights(c)).forward(batch)
                self.assertTrue(torch.isfinite(normed).all())

    def test_codecs_that_training_cannot_run_have_the_engines_shapes(self):
        c = odd_configs()["plain"]
        at = next(i for i, layer in enumerate(c["response"]["audio"]["encoder"]) if layer["op"] == "conv")
        c["response"]["audio"]["encoder"][at]["padding"] = "replicate"
        c["response"]["video"]["decoder"].insert(1, {"op": "elu"})
        write_checkpoint(self.path("checkpoint"), c)
        for base in (begin(self.path("out"), init=self.path("checkpoint")), opened(self.path("out"))):
            self.assertEqual(set(base.config["_told"]), {"response.audio.encoder", "response.video.decoder"})
            self.assertEqual(Layout(base.config).latents, Layout(odd_configs()["plain"]).latents)
            self.assertEqual(expected_tensors(base.config).keys(), base.weights().keys())
            with self.assertRaisesRegex(InputError, f"training can't run layer {at}, conv with padding"):
                encode(base.config, base.weights(), "audio", torch.zeros(1, 1, 960, 1, 1))
            with self.assertRaisesRegex(InputError, "training can't run layer 1, elu"):
                response_decoder(base.config, "video").run({}, None)
        write_checkpoint_of(self.path("made"), base.config, base.tokens, base.weights())
        self.assertNotIn("_told", read_json(self.path("made", "config.json")))
        begin(self.path("again"), init=self.path("made"))
        begin(self.path("out"), init=self.path("checkpoint"))

    def test_what_an_earlier_stage_has_not_left_is_named(self):
        begin(self.path("out"), init=NANO)
        with self.assertRaisesRegex(InputError, r"lessons.safetensors: isn't there, or isn't whole: run lessons first"):
            stage_weights(self.path("out"), "lessons")
        os.remove(self.path("out", "codec_audio.safetensors"))
        with self.assertRaisesRegex(InputError, "run codec_audio first"):
            load_codecs(self.path("out"))

    def test_what_becomes_of_the_backbone_is_said_stage_by_stage(self):
        out = self.path("out")
        self.assertEqual(begin(out, init=NANO, backbone="lora", rank=2).rank, 2)
        self.assertEqual((opened(out).backbone, opened(out).rank), ("lora", 2))
        self.assertEqual(begin(out, backbone="frozen").backbone, "frozen")
        self.assertEqual(begin(out).backbone, "frozen")
        with self.assertRaisesRegex(InputError, "--backbone-rate: there is no backbone without --init"):
            begin(self.path("other"), backbone_rate=0.1)

    def test_bf16_and_shards_are_read(self):
        c = {**odd_configs()["plain"], "torch_dtype": "bfloat16"}
        write_checkpoint(self.path("whole"), c)
        whole = read_weights(self.path("whole"))
        expected = initial_weights(c, 5)
        for name, tensor in whole.items():
            self.assertTrue(torch.equal(tensor, expected[name].bfloat16().float()), name)
        os.makedirs(self.path("shards"))
        index = {name: f"part{i % 2}.safetensors" for i, name in enumerate(whole)}
        for part in set(index.values()):
            tensors = {name: w.bfloat16() for name, w in whole.items() if index[name] == part}
            safetensors_file.write(self.path("shards", part), tensors)
        write_json(self.path("shards", "model.safetensors.index.json"), {"weight_map": index})
        for name, tensor in read_weights(self.path("shards")).items():
            self.assertTrue(torch.equal(tensor, whole[name]), name)


class OtherTokens(unittest.TestCase):
    def test_special_tokens_get_free_rows_and_not_those_of_words(self):
        json_ = tokenizer_json()
        json_["added_tokens"] = [token for token in json_["added_tokens"] if token["content"] != "<|cont|>"]
        made = Tokens.completed(json_, nano().config)
        ids = [token["id"] for token in made["added_tokens"]]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertFalse(set(ids) & set(json_["model"]["vocab"].values()))
        self.assertEqual(Tokens(made, 256).continues, max(ids))
        self.assertEqual(json.dumps(Tokens.completed(made, nano().config)), json.dumps(made))


if __name__ == "__main__":
    unittest.main()
