"""Lessons: the independent tasks of stage 1, in the streams of a conversation.

Reading: the user says a phrase and shows a card; the agent writes the phrase down, then the card,
without a sound. Speaking: the user types words; the agent says them with voice and face.
"""

from . import words
from .conversation import Conversation
from .stream import UNIT, seconds


class Lesson(Conversation):
    def _build(self):
        self.presence = [(0, True)]
        self._set_card(0)
        t = self._uniform(0.1, 0.5)
        while t < self.total - seconds(1.5):
            if self._chance(0.7):
                t = self._read(t)
            else:
                t = self._speak(t)
            if self._chance(0.5):
                t += -t % 640
                self._set_card(t)
            t += self._uniform(0.1, 0.5)

    def _phrase(self):
        pick = lambda options: options[int(self.rng.integers(len(options)))]
        kind = self.rng.random()
        if kind < 0.75:
            pieces = pick(words.QUESTIONS[pick(list(words.QUESTIONS))])
            asks = pieces[0].split()[0] in ("what", "which", "how")
            return " ".join(pieces), "?" if asks else "."
        if kind < 0.85:
            return pick(words.STOPS), "!"
        return pick(pick(words.STORIES)), ","

    def _read(self, t):
        phrase, tone = self._phrase()
        start, t = t, self._user_says(t, phrase + tone)
        unit = (t - 1) // UNIT + 1
        for word in phrase.split() + [self.card[0], self.card[1], words.NUMBERS[self.card[2] - 1]]:
            self.tokens[unit] = word
            unit += 1
        self._event("reading", start=start // UNIT, text=phrase, card=self.card, end=unit - 1)
        return unit * UNIT

    def _speak(self, t):
        card, previous = self.card, self.previous or self.card
        kind = ["colour", "shape", "both", "count", "before"][int(self.rng.integers(5))]
        said = words.answer(kind, card, previous)
        if self._chance(0.3):
            said = [words.naming(card), words.GREETING, words.BACKCHANNEL][int(self.rng.integers(3))]
        start, end = t // UNIT, self._type(t, " ".join(said))
        begin, end = self._agent_says(said, end // UNIT + int(self.rng.integers(0, 2)))
        self._event("speaking", typed=start, start=begin // UNIT, words=said)
        return end
