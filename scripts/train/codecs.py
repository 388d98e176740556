"""Stage 0, the codecs: `video` and `audio`, each an autoencoder of the agent's pictures or voice.

    .venv/bin/python -m train.codecs video --out FOLDER [--steps N | --minutes M]     (in scripts/)
    .venv/bin/python -m train.codecs video --out FOLDER --refine    (the decoder alone, any time later)

Latents get noise in training instead of a variational term, and a light pull towards unit size;
afterwards each channel's scale is folded into the last convolution of the encoder and the first of
the decoder, so that latents have unit variance.
"""

import argparse
import functools
import os

import numpy as np
import torch

import safetensors_file
from world import draw, render, voices, words
from world.stream import FRAME, FRAMES, UNIT

from . import stacks
from .base import add_arguments, add_run_arguments, from_arguments, opened, run_options
from .coders import decode, encode, response_decoder, response_encoder
from .device import on_device
from .fit import Fit
from .loop import done, learned, numbers, train
from .recordings import Recordings
from .run import InputError, about, artefact, command, digest, locked, say, together, workers

NOISE = 0.1  # on latents of about unit size, in training
CUT_SHARE = 0.2  # of words that end where a unit ends, as interrupted answers do


def codec_weights(c, medium, seed=0):
    """Fresh tensors of one codec by the engine's names."""
    torch.manual_seed(seed)
    shapes = {**response_encoder(c, medium).tensors(), **response_decoder(c, medium).tensors()}
    return {name: stacks.initial(name, shape) for name, shape in shapes.items()}


def noisy_latents(z):
    """Bounds the scale and adds noise: (latents to decode, penalty)."""
    return z + NOISE * torch.randn_like(z), 0.1 * (z.pow(2).mean() - 1).abs() + 1e-3 * z.pow(2).mean()


# Pictures.


def video_states(rng, units):
    """States of consecutive frames as conversations have them: sway, blinks, mouths, nods."""
    count = units * FRAMES
    frames = np.arange(count)
    sway = np.round(4 * np.sin(rng.uniform(0, 6.28) + 2 * np.pi * frames / rng.uniform(90, 140)))
    mouth = np.zeros(count)
    if rng.random() < 0.75:
        # Syllables of two to five frames, open to close as render.openness makes them.
        at, goal = 0.0, 0.0
        for i in range(count):
            if rng.random() < 0.4:
                goal = rng.uniform(0, 1.1) if rng.random() < 0.7 else 0.0
            at = mouth[i] = max(goal, at * 0.45)
    blink, nod = np.zeros(count), np.zeros(count)
    if rng.random() < 0.4:
        first = int(rng.integers(count))
        blink[first : first + 3] = [1, 2, 1][: count - first]
    if rng.random() < 0.25:
        first, down = int(rng.integers(-8, count)), [1, 3, 6, 8, 8, 7, 5, 3, 1, 0]
        for i, value in enumerate(down):
            if 0 <= first + i < count:
                nod[first + i] = value
    return np.stack([np.minimum(mouth * draw.MOUTHS, draw.MOUTHS - 1), blink, sway, nod], 1).astype(int)


def video_batch(c, rng, batch, units):
    """Agent pictures [B, 3, frames of `units` units of the config, height, width] in -1..1."""
    fit = Fit(c)
    made = [fit.frames(render.agent_frames(video_states(rng, fit.world_units(units))), units) for _ in range(batch)]
    x = torch.from_numpy(np.stack(made)).permute(0, 4, 1, 2, 3).float()
    return on_device(x / 127.5 - 1)


def region(x, part):
    """Part (left, right, top, bottom) of pictures [..., height, width], in pixels of the drawn agent."""
    height, width = x.shape[-2:]
    left, right = (int(at * width / draw.AGENT_SIZE + 0.5) for at in part[:2])
    top, bottom = (int(at * height / draw.AGENT_SIZE + 0.5) for at in part[2:])
    return x[..., top:bottom, left:right]


def mouth_opening(x):
    """Of pictures [B, 3, T, height, width] in -1..1: how much of the mouth's region is darker than skin,
    per frame; what io/eval/measures/lips.ts measures. Blur hardly changes it, while a blurred mouth that
    opens at the wrong time costs pixels little."""
    skin = draw.SKIN[1] / 127.5 - 1
    return (skin - region(x[:, 1], draw.MOUTH)).clamp(min=0).mean((2, 3)) / (skin + 1)


def video_loss(c, weights, rng, batch=4, units=2, recorded=None, step=0):
    """recorded: gives pictures of another source, as Recordings.agents, whose faces are anywhere, or
    cast.Cast, which tells where."""
    who = None
    if hasattr(recorded, "clips"):
        x, who = recorded.clips(rng, batch, units, step)
        x = on_device(x)
    else:
        x = video_batch(c, rng, batch, units) if recorded is None else on_device(recorded("video", rng, batch, units))
    z, penalty = noisy_latents(encode(c, weights, "video", x).float())
    y = decode(c, weights, "video", z).float()
    if who:
        loss, figures = recorded.terms(y, x, who)
        return loss + penalty, {**figures, "latent": z.detach().pow(2).mean()}
    error, square = (y - x).abs(), (y - x).pow(2).mean()
    if recorded is not None:
        figures = {"psnr": 10 * torch.log10(4 / square.detach()), "latent": z.detach().pow(2).mean()}
        return error.mean() + 2 * square + penalty, figures
    # The face, where things move, counts more, and the mouth most.
    face = region(error, draw.FACE).mean()
    mouth = region(y - x, draw.LIPS).pow(2).mean()
    opening = (mouth_opening(y) - mouth_opening(x)).pow(2).mean()
    return error.mean() + face + 2 * square + 10 * mouth + 50 * opening + penalty, {
        "opening": opening.detach().sqrt(),
        "mouth": 10 * torch.log10(4 / mouth.detach()),
        "psnr": 10 * torch.log10(4 / square.detach()),
        "latent": z.detach().pow(2).mean(),
    }


# Voice.


def audio_stream(rng, units, cut_share=CUT_SHARE, say=None):
    """The agent's words with gaps, sometimes cut short, as in answers. say: gives the samples of one (default:
    of world 1's agent)."""
    sound = np.zeros(units * UNIT, np.float32)
    vocabulary = words.agent_words()
    at = int(rng.integers(-4, 8)) * FRAME
    while at < len(sound):
        samples = say() if say else voices.agent_word(vocabulary[int(rng.integers(len(vocabulary)))])
        cut = rng.random() < cut_share
        if cut:
            samples = samples[: UNIT * int(rng.integers(1, 4)) - at % UNIT].copy()
            fade = min(320, len(samples))
            samples[-fade:] *= np.linspace(1, 0, fade)
        part = samples[max(0, -at) : max(0, len(sound) - at)]
        sound[max(0, at) : max(0, at) + len(part)] += part
        at += max(len(samples) + 80, UNIT)
        at += -at % FRAME
        if cut or rng.random() < 0.2:
            at += int(rng.integers(0, 12)) * FRAME
    return sound


def audio_batch(c, rng, batch, units):
    """Agent sound [B, 1, samples of `units` units of the config, 1, 1]."""
    fit = Fit(c)
    made = [fit.sound(audio_stream(rng, fit.world_units(units)), units) for _ in range(batch)]
    return on_device(torch.from_numpy(np.stack(made))[:, None, :, None, None])


SPECTRA = (128, 256, 512, 1024, 2048)  # samples of a window


def spectrum(x, size):
    window = torch.hann_window(size, device=x.device)
    return torch.stft(x, size, size // 4, window=window, return_complex=True, center=False).abs()


def stft_loss(y, x):
    """Multi-resolution: relative error of magnitudes, and of their logarithms."""
    total = 0
    sizes = [size for size in SPECTRA if size <= x.shape[-1]]
    for size in sizes:
        a, b = spectrum(y, size), spectrum(x, size)
        total = total + (a - b).abs().mean() / (b.mean() + 1e-3)
        total = total + 0.25 * ((a + 0.02).log() - (b + 0.02).log()).abs().mean()
    return total / len(sizes)


def snr(y, x):
    return 10 * torch.log10(x.pow(2).mean() / ((y - x).pow(2).mean() + 1e-12))


def loudness(x, rate):
    """log RMS of 40 ms stretches of sound [B, samples]; below 0.003 nothing is heard. Samples and
    spectra hardly weigh what is left of a voice that was cut off, and who listens hears it go on."""
    size = rate // 25
    return (x[:, : x.shape[1] // size * size].unflatten(1, (-1, size)).pow(2).mean(2) + 0.003**2).log() / 2


def audio_terms(a, b, rate):
    """Loss of sound a [B, samples] beside the truth b, and its figures."""
    # The waveform's relative error finds the phase; spectra alone never do at so few latents.
    wave = (a - b).pow(2).mean() / (b.pow(2).mean() + 1e-4) + 10 * (a - b).abs().mean()
    levels = (loudness(a, rate) - loudness(b, rate)).abs().mean()
    loss = 2 * wave + 0.5 * stft_loss(a, b) + 0.5 * levels
    return loss, {"snr": snr(a.detach(), b), "levels": levels.detach()}


def audio_loss(c, weights, rng, batch=8, units=6, recorded=None, step=0):
    x = audio_batch(c, rng, batch, units) if recorded is None else on_device(recorded("audio", rng, batch, units))
    z, penalty = noisy_latents(encode(c, weights, "audio", x).float())
    y, rate = decode(c, weights, "audio", z).float(), c["response"]["audio"]["sample_rate"]
    loss, figures = audio_terms(y[:, 0, :, 0, 0], x[:, 0, :, 0, 0], rate)
    return loss + penalty, {**figures, "latent": z.detach().pow(2).mean()}


LOSSES = {"video": video_loss, "audio": audio_loss}
BATCHES = {"video": video_batch, "audio": audio_batch}
BEST = {"video": "psnr_clean", "audio": "-mel_distance"}


def mel_distances(a, b, rate):
    """Mean absolute difference of log-mel spectra of two sounds [B, samples], [B, frames], and the second
    spectrum."""
    layer = {"window": rate // 40, "fft": 1 << (rate // 40 - 1).bit_length(), "hop": rate // 100, "mels": 40}
    mine, theirs = (stacks.logmel(sound, layer, rate) for sound in (a, b))
    return (mine - theirs).abs().mean(1), theirs


def drawn(c, medium, rng, batch, units, recorded):
    if recorded is None:
        return BATCHES[medium](c, rng, batch, units)
    return on_device(recorded(medium, rng, batch, units))


def evaluate(c, weights, medium, recorded=None):
    """Quality without noise on streams of another seed: PSNR or SNR in dB, log-spectral distance."""
    rng = np.random.default_rng(12345)
    with torch.no_grad():
        x = drawn(c, medium, rng, 8, 12, recorded)
        y = decode(c, weights, medium, encode(c, weights, medium, x))
        if medium == "video":
            return {"psnr_clean": float(10 * torch.log10(4 / (y.clamp(-1, 1) - x).pow(2).mean()))}
        a, b = y[:, 0, :, 0, 0], x[:, 0, :, 0, 0]
        distance, mel = mel_distances(a, b, c["response"]["audio"]["sample_rate"])
        loud = (mel.mean(1) > -9).float()
        return {"snr_clean": float(snr(a, b)), "mel_distance": float((distance * loud).sum() / loud.sum())}


def fold_scale(c, weights, medium, both=True, recorded=None):
    """Divides every latent channel by its size in the encoder, multiplies it in the decoder (`both`)."""
    rng = np.random.default_rng(999)
    with torch.no_grad():
        z = encode(c, weights, medium, drawn(c, medium, rng, 24, 8, recorded))
        scale = z.transpose(0, 1).flatten(1).pow(2).mean(1).sqrt().clamp(min=0.05 if both else 1e-4)
        codec = c["response"][medium]
        last = f"response.{medium}.encoder.{len(codec['encoder']) - 1}"
        first = f"response.{medium}.decoder.0"
        folded = dict(weights)
        folded[f"{last}.weight"] = weights[f"{last}.weight"] / scale.view(-1, 1, 1, 1, 1)
        folded[f"{last}.bias"] = weights[f"{last}.bias"] / scale
        if both:
            folded[f"{first}.weight"] = weights[f"{first}.weight"] * scale.view(1, -1, 1, 1, 1)
    return folded


def check_ends(c, medium):
    """Raises InputError unless the scale of latents can be folded into the codec's convolutions."""
    codec = c["response"][medium]
    for part, at in (("encoder", -1), ("decoder", 0)):
        if codec[part][at]["op"] != "conv":
            which = "last" if at else "first"
            raise InputError(f"response.{medium}.{part}: the {which} layer is {codec[part][at]['op']}; to be trained it must be conv")


def halves(weights):
    """Digests of a codec's encoder and decoder."""
    return tuple(digest({n: w for n, w in weights.items() if part in n}) for part in (".encoder.", ".decoder."))


def told(recordings):
    """What a run's settings say of them."""
    return {"recordings": os.path.abspath(recordings)} if recordings else {}


def source(base, recordings):
    """What gives the agent's sound and pictures of a folder of recordings, or of world 2; None for world 1's."""
    if recordings is None and base.world > 1:
        from .cast import Cast  # which takes the streams of this file

        return Cast(base.config)
    if recordings is None:
        return None
    return Recordings(base, {}, recordings).agents


def train_codec(medium, out, steps=None, minutes=None, seed=0, recordings=None, **options):
    """Trains one codec; writes OUT/codec_MEDIUM.safetensors."""
    name = f"codec_{medium}"
    if done(out, name, steps, minutes):
        return
    base = opened(out)
    c, given = base.config, base.weights()
    check_ends(c, medium)
    recorded = source(base, recordings)
    weights = on_device(codec_weights(c, medium, seed))
    if given:  # those of --init have their scale
        weights = on_device({name: given[name] for name in weights})
    else:
        weights = fold_scale(c, weights, medium, False, recorded)
    learned(weights)
    options |= {"seed": seed, "minutes": minutes, "settings": told(recordings), "finish": lambda trained: fold_scale(c, trained, medium, True, recorded)}
    train(
        name,
        out,
        weights,
        lambda step: LOSSES[medium](c, weights, numbers(seed, 77, step), recorded=recorded, step=step),
        steps,
        warmup=50,
        decay=1e-4,
        save_every=100,
        evaluate=lambda: evaluate(c, weights, medium, recorded),
        evaluate_every=200,
        best=BEST[medium],
        **{"rate": 2e-3 if medium == "audio" else 1.5e-3, **options},
    )


def refine_decoder(medium, out, steps=None, minutes=None, seed=0, recordings=None, **options):
    """Trains the decoder on: latents stay what they are, so everything trained on them stays right.
    Replaces OUT/codec_MEDIUM.safetensors; OUT/refine_MEDIUM.safetensors says that it was done."""
    name = f"refine_{medium}"
    if done(out, name, steps, minutes):
        return replaced(out, medium, name)
    base = opened(out)
    c, recorded = base.config, source(base, recordings)
    weights = on_device(safetensors_file.read(artefact(out, f"codec_{medium}")))
    encoder = halves(weights)[0]
    learned(weights, lambda key: ".decoder." in key)
    options |= {"seed": seed, "minutes": minutes, "settings": told(recordings), "made_of": {f"{medium} encoder": encoder}}
    train(
        name,
        out,
        weights,
        lambda step: LOSSES[medium](c, weights, numbers(seed, 80, step), recorded=recorded, step=step),
        steps,
        decay=1e-4,
        evaluate=lambda: evaluate(c, weights, medium, recorded),
        evaluate_every=400,
        best=BEST[medium],
        average=0.99,
        finish=lambda trained: trained,
        **{"rate": 1e-3, **options},
    )
    replaced(out, medium, name)


def replaced(out, medium, name):
    """Puts a decoder that was trained on in its codec's place, unless another stage has trained that on
    since. Raises InputError for another encoder's."""
    if workers()[0]:
        return
    path = artefact(out, f"codec_{medium}")
    there, made = safetensors_file.read(path), safetensors_file.read(artefact(out, name))
    (encoder, decoder), (mine, refined) = halves(there), halves(made)
    if mine != encoder:
        raise InputError(f"{name}: its encoder is {mine}, that of {path} is {encoder}; remove {name}.* to begin anew")
    by = (about(out, f"codec_{medium}") or {}).get("stage", f"codec_{medium}")
    order = [f"codec_{medium}", f"refine_{medium}", "voice"]
    if order.index(by) > order.index(name):
        say(f"{name}: {by} has trained {path} on since, which stays; remove {by}.* and train it again")
    elif decoder != refined:
        safetensors_file.write(path, made, safetensors_file.metadata(artefact(out, name)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("medium", choices=["video", "audio"])
    add_arguments(parser)
    add_run_arguments(parser, 8000)
    parser.add_argument("--recordings", metavar="FOLDER", help="learn from a folder of recordings, not from the world")
    parser.add_argument("--refine", action="store_true", help="go on with the decoder alone")
    args = parser.parse_args()
    with locked(args.out):
        from_arguments(args)
        together(args.workers, functools.partial(run, args))


def run(args):
    work = refine_decoder if args.refine else train_codec
    work(args.medium, args.out, recordings=args.recordings, **run_options(args))


if __name__ == "__main__":
    command(main)
