"""Counterfactuals: a conversation in which one thing is another, and the user's part else the same.

`swap_cards`: every question is asked, sample for sample, over a card of another colour, shape and
count. `swap_questions`: over the same cards, at the same moments, something else is asked. The
oracle's answers follow; noises, stories, comings and goings stay.
"""

import numpy as np

from . import voices, words
from .conversation import cut_clips
from .stream import UNIT, seconds

SWAPS = ("card", "question")
KINDS = ("colour", "shape", "both", "count")


def swap(conversation, kind):
    """Swaps in place. kind: one of SWAPS."""
    rng = np.random.default_rng([conversation.seed, 5, SWAPS.index(kind)])
    (swap_cards if kind == "card" else swap_questions)(conversation, rng)
    say_again(conversation)


def swap_cards(c, rng):
    """Turns the wheels of colours, shapes and counts by the same steps for all cards, so that
    different cards stay different."""
    wheels = (list(words.COLOURS), words.SHAPES, [1, 2, 3, 4])
    steps = [int(rng.integers(1, len(wheel))) for wheel in wheels]
    turned = {}
    for wheel, step in zip(wheels, steps):
        for i, value in enumerate(wheel):
            turned[value] = wheel[(i + step) % len(wheel)]
    other = lambda card: None if card is None else tuple(turned[value] for value in card)
    c.cards = [(at, other(card)) for at, card in c.cards]
    for said in c.utterances:
        said["words"] = [turned.get(word, word) for word in said["words"]]
    for event in c.events:
        for key in ("card", "previous"):
            if key in event:
                event[key] = other(event[key])
        if event["type"] == "question":
            old, event["words"] = event["words"], words.answer(event["kind"], event["card"], event["previous"])
            for said in c.utterances:
                if said["unit"] == event["answer"] and len(said["words"]) == len(old):
                    said["words"] = event["words"]
        elif event["type"] == "naming":
            event["words"] = words.naming(event["card"])


def swap_questions(c, rng):
    """Asks something else instead, not longer where that can be."""
    gone = set()
    for event, clips, units in c.asked:
        start = min([c.user_clips[i][0] for i in clips] + [unit * UNIT for unit in units])
        if any(start < at <= event["end_sample"] for at, _ in c.cards):
            continue  # which card is meant depends on how long the question is
        kinds = [kind for kind in KINDS if kind != event["kind"]]
        if units:
            kind, text, typed = typed_instead(rng, kinds, len(units))
            end = (units[0] + len(typed)) * UNIT
        else:
            kind, text, samples = spoken_instead(c, rng, kinds, event["end_sample"] - start)
            end = start + len(samples)
        delay = event["answer"] - event["end"]
        stop = [e["stop"] for e in c.events if e["type"] == "interruption" and e["onset"] == event["start"]]
        answer = max([(end - 1) // UNIT + delay] + [unit + 1 for unit in stop if event["interrupts"]])
        said = next((s for s in c.utterances if s["unit"] == event["answer"]), None)
        if said is None or (said["cut"] is not None and answer >= said["cut"]):
            continue
        if units:
            for unit in units:
                del c.typed[unit]
            c.typed.update({units[0] + i: word for i, word in enumerate(typed)})
        else:
            c.user_clips[clips[0]] = (start, samples, 1.0, True)
            gone.update(clips[1:])
        for other in c.events:
            if other["type"] == "interruption" and event["interrupts"] and other["onset"] == event["start"]:
                other["text"] = text
        said["start"] += (answer - said["unit"]) * UNIT
        said["unit"] = answer
        said["words"] = words.answer(kind, event["card"], event["previous"])
        event.update(
            kind=kind,
            text=text,
            pauses=[],
            end=(end - 1) // UNIT,
            end_sample=end,
            words=said["words"],
            answer=answer,
        )
    c.user_clips = [clip for i, clip in enumerate(c.user_clips) if i not in gone]


def typed_instead(rng, kinds, count):
    options = [(kind, text) for kind in kinds for text in words.TYPED[kind]]
    short = [option for option in options if len(option[1].split()) <= count] or options
    kind, text = short[int(rng.integers(len(short)))]
    return kind, text, text.split()


def spoken_instead(c, rng, kinds, length):
    """(kind, text, samples): one that takes at most `length` samples, or the shortest."""
    options = []
    for kind in kinds:
        for pieces in words.QUESTIONS[kind]:
            text = " ".join(pieces)
            tone = "?" if pieces[0].split()[0] in ("what", "which", "how") else "."
            options.append((kind, text, voices.say(text + tone, *c.voice)))
    fitting = [option for option in options if len(option[2]) <= length + seconds(0.05)]
    fitting = fitting or [min(options, key=lambda option: len(option[2]))]
    return fitting[int(rng.integers(len(fitting)))]


def say_again(c):
    """Makes the agent's clips and tokens anew from `utterances`; one ends where the next begins."""
    c.agent_clips, c.tokens = [], {}
    said = sorted(c.utterances, key=lambda one: one["start"])
    for one, following in zip(said, said[1:] + [None]):
        ends = [c.units, *([following["unit"]] if following else []), *([one["cut"]] if one["cut"] else [])]
        clips = c.clips(c.told(one["words"]), one["start"])
        c.agent_clips += cut_clips([(t, samples, False) for t, _, samples in clips], min(ends) * UNIT)
        c.tokens.update({t // UNIT: word for t, word, _ in clips if t // UNIT < min(ends)})
