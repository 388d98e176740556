"""A tick after the other gives what all at once gives.

cd scripts && .venv/bin/python -m unittest train.tests.test_tick
"""

import unittest

import torch

from train.base import NANO
from train.coders import MEDIA, decode, heard
from train.tick import Tick


class Ticks(unittest.TestCase):
    def test_encoders_and_decoders_carry_their_state(self):
        tick, units = Tick(NANO), 5
        c, lay, video = tick.c, tick.model.layout, tick.c["observation"]["video"]
        generator = torch.Generator().manual_seed(5)
        sound = torch.rand(1, units * lay.user_samples, generator=generator) - 0.5
        frames = torch.rand(1, 3, units * lay.frames, video["height"], video["width"], generator=generator) * 2 - 1
        latents = [torch.randn(1, units, *shape, generator=generator) for shape in lay.latents]
        with torch.no_grad():
            whole = tick.model.observe({"mel": heard(c, sound), "frames": frames}, units)
            z = [latents[0].flatten(1, 2).transpose(1, 2)[..., None, None]]
            z.append(latents[1].unflatten(2, tuple(lay.agent_grid)).flatten(1, 2).permute(0, 4, 1, 2, 3))
            decoded = [decode(c, tick.model.w, medium, part) for medium, part in zip(MEDIA, z)]
            for unit in range(units):
                rows = tick.observe(
                    sound[:, unit * lay.user_samples : (unit + 1) * lay.user_samples],
                    frames[:, :, unit * lay.frames : (unit + 1) * lay.frames],
                )
                for mine, all_ in zip(rows, whole):
                    torch.testing.assert_close(mine, all_[:, unit], atol=1e-4, rtol=1e-4)
                for mine, all_ in zip(tick.decode([part[:, unit] for part in latents]), decoded):
                    length = mine.shape[2]
                    torch.testing.assert_close(mine, all_[:, :, unit * length : (unit + 1) * length], atol=1e-4, rtol=1e-4)

    def test_a_tick_takes_time(self):
        tick = Tick(NANO)
        self.assertGreater(min(tick.run() for _ in range(2)), 0)


if __name__ == "__main__":
    unittest.main()
