"""Tokens of a unit: how many of each kind, where they stand, and which see which."""

import math

import torch

from .coders import MEDIA, observation_encoder, response_encoder


class Layout:
    """Tokens of a unit, as unitLayout in engine/checkpoint/unit.ts. Rows of a unit in the training pass: user
    text | user audio | user video | agent text | agent audio | agent video | noisy audio | noisy
    video."""

    def __init__(self, c):
        observed = {medium: observation_encoder(c, medium).output() for medium in MEDIA}
        latent = {medium: response_encoder(c, medium).output() for medium in MEDIA}
        self.frames = response_encoder(c, "video").shape[0]
        self.user_samples = c["unit_ms"] * c["observation"]["audio"]["sample_rate"] // 1000
        self.agent_samples = response_encoder(c, "audio").shape[0]
        self.user_text = c["user_text_slots"]
        self.agent_text = c["agent_text_slots"]
        self.user_audio, self.user_grid = observed["audio"][0], observed["video"][:3]
        self.agent_audio, self.agent_grid = latent["audio"][0], latent["video"][:3]
        self.user_video, self.agent_video = math.prod(self.user_grid), math.prod(self.agent_grid)
        self.channels = {medium: observed[medium][3] for medium in MEDIA}
        self.latents = [(self.agent_audio, latent["audio"][3]), (self.agent_video, latent["video"][3])]
        self.observation = self.user_text + self.user_audio + self.user_video
        self.response = self.agent_audio + self.agent_video
        self.clean = self.observation + self.agent_text + self.response
        self.rows = self.clean + self.response

    def positions(self, span):
        """[rows, 3] of unit 0: time, height, width (engine/checkpoint/unit.ts)."""
        line = lambda count: [[i * span // max(count, 1)] * 3 for i in range(count)]
        response = line(self.agent_audio) + self.grid(self.agent_grid, span)
        observation = line(self.user_text) + line(self.user_audio) + self.grid(self.user_grid, span)
        return torch.tensor(observation + line(self.agent_text) + response + response)

    @staticmethod
    def grid(extents, span):
        """Positions of a grid [time, height, width] of tokens that begins at 0."""
        t, h, w = extents
        start = lambda i: i * span // t
        return [[start(i), start(i) + y, start(i) + x] for i in range(t) for y in range(h) for x in range(w)]

    def ranks(self):
        """[rows] rank within the unit: observation 0, text 1.., response last; noisy rows have the
        rank of the last text token: what they see of clean history."""
        slots = self.agent_text
        text = list(range(1, slots + 1))
        return torch.tensor(
            [0] * self.observation + text + [slots + 1] * self.response + [slots] * self.response
        )
