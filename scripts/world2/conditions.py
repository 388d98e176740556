"""Conditions of world 2: conversations in which one thing is harder, or one thing alone is looked at, as
`world.conditions` has them. Where users' voices are looked at, microphones are near ones."""

from world import conditions as first

from .conversation import Conversation


class Noisy(Conversation, first.Noisy):
    mediated = 0.0


class Microphones(Conversation, first.Microphones):
    pass


class Pauses(Conversation, first.Pauses):
    pass


class Overlap(Conversation, first.Overlap):
    pass


class EspeakVoices(Conversation):
    condition = "espeak-voices"
    mediated, ears = 0.0, {"espeak-ng": 1}


class Voices(Conversation):
    condition = "voices"
    mediated, ears = 0.0, {"kokoro": 1, "flite": 1, "festival": 1}


class NeuralVoices(Conversation):
    condition = "neural-voices"
    mediated, ears = 0.0, {"kokoro": 1}


class ClassicVoices(Conversation):
    condition = "classic-voices"
    mediated, ears = 0.0, {"flite": 1, "festival": 1}


class Prompts(Conversation):
    """The agent is always told how to talk."""

    condition = "prompts"
    prompted = 1.0


class Characters(Conversation):
    """A picture and a sound are always given, and nothing is told."""

    condition = "characters"
    shows, speaks_before, prompted = 1.0, 1.0, 0.0


KINDS = (Conversation, Noisy, Voices, EspeakVoices, NeuralVoices, ClassicVoices, Microphones, Pauses, Overlap, Prompts, Characters)
CONDITIONS = {kind.condition: kind for kind in KINDS}
