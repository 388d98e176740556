"""Training learns from world 2: what is given before, from the agents' voices and pictures to a step's loss.

    cd scripts && .venv/bin/python -m unittest train.tests.test_worlds
"""

import unittest
import unittest.mock
import zlib

import numpy as np
import torch

from train import cast, talk
from train.base import Base, ask_engine
from train.codecs import video_loss
from train.data import Material
from train.device import on_device
from train.model import Model
from train.tensors import initial_weights
from train.tests.odd import odd_configs
from train.tokenizer import Tokens, tokenizer_json
from train.worlds import world


def say(text, voice, speed=1.0):
    """In place of a synthesizer, which this machine may not have: a tone."""
    rng = np.random.default_rng(zlib.crc32(f"{voice}{text}".encode()))
    tone = np.sin(np.arange(int(800 * len(text) / speed)) * rng.uniform(0.05, 0.2))
    return (0.14 * tone).astype(np.float32)


class Worlds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        torch.set_num_threads(1)
        speech = unittest.mock.patch("world.synthesizers.say", say)
        speech.start()
        cls.addClassCleanup(speech.stop)
        words = world(2).vocabulary()
        cls.config = {**odd_configs()["plain"], "vocab_size": 480}
        cls.base = Base(cls.config, Tokens(tokenizer_json(words), 256, ask_engine, words), world=2)
        # The words of prompts are tokens, so that the engine needn't be asked.
        texts = world(2).prompts()
        cls.base.tokens.known.update({text: [cls.base.tokens.known[w][0] for w in text.rstrip(".").split()] for text in texts})
        cls.weights = initial_weights(cls.config, 1)

    def test_a_batch_has_what_is_given_and_its_loss_follows_from_it(self):
        material = Material(self.base, self.weights, units=12)
        seeds = {"shown": None, "heard_voice": None, "prompt": None}
        for seed in range(40):
            c = material.kind(seed, length=4)
            for name in seeds:
                if getattr(c, name) and seeds[name] is None:
                    seeds[name] = seed
        wholes = {seed: material.tensors(material.kind(seed, length=4)) for seed in set(seeds.values())}
        for name, key in (("shown", "picture"), ("heard_voice", "voice"), ("prompt", "prompt")):
            self.assertGreater(len(wholes[seeds[name]]["given"][key]), 0, name)
        batch = material.collated(list(wholes.values()), 0)
        model = Model(self.config, on_device(self.weights))
        torch.manual_seed(0)
        loss, _ = talk.step_loss(model, self.base.tokens, None, batch, flow=False)
        other = {**batch, "given_ago": batch["given_ago"] + 3}
        torch.manual_seed(0)
        self.assertNotEqual(float(loss), float(talk.step_loss(model, self.base.tokens, None, other, flow=False)[0]))
        self.assertTrue(torch.isfinite(loss))

    def test_mouths_are_as_open_as_they_are_drawn(self):
        one = next(iter(cast.characters.named().values()))
        drawn = one.frames([0, 0.5, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0])
        x = torch.from_numpy(drawn).permute(3, 0, 1, 2).float() / 127.5 - 1
        closed, half, opened = cast.opening(x, one).tolist()
        self.assertAlmostEqual(closed, 0, places=3)
        self.assertAlmostEqual(opened, 1, places=3)
        self.assertTrue(0.1 < half < 0.9)

    def test_codecs_take_their_streams_from_a_cast(self):
        rng, those = np.random.default_rng(0), cast.Cast(self.config)
        sound = those("audio", rng, 1, 3)
        self.assertEqual(list(sound.shape), [1, 1, 3 * 2560, 1, 1])
        self.assertTrue(sound.any())
        loss, figures = video_loss(self.config, self.weights, rng, 1, 1, recorded=those)
        self.assertTrue(torch.isfinite(loss) and "mouth" in figures)


if __name__ == "__main__":
    unittest.main()
