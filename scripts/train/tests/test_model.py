"""The training pass equals inference unit by unit.

    cd scripts && .venv/bin/python -m unittest train.tests.test_model
"""

import unittest

import torch

from train import given
from train.base import nano
from train.coders import MEDIA, heard, response_encoder
from train.layout import Layout
from train.model import Model, Stream
from train.tensors import initial_weights
from train.tests.odd import odd_configs


def small():
    """nano's shape with a short window, so that units leave history in the test."""
    sizes = {"hidden_size": 64, "num_hidden_layers": 3, "intermediate_size": 96, "num_attention_heads": 4}
    return {**nano().config, **sizes, "history_units": 5}


def random_batch(c, batch, units):
    generator = torch.Generator().manual_seed(3)
    normal = lambda *shape: torch.randn(*shape, generator=generator)
    typed = torch.randint(0, c["vocab_size"], (batch, units, c["user_text_slots"]), generator=generator)
    typed[torch.rand(typed.shape, generator=generator) < 0.6] = -1
    lay, video = Layout(c), c["observation"]["video"]
    return {
        "typed": typed,
        "text": torch.randint(0, c["vocab_size"], (batch, units, c["agent_text_slots"]), generator=generator),
        "mel": heard(c, 0.1 * normal(batch, units * lay.user_samples)),
        "frames": normal(batch, 3, units * lay.frames, video["height"], video["width"]).clamp(-1, 1),
        "audio_latents": normal(batch, units, *lay.latents[0]),
        "video_latents": normal(batch, units, *lay.latents[1]),
    }


def random_given(c):
    """Of two conversations, of another length each: one without a picture."""
    lay = Layout(c)
    torch.manual_seed(4)
    each = lambda words, units, pictures: {
        "prompt": torch.randint(0, c["vocab_size"], (words,)),
        "voice": torch.randn(units, *lay.latents[0]),
        "picture": torch.randn(pictures, *lay.latents[1]),
    }
    return given.padded([each(3, 4, 0), each(7, 2, 1)], [0, 11])


class TrainingPass(unittest.TestCase):
    def check(self, c, units, more=None):
        model = Model(c, initial_weights(c, 1))
        batch = {**random_batch(c, 2, units), **(more or {})}
        z = tuple(torch.randn_like(batch[f"{m}_latents"]) for m in ("audio", "video"))
        tau = torch.linspace(0.1, 1, 2 * units).view(2, units)
        with torch.no_grad():
            logits, velocities, _ = model.heads(model.forward(batch, z, tau))
            free = model.heads(model.forward(batch, z, tau, noisy_context=False))[1]
            stream = Stream(model, 2, units=units, given=more)
            audio, video = model.observe(batch, units)
            previous, places = None, set()
            for unit in range(units):
                text = batch["text"][:, unit]
                _, got = stream.think(
                    batch["typed"][:, unit], audio[:, unit], video[:, unit], previous, lambda _, slot: text[:, slot]
                )
                self.assertLess((got - logits[:, unit]).abs().max(), 1e-4)
                for row in range(2):
                    now = tuple(part[:, unit] for part in z)
                    for alone, expected in ((False, velocities), (True, free)):
                        v = stream.velocity(now, tau[row, unit], alone)
                        for mine, theirs in zip(v, expected):
                            self.assertLess((mine[row] - theirs[row, unit]).abs().max(), 1e-4)
                previous = tuple(batch[f"{m}_latents"][:, unit] for m in ("audio", "video"))
                places.add(tuple((part.data_ptr(), part.shape[3]) for part in stream.kept))
        # Keys and values lie in the same places from the first unit to the last.
        ((keys, values),) = places
        room = stream.given + min(units, c["history_units"]) * model.layout.clean
        self.assertEqual((keys[1], values[1]), (room, room))

    def test_parallel_pass_gives_the_velocities_of_unit_by_unit(self):
        self.check(small(), 9)

    def test_so_it_does_over_several_attention_chunks(self):
        self.check(small(), 20)

    def test_so_it_does_in_a_window_that_does_not_fill(self):
        self.check({**small(), "history_units": 30}, 4)

    def test_so_it_does_for_odd_configs(self):
        for name, c in odd_configs().items():
            with self.subTest(name):
                # One of them goes on into a second chunk of attention.
                self.check(c, 18 if c["sink_units"] else 7)

    def test_so_it_does_after_what_was_given_before(self):
        for c in (small(), odd_configs()["sinks, slots, heun"]):
            self.check(c, 18, random_given(c))

    def test_what_is_given_is_seen_where_it_is_there(self):
        c = small()
        model, batch, more = Model(c, initial_weights(c, 1)), random_batch(c, 2, 3), random_given(c)
        changes = {"given_prompt": (0, 2), "given_voice": (0, 3), "given_picture": (1, slice(None))}
        padding = {"given_voice": (1, 2), "given_picture": (0, slice(None))}
        with torch.no_grad():
            before = model.forward({**batch, **more})
            for places, seen in ((changes, True), (padding, False)):
                for key, (row, at) in places.items():
                    other = {**more, key: more[key].clone()}
                    other[key][row, at] = 5
                    after = model.forward({**batch, **other})
                    self.assertEqual(bool((after[row] - before[row]).abs().max() > 1e-6), seen, key)
                    torch.testing.assert_close(after[1 - row], before[1 - row])

    def test_guidance_leads_on_from_the_unconditional_velocity(self):
        c = small()
        model, batch = Model(c, initial_weights(c, 1)), random_batch(c, 2, 2)
        z = tuple(torch.randn(2, *batch[f"{m}_latents"].shape[2:]) for m in ("audio", "video"))
        with torch.no_grad():
            stream = Stream(model, 2)
            audio, video = model.observe(batch, 2)
            stream.think(batch["typed"][:, 0], audio[:, 0], video[:, 0], None, lambda _, slot: batch["text"][:, 0, slot])
            guided = stream.solve(z, [1.0, 0.0], 1.5)
            led, free = stream.velocity(z, 1.0), stream.velocity(z, 1.0, alone=True)
        for end, start, a, b in zip(guided, z, led, free):
            torch.testing.assert_close(end, start - (1.5 * a - 0.5 * b))

    def test_unconditional_velocities_ignore_their_units_observation_and_text(self):
        c = small()
        model = Model(c, initial_weights(c, 1))
        batch = random_batch(c, 2, 4)
        other = {**batch, "text": batch["text"].clone(), "mel": batch["mel"].clone()}
        other["text"][:, 3] += 1
        other["text"] %= c["vocab_size"]
        other["mel"][:, :, 48:] += 1
        z = tuple(torch.randn_like(batch[f"{m}_latents"]) for m in ("audio", "video"))
        tau = torch.full((2, 4), 0.5)
        with torch.no_grad():
            for context, same in ((False, True), (True, False)):
                a, b = (
                    model.heads(model.forward(each, z, tau, noisy_context=context))[1][0][:, 3]
                    for each in (batch, other)
                )
                self.assertEqual(bool((a - b).abs().max() < 1e-6), same)

    def test_in_bfloat16_it_is_nearly_the_same(self):
        c = small()
        model = Model(c, initial_weights(c, 1))
        batch = random_batch(c, 2, 6)
        z = tuple(torch.randn_like(batch[f"{m}_latents"]) for m in ("audio", "video"))
        rows = []
        for bf16 in (False, True):
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                rows.append(model.forward(batch, z, torch.full((2, 6), 0.5)).float())
        error = float((rows[1] - rows[0]).norm() / rows[0].norm())
        self.assertGreater(error, 0)
        self.assertLess(error, 0.03)

    def test_nothing_sees_the_future(self):
        c = small()
        model = Model(c, initial_weights(c, 1))
        batch = random_batch(c, 1, 6)
        other = {key: value.clone() for key, value in batch.items()}
        other["mel"][:, :, 64:] += 1
        other["frames"][:, :, 16:] *= -1
        other["audio_latents"][:, 4:] += 1
        z = tuple(torch.randn_like(batch[f"{m}_latents"]) for m in ("audio", "video"))
        tau = torch.full((1, 6), 0.5)
        with torch.no_grad():
            a, b = (model.forward(each, z, tau)[:, :4] for each in (batch, other))
        self.assertLess((a - b).abs().max(), 1e-5)


class Stacks(unittest.TestCase):
    def test_every_stack_has_the_shape_its_layers_say(self):
        weights = initial_weights(nano().config)
        for medium in MEDIA:
            encoder = response_encoder(nano().config, medium)
            unit, out = encoder.shape, encoder.output()
            x = torch.randn(2, unit[3], 3 * unit[0], *unit[1:3])
            y = encoder.run(weights, x)
            self.assertEqual(list(y.shape), [2, out[3], 3 * out[0], *out[1:3]])


if __name__ == "__main__":
    unittest.main()
