"""Conditions: conversations in which one thing is harder than in the world as it is ('quiet').

Their truth records hold as the quiet one's do: units, words and answers follow the same rules. A
seed's conversation is another one under each condition.
"""

from . import microphones, synthesizers, voices
from .conversation import Conversation


class Noisy(Conversation):
    """A louder noise floor, people who talk in the same room, hum of the mains, more noises."""

    condition = "noisy"
    noise_floor = (-45, -32)
    distracts, disturbs, background, mhms = 0.65, 0.9, 0.2, 1
    microphone = microphones.LOUD_ROOM


class Microphones(Conversation):
    """The user is heard by a headset that is set too loud, by telephone, by a laptop, or across a room;
    which of these follows from the seed."""

    condition = "microphones"

    @property
    def microphone(self):
        return microphones.MICROPHONES[self.seed % len(microphones.MICROPHONES)]


class Voices(Conversation):
    """The users speak with other synthesizers than espeak-ng."""

    condition = "voices"
    synthesizers = tuple(synthesizers.OTHERS)

    def _speaker(self):
        return voices.other_speaker(self.rng, self.seed, self.synthesizers)


class NeuralVoices(Voices):
    condition = "neural-voices"
    synthesizers = ("kokoro",)


class ClassicVoices(Voices):
    condition = "classic-voices"
    synthesizers = ("flite", "festival")


class Pauses(Conversation):
    """Most questions are broken by a pause of 0.5 to 1.5 s."""

    condition = "pauses"
    pauses, pause_units = 0.95, (0.5 / 0.16, 1.5 / 0.16)

    def _phrasing(self, options, drawn):
        broken = [pieces for pieces in options if len(pieces) > 1]
        return broken[drawn % len(broken)]


class Overlap(Conversation):
    """The user breaks into most answers, or says 'mhm' while the agent speaks."""

    condition = "overlap"
    interrupts, distracts, mhms = 0.65, 0.35, 12


CONDITIONS = {kind.condition: kind for kind in (Conversation, Noisy, Voices, NeuralVoices, ClassicVoices, Microphones, Pauses, Overlap)}
