"""Conversations to learn from: the agent sometimes does something else than the oracle, which then
stands in `wanted`. It begins late, begins in a pause or a silence, hesitates between words, stops
late, takes a wrong word. And its delays vary less than the oracle's: who begins where that is likelier
than not waits, where delays vary, whenever it isn't sure that a question is over. What is harder than
the rest is asked more often.

A model that learns from the oracle alone has never seen the states that its own faults lead to: a
question that it let pass for three units it never answered at all, and 16 % of evaluation questions
were missed like that. Source: Laskey et al. 2017, DART: noise injection for robust imitation learning.
"""

import numpy as np

from . import words
from .conversation import STOP_AFTER, Conversation
from .stream import UNIT, seconds

LATE, LATEST = 0.2, 6  # begins up to so many units late
STOPS_LATE, LATEST_STOP = 0.25, 4
STARTS_IN_PAUSE, STARTS_IN_SILENCE = 0.25, 0.1
USUAL = 0.4  # share of delays that are the usual one, whatever was drawn
SHORTEST = 0.25  # share of questions asked in the shortest way, which could be one that goes on
WRONG_WORD = 0.03
HESITATES, LONGEST_WAIT = 0.06, 3
ALIKE = [list(words.COLOURS), words.SHAPES, words.NUMBERS, ["it", "there", "i"], ["is", "are", "was"]]


class Practice(Conversation):
    # Twice or thrice as often as in the world: memory is learned slowly. And 'how many' and 'what' are
    # the questions that were misheard most.
    asks = {**Conversation.asks, "both": 0.3, "count": 0.3, "before": 0.2}
    asks_before_at_once = 0.3
    pauses = 0.6

    def __init__(self, seed, length=None):
        self.slip_rng = np.random.default_rng([seed, 11])
        super().__init__(seed, length)

    def _slips(self, share):
        return self.slip_rng.random() < share

    def _begins(self, unit, word):
        if not self._slips(LATE):
            return unit
        late = unit + int(self.slip_rng.integers(1, LATEST + 1))
        self.wanted.update(dict.fromkeys(range(unit, late), word))
        return late

    def _timing(self, drawn, usual):
        return usual if self._slips(USUAL) else drawn

    def _phrasing(self, options, drawn):
        return options[0] if self._slips(SHORTEST) else options[drawn]

    def _stops(self, unit):
        if not self._slips(STOPS_LATE):
            return unit
        late = unit + int(self.slip_rng.integers(1, LATEST_STOP + 1))
        self.wanted.update(dict.fromkeys(range(unit, late)))
        return late

    def _in_pause(self, start, resume):
        if not self._slips(STARTS_IN_PAUSE):
            return 0
        end = self._says_unasked(start // UNIT + 1)
        # The user's going on interrupts it.
        return min(end // UNIT + 1, self._cut(resume // UNIT + STOP_AFTER))

    def _in_silence(self, start):
        if not self._slips(STARTS_IN_SILENCE):
            return 0
        return self._says_unasked(start // UNIT + 2) + seconds(0.3)

    def _says_unasked(self, unit):
        """Some words, none of which should have been said. Returns their last sample."""
        card, previous = self.card, self.previous or self.card
        options = [words.answer(kind, card, previous) for kind in words.QUESTIONS]
        options += [words.GREETING, words.BACKCHANNEL, words.naming(card)]
        said = options[int(self.slip_rng.integers(len(options)))]
        start, end = self._agent_says(said[: int(self.slip_rng.integers(1, len(said) + 1))], unit)
        self.wanted.update(dict.fromkeys(range(start // UNIT, (end - 1) // UNIT + 1)))
        return end

    def _wording(self, said):
        return [self._word(word) for word in said]

    def _hesitates(self, said):
        waits = [0] * len(said)
        for i in range(1, len(said)):
            if self._slips(HESITATES):
                waits[i] = int(self.slip_rng.integers(1, LONGEST_WAIT + 1))
        return waits

    def _word(self, word):
        options = next((alike for alike in ALIKE if word in alike), [word])
        return options[int(self.slip_rng.integers(len(options)))] if self._slips(WRONG_WORD) else word
