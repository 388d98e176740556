"""Stages 1 and 2: reading and speaking as lessons, then duplex conversations; the same pass for both.

    .venv/bin/python -m train.talk lessons --out FOLDER [--minutes M]     (in scripts/)
    .venv/bin/python -m train.talk conversations --out FOLDER [--minutes M]

Needs OUT/codec_audio.safetensors and codec_video.safetensors; `lessons` starts from
OUT/look.safetensors where it is, `conversations` from OUT/lessons.safetensors. Writes
OUT/lessons.safetensors or OUT/conversations.safetensors: all tensors of a checkpoint, in f32.
"""

import argparse
import functools
import os

import torch
import torch.nn.functional as F

import safetensors_file
from world import words
from world.lessons import Lesson
from world.practice import Practice

from .base import add_arguments, command, from_arguments, opened
from .data import LONGEST_QUIET, Material
from .loop import DEVICE, on_device, together, train, workers
from .model import Model, expected_tensors, initial_weights, is_codec

KINDS = {"lessons": Lesson, "conversations": Practice}
CARD = [7, 6, 5]  # colour, shape, count, each or none
# What is read off a unit's last observed token beside the words: classes of each part, and weight.
PROBES = {
    "card": (CARD, 0.1),
    "previous": (CARD, 0.4),
    "question": ([1 + len(words.QUESTIONS)], 0.3),
    "user": ([2], 0.1),
    "unnamed": ([2 + LONGEST_QUIET], 0.2),
}
SOUND_WEIGHT, WORD_WEIGHT = 2.0, 4.0
VIDEO_WEIGHT = 0.7
FLOW_EVERY = 2  # steps; the others are text alone, at two thirds of the cost
ALONE_EVERY = 12  # steps; one of them trains the velocities that guidance compares with
HISTORY_NOISE = {"audio": 0.8, "video": 0.5}  # largest sigma; most draws lie far below it


def draw_tau(shape, device="cpu"):
    """Logit-normal, with a fifth uniform so that both ends are met."""
    normal = torch.sigmoid(torch.randn(shape, device=device))
    return torch.where(torch.rand(shape, device=device) < 0.2, torch.rand(shape, device=device), normal)


def noisy(batch, tau):
    """(z at tau, velocity that leads there) for audio and video."""
    z, v = [], []
    for medium in ("audio", "video"):
        clean = batch[f"{medium}_latents"]
        eps = torch.randn_like(clean)
        t = tau[..., None, None]
        z.append((1 - t) * clean + t * eps)
        v.append(eps - clean)
    return tuple(z), tuple(v)


def with_history_noise(batch):
    """The batch with clean latents blurred a little, as one's own outputs are."""
    blurred = dict(batch)
    for medium, largest in HISTORY_NOISE.items():
        z = batch[f"{medium}_latents"]
        sigma = torch.rand(len(z), 1, 1, 1).square() * largest
        blurred[f"{medium}_latents"] = z + sigma.to(z.device) * torch.randn_like(z)
    return blurred


def own_latents(model, batch, steps=2):
    """The batch with history's latents made by the model itself, from the truth's own history: what
    it will hear of itself, at the price of `steps` passes."""
    z = tuple(torch.randn_like(batch[f"{medium}_latents"]) for medium in ("audio", "video"))
    with torch.no_grad():
        for step in range(steps):
            tau = torch.full(batch["counts"].shape, 1 - step / steps, device=batch["text"].device)
            velocities = model.heads(model.forward(with_history_noise(batch), z, tau))[1]
            z = tuple(part - velocity / steps for part, velocity in zip(z, velocities))
    return {**batch, "audio_latents": z[0], "video_latents": z[1]}


def flow_losses(velocities, targets, counts, unit_weight):
    """Mean square errors of audio and video velocities; unit_weight [B, L] is the audio's."""
    weight = counts * unit_weight
    each = [(mine - theirs).pow(2).mean((2, 3)) for mine, theirs in zip(velocities, targets)]
    audio = (each[0] * weight).sum() / weight.sum()
    video = (each[1] * counts).sum() / counts.sum()
    return audio, video


def text_loss(logits, wanted, counts, filler):
    """Cross-entropy in two parts: whether to sound, and which word, or none, when the voice sounds.
    Words weigh more than silence by their part alone: weighted as a whole, they would be said too
    early (with words x4 nano began to speak at a true probability of 0.2). The likeliest token but the
    filler stands for sounding: the greedy choice is then to sound where that is likelier than not, even
    where two words are as likely (asked 'how many' by an unheard voice, 'it' and 'there' shared what
    was over half, and neither was said). logits [B, L, slots, vocabulary], counts [B, L]: the units'
    weights. What the slots of a unit lose is added up."""
    others = logits.index_fill(-1, torch.tensor([filler], device=logits.device), -1e4)
    margin = others.amax(-1) - logits[..., filler]
    which = others.logsumexp(-1) - logits.gather(-1, wanted[..., None])[..., 0]
    loss = torch.where(
        wanted == filler,
        -SOUND_WEIGHT * F.logsigmoid(-margin),
        WORD_WEIGHT * which - SOUND_WEIGHT * F.logsigmoid(margin),
    )
    return (loss * counts[..., None]).sum() / counts.sum()


def word_accuracy(logits, wanted, counts, tokens):
    words = counts[..., None] & (wanted != tokens.filler) & (wanted != tokens.continues)
    right = (logits.argmax(-1) == wanted) & words
    return right.sum() / words.sum().clamp(min=1)


def probe_loss(guesses, batch):
    """Weighted cross-entropies of all PROBES, and the share of right guesses of each. The previous
    card counts where it can be known."""
    counts = batch["counts"].float()
    parts = iter(guesses.split([n for classes, _ in PROBES.values() for n in classes], -1))
    total, right = 0.0, {}
    for name, (classes, scale) in PROBES.items():
        weight = counts * batch["recalled"] if name == "previous" else counts
        whole = weight.sum().clamp(min=1)
        labels = batch[name].reshape(*counts.shape, len(classes))
        hits = torch.ones_like(labels[..., 0], dtype=torch.bool)
        for i in range(len(classes)):
            guess = next(parts)
            each = F.cross_entropy(guess.transpose(1, 2), labels[..., i], reduction="none")
            total = total + scale * (each * weight).sum() / whole
            hits &= guess.argmax(-1) == labels[..., i]
        right[name] = (hits * weight).sum() / whole
    return total, right


def step_loss(model, tokens, probe, batch, flow=True, own=False, alone=False, bf16=False):
    """Loss of one batch, and its figures; without flow only of the text, at two thirds of the cost.
    own: history holds the model's own latents instead of the truth's. alone: noisy latents don't see
    their unit's observation and text. bf16: products in bfloat16, losses in float32."""
    counts = batch["counts"].float()
    z = tau = None
    if flow:
        tau = draw_tau(batch["counts"].shape, batch["text"].device)
        z, targets = noisy(batch, tau)
    history = own_latents(model, batch) if own else with_history_noise(batch)
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16):
        normed = model.forward(history, z, tau, noisy_context=not alone)
    logits, velocities, last = model.heads(normed.float())
    loss = text = text_loss(logits, batch["wanted"], counts * batch["text_weight"], tokens.filler)
    figures = {"text": text}
    if flow:
        audio, video = flow_losses(velocities, targets, counts, batch["flow_weight"])
        loss = loss + audio + VIDEO_WEIGHT * video
        if not alone:
            figures.update(audio=audio, video=video)
    if probe is not None:
        seen, right = probe_loss(F.linear(last, probe), batch)
        loss = loss + seen
        figures.update(right, probe=seen)
    figures = {key: value.detach() for key, value in figures.items()}
    figures["words"] = word_accuracy(logits.detach(), batch["wanted"], batch["counts"], tokens)
    return loss, figures


def load_codecs(out):
    codecs = {}
    for medium in ("audio", "video"):
        codecs.update(safetensors_file.read(os.path.join(out, f"codec_{medium}.safetensors")))
    return codecs


def stage_weights(out, stage):
    """All weights that a stage left. Decoders may have been refined since; encoders are what it was
    trained on."""
    weights = safetensors_file.read(os.path.join(out, f"{stage}.safetensors"))
    weights.update({name: w for name, w in load_codecs(out).items() if ".decoder." in name})
    return weights


def start_weights(base, out, stage, seed):
    """Weights to start a stage from: fresh, over them those of --init, over them what earlier stages have
    learned."""
    c = base.config
    weights = {**initial_weights(c, seed), **base.weights()}
    earlier = {"lessons": "look", "conversations": "lessons"}[stage]
    path = os.path.join(out, f"{earlier}.safetensors")
    if os.path.exists(path):
        weights.update(safetensors_file.read(path))
    weights.update(load_codecs(out))
    return {name: weights[name] for name in expected_tensors(c)}


def initial_probe(c, seed=0):
    """Fresh weights of what is read off beside the words, [guesses of all PROBES, hidden]."""
    torch.manual_seed(seed)
    guessed = sum(sum(classes) for classes, _ in PROBES.values())
    return torch.randn(guessed, c["hidden_size"]) * 0.02


def train_talk(stage, out, steps, minutes=None, seed=0, size=6, rate=2e-3, probe_weight=True, units=48, own=0.0, bf16=False, **options):
    """One stage; returns and writes all weights of a checkpoint. own: share of steps whose history is
    the model's own. bf16: products in bfloat16 (two thirds of the time where the CPU has
    avx512_bf16)."""
    base = opened(out)
    c = base.config
    weights = on_device(start_weights(base, out, stage, seed))
    learned = {name: w.requires_grad_(True) for name, w in weights.items() if not is_codec(name)}
    probe = None
    if probe_weight:
        probe = on_device(initial_probe(c, seed)).requires_grad_(True)
        learned = {**learned, "probe": probe}
    model = Model(c, weights)
    worker, count = workers()
    material = Material(base, load_codecs(out), KINDS[stage], units, worker=worker, workers=count)

    trained = train(
        stage,
        out,
        learned,
        # Reading is what lessons are for: every other step is text alone.
        lambda step: step_loss(
            model,
            base.tokens,
            probe,
            on_device(material.batch(step, size, seed)),
            flow=step % FLOW_EVERY == 0,
            own=int((step + 1) * own) > int(step * own),
            alone=step % ALONE_EVERY == 0,
            bf16=bf16,
        ),
        steps,
        rate=rate,
        warmup=60,
        decay=0.02,
        seed=seed,
        save_every=25,
        minutes=minutes,
        average=0.995,
        **options,
    )
    result = {name: trained.get(name, weights[name]).detach() for name in expected_tensors(c)}
    if worker == 0:
        safetensors_file.write(os.path.join(out, f"{stage}.safetensors"), result)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stage", choices=list(KINDS))
    add_arguments(parser)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--units", type=int, default=48, help="units of a crop")
    parser.add_argument(
        "--own", type=float, default=0.0, help="share of steps whose history is the model's own latents"
    )
    parser.add_argument("--bf16", action="store_true", help="products in bfloat16, where the CPU has them")
    parser.add_argument("--no-probe", action="store_true", help="without the auxiliary card probe")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that train together, each with its batch"
    )
    args = parser.parse_args()
    from_arguments(args)
    together(args.workers, functools.partial(run, args))


def run(args):
    torch.set_num_threads(args.threads)
    train_talk(
        args.stage,
        args.out,
        args.steps,
        args.minutes,
        size=args.batch,
        rate=args.rate,
        probe_weight=not args.no_probe,
        units=args.units,
        own=args.own,
        bf16=args.bf16,
    )


if __name__ == "__main__":
    command(main)
