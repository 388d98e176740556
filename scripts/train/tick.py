"""A streaming tick of a checkpoint in PyTorch, eager, in f32: what a person would run in place of the engine.

    .venv/bin/python -m train.tick CHECKPOINT                                 (in scripts/)

`wanstream bench peers` starts it. It writes a line of JSON when it is ready: PyTorch's version. Standard
input then has lines `{"threads": T, "ticks": N}`, answered by a line with N times in milliseconds. Each
tick encodes a unit of loud random sound and pictures, makes the pass, takes its text, solves with the
checkpoint's solver and decodes; encoders and decoders carry their state, and history is full from the
first tick that is timed on.
"""

import argparse
import json
import os
import sys
import time

import torch

from .base import read_json, read_weights
from .coders import observation_encoder, response_decoder
from .model import Model, Stream
from .solver import taus_of


class Tick:
    """observe(), answer() and decode() of one unit after the other, each with what it carries."""

    def __init__(self, folder):
        self.c = read_json(os.path.join(folder, "config.json"))
        self.model = Model(self.c, read_weights(folder))
        self.stream = Stream(self.model, 1)
        self.carried: dict = {}
        self.previous: tuple | None = None
        solver = self.c["solver"]
        self.solver = solver["name"], taus_of(solver["steps"], solver["shift"]), solver["guidance"]

    def observe(self, sound, frames):
        """Rows of a unit: samples [1, n], pictures [1, 3, frames, height, width] in -1 to 1."""
        given = {"audio": sound[:, None, :, None, None], "video": frames}
        return [self.model.observed_rows(medium, x, 1, carried=self.carried)[:, 0] for medium, x in given.items()]

    def answer(self, typed, rows, noise):
        """Token ids and latents of a unit."""
        ids, _ = self.stream.think(typed, rows[0], rows[1], self.previous, lambda logits, _: logits.argmax(-1))
        name, taus, guidance = self.solver
        self.previous = self.stream.solve(noise, taus, guidance, name)
        return ids, self.previous

    def decode(self, latents):
        """Samples [1, n] and pictures [1, 3, frames, height, width] of a unit's latents."""
        grid = self.model.layout.agent_grid
        inputs = {"audio": latents[0].transpose(1, 2)[..., None, None]}
        inputs["video"] = latents[1].transpose(1, 2).unflatten(2, tuple(grid))
        return [
            response_decoder(self.c, medium).run(self.model.w, z, carried=self.carried) for medium, z in inputs.items()
        ]

    def run(self):
        """A tick on random material. Returns its milliseconds."""
        audio, video = (observation_encoder(self.c, medium).shape for medium in ("audio", "video"))
        sound, frames = torch.rand(1, audio[0]) - 0.5, torch.rand(1, 3, *video[:3]) * 2 - 1
        noise = tuple(torch.randn(1, *shape) for shape in self.model.layout.latents)
        typed = torch.full((1, self.model.layout.user_text), -1)
        start = time.perf_counter()
        with torch.no_grad():
            _, latents = self.answer(typed, self.observe(sound, frames), noise)
            for decoded in self.decode(latents):
                decoded.numpy()
        return (time.perf_counter() - start) * 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint")
    torch.set_num_threads(1)
    tick = Tick(parser.parse_args().checkpoint)
    for _ in range(tick.c["history_units"]):
        tick.run()
    print(json.dumps({"version": torch.__version__}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        torch.set_num_threads(asked["threads"])
        tick.run()
        print(json.dumps([tick.run() for _ in range(asked["ticks"])]), flush=True)


if __name__ == "__main__":
    main()
