"""A conversation of the world: who does what when, and what the agent should do, from one seed.

`Conversation(seed)` decides everything in samples on one clock; render.py turns it into sound,
pictures and tokens. Conversations are built scene by scene: the user's part is drawn at random, the
agent's follows from the rules below (the oracle), so that every response has a truth.
"""

import numpy as np

from . import draw, microphones, voices, words
from .stream import FRAME, UNIT, is_evaluation, seconds

# The oracle's rules, in units.
ANSWER_DELAYS, DELAY_WEIGHTS = (1, 2, 3), (0.55, 0.33, 0.12)
STOP_AFTER = 2  # the first silent unit after the one in which an interruption begins
TYPED_STOP_AFTER = 1
NAMING_SILENCE = 10  # names a new card after so long a silence (+-1)
GREETING_DELAYS = (2, 3)
BREAK_REACTION = 2  # 'mm' or a nod after a piece of a story has ended
MEMORY = 24  # how long after a change 'and before?' may be asked


class Conversation:
    """Fields for render.py: `units`, `user_clips` (start, samples, gain, moves mouth), `agent_clips`
    (start, samples, was it cut off?), `typed` and `tokens` (unit -> word), `cards` (sample, card or None), `presence`
    (sample, bool), `nods` (sample), `events` (the truth's list of dicts), and the looks.

    `wanted` (unit -> word or None): what the oracle says where the agent of practice.py slips; empty
    here, where the agent is the oracle. `cuts`: the units from which it was silent, cut off.

    Fields for counterfactual.py: `utterances`, all that the agent says (unit, start, words, cut: the
    unit in which it falls silent, or None), and `asked`, what each question is made of (event,
    indices of its user_clips, typed units)."""

    condition = "quiet"  # conditions.py has the others
    # By which the user is heard; None: as it is.
    microphone: microphones.Microphone | None = None
    # How often each kind of question is asked, relative to each other ('and before?' only where a card
    # was shown before), and how often 'and before?' is asked right after a change.
    asks = {"colour": 0.26, "shape": 0.26, "both": 0.22, "count": 0.18, "before": 0.08}
    asks_before_at_once = 0.15
    # How often the user pauses inside a question, of those that can be broken, and for how many units.
    pauses, pause_units = 0.4, (1.0, 4.0)
    # How often, while the agent speaks, the user interrupts, and how often there is a noise, talk in the
    # background or a 'mhm'. 'mhm' is so many times as likely as each of the others.
    interrupts, distracts, mhms = 0.3, 0.3, 2
    # How often there is a noise while nobody speaks, and how loud talk in the background is.
    disturbs, background = 0.35, 0.1
    # The noise floor's level in dB of full scale.
    noise_floor = (-70, -38)
    # Nothing is seen of the user.
    blind = False

    def __init__(self, seed, length=None):
        """seed: 0-99999 for training, 100000-199999 for evaluation; length in seconds (drawn from
        10-60 when absent)."""
        rng = self.rng = np.random.default_rng([seed, 1])
        self.seed, self.wanted, self.cuts = seed, {}, []
        self.user_clips, self.agent_clips, self.nods, self.events = [], [], [], []
        self.typed, self.tokens = {}, {}
        self.utterances, self.asked = [], []
        self.cards, self.presence = [(0, None)], [(0, False)]
        self.card, self.previous, self.changed = None, None, -(10**9)
        self.discussed = True
        self.quiet = 0  # since when nobody speaks and nothing new is shown
        self.voice = self._speaker()
        self.face = draw.face(rng)
        self.total = seconds(length if length is not None else rng.uniform(10, 60))
        self._build()
        self.units = -(-self.total // UNIT)
        last = [start + len(samples) for start, samples, *_ in self.user_clips + self.agent_clips]
        self.units = max([self.units] + [-(-end // UNIT) + 2 for end in last])

    @property
    def name(self):
        """Of its recording."""
        return str(self.seed) + ("" if self.condition == "quiet" else f"-{self.condition}")

    # Scenes: each starts at sample t and returns the sample at which it is over.

    def _build(self):
        t = self._arrive(0, at_start=self.rng.random() < 0.5)
        scenes = {
            self._ask_scene: 0.60,
            self._show_scene: 0.18,
            self._story: 0.09,
            self._rest: 0.09,
            self._leave: 0.04,
        }
        while t < self.total - seconds(2):
            if self.card is None:
                t = self._show(t)
            scene = self.rng.choice(len(scenes), p=list(scenes.values()))
            t = list(scenes)[scene](t)

    def _speaker(self):
        return voices.speaker(self.rng, self.seed)

    def heard(self, sound):
        """The user's side as the agent gets it: float32, as long as `sound`, their voice, noises and noise
        floor."""
        if self.microphone is None:
            return sound
        return microphones.heard(np.random.default_rng([self.seed, 12]), sound, self.microphone, self.seed)

    def _uniform(self, low, high):
        """Samples between low and high seconds."""
        return seconds(self.rng.uniform(low, high))

    def _chance(self, p):
        return self.rng.random() < p

    # Where practice.py's agent slips; the oracle doesn't.

    def _begins(self, unit, word):
        """The unit in which the agent begins what it should begin, with `word`, in `unit`."""
        return unit

    def _timing(self, drawn, usual):
        """How many units the agent waits, where the oracle's delays vary and one of them is usual."""
        return drawn

    def _phrasing(self, options, drawn):
        """The pieces of a question: one of the options for its kind, here the one that was drawn."""
        return options[drawn]

    def _stops(self, unit):
        """The unit from which the agent is silent where it should be from `unit` on."""
        return unit

    def _in_pause(self, start, resume):
        """In a pause within a question. Returns the unit from which the agent is silent again."""
        return 0

    def _in_silence(self, start):
        """Where nobody speaks. Returns the sample from which it is silent again."""
        return 0

    def _wording(self, said):
        """The words that the agent takes for those it should say."""
        return said

    def _hesitates(self, said):
        """For every word the units that the agent waits before it."""
        return [0] * len(said)

    def _event(self, type, **fields):
        event = {"type": type, **fields}
        self.events.append(event)
        return event

    def _arrive(self, t, at_start=False):
        if at_start:
            self.presence = [(0, True)]
            if self._chance(0.5):
                self._set_card(0)
            return t + self._uniform(0.2, 1.0)
        t += self._uniform(0.6, 3.0)
        t -= t % FRAME
        self.presence.append((t, True))
        delay = self._timing(int(self.rng.choice(GREETING_DELAYS)), GREETING_DELAYS[0])
        unit = self._begins(t // UNIT + delay, self.told(words.GREETING)[0])
        start, end = self._agent_says(words.GREETING, unit)
        self._event("greeting", appeared=t // UNIT, start=start // UNIT, words=words.GREETING)
        return end + self._uniform(0.1, 0.6)

    def _leave(self, t):
        t = self._idle(t, self._uniform(0.3, 1.0))
        t += -t % FRAME
        self.presence.append((t, False))
        self.cards.append((t, None))
        self.card, self.discussed = None, True
        return self._arrive(t + self._uniform(1.0, 2.0))

    def _set_card(self, t):
        """Shows another card at sample t."""
        pick = lambda options: options[int(self.rng.integers(len(options)))]
        while True:
            card = (pick(list(words.COLOURS)), pick(words.SHAPES), int(self.rng.integers(1, 5)))
            if self.card is None or card[:2] != self.card[:2]:
                break
        if self.card is not None:
            self.previous, self.changed = self.card, t
        self.card, self.discussed = card, False
        self.cards.append((t, card))
        self.quiet = max(self.quiet, t)

    def _show(self, t):
        t += -t % FRAME
        self._set_card(t)
        return t + self._uniform(0.1, 0.4)

    def _show_scene(self, t):
        t = self._show(self._idle(t, self._uniform(0.2, 0.8)))
        follow = self.rng.random()
        if follow < 0.45:
            return self._ask(t + self._uniform(0.0, 0.5))
        if follow < 0.45 + self.asks_before_at_once:
            return self._ask(t + self._uniform(0.0, 0.5), kind="before")
        return self._idle(t, self._uniform(2.2, 3.5))

    def _ask_scene(self, t):
        return self._ask(self._idle(t, self._uniform(0.2, 2.0)))

    def _rest(self, t):
        return self._idle(t, self._uniform(1.5, 4.0))

    def _idle(self, t, length):
        """Nobody speaks; noises may happen; the agent names a card that nobody asks about."""
        end = t + length
        if not self.discussed:
            silence = self._timing(NAMING_SILENCE + int(self.rng.integers(-1, 2)), NAMING_SILENCE)
            named = self.quiet + silence * UNIT
            if end > named - 2 * UNIT:
                unit = self._begins(named // UNIT, self.told(words.naming(self.card))[0])
                start, stop = self._agent_says(words.naming(self.card), unit)
                self.discussed = True
                self._event("naming", start=start // UNIT, card=self.card, words=words.naming(self.card))
                stop = self._during_speech(start, stop)
                return max(end, stop + self._uniform(0.2, 0.6))
        elif length > seconds(1.0) and self._chance(self.disturbs):
            self._distract(t + self._uniform(0.1, 0.5), during_answer=False)
        elif self.discussed and self.card is not None:
            end = max(end, self._in_silence(t))
        return end

    def _ask(self, t, kind=None, interrupts=False, not_before=0):
        """A question, spoken or typed, and its answer."""
        rng = self.rng
        recent = self.previous is not None and t - self.changed < MEMORY * UNIT
        if kind is None:
            weights = np.array([w * (recent or kind != "before") for kind, w in self.asks.items()])
            kind = list(self.asks)[rng.choice(len(weights), p=weights / weights.sum())]
        if kind == "before" and not recent:
            kind = "both"
        self.silent_again = 0
        if self._chance(0.1):
            start, end, event = self._typed_question(t, kind)
        else:
            start, end, event = self._spoken_question(t, kind, interrupts)
        self.discussed = True
        self.quiet = max(self.quiet, end)
        said = words.answer(kind, self.card, self.previous)
        delay = self._timing(int(rng.choice(ANSWER_DELAYS, p=DELAY_WEIGHTS)), ANSWER_DELAYS[0])
        unit = max(not_before, self.silent_again, (end - 1) // UNIT + delay)
        unit = self._begins(unit, self.told(said)[0])
        event.update(
            start=start // UNIT,
            end=(end - 1) // UNIT,
            end_sample=end,
            interrupts=interrupts,
            card=self.card,
            previous=self.previous,
            words=said,
            answer=unit,
        )
        begin, stop = self._agent_says(said, unit)
        return self._during_speech(begin, stop)

    def _typed_question(self, t, kind):
        text = str(self.rng.choice(words.TYPED[kind]))
        end = self._type(t, text)
        event = self._event("question", kind=kind, text=text, typed=True, pauses=[])
        self.asked.append((event, [], list(range(t // UNIT, end // UNIT))))
        return t, end, event

    def _type(self, t, text):
        """One word a unit; returns the end of the last word's unit."""
        unit = t // UNIT
        for word in text.split():
            self.typed[unit] = word
            unit += 1
        return unit * UNIT

    def _spoken_question(self, t, kind, interrupts):
        rng = self.rng
        options = words.QUESTIONS[kind]
        pieces = self._phrasing(options, int(rng.integers(len(options))))
        asks = pieces[0].split()[0] in ("what", "which", "how")
        final = "?" if asks else "."
        pauses, start, clips = [], t, len(self.user_clips)
        if len(pieces) > 1 and self._chance(self.pauses):
            # An unfinished piece is drawn out and its tone stays up.
            t = self._user_says(t, pieces[0] + ",", slower=0.75)
            resume = t + seconds(rng.uniform(*self.pause_units) * 0.16)
            pauses.append([t, resume])
            if not interrupts:
                self.silent_again = self._in_pause(t, resume)
            t = self._user_says(resume, " ".join(pieces[1:]) + final)
        else:
            t = self._user_says(t, " ".join(pieces) + final)
        if kind != "before" and t - start > seconds(0.7) and self._chance(0.12):
            change = start + int(rng.uniform(0.1, 0.9) * (t - start - seconds(0.5)))
            change -= change % FRAME
            if change > self.cards[-1][0]:
                self._set_card(change)
        text = " ".join(pieces)
        event = self._event("question", kind=kind, text=text, typed=False, pauses=pauses)
        self.asked.append((event, list(range(clips, len(self.user_clips))), []))
        return start, t, event

    def _during_speech(self, begin, stop):
        """What may happen while the agent speaks: an interruption, a noise, a 'mhm', or nothing."""
        happens = self.rng.random()
        room = stop - begin - 5 * UNIT
        if room > 0 and happens < self.interrupts:
            onset = begin + 2 * UNIT + int(self.rng.uniform(0, 1) * room)
            return self._interrupt(onset)
        if room > 0 and happens < self.interrupts + self.distracts:
            onset = begin + 2 * UNIT + int(self.rng.uniform(0, 1) * room)
            end = self._distract(onset, during_answer=True)
            return max(end, stop) + self._uniform(0.15, 0.5)
        return stop + self._uniform(0.15, 0.5)

    def _interrupt(self, onset):
        rng = self.rng
        unit = onset // UNIT
        if rng.random() < 0.25:
            text = str(rng.choice(words.STOPS))
            typed = self._chance(0.3)
            stop = self._cut(unit + (TYPED_STOP_AFTER if typed else STOP_AFTER))
            end = self._type(onset, text) if typed else self._user_says(onset, text + "!")
            self._event("interruption", onset=unit, stop=stop, text=text, typed=typed)
            return max(end, stop * UNIT) + self._uniform(0.5, 1.5)
        event = self._event("interruption", onset=unit)
        # Cut first: the answer to come must stay.
        kept = self._cut(unit + STOP_AFTER)
        end = self._ask(onset, interrupts=True, not_before=kept + 1)
        question = next(e for e in reversed(self.events) if e.get("interrupts") and e["start"] == unit)
        event.update(stop=kept, text=question["text"], typed=question["typed"])
        return end

    def _cut(self, unit):
        """The agent falls silent where a unit begins. Returns the unit."""
        unit = self._stops(unit)
        self.cuts.append(unit)
        at = unit * UNIT
        self.agent_clips = cut_clips(self.agent_clips, at)
        self.tokens = {u: word for u, word in self.tokens.items() if u < unit}
        self.wanted = {u: word for u, word in self.wanted.items() if u < unit}
        self.utterances = [said for said in self.utterances if said["start"] < at]
        for said in self.utterances:
            said["cut"] = unit if said["cut"] is None else min(unit, said["cut"])
        self.quiet = at
        return unit

    def _story(self, t):
        t = self._idle(t, self._uniform(0.3, 1.0))
        pieces = words.STORIES[int(self.rng.integers(len(words.STORIES)))]
        event = self._event("story", start=t // UNIT, text=" / ".join(pieces), breaks=[])
        for i, piece in enumerate(pieces):
            last = i == len(pieces) - 1
            t = self._user_says(t, piece + ("." if last else ","))
            if last:
                break
            unit = (t - 1) // UNIT + BREAK_REACTION
            spoken = self._chance(0.65)
            if spoken:
                self._agent_says(words.BACKCHANNEL, unit)
            else:
                self.nods.append(unit * UNIT)
            event["breaks"].append({"end": (t - 1) // UNIT, "reaction": unit, "spoken": spoken})
            t += seconds(self.rng.uniform(4, 7) * 0.16)
        event["end"] = (t - 1) // UNIT
        self.quiet = t
        return t + self._uniform(0.6, 1.2)

    def _distract(self, t, during_answer):
        """A cough, a knock, talk in the background, or (while the agent speaks) a 'mhm'."""
        rng = self.rng
        kinds = ["cough", "knock", "talk"] + ["mhm"] * self.mhms * during_answer
        kind = str(rng.choice(kinds))
        if kind == "cough":
            clip = (t, voices.cough(rng), float(rng.uniform(0.5, 1.2)), False)
        elif kind == "knock":
            clip = (t, voices.knock(rng), float(rng.uniform(0.5, 1.2)), False)
        elif kind == "talk":
            other = self._speaker()
            clip = (t, voices.say(str(rng.choice(words.BACKGROUND)) + ".", *other), self.background, False)
        else:
            clip = (t, voices.say(str(rng.choice(words.MHM)) + ".", *self.voice), 0.6, True)
        self.user_clips.append(clip)
        end = t + len(clip[1])
        self._event(
            "distraction", kind=kind, start=t // UNIT, end=(end - 1) // UNIT, during_answer=during_answer
        )
        return end

    def _user_says(self, t, text, slower=1.0):
        voice, pitch, speed = self.voice
        samples = voices.say(text, voice, pitch, max(80, int(speed * slower)))
        self.user_clips.append((t, samples, 1.0, True))
        return t + len(samples)

    def _agent_says(self, said, unit):
        """Speaks from somewhere in this unit on, at most one word a unit; returns start and end.
        Words begin with a video frame."""
        start = unit * UNIT + int(self.rng.integers(0, 3)) * FRAME
        self.utterances.append({"unit": unit, "start": start, "words": said, "cut": None})
        rights = self.told(said)
        waits = self._hesitates(rights)
        clips = self.clips(self._wording(rights), start, waits)
        for (t, word, samples), right, wait in zip(clips, rights, waits):
            first = t // UNIT if word != right else t // UNIT - 1
            self.wanted.update(dict.fromkeys(range(t // UNIT - wait, first + 1), right))
            self.agent_clips.append((t, samples, False))
            self.tokens[t // UNIT] = word
            end = t + len(samples)
        self.quiet = max(self.quiet, end)
        return start, end

    # What another world's agent does in its own way.

    def told(self, said):
        """The words as the agent says them, who was told how to talk."""
        return said

    def spoken(self, word):
        """float32 at 16 kHz: a word in the agent's voice."""
        return voices.agent_word(word)

    def clips(self, said, start, waits=None):
        """Words from sample `start` on: (sample, word, samples) each. waits: units of silence before each."""
        clips, t = [], start
        for word, wait in zip(said, waits or [0] * len(said)):
            t += wait * UNIT
            samples = self.spoken(word)
            clips.append((t, word, samples))
            t = max(t + len(samples) + 80, t + UNIT)
            t += -t % FRAME
        return clips


def cut_clips(clips, at):
    """Agent clips that end at a sample; render.py fades those that are cut off."""
    kept = []
    for start, samples, cut_off in clips:
        if start < at:
            cut_off = cut_off or start + len(samples) > at
            kept.append((start, samples[: at - start], cut_off))
    return kept


def truth(conversation):
    """The truth record: {seed, units, evaluation, events, timeline}, JSON-ready. timeline has one
    entry per unit: user and agent (do they sound?), word, typed, card, previous, present."""
    c = conversation
    timeline = [
        {"user": False, "agent": False, "word": c.tokens.get(unit), "typed": c.typed.get(unit)}
        for unit in range(c.units)
    ]
    for clips, key in ((c.user_clips, "user"), (c.agent_clips, "agent")):
        for start, samples, *rest in clips:
            if key == "user" and not rest[1]:
                continue
            for unit in range(start // UNIT, (start + len(samples) - 1) // UNIT + 1):
                timeline[unit][key] = True
    for unit, entry in enumerate(timeline):
        end = (unit + 1) * UNIT
        seen = [card for at, card in c.cards if at < end]
        entry["card"] = seen[-1]
        older = [card for card in seen[:-1] if card is not None]
        entry["previous"] = older[-1] if older else None
        entry["present"] = [there for at, there in c.presence if at < end][-1]
    return {
        "seed": c.seed,
        "units": c.units,
        "evaluation": is_evaluation(c.seed),
        "voice": voices.described(*c.voice),
        **({} if c.condition == "quiet" else {"condition": c.condition}),
        **({} if c.microphone is None else {"microphone": c.microphone.name}),
        "events": c.events,
        "timeline": timeline,
    }
