"""A conversation of world 2: one of `world`'s, in which the agent has a look and a voice of its own and was
perhaps told how to talk, and the user any synthesizer's voice, any microphone and camera.

What the agent looks and sounds like and is told follows from the seed. Each may be missing in what the model
is given: without a picture it looks like 'ada', without a sound it has her voice, without a prompt it talks
as in world 1.
"""

import numpy as np

from world import conversation as first
from world import counterfactual, lessons, microphones, practice, synthesizers, voices
from world.conversation import NAMING_SILENCE
from world.stream import FRAME, UNIT, is_evaluation

from . import agents, camera, prompts
from .characters import HEIGHT, WIDTH, Character, character, named

# Which synthesizers users speak with, and how often.
TRAINING_EARS = {"espeak-ng": 0.45, "kokoro": 0.4, "flite": 0.15}
EVALUATION_EARS = {"espeak-ng": 0.4, "kokoro": 0.35, "flite": 0.125, "festival": 0.125}
NEIGHBOURS = 8  # candidates among which a character is told, itself one of them


class Conversation(first.Conversation):
    """Beside `world.conversation.Conversation`'s fields: `character` (what the agent looks like), `agent_voice`
    (agents.py), `prompt` (prompts.Prompt or None), `shown` and `heard_voice` (are a picture and a sound given?),
    `reference_sound` (float32, or None), `view` (the user's camera). `utterances` have the words of world 1."""

    # How often the model is given each; and how often the agent is one of the named, in training.
    shows, speaks_before, prompted = 0.8, 0.8, 0.5
    names = 0.1
    # How often the user has a microphone other than the near one of world 1; None: never.
    mediated = 0.45
    ears: dict | None = None
    prompt_kind: str | None = None

    def __init__(self, seed, length=None):
        rng = np.random.default_rng([seed, 41])
        evaluation, self.seed = is_evaluation(seed), seed
        self.shown, self.heard_voice = bool(rng.random() < self.shows), bool(rng.random() < self.speaks_before)
        name = list(named())[int(rng.integers(4))] if rng.random() < self.names and not evaluation else "ada"
        drawn = rng.random() >= self.names or evaluation
        voice = str(rng.choice(agents.voices(evaluation)))
        self.character = (character(seed) if drawn else named()[name]) if self.shown else named()["ada"]
        self.agent_voice = (voice if drawn else agents.NAMED[name]) if self.heard_voice else agents.DEFAULT
        self.reference_sound = agents.reference(rng, self.agent_voice) if self.heard_voice else None
        self.prompt = prompts.prompt(rng, evaluation, self.prompt_kind) if rng.random() < self.prompted else None
        if self.microphone is None and rng.random() < self.mediated:
            kinds = (*microphones.MICROPHONES, microphones.LOUD_ROOM)
            self.microphone = kinds[int(rng.integers(len(kinds)))]
        self.view = camera.view(seed)
        super().__init__(seed, length)
        self.tell()

    def tell(self):
        """Events have the words that the agent says as it was told to."""
        for event in self.events:
            if "words" in event:
                event["plain"], event["words"] = event["words"], prompts.worded(self.prompt, event["words"])

    def untell(self):
        """Events have world 1's words again, and utterances had them all the time."""
        for event in self.events:
            if "plain" in event:
                event["words"] = event.pop("plain")

    # Users' voices.

    def _speaker(self):
        evaluation = is_evaluation(self.seed)
        ears = self.ears or (EVALUATION_EARS if evaluation else TRAINING_EARS)
        ears = {kind: part for kind, part in ears.items() if synthesizers.voices(kind, evaluation)}
        parts = np.array(list(ears.values()))
        kind = list(ears)[int(self.rng.choice(len(ears), p=parts / parts.sum()))]
        if kind == "espeak-ng":
            return voices.speaker(self.rng, self.seed)
        options = synthesizers.voices(kind, evaluation)
        at = int(self.rng.integers(len(options)))
        # Each speaks at a pace of its own: few enough utterances to keep in a cache.
        return options[at], None, voices.SPEEDS[1 + at % 3]

    # What prompts change.

    @property
    def _waits(self):
        return self.prompt is not None and self.prompt.waits

    def _arrive(self, t, at_start=False):
        if at_start or not self._waits:
            return super()._arrive(t, at_start)
        t += self._uniform(0.6, 3.0)
        t -= t % FRAME
        self.presence.append((t, True))
        unit = t // UNIT + first.GREETING_DELAYS[0]
        self._event("waiting", instead="greeting", start=unit)
        return unit * UNIT + self._uniform(0.5, 2.0)

    def _idle(self, t, length):
        if not self._waits or self.discussed:
            return super()._idle(t, length)
        unit = self.quiet // UNIT + NAMING_SILENCE
        if t + length > (unit - 2) * UNIT:
            # Long enough that a name would have come.
            length = max(length, (unit + 8) * UNIT - t)
            self._event("waiting", instead="naming", start=unit)
            self.discussed = True
            return t + length
        return t + length

    def told(self, said):
        return prompts.worded(self.prompt, said)

    def spoken(self, word):
        return agents.word(word, self.agent_voice)


class Practice(Conversation, practice.Practice):
    """To learn from: the agent slips, and the oracle's words stand in `wanted`."""


class Lesson(Conversation, lessons.Lesson):
    """The tasks of stage 1, by a voice that a reference tells; no prompt stands before them, and what is typed
    is what any prompt would have made of it."""

    prompted = 0.0
    agent_words = staticmethod(prompts.agent_words)

    def _to_say(self):
        said = super()._to_say()
        kind = self._pick([None, None, "brief", "sentences"])
        return prompts.worded(prompts.Prompt(kind, "") if kind else None, said)


def swap(c, kind):
    """Swaps cards or questions in place. kind: one of counterfactual.SWAPS."""
    c.untell()
    counterfactual.swap(c, kind)
    c.tell()


def truth(c):
    """The truth record: world 1's, and who the agent is (docs/eval.md)."""
    closed, opened = c.character.mouth_depths()
    names = {one: name for name, one in named().items()}
    events = [{key: value for key, value in event.items() if key != "plain"} for event in c.events]
    return {
        "world": 2,
        **first.truth(c),
        "events": events,
        "view": c.view.aspect,
        "character": {
            "seed": c.character.seed,
            "name": names.get(c.character),
            "given": c.shown,
            "size": [WIDTH, HEIGHT],
            "boxes": c.character.boxes,
            "mouth": {"green": round(c.character.mouth_green, 2), "closed": round(closed, 3), "open": round(opened, 3)},
        },
        "agent_voice": {
            "name": c.agent_voice,
            "among": neighbour_voices(c),
            "given": c.heard_voice,
            "seconds": None if c.reference_sound is None else round(len(c.reference_sound) / 16000, 2),
        },
        "prompt": None if c.prompt is None else {"kind": c.prompt.kind, "text": c.prompt.text},
    }


def neighbours(c) -> list[Character]:
    """The conversation's character, and others of its side that were drawn for it."""
    rng, start = np.random.default_rng([c.seed, 42]), 100_000 * is_evaluation(c.seed)
    others = rng.permutation(100_000)[:NEIGHBOURS] + start
    return [c.character, *(character(seed) for seed in others if seed != c.character.seed)][:NEIGHBOURS]


def neighbour_voices(c) -> list[str]:
    """The agent's voice, and others of its side that were drawn for it."""
    rng = np.random.default_rng([c.seed, 44])
    others = [voice for voice in agents.voices(is_evaluation(c.seed)) if voice != c.agent_voice]
    return [c.agent_voice, *(others[i] for i in rng.permutation(len(others))[: NEIGHBOURS - 1])]
