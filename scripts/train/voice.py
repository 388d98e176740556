"""The audio decoder learns on, from latents as the model makes them: it is trained on what the encoder
makes of a sound, and hears something a little different from the model (ground-truth aligned
fine-tuning, as in Shen et al. 2018, Tacotron 2, section 3.2). And it learns to be silent at once when
the voice is interrupted: its windows overlap and it remembers, and what it left for the next unit was
heard there (in 17 of 32 interruptions the sound stopped a unit after the text). Latents stay what they
are.

    .venv/bin/python -m train.voice --out FOLDER [--stage conversations] [--minutes M]     (in scripts/)

Replaces OUT/codec_audio.safetensors; OUT/voice.safetensors says that it was done.
"""

import argparse
import functools
import os

import numpy as np
import torch
import torch.nn.functional as F

import safetensors_file
from world import render
from world.stream import ACTIVE

from . import stacks
from .base import add_arguments, add_run_arguments, from_arguments, opened, run_options
from .codecs import BEST, NOISE, audio_loss, audio_stream, audio_terms, evaluate, halves, replaced, source
from .coders import encode, response_decoder, unit_shape
from .data import Material
from .device import on_device
from .fit import Fit
from .loaders import made
from .loop import done, learned, numbers, train
from .model import Model
from .run import artefact, command, digest, locked, meet, say, together, workers
from .talk import noisy, stage_weights, with_history_noise
from .tensors import is_codec

# The solver starts from the truth's latents with this share of noise: from noise alone a word could
# begin a frame earlier or later than in the truth, and the decoder would learn to blur. Where there is
# silence nothing can shift, and it starts from noise, as in practice.
START, STEPS = 0.75, 3
ALIGNED, UNITS = 64, 6  # batches of latents that are made, and units that a step takes of each row
LEAD = 2  # units before them, so that the decoder's memory is filled
SIZE = 4  # rows of a batch from the model; as many come from the encoder
LOUD = 0.02  # mean magnitude of a voice that isn't over, in the last part of a unit
ENDING = 8  # a unit is so many such parts
SPILL_WEIGHT, HUSH_WEIGHT = 0.5, 0.5
# How far the weights go from what they were to what they have learned (robust fine-tuning, Wortsman et
# al. 2022): half of what is left after a cut goes (RMS at p95 0.0088, 0.0063, 0.0044 for 0, 0.5 and 1),
# and less than half of the fidelity (mel distance 0.40, 0.44, 0.48).
KEPT = 0.5


class Voiced(Material):
    """Conversations with the agent's sound [units, samples], in full up to where it is cut off."""

    def tensors(self, c):
        tensors = super().tensors(c)
        units = len(tensors["text"])
        sound = torch.from_numpy(self.agent.sound(self.world.render.agent_audio(c, fades=False), units))
        return {**tensors, "sound": sound.reshape(units, -1)}


def remade(model, batch):
    """Audio latents of a batch as the solver leaves them, from the truth's history and words."""
    tau = torch.where(batch["sound"].any(2), START, 1.0)
    step = tau[..., None, None] / STEPS
    with torch.no_grad():
        z, _ = noisy(batch, tau)
        for left in range(STEPS, 0, -1):
            now = tau * left / STEPS
            velocities = model.heads(model.forward(with_history_noise(batch), z, now))[1]
            z = tuple(part - step * velocity for part, velocity in zip(z, velocities))
    return z[0]


class Pool:
    """Latents [rows, units, tokens, channels] on the training device, and the truth's sound [rows, units,
    samples] on the CPU, where it is chosen which of them a step takes."""

    def __init__(self, latents, sound):
        self.latents, self.sound = latents, sound
        self.loud, self.hushed = sound.pow(2).mean(2).sqrt() > ACTIVE, cut_off(sound)

    def windows(self, rng, size=SIZE, units=UNITS):
        """Random stretches of both, half of them with a voice that is cut off where there is one, more of
        the others with a voice than without."""
        length = units + LEAD
        parts = []
        while len(parts) < size:
            row, at = int(rng.integers(len(self.sound))), int(rng.integers(0, self.sound.shape[1] - length + 1))
            wanted = self.hushed if len(parts) < size // 2 and self.hushed.any() else self.loud
            if wanted[row, at + LEAD : at + length].any() or wanted is self.loud and rng.random() < 0.2:
                parts.append((self.latents[row, at : at + length], self.sound[row, at : at + length]))
        z, x = zip(*parts)
        return torch.stack(z), on_device(torch.stack(x).flatten(1))


def aligned(base, weights, seed, count=ALIGNED, size=3, units=48):
    """A Pool of latents that the model makes of the truth's history and words."""
    model, material = Model(base.config, on_device(weights)), Voiced(base, weights, units=units)
    latents, sound = [], []
    torch.manual_seed(seed)
    for step in range(count):
        batch = made(material, step, size, seed)
        latents.append(remade(model, on_device(batch)))
        sound.append(batch["sound"])
        if step % 10 == 9:
            say(f"voice: {step + 1} of {count} batches made")
    return Pool(torch.cat(latents), torch.cat(sound))


def cut_off(sound):
    """[B, units, samples] -> bool [B, units]: silent, although the unit before ends in mid-word."""
    ends_loud = sound[:, :-1, -(sound.shape[2] // ENDING) :].abs().mean(2) > LOUD
    return F.pad(ends_loud & ~sound[:, 1:].any(2), (1, 0))


def hush(y, x, unit):
    """Mean RMS of sound y, in parts of what counts as spoken, in the units (of so many samples) in which
    the truth x is cut off; both [B, samples]."""
    where = cut_off(x.unflatten(1, (-1, unit)))
    rms = (y.unflatten(1, (-1, unit)).pow(2).mean(2) + 1e-8).sqrt()
    return (rms * where).sum() / where.sum().clamp(min=1) / ACTIVE


def broken_off(c, weights, rng, size, units, stream=audio_stream):
    """Latents and sound, as of Pool.windows(), of a voice that stops in the middle of a word. The last unit
    that sounds was made when nobody knew: its latents are those of the whole word, and what follows is
    the encoder's silence after a word that faded in time, as in conversations. The sound ends with the
    unit."""
    fit = Fit(c)
    made = (stream(rng, fit.world_units(units), cut_share=0) for _ in range(size))
    whole = np.stack([fit.sound(each, units) for each in made])
    ended, sound = whole.copy(), whole.copy()
    stops = np.array([a_stop(rng, row, units) for row in whole])
    for i, at in enumerate(stops * (whole.shape[1] // units)):
        ended[i, :at] = render.fade_out(whole[i, :at])
        ended[i, at:], sound[i, at:] = 0, 0
    spoken, faded = (latents_of(c, weights, x, units) for x in (whole, ended))
    silent = on_device(torch.arange(units)[None] >= torch.from_numpy(stops)[:, None])
    z = torch.where(silent[..., None, None], faded, spoken)
    return z + NOISE * torch.randn_like(z), on_device(torch.from_numpy(sound))


def a_stop(rng, row, units):
    """A unit, drawn from those that a voice reaches into, or from all."""
    level = np.abs(row.reshape(units, -1)[:, -(len(row) // units // ENDING) :]).mean(1)
    reached = [unit + 1 for unit in range(LEAD, units - 1) if level[unit] > LOUD]
    return int(rng.choice(reached or np.arange(LEAD + 1, units)))


def latents_of(c, weights, sound, units):
    x = on_device(torch.from_numpy(sound))[:, None, :, None, None]
    return encode(c, weights, "audio", x)[..., 0, 0].transpose(1, 2).unflatten(1, (units, -1))


def decoded(c, weights, z):
    """[B, L, tokens, channels] -> samples [B, L x unit], and [B, L, hop] what each unit's last window
    leaves for the next unit: it sounds on when that one is silent. A decoder whose windows don't overlap
    leaves nothing."""
    decoder, unit = response_decoder(c, "audio"), unit_shape(c, "response", "audio")[0]
    z = z.flatten(1, 2).transpose(1, 2)[..., None, None]
    if decoder.layers[-1]["op"] != "overlap_add":
        return decoder.run(weights, z)[:, 0, :, 0, 0], z.new_zeros(1)
    frames = decoder.run(weights, z, last=-1)
    hop = frames.shape[1] // 2
    spilt = frames[:, hop:, unit // hop - 1 :: unit // hop, 0, 0].transpose(1, 2)
    return stacks.overlap_add(frames)[:, 0, :, 0, 0], spilt


def step_loss(c, weights, pool, seed, step, spoken=None):
    """spoken: what gives the agent's sound, codecs.source's."""
    unit, rate = unit_shape(c, "response", "audio")[0], c["response"]["audio"]["sample_rate"]
    rng = numbers(seed, 83, step)
    torch.manual_seed(int(rng.integers(2**31)))
    mine, figures = audio_loss(c, weights, rng, SIZE, UNITS, spoken)
    stream = spoken.stream if spoken else audio_stream
    # Half as many rows of voices that are broken off.
    rows = [pool.windows(rng), broken_off(c, weights, rng, SIZE // 2, UNITS + LEAD, stream)]
    z, x = (torch.cat(parts) for parts in zip(*rows))
    y, spilt = decoded(c, weights, z)
    spill = spilt.pow(2).mean() / (x.pow(2).mean() + 1e-4)
    y, x = y[:, LEAD * unit :], x[:, LEAD * unit :]
    theirs, aligned = audio_terms(y, x, rate)
    rest = hush(y, x, unit)
    figures.update({f"aligned_{key}": value for key, value in aligned.items()})
    figures.update(spill=spill.detach(), hush=rest.detach())
    return mine + theirs + SPILL_WEIGHT * spill + HUSH_WEIGHT * rest, figures


def train_voice(out, stage="conversations", steps=None, minutes=None, seed=0, count=ALIGNED, **options):
    """Trains the decoder on. OUT/voice_start.safetensors keeps what it began with, so that a run that goes
    on, or is run again, goes the same part of the way."""
    if done(out, "voice", steps, minutes):
        return replaced(out, "audio", "voice")
    path, began = artefact(out, "codec_audio"), artefact(out, "voice_start")
    if not os.path.exists(os.path.join(out, "voice.state")) and workers()[0] == 0:
        safetensors_file.write(began, safetensors_file.read(path), safetensors_file.metadata(path))
    meet()
    base = opened(out)
    spoken = source(base, None)
    heard_from = stage_weights(out, stage)
    made_of = {stage: digest({n: w for n, w in heard_from.items() if not is_codec(n)})}
    start, weights = (on_device(safetensors_file.read(began)) for _ in range(2))
    made_of["audio encoder"] = halves(weights)[0]
    pool = aligned(base, heard_from, seed, count)
    kept = lambda trained: {name: torch.lerp(tensor, trained[name], KEPT) for name, tensor in start.items()}
    learned(weights, lambda name: ".decoder." in name)
    options |= {"seed": seed, "minutes": minutes, "made_of": made_of, "settings": {"batches": count}}
    train(
        "voice",
        out,
        weights,
        lambda step: step_loss(base.config, weights, pool, seed, step, spoken),
        steps,
        decay=1e-4,
        evaluate=lambda: evaluate(base.config, kept(weights), "audio", spoken),
        evaluate_every=400,
        best=BEST["audio"],
        average=0.99,
        finish=kept,
        **{"rate": 5e-4, **options},
    )
    replaced(out, "audio", "voice")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_arguments(parser)
    add_run_arguments(parser, 3000)
    parser.add_argument("--stage", default="conversations")
    parser.add_argument("--batches", type=int, default=ALIGNED, help="batches that the model makes first")
    args = parser.parse_args()
    with locked(args.out):
        from_arguments(args)
        together(args.workers, functools.partial(run, args))


def run(args):
    train_voice(args.out, args.stage, count=args.batches, **run_options(args))


if __name__ == "__main__":
    command(main)
