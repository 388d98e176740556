"""The worlds that training learns from, by their number, behind one face: `world` (1) and `world2` (2), where
the agent has a look and a voice that it is given before a conversation, and is perhaps told how to talk."""

import functools
import importlib

NUMBERS = (1, 2)


class World:
    """Modules `render`, `conversation`; functions truth(c), vocabulary(); `kinds`: what each stage of train.talk
    learns from."""

    def __init__(self, number):
        self.number, self.package = number, "world" if number == 1 else f"world{number}"
        load = lambda name: importlib.import_module(f"{self.package}.{name}")
        self.render, self.conversation = load("render"), load("conversation")
        self.truth, self.Conversation = self.conversation.truth, self.conversation.Conversation
        practice, lessons = (load("practice"), load("lessons")) if number == 1 else [self.conversation] * 2
        self.kinds = {"lessons": lessons.Lesson, "conversations": practice.Practice}
        self.vocabulary = load("words" if number == 1 else "prompts").vocabulary

    def __reduce__(self):
        """Another process has modules of its own."""
        return world, (self.number,)

    def agent_frames(self, c, states):
        """uint8 [frames, height, width, 3] of render.agent_states(c)."""
        return self.render.agent_frames(states) if self.number == 1 else self.render.agent_frames(c, states)

    def look(self, c):
        """What the agent's pictures depend on beside its states."""
        return None if self.number == 1 else c.character

    def given(self, c):
        """What the model is given before the conversation, as given.made() takes it; None in world 1."""
        if self.number == 1:
            return None
        picture = c.character.reference() if c.shown else None
        return {"prompt": c.prompt.text if c.prompt else None, "voice": c.reference_sound, "picture": picture}

    def prompts(self):
        """All that training is told to talk like."""
        if self.number == 1:
            return []
        return [text for texts in importlib.import_module("world2.prompts").TRAINING.values() for text in texts]


@functools.cache
def world(number):
    return World(number)
