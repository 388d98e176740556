"""Closed-loop figures of a trained stage in PyTorch, on the world's seeds: a quick look while
training. What is reported to users is measured by the engine (`wanstream eval`), not by this.

    .venv/bin/python -m train.rollout --out FOLDER --stage conversations --seeds 90000 24   (in scripts/)

The user's part is played as recorded; the agent hears it and lives on what it says itself. Prints a
table; writes OUT/rollout_STAGE.json. --keep N writes the first N conversations as mp4. --unheard: the
users are people with accents that training never hears, so that a choice between weights needs no
evaluation seed.
"""

import argparse
import json
import os

import numpy as np
import torch

from world import render, voices
from world.conversation import Conversation
from world.stream import ACTIVE, FRAMES, UNIT, UNIT_MS

from . import given
from .base import add_arguments, from_arguments
from .codecs import mel_distances
from .coders import decode
from .data import Material
from .fit import resized
from .model import Model, Stream
from .run import InputError, command
from .solver import taus_of
from .talk import stage_weights


def roll(model, examples, taus, seed=0, units=None, guidance=1.0, solver="euler"):
    """Runs conversations (Material.tensors) closed loop, together: (token ids [B, L, slots], latents)."""
    units = units or min(len(example["text"]) for example in examples)
    b = len(examples)
    device = examples[0]["typed"].device
    stream = Stream(model, b, device, units, before(examples))
    batch = {
        "mel": torch.stack([first_units(e, "mel", units) for e in examples]),
        "frames": torch.stack([first_units(e, "frames", units) for e in examples]),
        "typed": torch.stack([e["typed"][:units] for e in examples]),
    }
    generator = torch.Generator().manual_seed(seed)
    ids, latents, previous = [], ([], []), None
    with torch.no_grad():
        audio, video = model.observe(batch, units)
        for unit in range(units):
            chosen, _ = stream.think(
                batch["typed"][:, unit], audio[:, unit], video[:, unit], previous, lambda l, _: l.argmax(-1)
            )
            z = tuple(
                torch.randn(b, *example.shape[1:], generator=generator).to(device)
                for example in (examples[0]["audio_latents"], examples[0]["video_latents"])
            )
            previous = stream.solve(z, taus, guidance, solver)
            ids.append(chosen)
            for kept, part in zip(latents, previous):
                kept.append(part)
    return torch.stack(ids, 1), tuple(torch.stack(part, 1) for part in latents)


def before(examples):
    """What examples, of a batch or of Material.tensors, are given before unit 0; None where it is nothing."""
    if "given" in examples[0]:
        return given.padded([example["given"] for example in examples], [0] * len(examples))
    if given.KEYS[0] not in examples[0]:
        return None
    return {key: torch.stack([example[key] for example in examples]) for key in given.KEYS}


def first_units(example, key, units):
    """The first units of a stream [channels, time, ...] of an example."""
    step = example[key].shape[1] // len(example["text"])
    return example[key][:, : units * step]


def sounds(c, weights, audio_latents):
    """[B, L, tokens, channels] -> samples [B, L x a unit's]."""
    with torch.no_grad():
        z = audio_latents.flatten(1, 2).transpose(1, 2)[..., None, None]
        return decode(c, weights, "audio", z)[:, 0, :, 0, 0].clamp(-1, 1)


def pictures(c, weights, video_latents, grid):
    """[1, L, tokens, channels] -> uint8 [frames, height, width, 3]."""
    with torch.no_grad():
        z = video_latents.unflatten(2, grid).flatten(1, 2).permute(0, 4, 1, 2, 3)
        y = decode(c, weights, "video", z)[0].permute(1, 2, 3, 0)
    return ((y.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()


def loudness(sound, units):
    return np.sqrt(np.mean(np.reshape(sound, (units, -1)) ** 2, 1))


class Unheard(Conversation):
    """A conversation with somebody whose accent training never hears."""

    def _speaker(self):
        return voices.unheard(self.rng)


class Tally:
    """Counts of what happened, over conversations."""

    def __init__(self):
        self.lists = {}

    def add(self, name, value):
        self.lists.setdefault(name, []).append(float(value))

    def rate(self, name):
        values = self.lists.get(name, [])
        return f"too few ({len(values)})" if len(values) < 10 else round(float(np.mean(values)), 4)

    def quantile(self, name, q):
        values = self.lists.get(name, [])
        return f"too few ({len(values)})" if len(values) < 10 else float(np.quantile(values, q))


def judge(tally, record, words, active):
    """words: the agent's word or None per unit; active: bool per unit; both from the model."""
    units = len(words)
    events = [event for event in record["events"] if event.get("start", event.get("onset", 0)) < units]
    onsets = [e["onset"] for e in events if e["type"] == "interruption"]
    starts = sorted(e["start"] for e in events if e["type"] in ("question", "story"))
    truth_active = [entry["agent"] for entry in record["timeline"][:units]]
    for event in events:
        if event["type"] == "question":
            end = event["end"]
            for first, last in event["pauses"]:
                pause = range(first // UNIT + 1, last // UNIT + 1)
                if not event["interrupts"]:
                    tally.add("false starts", any(active[u] for u in pause if u < units))
            later = [u for u in starts + onsets if u > end] + [units]
            until = min(later)
            if until < min(end + 4, units) or end + 4 >= units:
                continue
            responses = [u for u in range(end + 1, min(end + 9, units)) if active[u]]
            tally.add("missed", not responses)
            if responses:
                tally.add("delay", responses[0] - end)
            whole = end + 5 + 2 * len(event["words"]) + 2
            if until >= whole:
                said = [w for w in words[end + 1 : min(until, whole + 3)] if w is not None]
                tally.add("right", said[: len(event["words"])] == event["words"])
                tally.add(f"right {event['kind']}", said[: len(event["words"])] == event["words"])
        elif event["type"] == "interruption":
            onset = event["onset"]
            if onset + 6 < units and active[onset] and active[onset - 1]:
                silent = [u for u in range(onset, onset + 7) if not active[u]]
                tally.add("stop delay", (silent[0] - onset) if silent else 7)
        elif event["type"] == "distraction" and event["during_answer"]:
            at = event["start"]
            if at + 2 < units and truth_active[at + 2] and active[at]:
                tally.add("selectivity", active[at + 2] or active[min(at + 3, units - 1)])
        elif event["type"] in ("naming", "greeting"):
            near = words[max(0, event["start"] - 4) : event["start"] + 5 + 2 * len(event["words"])]
            said = [w for w in near if w is not None]
            tally.add(event["type"] + " right", said[: len(event["words"])] == event["words"])
    for mine, theirs in zip(active, truth_active):
        tally.add("hit" if mine and theirs else "false alarm" if mine else "miss" if theirs else "quiet", 1)
    tally.add("first second", any(active[:6]) and not any(truth_active[:9]))


def forced_distance(model, weights, examples, taus):
    """Log-mel distance of sampled voice to the truth on active units, history and text given; and the
    codec's own floor. Mean absolute difference of natural logarithms."""
    batch = {key: torch.stack([e[key][:64] for e in examples]) for key in ("typed", "text")}
    batch |= before(examples) or {}
    batch["mel"] = torch.stack([first_units(e, "mel", 64) for e in examples])
    batch["frames"] = torch.stack([first_units(e, "frames", 64) for e in examples])
    for medium in ("audio", "video"):
        batch[f"{medium}_latents"] = torch.stack([e[f"{medium}_latents"][:64] for e in examples])
    torch.manual_seed(1)
    z = tuple(torch.randn_like(batch[f"{m}_latents"]) for m in ("audio", "video"))
    with torch.no_grad():
        for here, there in zip(taus, taus[1:]):
            tau = torch.full(batch["text"].shape[:2], here)
            v = model.heads(model.forward(batch, z, tau))[1]
            z = tuple(a + (there - here) * b for a, b in zip(z, v))
        active = torch.stack([e["active"][:64] for e in examples])
        unit = model.layout.agent_samples
        truth_sound = torch.stack([torch.from_numpy(e["sound"][: active.shape[1] * unit]) for e in examples])

        def distance(latents):
            each, _ = mel_distances(sounds(model.c, weights, latents), truth_sound, model.c["response"]["audio"]["sample_rate"])
            weight = active.repeat_interleave(each.shape[1] // active.shape[1], 1).float()
            return float((each[:, : weight.shape[1]] * weight).sum() / weight.sum())

        return distance(z[0]), distance(batch["audio_latents"])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_arguments(parser)
    parser.add_argument("--stage", default="conversations")
    parser.add_argument("--seeds", type=int, nargs=2, default=[90_000, 24], metavar=("FIRST", "COUNT"))
    parser.add_argument("--seconds", type=float, default=24)
    parser.add_argument("--steps", type=int, help="solver steps; default: the config's")
    parser.add_argument("--guidance", type=float, help="default: the config's")
    parser.add_argument("--unheard", action="store_true", help="users with accents unheard in training")
    parser.add_argument("--keep", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    base = from_arguments(args)
    c, tokens = base.config, base.tokens
    if c["unit_ms"] != UNIT_MS:
        raise InputError(f"unit_ms {c['unit_ms']}: rollouts are judged in the world's units of {UNIT_MS} ms; measure with 'wanstream eval'")
    solver = {**c["solver"], **{k: v for k, v in (("steps", args.steps), ("guidance", args.guidance)) if v is not None}}
    taus = taus_of(solver["steps"], solver["shift"])
    weights = stage_weights(args.out, args.stage)
    model, material = Model(c, weights), Material(base, weights)
    kind, truth = Unheard if args.unheard else material.world.Conversation, material.world.truth
    conversations = [kind(args.seeds[0] + i, length=args.seconds) for i in range(args.seeds[1])]
    examples = []
    for conversation in conversations:
        active = torch.tensor([entry["agent"] for entry in truth(conversation)["timeline"]])
        sound = material.agent.sound(render.agent_audio(conversation), len(active))
        examples.append({**material.tensors(conversation), "sound": sound, "active": active})
    tally = Tally()
    ids, latents = roll(model, examples, taus, guidance=solver["guidance"], solver=solver["name"])
    voice = sounds(c, weights, latents[0]).numpy()
    for i, conversation in enumerate(conversations):
        words = tokens.words(ids[i].tolist())
        judge(tally, truth(conversation), words, loudness(voice[i], len(words)) > ACTIVE)
        if i < args.keep:
            keep(args.out, args.stage, material.world, conversation, words, voice[i], c, pictures(c, weights, latents[1][i : i + 1], tuple(model.layout.agent_grid)))
    hit, alarm, miss = (len(tally.lists.get(name, [])) for name in ("hit", "false alarm", "miss"))
    distance, floor = forced_distance(model, weights, examples[:8], taus)
    figures = {
        "conversations": len(conversations),
        "questions": len(tally.lists.get("right", [])),
        "answers_right": tally.rate("right"),
        **{f"answers_right_{k}": tally.rate(f"right {k}") for k in ("colour", "shape", "both", "count", "before")},
        "delay_p50": tally.quantile("delay", 0.5),
        "delay_p95": tally.quantile("delay", 0.95),
        "missed": tally.rate("missed"),
        "false_starts": tally.rate("false starts"),
        "stop_delay_p50": tally.quantile("stop delay", 0.5),
        "stop_delay_p95": tally.quantile("stop delay", 0.95),
        "selectivity": tally.rate("selectivity"),
        "naming_right": tally.rate("naming right"),
        "greeting_right": tally.rate("greeting right"),
        "activity_f1": round(2 * hit / max(1, 2 * hit + alarm + miss), 4),
        "said_in_the_first_second": tally.rate("first second"),
        "log_mel_distance_forced": round(distance, 4),
        "log_mel_distance_codec": round(floor, 4),
        "solver_steps": solver["steps"],
        "guidance": solver["guidance"],
    }
    for key, value in figures.items():
        print(f"{key.replace('_', ' '):28s} {value}")
    with open(os.path.join(args.out, f"rollout_{args.stage}.json"), "w") as file:
        json.dump(figures, file, indent=1)


def keep(out, stage, world, conversation, words, voice, c, frames):
    """Writes user and agent side by side as an mp4, and the agent's words per unit as text."""
    folder = os.path.join(out, "rollouts")
    os.makedirs(folder, exist_ok=True)
    stem = os.path.join(folder, f"{stage}_{conversation.seed}")
    heard, seen = render.user_audio(conversation)[: len(words) * UNIT], world.render.user_frames(conversation)
    user = resized(seen[np.arange(len(frames)) * len(words) * FRAMES // len(frames)], *frames.shape[1:3])
    render.write_wav(f"{stem}_user.wav", heard)
    render.write_wav(f"{stem}_agent.wav", voice, c["response"]["audio"]["sample_rate"])
    wavs = [f"{stem}_user.wav", f"{stem}_agent.wav"]
    render.write_mp4(f"{stem}.mp4", render.side_by_side(user, frames), wavs, c["fps"])
    with open(f"{stem}.txt", "w") as file:
        for unit, entry in enumerate(world.truth(conversation)["timeline"][: len(words)]):
            shown = " ".join(entry["card"][:2] + (str(entry["card"][2]),)) if entry["card"] else "-"
            user_side = ("speaks" if entry["user"] else "") + (entry["typed"] or "")
            file.write(f"{unit:4d} {user_side:10s} {shown:18s} truth {entry['word'] or '':10s} said {words[unit] or ''}\n")


if __name__ == "__main__":
    command(main)
