"""Conversations as tensors for the training pass, made on the fly from seeds."""

import math

import numpy as np
import torch

from world import words
from world.stream import FPS, FRAMES, TRAINING_SEEDS, UNIT, UNIT_MS

from . import given
from .coders import Encoders, heard, log_mel, response_encoder
from .fit import Fit
from .tokenizer import spread
from .worlds import world

COLOURS, SHAPES = list(words.COLOURS), words.SHAPES
QUESTION_KINDS = list(words.QUESTIONS)
LONG_SILENCE = 6  # units; after ten a card is named
LONGEST_QUIET = 12  # units of silence that are told apart
MASKED, WIDEST_MASK = 0.33, 6  # share of crops that lack some mel bands, and of how many at most
HELD_OUT = 90_000  # first of the training seeds that no batch has, for validation
UNJUDGED = 10  # first units of a crop from the middle of a conversation
LONG_AGO = 4000  # units between what was given before and a crop from the middle, at most
ASKED_FOR = 12  # units after a question's end in which it is still what is talked about


def card_labels(card):
    """(colour, shape, count), each 0 where there is no card."""
    if card is None:
        return 0, 0, 0
    return COLOURS.index(card[0]) + 1, SHAPES.index(card[1]) + 1, card[2]


class Material:
    """Crops of conversations of one kind (Practice or Lesson) with latents of frozen codecs.

    Every step adds `fresh` new conversations to a pool of the last `pool`, which are kept in memory,
    and takes its crops from it. All of it follows from the step's number, so a resumed run meets the
    same batches. Of several workers each has conversations of its own. Conversations begin with that of
    `first_seed`: what is trained on should meet others than before.
    """

    def __init__(self, base, codecs, kind=None, units=64, fresh=0.5, pool=192, worker=0, workers=1, first_seed=0):
        self.config, self.tokens = base.config, base.tokens
        self.world = world(base.world)
        self.codecs, self.kind, self.units = codecs, kind or self.world.kinds["conversations"], units
        self.encoders = Encoders(self.config, codecs)
        self.user, self.agent = Fit(self.config, "observation"), Fit(self.config, "response")
        # Latents of a unit follow from its own pictures where no layer of the encoder looks back.
        layers = response_encoder(self.config, "video").layers
        self.alike = (self.config["unit_ms"], self.config["fps"]) == (UNIT_MS, FPS) and not any(
            layer["kernel"][0] > layer.get("stride", [1])[0] for layer in layers if "kernel" in layer
        )
        self.fresh, self.pool = fresh, pool
        self.worker, self.workers, self.first_seed = worker, workers, first_seed
        self.video_latents, self.kept = {}, {}
        if prompts := self.world.prompts():
            self.tokens.encode(prompts)  # the engine is asked once

    def batch(self, step, size, seed=0):
        """The batch of a training step."""
        rng = np.random.default_rng([seed, 79, step, self.worker])
        newest = size + int(step * self.fresh)
        oldest = max(0, newest - self.pool)
        numbers = rng.integers(oldest, newest, size).tolist()
        self.kept = {number: c for number, c in self.kept.items() if number >= oldest}
        return collate([self.crop(self.conversation(number), rng) for number in numbers])

    def collated(self, wholes, seed):
        """A batch of crops of given conversations."""
        rng = np.random.default_rng([seed, 81])
        return collate([self.crop(whole, rng) for whole in wholes])

    def conversation(self, number):
        """A whole conversation as tensors, 12-24 s long."""
        if number not in self.kept:
            at = self.first_seed + number * self.workers + self.worker
            seed = TRAINING_SEEDS.start + at % (HELD_OUT - TRAINING_SEEDS.start)
            self.kept[number] = self.made(seed, number)
        return self.kept[number]

    def digest(self):
        """Name to digest of what a run that goes on must learn from still."""
        return {}

    def held_out(self, number):
        """A whole conversation that is none of conversation()'s."""
        return self.made(HELD_OUT + number, number)

    def made(self, seed, number):
        return self.tensors(self.kind(seed, length=(12, 16, 24)[number % 3]))

    def crop(self, whole, rng):
        """`first` is the crop's first unit, 0 at a conversation's start, which is met often."""
        spare = max(0, len(whole["text"]) - self.units)
        first = 0 if rng.random() < 0.4 else int(rng.integers(0, spare + 1))
        example: dict = {"first": first + whole.get("start", 0)}
        for key, value in whole.items():
            if key in ("start", "given"):
                continue
            if key in ("mel", "frames"):
                step = value.shape[1] // len(whole["text"])
                example[key] = value[:, first * step : (first + self.units) * step]
            else:
                example[key] = value[first : first + self.units]
        if "given" in whole:
            # Crops from the middle stand for later parts of conversations of any length, too.
            later = int(LONG_AGO ** rng.random()) if first and rng.random() < 0.5 else 0
            example.update(given=whole["given"], ago=example["first"] + later)
        if log_mel(self.config):
            example["mel"] = other_voice(example["mel"], rng)
        example["recalled"] = recalled(example.pop("previous_seen"), example["first"], self.config["history_units"])
        missing = self.units - len(example["text"])
        return pad(example, missing) if missing else example

    def tensors(self, c):
        timeline, render, before = self.world.truth(c)["timeline"], self.world.render, self.world.given(c)
        units = self.agent.units(c.units)
        # What is told per unit of the world is told per unit of the config by the last of them that it
        # covers, weights by the largest.
        last = torch.tensor([self.agent.seen_last(unit) for unit in range(units)])
        covered = [slice(self.agent.seen_last(unit - 1) + 1 if unit else 0, int(last[unit]) + 1) for unit in range(units)]
        heaviest = lambda weights: torch.stack([weights[part].max() if len(weights[part]) else weights[last[unit]] for unit, part in enumerate(covered)])
        seen = torch.tensor(previous_seen(timeline))[last]
        text, wanted = said(timeline, c.wanted, self.tokens, self.agent, units, self.config["agent_text_slots"])
        typed = {}
        for unit, entry in enumerate(timeline):
            if entry["typed"] is not None:
                typed.setdefault(self.agent.unit_of(unit), []).extend(self.tokens.typed(entry["typed"]))
        sound = self.user.sound(render.user_audio(c), units)
        frames = torch.from_numpy(self.user.frames(render.user_frames(c), units))
        return {
            **({"given": given.made(self.tokens, self.encoders, self.agent, **before)} if before else {}),
            "text": text,
            "wanted": wanted,
            "text_weight": heaviest(text_weights(c, timeline)),
            "previous_seen": torch.where(seen < 0, seen, seen * UNIT_MS // self.config["unit_ms"]),
            "typed": torch.tensor(spread(typed, units, self.config["user_text_slots"], -1), dtype=torch.long),
            "card": torch.tensor([card_labels(entry["card"]) for entry in timeline])[last],
            "previous": torch.tensor([card_labels(entry["previous"]) for entry in timeline])[last],
            "question": torch.tensor(question_labels(c.events, len(timeline)))[last],
            "user": torch.tensor([int(entry["user"]) for entry in timeline])[last],
            "unnamed": torch.tensor(unnamed_labels(c.events, timeline))[last],
            "flow_weight": heaviest(flow_weights(c, [entry["agent"] for entry in timeline])),
            "frames": frames.permute(3, 0, 1, 2),
            "mel": heard(self.config, torch.from_numpy(sound)[None])[0],
            "audio_latents": self.voice_latents(c, units),
            "video_latents": self.encode_video(c, units),
        }

    def voice_latents(self, c, units):
        """Latents of the agent's voice. The unit before it is cut off has those of a voice that goes on:
        the agent makes it before it can know."""
        sound = self.world.render.agent_audio
        latents = self.encode_audio(sound(c), units)
        ends = [cut * UNIT_MS for cut in c.cuts if cut * UNIT_MS % self.config["unit_ms"] == 0]
        before = [end // self.config["unit_ms"] - 1 for end in ends]
        before = [unit for unit in before if 0 <= unit < units]
        latents[before] = self.encode_audio(sound(c, fades=False), units)[before]
        return latents

    def encode_audio(self, sound, units):
        return self.latents_of(self.agent.sound(sound, units), units)

    def latents_of(self, sound, units):
        """Samples of `units` units of the config -> latents [units, tokens, channels]."""
        return self.encoders.sound(sound, units)

    def encode_video(self, c, units):
        """Latents [units, tokens, channels] of the agent's pictures."""
        states, look = self.world.render.agent_states(c), self.world.look(c)
        drawn = lambda part: self.world.agent_frames(c, part)
        if not self.alike:
            return self.pictures(self.agent.frames(drawn(states), units)[None], units)[0]
        # A unit's depend on its own frames alone: made once each.
        groups = [(look, *states[i : i + FRAMES].flatten().tolist()) for i in range(0, len(states), FRAMES)]
        new = [group for group in dict.fromkeys(groups) if group not in self.video_latents]
        if len(self.video_latents) > 60000:
            self.video_latents.clear()
            new = list(dict.fromkeys(groups))
        for at in range(0, len(new), 16):
            part = new[at : at + 16]
            frames = [self.agent.frames(drawn(np.reshape(g[1:], (FRAMES, 4))), 1) for g in part]
            for group, latents in zip(part, self.pictures(np.stack(frames), 1)):
                self.video_latents[group] = latents[0]
        return torch.stack([self.video_latents[group] for group in groups[:units]])

    def pictures(self, frames, units):
        """uint8 [B, frames of `units` units, height, width, 3] -> latents [B, units, tokens, channels]."""
        return self.encoders.pictures(frames, units)


def said(timeline, slips, tokens, fit, units, slots):
    """What the agent says and what the oracle wants there, int64 [units, slots] each: a word's tokens from
    the unit on in which it begins, `tokens.continues` where the voice sounds on, else the filler. slips:
    unit of the world -> the word that the oracle would begin there instead, or None."""
    begun, sounds, wanted = {}, set(), {}
    for world_unit, entry in enumerate(timeline):
        unit = fit.unit_of(world_unit)
        if entry["word"] is not None:
            begun.setdefault(unit, []).extend(tokens.said(entry["word"]))
        if entry["agent"]:
            sounds.add(unit)
        if world_unit in slips:
            word = slips[world_unit]
            wanted[unit] = tokens.filler if word is None else tokens.said(word)[0]
    text = spoken(begun, sounds, tokens, units, slots)
    right = text.clone()
    for unit, id in wanted.items():
        # It counts where no earlier word's tokens wait for the slot.
        if unit < units and (unit in begun or text[unit, 0] in (tokens.filler, tokens.continues)):
            right[unit, 0] = id
    return text, right


def spoken(begun, sounds, tokens, units, slots):
    """int64 [units, slots]: tokens of `begun` (unit -> ids) from their unit on, in the first slot where there
    are none `tokens.continues` in units of `sounds`, else the filler."""
    text = torch.tensor(spread(begun, units, slots, -1))
    going_on = torch.tensor([unit in sounds for unit in range(units)])
    first = torch.where(going_on, tokens.continues, tokens.filler)
    text[:, 0] = torch.where(text[:, 0] < 0, first, text[:, 0])
    text[text < 0] = tokens.filler
    return text


def text_weights(c, timeline):
    """Weights of units in the text's loss, 3 where it is decided who speaks: in the four units after a
    sound has begun on the user's side while the agent speaks, after questions, and where a card is
    named; 5 in silences of some length over a card, 12 where an interruption has to stop the agent, 30 in
    pauses inside questions (to talk over somebody is worse than to wait, or to stop for a cough; at 6,
    12 and 30 it broke into 12, 7 and 4 of 59 pauses of speakers it had never heard); else 1."""
    weights = torch.ones(len(timeline))
    for start, *_ in c.user_clips:
        unit = start // UNIT
        if unit < len(timeline) and timeline[unit]["agent"]:
            weights[unit : unit + 4] = 3.0
    quiet = before = 0
    for unit, entry in enumerate(timeline):
        quiet = 0 if entry["user"] or entry["agent"] else quiet + 1
        if entry["card"] is not None and quiet >= LONG_SILENCE:
            weights[unit] = 5.0
        elif entry["card"] is not None and quiet == 0 and before >= LONG_SILENCE:
            weights[unit] = 3.0  # where a naming begins
        before = quiet
    for event in c.events:
        if event["type"] == "question":
            weights[event["end"] + 1 : event["end"] + 4] = 3.0
            for start, end in event["pauses"]:
                weights[start // UNIT : end // UNIT + 1] = 30.0
        if event["type"] == "interruption":
            weights[event["onset"] + 1 : event["onset"] + 4] = 12.0
    return weights


def flow_weights(c, active):
    """Weights of units in the flow-matching loss: 3 with voice, 45 in the first unit after being cut off
    and 6 in the two after it (falling silent in the middle of a word is rare and must be learned too:
    at 6 the voice went on in one interruption of six, at 18 in one of twenty)."""
    weights = torch.tensor([3.0 if sounds else 1.0 for sounds in active])
    for unit in c.cuts:
        weights[unit : unit + 3] = 6.0
        weights[unit : unit + 1] = 45.0
    return weights


def question_labels(events, units):
    """Per unit 1 + the kind of the question that is being asked or was just asked, else 0."""
    labels = [0] * units
    for event in events:
        if event["type"] == "question":
            until = min(units, event["end"] + 1 + ASKED_FOR)
            labels[event["start"] : until] = [1 + QUESTION_KINDS.index(event["kind"])] * (until - event["start"])
    return labels


def unnamed_labels(events, timeline):
    """Per unit 0 without a card or with one that was talked about, else 1 + how many units ago
    (at most LONGEST_QUIET) somebody spoke or it was shown: the agent names it after a silence."""
    talked = {event["start"] for event in events if event["type"] in ("question", "naming")}
    labels, card, named, quiet = [], None, True, 0
    for unit, entry in enumerate(timeline):
        if entry["card"] != card:
            card, named, quiet = entry["card"], False, 0
        elif entry["user"] or entry["agent"]:
            quiet = 0
        else:
            quiet += 1
        named = named or unit in talked
        labels.append(0 if card is None or named else 1 + min(quiet, LONGEST_QUIET))
    return labels


def previous_seen(timeline):
    """For every unit the last one that showed the card before the present one; -1 where none was."""
    seen, last = [], {None: -1}
    for unit, entry in enumerate(timeline):
        seen.append(last.get(entry["previous"], -1))
        last[entry["card"]] = unit
    return seen


def recalled(previous_seen, first, history_units):
    """Where a crop from unit `first` on can know the previous card: it was seen in the crop and not
    longer ago than history goes back, or the conversation begins here and there was none."""
    at = first + torch.arange(len(previous_seen))
    known = (previous_seen >= first) & (at - previous_seen < history_units - 4)
    return known | ((previous_seen < 0) & (first == 0))


def other_voice(mel, rng):
    """The same speech from another throat and through another microphone: log-mel [mels, frames, 1, 1]
    with its frequencies stretched (vocal tract length perturbation, Jaitly and Hinton 2013), here more
    and there less (formants move apart, as from accent to accent), its spectrum tilted and its level
    changed; in a third of them a few bands next to each other are taken out (SpecAugment, Park et al.
    2019): no word is to hang on one of them. Voices that training never heard lie in between."""
    mels = len(mel)
    widest = min(WIDEST_MASK, mels)
    apart = np.interp(np.arange(mels), np.linspace(0, mels - 1, 6), rng.normal(0, 0.7, 6))
    at = np.arange(mels) * rng.uniform(0.86, 1.16) + rng.uniform(-1, 1) + apart
    at = np.clip(at, 0, mels - 1)
    low = np.minimum(at.astype(int), mels - 2)
    part = torch.from_numpy((at - low).astype(np.float32)).view(-1, 1, 1, 1)
    warped = mel[low] * (1 - part) + mel[low + 1] * part
    bands = np.interp(np.arange(mels), np.linspace(0, mels - 1, 5), rng.normal(0, 0.5, 5))
    shape = torch.from_numpy((bands + rng.normal(0, 0.4)).astype(np.float32)).view(-1, 1, 1, 1)
    heard = (warped + shape).clamp(min=math.log(1e-5))
    if rng.random() < MASKED:
        first = int(rng.integers(mels - widest + 1))
        heard[first : first + int(rng.integers(1, widest + 1))] = heard.mean()
    return heard


def pad(example, missing):
    """Repeats the last unit; the loss leaves padded units out."""
    padded = dict(example)
    padded["length"] = len(example["text"])
    for key, value in example.items():
        if key in ("first", "given", "ago"):
            continue
        if key in ("mel", "frames"):
            per_unit = value.shape[1] // len(example["text"])
            tail = value[:, -per_unit:].repeat(1, missing, *[1] * (value.dim() - 2))
            padded[key] = torch.cat([value, tail], 1)
        else:
            tail = value[-1:].repeat(missing, *[1] * (value.dim() - 1))
            padded[key] = torch.cat([value, tail])
    return padded


def collate(examples):
    """Stacks examples; adds `counts` [B, L]: where the loss is taken. `text` is what the agent says,
    `wanted` what the oracle says there: the words to learn."""
    units = len(examples[0]["text"])
    batch = {
        key: torch.stack([example[key] for example in examples])
        for key in examples[0]
        if key not in ("first", "length", "given", "ago")
    }
    if "given" in examples[0]:
        batch |= given.padded([example["given"] for example in examples], [example["ago"] for example in examples])
    first = torch.tensor([example["first"] for example in examples])
    length = torch.tensor([example.get("length", units) for example in examples])
    at = torch.arange(units)[None]
    # A crop from the middle doesn't know what came before: its first units aren't judged.
    known = (first[:, None] == 0) | (at >= UNJUDGED)
    batch["counts"] = known & (at < length[:, None])
    return batch
