"""The encoders and decoders of a config (engine/checkpoint/coders.ts): where each one's tensors lie, its
layers, and the shape of one unit of its input."""

import dataclasses
import math

import torch

from . import stacks
from .run import InputError

MEDIA = ("audio", "video")


@dataclasses.dataclass(frozen=True)
class Coder:
    """name: before the names of its tensors; shape: [time, height, width, channels] of one unit of its
    input; rate: samples per second of the sound that it reads or gives; told: what the engine says of one
    that has layers which training can't run: [its tensors' shapes by name, the output's shape]."""

    name: str
    layers: list
    shape: list
    rate: int | None = None
    told: list | None = None

    def tensors(self):
        """Name to shape of each of its tensors."""
        return dict((self.told or stacks.stack_tensors(self.layers, self.shape, self.name))[0])

    def output(self):
        """Shape of what it makes of one unit."""
        return (self.told or stacks.stack_tensors(self.layers, self.shape, self.name))[1]

    def run(self, weights, x, first=0, last=None, carried=None):
        """Runs layers [first, last) over x [batch, channels, time, height, width], after what came before
        (stacks.py). Raises InputError where training can't."""
        if self.told:
            raise InputError(
                f"{self.name}: training can't run {stacks.unknown(self.layers)}; what doesn't need it is trained "
                "from recordings with latents, agent.safetensors of 'wanstream codec' (docs/train.md)"
            )
        return stacks.run(weights, self.name, self.layers[:last], x, first, self.rate, carried)


def _told(c, name):
    return c.get("_told", {}).get(name)


def unit_shape(c, side, medium):
    """One unit as it comes in or goes out: [samples, 1, 1, 1] or [frames, height, width, 3]."""
    if medium == "audio":
        return [c["unit_ms"] * c[side]["audio"]["sample_rate"] // 1000, 1, 1, 1]
    video = c[side]["video"]
    return [int(c["unit_ms"] * c["fps"]) // 1000, video["height"], video["width"], 3]


def response_encoder(c, medium):
    name, rate = f"response.{medium}.encoder", c["response"]["audio"]["sample_rate"]
    return Coder(name, c["response"][medium]["encoder"], unit_shape(c, "response", medium), rate, _told(c, name))


def response_decoder(c, medium):
    name, rate = f"response.{medium}.decoder", c["response"]["audio"]["sample_rate"]
    return Coder(name, c["response"][medium]["decoder"], response_encoder(c, medium).output(), rate, _told(c, name))


def observation_encoder(c, medium):
    """The encoder of the user's audio or video: one of its own, or the response codec's."""
    layers = c["observation"][medium]["encoder"]
    if layers == "codec":
        return response_encoder(c, medium)
    rate = c["observation"]["audio"]["sample_rate"]
    name = f"observation.{medium}.encoder"
    return Coder(name, layers, unit_shape(c, "observation", medium), rate, _told(c, name))


def log_mel(c):
    """The first layer of the observed audio's encoder where that is log-mel, else None: data holds its
    result, which needs no gradient."""
    first = observation_encoder(c, "audio").layers[0]
    return first if first["op"] == "logmel" else None


def heard(c, samples):
    """User audio [B, samples] as `Model.observe` takes it: log-mel [B, mels, frames, 1, 1], or the
    samples [B, 1, samples, 1, 1]."""
    layer = log_mel(c)
    if layer is None:
        return samples[:, None, :, None, None]
    return stacks.logmel(samples, layer, c["observation"]["audio"]["sample_rate"])[..., None, None]


def encode(c, weights, medium, x):
    """Agent pictures or sound [B, channels, time, height, width] -> latents."""
    return response_encoder(c, medium).run(weights, x)


def decode(c, weights, medium, z):
    return response_decoder(c, medium).run(weights, z)


class Encoders:
    """What the response's encoders make of sound and pictures. weights: theirs."""

    def __init__(self, c, weights):
        self.c, self.weights = c, weights

    def shapes(self):
        """[tokens, channels] of a unit's latents, of sound and of pictures."""
        for medium in MEDIA:
            *grid, channels = response_encoder(self.c, medium).output()
            yield math.prod(grid), channels

    def sound(self, samples, units):
        """Samples of `units` units of the config -> latents [units, tokens, channels]."""
        x = torch.from_numpy(samples)[None, None, :, None, None]
        with torch.no_grad():
            z = encode(self.c, self.weights, "audio", x)[0, :, :, 0, 0].T
        return z.reshape(units, len(z) // units, -1)

    def pictures(self, frames, units):
        """uint8 [B, frames of `units` units, height, width, 3] -> latents [B, units, tokens, channels]."""
        x = torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        with torch.no_grad():
            z = encode(self.c, self.weights, "video", x)
        return z.permute(0, 2, 3, 4, 1).unflatten(1, (units, -1)).flatten(2, 4)
