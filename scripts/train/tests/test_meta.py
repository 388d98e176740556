"""Every stage's step on PyTorch's meta device, which has shapes and no values: what leaves something on
the CPU, or asks for a value within a step, fails here as it would fail or wait on a card.

    cd scripts && .venv/bin/python -m unittest train.tests.test_meta
"""

import tempfile
import unittest
from unittest import mock

import numpy as np
import torch

from train import adapt, codecs, distill, look, loop, rollout, talk, voice
from train.base import nano
from train.data import Material
from train.device import on_device
from train.model import Model
from train.optimizer import optimizer_of
from train.solver import taus_of
from train.tensors import initial_weights, is_codec
from world.practice import Practice

META = torch.device("meta")
UNITS = 12


class OnAnotherDevice(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.base = nano()
        cls.weights = initial_weights(cls.base.config, 1)
        cls.codecs = {name: w for name, w in cls.weights.items() if is_codec(name)}
        cls.material = Material(cls.base, cls.codecs, Practice, UNITS)
        cls.batch = cls.material.batch(0, 2)

    def setUp(self):
        for module in ("device", "loop", "optimizer"):
            patch = mock.patch(f"train.{module}.DEVICE", META)
            patch.start()
            self.addCleanup(patch.stop)

    def model(self):
        weights, trained, _ = adapt.adapt(self.base, on_device(dict(self.weights)))
        return Model(self.base.config, weights), trained

    def check(self, loss, trained):
        loss, figures = loss
        self.assertEqual(loss.device, META)
        loss.backward()
        self.assertTrue(any(p.grad is not None for p in trained.values()))
        self.assertTrue(all(value.device == META for value in figures.values() if isinstance(value, torch.Tensor)))
        optimizer = optimizer_of(trained, 1e-3, 0.01, {})
        torch.nn.utils.clip_grad_norm_(list(trained.values()), 1.0)
        optimizer.step()

    def test_codecs(self):
        c = self.base.config
        for medium in ("video", "audio"):
            weights = on_device({n: w for n, w in self.codecs.items() if f".{medium}." in n})
            trained = loop.learned(weights)
            self.check(codecs.LOSSES[medium](c, weights, np.random.default_rng(1), batch=2), trained)

    def test_look(self):
        steps = []

        def train(name, out, weights, step_loss, *_, **__):
            steps.append((step_loss(0), weights))

        with mock.patch.object(look, "train", train), mock.patch.object(look, "done", lambda *_: False):
            with mock.patch.object(look, "opened", lambda _: self.base):
                look.train_look("nowhere", 1, size=3)
        self.check(*steps[0])

    def test_talk(self):
        model, trained = self.model()
        probe = trained["probe"] = torch.nn.Parameter(on_device(talk.initial_probe(self.base.config)))
        batch = on_device(self.batch)
        for options in ({}, {"flow": False}, {"own": True}, {"alone": True}):
            with self.subTest(options):
                self.check(talk.step_loss(model, self.base.tokens, probe, batch, **options), trained)

    def test_voice(self):
        weights = on_device({n: w for n, w in self.codecs.items() if ".audio." in n})
        trained = loop.learned(weights, lambda name: ".decoder." in name)
        model, _ = self.model()
        batch = voice.Voiced(self.base, self.codecs, units=UNITS).batch(0, 2)
        latents = voice.remade(model, on_device(batch))
        self.assertEqual(latents.device, META)
        pool = voice.Pool(latents, batch["sound"])
        self.check(voice.step_loss(self.base.config, weights, pool, 0, 1), trained)

    def test_distill(self):
        (student, trained), (teacher, _) = self.model(), self.model()
        batch = on_device(self.batch)
        self.check(distill.distill_loss(student, teacher, batch, taus_of(2), 2, 1.5), trained)

    def test_steps_ask_for_no_value(self):
        """What the loop does for a step waits for nothing; figures lie on the device until they are told."""
        model, trained = self.model()
        batch = on_device(self.batch)
        with tempfile.TemporaryDirectory() as out:
            loss = lambda step: talk.step_loss(model, self.base.tokens, None, batch, flow=False)
            training = loop.Training("steps", out, trained, loss, 9, 1e-3, average=0.9, shares={"model.norm.weight": 0.1})
            taken = [training.take()[0] for _ in range(2)]
        for figures in taken:
            self.assertTrue({"loss", "norm", "text", "words"} <= figures.keys())
            self.assertEqual({value.device for value in figures.values()}, {META})

    def test_rollouts(self):
        model, _ = self.model()
        batch = on_device(self.batch)
        examples = [{key: value[i] for key, value in batch.items()} for i in range(2)]
        ids, latents = rollout.roll(model, examples, taus_of(2), units=UNITS, guidance=1.5)
        self.assertEqual({ids.device, latents[0].device, latents[1].device}, {META})


if __name__ == "__main__":
    unittest.main()
