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

from .adapt import adapt, shares
from .adapt import settings as adapt_settings
from .base import (
    above_0,
    add_arguments,
    add_model_arguments,
    add_run_arguments,
    from_arguments,
    one_or_more,
    opened,
    run_options,
)
from .compiled import compile_settings, compiled, uncompiled
from .data import LONGEST_QUIET, UNJUDGED, Material
from .device import on_device, products
from .loaders import Batches
from .loop import done, train
from .model import Model
from .recordings import Recordings
from .run import InputError, artefact, command, digest, locked, together, workers
from .tensors import expected_tensors, initial_weights
from .validate import validation
from .worlds import world

STAGES = ("lessons", "conversations")
FRESH = {1: 0.5, 2: 0.25}  # new conversations a step, by the world; those of world 2 take longer to draw and say
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


def flow_losses(velocities, targets, counts, unit_weight, video_weight=1.0):
    """Mean square errors of audio and video velocities; unit_weight [B, L] is the audio's. A medium
    without weight has no loss."""
    weight = counts * unit_weight
    each = [(mine - theirs).pow(2).mean((2, 3)) for mine, theirs in zip(velocities, targets)]
    seen = counts * video_weight
    audio = (each[0] * weight).sum() / weight.sum().clamp(min=1e-6)
    video = (each[1] * seen).sum() / seen.sum().clamp(min=1e-6)
    return audio, video


def text_loss(logits, wanted, counts, filler, worded=None):
    """Cross-entropy in two parts: whether to sound, and which word, or none, when the voice sounds.
    Words weigh more than silence by their part alone: weighted as a whole, they would be said too
    early (with words x4 nano began to speak at a true probability of 0.2). The likeliest token but the
    filler stands for sounding: the greedy choice is then to sound where that is likelier than not, even
    where two words are as likely (asked 'how many' by an unheard voice, 'it' and 'there' shared what
    was over half, and neither was said). logits [B, L, slots, vocabulary], counts [B, L]: the units'
    weights. What the slots of a unit lose is added up. worded [B, L]: 1 where the words are known; elsewhere
    only sounding and silence are learned."""
    others = logits.index_fill(-1, torch.tensor([filler], device=logits.device), -1e4)
    margin = others.amax(-1) - logits[..., filler]
    which = others.logsumexp(-1) - logits.gather(-1, wanted[..., None])[..., 0]
    loss = torch.where(
        wanted == filler,
        -SOUND_WEIGHT * F.logsigmoid(-margin),
        WORD_WEIGHT * (which if worded is None else which * worded[..., None]) - SOUND_WEIGHT * F.logsigmoid(margin),
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


def step_loss(model, tokens, probe, batch, flow=True, own=False, alone=False):
    """Loss of one batch, and its figures; without flow only of the text, at two thirds of the cost.
    own: history holds the model's own latents instead of the truth's. alone: noisy latents don't see
    their unit's observation and text. Losses are in float32 where products are in bfloat16."""
    counts = batch["counts"].float()
    z = tau = None
    if flow:
        tau = draw_tau(batch["counts"].shape, batch["text"].device)
        z, targets = noisy(batch, tau)
    history = own_latents(model, batch) if own else with_history_noise(batch)
    normed = model.forward(history, z, tau, noisy_context=not alone).float()
    with products(False):
        logits, velocities, last = model.heads(normed)
        guesses = None if probe is None else F.linear(last, probe)
    loss = text = text_loss(logits, batch["wanted"], counts * batch["text_weight"], tokens.filler, batch.get("worded"))
    figures = {"text": text}
    if flow:
        audio, video = flow_losses(velocities, targets, counts, batch["flow_weight"], batch.get("video_weight", 1.0))
        loss = loss + audio + VIDEO_WEIGHT * video
        if not alone:
            figures.update(audio=audio, video=video)
    if guesses is not None:
        seen, right = probe_loss(guesses, batch)
        loss = loss + seen
        figures.update(right, probe=seen)
    figures = {key: value.detach() for key, value in figures.items()}
    figures["words"] = word_accuracy(logits.detach(), batch["wanted"], batch["counts"], tokens)
    return loss, figures


def load_codecs(out):
    codecs = {}
    for medium in ("audio", "video"):
        codecs.update(left_by(out, f"codec_{medium}"))
    return codecs


def left_by(out, stage):
    """The tensors that a stage wrote. Raises InputError where they aren't there whole."""
    try:
        return safetensors_file.read(artefact(out, stage))
    except (FileNotFoundError, ValueError):
        raise InputError(f"{artefact(out, stage)}: isn't there, or isn't whole: run {stage} first (scripts/README.md)") from None


def stage_weights(out, stage):
    """All weights that a stage left. Decoders may have been trained on since. Raises InputError where an
    encoder isn't the one that the stage was trained on: its latents would be others."""
    weights = left_by(out, stage)
    codecs = load_codecs(out)
    for name, tensor in codecs.items():
        if ".encoder." in name and name in weights and not torch.equal(tensor, weights[name]):
            path = artefact(out, f"codec_{name.split('.')[1]}")
            raise InputError(
                f"{stage}: it was trained on another codec than {path} has now ({name} differs): "
                f"put that file back, or remove {stage}.* and train it again"
            )
    weights.update({name: w for name, w in codecs.items() if ".decoder." in name})
    return weights


def start_weights(base, out, stage, seed):
    """Weights to start a stage from: fresh, over them those of --init, over them what earlier stages have
    learned."""
    c = base.config
    weights = {**initial_weights(c, seed), **base.weights()}
    earlier = {"lessons": "look", "conversations": "lessons"}[stage]
    weights.update(load_codecs(out))
    if os.path.exists(artefact(out, earlier)):
        weights.update(stage_weights(out, earlier))
    return {name: weights[name] for name in expected_tensors(c)}


def initial_probe(c, seed=0):
    """Fresh weights of what is read off beside the words, [guesses of all PROBES, hidden]."""
    torch.manual_seed(seed)
    guessed = sum(sum(classes) for classes, _ in PROBES.values())
    return torch.randn(guessed, c["hidden_size"]) * 0.02


def train_talk(stage, out, steps=None, minutes=None, seed=0, size=6, rate=2e-3, probe_weight=True, units=48, own=0.0, held_out=None, validate=0, validate_on=None, recordings=None, first_seed=0, fresh=None, loaders=0, compile=False, recompute=False, **options):
    """One stage; writes all weights of a checkpoint. own: share of steps whose history is the model's own.
    held_out: minutes from one look at conversations that training never meets to the next; validate: the
    same in closed loop by the engine, on recordings of the folder validate_on where it is given.
    recordings: a folder to learn from in place of the world, whose conversations begin with first_seed;
    fresh: how many new ones a step adds. loaders: processes that make batches."""
    if done(out, stage, steps, minutes):
        return
    if units <= UNJUDGED:
        raise InputError(f"--units {units}: a crop's first {UNJUDGED} units aren't judged; it may be {UNJUDGED + 1} or more")
    base = opened(out)
    c, codecs, kind = base.config, load_codecs(out), world(base.world).kinds[stage]
    usual = FRESH[base.world]
    fresh = usual if fresh is None else fresh
    weights, trained, whole = adapt(base, on_device(start_weights(base, out, stage, seed)))
    probe = None
    # What the probe reads off is known of the world only.
    if probe_weight and recordings is None:
        trained["probe"] = probe = torch.nn.Parameter(on_device(initial_probe(c, seed)))
    model = Model(c, weights, recompute)
    model = compiled(model) if compile else model
    worker, count = workers()
    source = {"worker": worker, "workers": count}
    if recordings is None:
        material = Material(base, codecs, kind, units, fresh, first_seed=first_seed, **source)
        others = Material(base, codecs, kind, units)
    else:
        material = others = Recordings(base, codecs, recordings, units, **source)
    unmet, batches = HeldOut(others), Batches(material, size, seed, loaders)
    encoders = {m: {n: w for n, w in codecs.items() if f".{m}.encoder." in n} for m in ("audio", "video")}
    settings = {"batch": size, "units": units, "own": own, "probe": probe_weight, "loaders": loaders, **adapt_settings(base), **compile_settings(compile)}
    settings |= {"recordings": os.path.abspath(recordings)} if recordings else {}
    settings |= {"first_seed": first_seed} if first_seed else {}
    settings |= {"fresh": fresh} if fresh != usual else {}
    options |= {"seed": seed, "minutes": minutes, "settings": settings}
    options |= {"made_of": {**others.digest(), **{f"{medium} encoder": digest(part) for medium, part in encoders.items()}}}
    if held_out:
        measure = lambda: unmet.measure(model, base.tokens)
        options |= {"evaluate": measure, "evaluate_minutes": held_out, "best": "-held_out"}
    options |= validation(out, stage, base, validate, validate_on, recordings)
    train(
        stage,
        out,
        trained,
        # Reading is what lessons are for: every other step is text alone.
        lambda step: step_loss(
            model,
            base.tokens,
            probe,
            on_device(batches(step)),
            flow=step % FLOW_EVERY == 0,
            own=int((step + 1) * own) > int(step * own),
            alone=step % ALONE_EVERY == 0,
        ),
        steps,
        rate=rate,
        warmup=60,
        decay=0.02,
        save_every=25,
        average=0.995,
        uneven=True,
        shares=shares(base, trained),
        finish=whole,
        **options,
    )


class HeldOut:
    """Crops of conversations that training never meets, made when they are first asked for."""

    def __init__(self, material, batches=4, size=4):
        self.material = material
        self.shape, self.batches = (batches, size), []

    def measure(self, model, tokens):
        """Mean figures of a model with history and text given, each 'held_out_' and its name; 'held_out'
        is the loss."""
        batches, size = self.shape
        if not self.batches:
            wholes = [self.material.held_out(number) for number in range(batches * size)]
            parts = [wholes[at : at + size] for at in range(0, len(wholes), size)]
            self.batches = [self.material.collated(part, step) for step, part in enumerate(parts)]
        sums: dict[str, list] = {}
        for step, batch in enumerate(self.batches):
            torch.manual_seed(step)
            # Batches of another size: as they stand, what is compiled would be compiled once more.
            with torch.no_grad(), uncompiled():
                loss, figures = step_loss(model, tokens, None, on_device(batch))
            for key, value in {"": loss, **{f"_{key}": value for key, value in figures.items()}}.items():
                sums.setdefault(f"held_out{key}", []).append(float(value))
        return {key: sum(values) / len(values) for key, values in sums.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stage", choices=STAGES)
    add_arguments(parser)
    add_run_arguments(parser, 6000)
    add_model_arguments(parser)
    parser.add_argument("--batch", type=one_or_more, default=6)
    parser.add_argument("--units", type=one_or_more, default=48, help="units of a crop")
    parser.add_argument(
        "--own", type=float, default=0.0, help="share of steps whose history is the model's own latents"
    )
    parser.add_argument("--loaders", type=int, default=0, help="processes that make batches, each of about 0.5 GB and its share of the pool's 1 GB")
    parser.add_argument("--recordings", metavar="FOLDER", help="learn from a folder of recordings, not from the world")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N", help="of the world's conversations: others than those that --init has learned from")
    parser.add_argument("--fresh", type=above_0, help="new conversations of the world that a step adds to the pool (0.5; in world 2 0.25)")
    parser.add_argument("--no-probe", action="store_true", help="without the auxiliary card probe")
    parser.add_argument("--held-out", type=float, default=15, metavar="MINUTES", help="from one validation to the next")
    args = parser.parse_args()
    with locked(args.out):
        from_arguments(args)
        together(args.workers, functools.partial(run, args))


def run(args):
    train_talk(
        args.stage,
        args.out,
        size=args.batch,
        probe_weight=not args.no_probe,
        units=args.units,
        own=args.own,
        recordings=args.recordings,
        first_seed=args.first_seed,
        fresh=args.fresh,
        loaders=args.loaders,
        held_out=args.held_out,
        validate=args.validate,
        validate_on=args.validate_on,
        compile=args.compile,
        recompute=args.recompute,
        **run_options(args),
    )


if __name__ == "__main__":
    command(main)
