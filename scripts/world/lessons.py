"""Lessons: the tasks of stage 1, which a cascade's modules do, in the streams of a conversation.

Reading: the user speaks and shows a card; where 'read' is typed the agent writes down what was said since
it last did so, where 'card' is typed the card's colour, shape and number, a word a unit from that unit on,
without a sound. Speaking: words are typed, one a unit, and the agent says them, the first from the unit on
in which it is typed; where 'stop' is typed it falls silent in that unit. A lesson is of one of them.
"""

from . import voices, words
from .conversation import Conversation
from .stream import FRAME, UNIT, seconds

READ, LOOK, STOP = "read", "card", "stop"


class Lesson(Conversation):
    agent_words = staticmethod(words.agent_words)

    def __init__(self, seed, length=None):
        self.muted = []  # where nothing is heard: [from, to) in samples
        super().__init__(seed, length)

    def heard(self, sound):
        for start, end in self.muted:
            sound[start:end] = 0
        return sound

    def _build(self):
        if self._chance(0.6):
            self._reads()
        else:
            self._speaks()

    def _pick(self, options):
        return options[int(self.rng.integers(len(options)))]

    # Reading

    def _reads(self):
        self.presence = [(0, self._chance(0.8))]
        if self._chance(0.7):
            self._set_card(0)
        t = self._uniform(0.1, 1.0)
        if self._chance(0.3):
            t = self._written(self._uniform(0.0, 0.5), LOOK, self._shown)
        while t < self.total - seconds(1.5):
            kind = self.rng.random()
            if kind < 0.7:
                t = self._utterance(t)
            elif kind < 0.82:
                t = self._no_words(t) if self._chance(0.8) else t
                t = self._written(t + self._uniform(0.05, 1.0), READ, list)
                t = self._written(t, LOOK, self._shown) if self._chance(0.5) else t
            elif kind < 0.94:
                t = self._written(t + self._uniform(0.1, 1.0), LOOK, self._shown)
            else:
                t += self._uniform(0.5, 2.5)
            if self._chance(0.4):
                t = self._show(t)
                if self._chance(0.4):
                    t = self._written(t + self._uniform(0.0, 0.3), LOOK, self._shown)
            elif self._chance(0.12):
                t = self._takes_away(t)
            t += self._uniform(0.1, 0.8)

    def _takes_away(self, t):
        """The card goes, and sometimes the user too, or they come back."""
        t += -t % FRAME
        self.card = None
        self.cards.append((t, None))
        self.presence.append((t, self._chance(0.5)))
        return t + self._uniform(0.1, 0.5)

    def _utterance(self, t):
        """Something is said, perhaps in two pieces, and read at its end, or after each of them. Before it
        and behind it there may be sounds without words, which belong to the same reading."""
        if self._chance(0.15):
            t = self._no_words(t) + self._uniform(0.05, 0.6)
        kind, together = self.rng.random(), []
        if kind < 0.78:
            options = words.QUESTIONS[self._pick(list(words.QUESTIONS))]
            pieces = self._phrasing(options, int(self.rng.integers(len(options))))
            final = "?" if pieces[0].split()[0] in ("what", "which", "how") else "."
        elif kind < 0.87:
            pieces, final = [self._pick(words.STOPS)], "!"
        else:
            pieces, final = [self._pick(self._pick(words.STORIES))], ","
        if len(pieces) > 1 and self._chance(0.5):
            spoken = [pieces[0], " ".join(pieces[1:])]
        else:
            spoken = [" ".join(pieces)]
        for i, piece in enumerate(spoken):
            last = i == len(spoken) - 1
            t = self._user_says(t, piece + (final if last else ","), slower=1 if last else 0.75)
            together.append(piece)
            if last and self._chance(0.3):
                t = self._no_words(t + self._uniform(0.05, 0.55))
            if last or self._chance(0.6):
                said = " ".join(together).split()
                t = self._written(t + self._uniform(0.05, 1.2 if last else 0.8), READ, lambda: said)
                together = []
                if self._chance(0.6):
                    t = self._written(t, LOOK, self._shown)
            if not last:
                t += self._uniform(0.1, 0.7)
        return t

    def _no_words(self, t):
        """What sounds like speech, or nearly so, and has no words to read. Returns its end."""
        kind = self._pick(["cough", "knock", "talk", "talk", "mhm", "mhm"])
        if kind == "talk":
            samples, gain = voices.say(self._pick(words.BACKGROUND) + ".", *self._speaker()), 0.1
        elif kind == "mhm":
            samples, gain = voices.say(self._pick(words.MHM) + ".", *self.voice), 0.6
        else:
            samples = (voices.cough if kind == "cough" else voices.knock)(self.rng)
            gain = float(self.rng.uniform(0.5, 1.2))
        self.user_clips.append((t, samples, gain, kind == "mhm"))
        return t + len(samples)

    def _shown(self):
        if self.card is None:
            return []
        return [self.card[0], self.card[1], words.NUMBERS[self.card[2] - 1]]

    def _written(self, t, command, what):
        """The command is typed in the first whole unit from sample t on, and what it asks for is written
        down. Returns the end of the unit after the last word, which has none."""
        first = unit = -(-t // UNIT)
        self.typed[first] = command
        said = what()
        for word in said:
            self.tokens[unit] = word
            unit += 1
        if self._chance(0.7):
            self.muted.append((first * UNIT, (unit + 1) * UNIT))
        self._event("reading", command=command, start=first, words=said)
        return (unit + 1) * UNIT

    # Speaking

    def _speaks(self):
        self.muted, self.blind = [(0, self.total + seconds(60))], True
        t = self._uniform(0.1, 1.5)
        while t < self.total - seconds(1.5):
            t = self._says(t) + self._uniform(0.2, self._pick([0.8, 4.0]))

    def _to_say(self):
        """What is typed for the agent to say."""
        card, before = (self._drawn_card() for _ in range(2))
        kind = self.rng.random()
        if kind < 0.6:
            return words.answer(self._pick(list(words.QUESTIONS)), card, before)
        if kind < 0.75:
            return self._pick([words.naming(card), words.GREETING, words.BACKCHANNEL])
        return [self._pick(self.agent_words()) for _ in range(int(self.rng.integers(1, 6)))]

    def _says(self, t):
        said = self._to_say()
        unit = -(-t // UNIT)
        self._type(unit * UNIT, " ".join(said))
        start, end = self._agent_says(said, unit)
        event = self._event("speaking", start=unit, words=said, stop=None)
        if not self._chance(0.2) or end // UNIT <= unit + 1:
            return end
        event["stop"] = stop = int(self.rng.integers(unit + 1, end // UNIT + 1))
        self.typed = {u: word for u, word in self.typed.items() if u < stop}
        self.typed[stop] = STOP
        self._cut(stop)
        return (stop + 1) * UNIT

    def _drawn_card(self):
        return self._pick(list(words.COLOURS)), self._pick(words.SHAPES), int(self.rng.integers(1, 5))
