"""The world's streams at a config's rates, sizes and units. The world has one clock of its own: units of
160 ms, sound at 16 kHz, 25 pictures a second (world/stream.py) in two sizes (world/draw.py)."""

import numpy as np
import torch
import torch.nn.functional as F

from world.stream import FPS, SAMPLE_RATE, UNIT_MS

from .coders import unit_shape


class Fit:
    """Fits what the world gives to a config; what fits already stays as it is."""

    def __init__(self, c, side="response"):
        self.unit_ms, self.fps = c["unit_ms"], c["fps"]
        self.rate, (self.height, self.width) = c[side]["audio"]["sample_rate"], unit_shape(c, side, "video")[1:3]

    def units(self, world_units):
        """Whole units of the config in so many of the world's."""
        return world_units * UNIT_MS // self.unit_ms

    def world_units(self, units):
        """Units of the world that cover so many of the config's."""
        return -(-units * self.unit_ms // UNIT_MS)

    def unit_of(self, world_unit):
        """The config's unit in which one of the world's begins."""
        return world_unit * UNIT_MS // self.unit_ms

    def seen_last(self, unit):
        """The world's unit that is the last to end within a unit of the config, or the one it lies in."""
        return max((unit + 1) * self.unit_ms // UNIT_MS - 1, unit * self.unit_ms // UNIT_MS)

    def sound(self, samples, units):
        """Samples [n] at 16 kHz -> [`units` units of the config] at its rate."""
        if self.rate != SAMPLE_RATE:
            samples = resampled(samples, SAMPLE_RATE, self.rate)
        return samples[: units * self.samples]

    @property
    def samples(self):
        """Of a unit of the config."""
        return self.unit_ms * self.rate // 1000

    def filled(self, samples, longest):
        """Samples [n] at 16 kHz -> whole units of the config at its rate, the last one filled with silence,
        at most `longest`."""
        if self.rate != SAMPLE_RATE:
            samples = resampled(samples, SAMPLE_RATE, self.rate)
        samples = samples[: longest * self.samples]
        return np.pad(samples, (0, -len(samples) % self.samples)).astype(np.float32)

    def still(self, picture):
        """uint8 [h, w, 3] -> the pictures of a unit of the config, all alike."""
        count = int(self.unit_ms * self.fps) // 1000
        return np.repeat(resized(picture[None], self.height, self.width), count, 0)

    def frames(self, frames, units):
        """uint8 [n, height, width, 3] at 25 pictures a second -> [`units` units of the config] in its
        size, each the one that is shown at its moment."""
        count = int(units * self.unit_ms * self.fps) // 1000
        if self.fps != FPS:
            frames = frames[np.minimum(np.arange(count) * FPS / self.fps, len(frames) - 1).astype(int)]
        return resized(frames[:count], self.height, self.width)


def resampled(samples, source, target):
    """float32 [n] from one rate to another by cutting or widening the spectrum: exact for what both rates
    can hold."""
    count = len(samples) * target // source
    # Silence at the end keeps the circular transform from wrapping speech around.
    quiet = source // 10
    padded = np.concatenate([samples, np.zeros(quiet, samples.dtype)])
    whole = int(round(len(padded) * target / source))
    spectrum = np.fft.rfft(padded)[: whole // 2 + 1]
    return (np.fft.irfft(spectrum, whole) * (whole / len(padded)))[:count].astype(np.float32)


def resized(frames, height, width):
    """uint8 [n, h, w, 3] in another size; bilinear, averaging where it becomes smaller."""
    if frames.shape[1:3] == (height, width):
        return frames
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    y = F.interpolate(x, (height, width), mode="bilinear", antialias=True, align_corners=False)
    return y.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
