"""Stage 0, the codecs: `video` and `audio`, each an autoencoder of the agent's pictures or voice.

    .venv/bin/python -m train.codecs video --out FOLDER [--steps N | --minutes M]     (in scripts/)
    .venv/bin/python -m train.codecs video --out FOLDER --refine    (the decoder alone, any time later)

Latents get noise in training instead of a variational term, and a light pull towards unit size;
afterwards each channel's scale is folded into the last convolution of the encoder and the first of
the decoder, so that latents have unit variance.
"""

import argparse
import os

import numpy as np
import torch

import safetensors_file
from world import draw, render, voices, words
from world.stream import FRAME, FRAMES, UNIT

from . import stacks
from .loop import on_device, train
from .shape import config

NOISE = 0.1  # on latents of about unit size, in training
CUT_SHARE = 0.2  # of words that end where a unit ends, as interrupted answers do


def codec_weights(medium, seed=0):
    """Fresh tensors of one codec by the engine's names."""
    c = config()
    codec, unit = c["response"][medium], unit_shape(c, medium)
    torch.manual_seed(seed)
    encoder, latents = stacks.stack_tensors(codec["encoder"], unit, f"response.{medium}.encoder")
    decoder, out = stacks.stack_tensors(codec["decoder"], latents, f"response.{medium}.decoder")
    assert out == unit and latents[3] == codec["latent_channels"], (out, latents)
    shapes = {**encoder, **decoder}
    return {name: stacks.initial(name, shape) for name, shape in shapes.items()}


def unit_shape(c, medium):
    video = c["response"]["video"]
    if medium == "audio":
        return [UNIT, 1, 1, 1]
    return [FRAMES, video["height"], video["width"], 3]


def encode(weights, medium, x):
    return stacks.run(weights, f"response.{medium}.encoder", config()["response"][medium]["encoder"], x)


def decode(weights, medium, z):
    return stacks.run(weights, f"response.{medium}.decoder", config()["response"][medium]["decoder"], z)


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


def video_batch(rng, batch, units):
    frames = np.stack([render.agent_frames(video_states(rng, units)) for _ in range(batch)])
    x = torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float()
    return on_device(x / 127.5 - 1)


def mouth_opening(x):
    """Of pictures [B, 3, T, 128, 128] in -1..1: how much of the mouth's region is darker than skin, per
    frame; what io/eval/measures/lips.ts measures. Blur hardly changes it, while a blurred mouth that opens at
    the wrong time costs pixels little."""
    skin = 205 / 127.5 - 1
    return (skin - x[:, 1, :, 68:92, 50:78]).clamp(min=0).mean((2, 3)) / (skin + 1)


def video_loss(weights, rng, batch=4, units=2):
    x = video_batch(rng, batch, units)
    z, penalty = noisy_latents(encode(weights, "video", x))
    y = decode(weights, "video", z)
    error = (y - x).abs()
    # The face, where things move, counts more, and the mouth most.
    face = error[:, :, :, 32:104, 24:104].mean()
    mouth = (y - x)[:, :, :, 68:100, 46:82].pow(2).mean()
    opening = (mouth_opening(y) - mouth_opening(x)).pow(2).mean()
    square = (y - x).pow(2).mean()
    return error.mean() + face + 2 * square + 10 * mouth + 50 * opening + penalty, {
        "opening": opening.detach().sqrt(),
        "mouth": 10 * torch.log10(4 / mouth.detach()),
        "psnr": 10 * torch.log10(4 / square.detach()),
        "latent": z.detach().pow(2).mean(),
    }


# Voice.


def audio_stream(rng, units, cut_share=CUT_SHARE):
    """The agent's words with gaps, sometimes cut short, as in answers."""
    sound = np.zeros(units * UNIT, np.float32)
    vocabulary = words.agent_words()
    at = int(rng.integers(-4, 8)) * FRAME
    while at < len(sound):
        samples = voices.agent_word(vocabulary[int(rng.integers(len(vocabulary)))])
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


def audio_batch(rng, batch, units):
    sound = np.stack([audio_stream(rng, units) for _ in range(batch)])
    return on_device(torch.from_numpy(sound)[:, None, :, None, None])


def spectrum(x, size):
    window = torch.hann_window(size, device=x.device)
    return torch.stft(x, size, size // 4, window=window, return_complex=True, center=False).abs()


def stft_loss(y, x):
    """Multi-resolution: relative error of magnitudes, and of their logarithms."""
    total = 0
    for size in (128, 256, 512, 1024, 2048):
        a, b = spectrum(y, size), spectrum(x, size)
        total = total + (a - b).abs().mean() / (b.mean() + 1e-3)
        total = total + 0.25 * ((a + 0.02).log() - (b + 0.02).log()).abs().mean()
    return total / 5


def snr(y, x):
    return 10 * torch.log10(x.pow(2).mean() / ((y - x).pow(2).mean() + 1e-12))


def loudness(x, size=640):
    """log RMS of 40 ms stretches of sound [B, samples]; below 0.003 nothing is heard. Samples and
    spectra hardly weigh what is left of a voice that was cut off, and who listens hears it go on."""
    return (x.unflatten(1, (-1, size)).pow(2).mean(2) + 0.003**2).log() / 2


def audio_terms(a, b):
    """Loss of sound a [B, samples] beside the truth b, and its figures."""
    # The waveform's relative error finds the phase; spectra alone never do at so few latents.
    wave = (a - b).pow(2).mean() / (b.pow(2).mean() + 1e-4) + 10 * (a - b).abs().mean()
    levels = (loudness(a) - loudness(b)).abs().mean()
    loss = 2 * wave + 0.5 * stft_loss(a, b) + 0.5 * levels
    return loss, {"snr": snr(a.detach(), b), "levels": levels.detach()}


def audio_loss(weights, rng, batch=8, units=6):
    x = audio_batch(rng, batch, units)
    z, penalty = noisy_latents(encode(weights, "audio", x))
    loss, figures = audio_terms(decode(weights, "audio", z)[:, 0, :, 0, 0], x[:, 0, :, 0, 0])
    return loss + penalty, {**figures, "latent": z.detach().pow(2).mean()}


LOSSES = {"video": video_loss, "audio": audio_loss}
BATCHES = {"video": video_batch, "audio": audio_batch}


def evaluate(weights, medium):
    """Quality without noise on streams of another seed: PSNR or SNR in dB, log-spectral distance."""
    rng = np.random.default_rng(12345)
    with torch.no_grad():
        x = BATCHES[medium](rng, 8, 12)
        y = decode(weights, medium, encode(weights, medium, x))
        if medium == "video":
            return {"psnr_clean": float(10 * torch.log10(4 / (y.clamp(-1, 1) - x).pow(2).mean()))}
        a, b = y[:, 0, :, 0, 0], x[:, 0, :, 0, 0]
        layer = {"window": 400, "fft": 512, "hop": 160, "mels": 40}
        loud = (stacks.logmel(b, layer).mean(1) > -9).float()
        distance = (stacks.logmel(a, layer) - stacks.logmel(b, layer)).abs().mean(1)
        return {"snr_clean": float(snr(a, b)), "mel_distance": float((distance * loud).sum() / loud.sum())}


def fold_scale(weights, medium, both=True):
    """Divides every latent channel by its size in the encoder, multiplies it in the decoder (`both`)."""
    rng = np.random.default_rng(999)
    with torch.no_grad():
        z = encode(weights, medium, BATCHES[medium](rng, 24, 8))
        scale = z.transpose(0, 1).flatten(1).pow(2).mean(1).sqrt().clamp(min=0.05 if both else 1e-4)
        codec = config()["response"][medium]
        last = f"response.{medium}.encoder.{len(codec['encoder']) - 1}"
        first = f"response.{medium}.decoder.0"
        folded = dict(weights)
        folded[f"{last}.weight"] = weights[f"{last}.weight"] / scale.view(-1, 1, 1, 1, 1)
        folded[f"{last}.bias"] = weights[f"{last}.bias"] / scale
        if both:
            folded[f"{first}.weight"] = weights[f"{first}.weight"] * scale.view(1, -1, 1, 1, 1)
    return folded


def train_codec(medium, out, steps, minutes=None, seed=0):
    """Trains one codec; writes OUT/codec_MEDIUM.safetensors."""
    weights = fold_scale(on_device(codec_weights(medium, seed)), medium, both=False)
    for tensor in weights.values():
        tensor.requires_grad_(True)
    name = f"codec_{medium}"

    def step_loss(step):
        return LOSSES[medium](weights, np.random.default_rng([seed, 77, step]))

    trained = train(
        name,
        out,
        weights,
        step_loss,
        steps,
        rate=2e-3 if medium == "audio" else 1.5e-3,
        warmup=50,
        decay=1e-4,
        seed=seed,
        save_every=100,
        evaluate=lambda: evaluate(weights, medium),
        evaluate_every=200,
        minutes=minutes,
    )
    folded = fold_scale(trained, medium)
    safetensors_file.write(os.path.join(out, f"{name}.safetensors"), folded)
    return folded


def refine_decoder(medium, out, steps, minutes=None, seed=0):
    """Trains the decoder on: latents stay what they are, so everything trained on them stays right.
    Replaces OUT/codec_MEDIUM.safetensors; OUT/refine_MEDIUM.safetensors says that it was done."""
    path = os.path.join(out, f"codec_{medium}.safetensors")
    weights = on_device(safetensors_file.read(path))
    for name, tensor in weights.items():
        tensor.requires_grad_(".decoder." in name)

    def step_loss(step):
        return LOSSES[medium](weights, np.random.default_rng([seed, 80, step]))

    refined = train(
        f"refine_{medium}",
        out,
        weights,
        step_loss,
        steps,
        rate=1e-3,
        decay=1e-4,
        seed=seed,
        evaluate=lambda: evaluate(weights, medium),
        evaluate_every=400,
        minutes=minutes,
        average=0.99,
    )
    for name in (path, os.path.join(out, f"refine_{medium}.safetensors")):
        safetensors_file.write(name, refined)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("medium", choices=["video", "audio"])
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--refine", action="store_true", help="go on with the decoder alone")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    work = refine_decoder if args.refine else train_codec
    work(args.medium, args.out, args.steps, args.minutes)


if __name__ == "__main__":
    main()
