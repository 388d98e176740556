"""What the losses of stages 1 and 2 pull towards, and training in several processes.

    cd scripts && .venv/bin/python -m unittest train.tests.test_talk
"""

import functools
import os
import tempfile
import unittest

import numpy as np
import torch

from train.base import nano
from train.codecs import codec_weights
from train.data import (
    ASKED_FOR,
    LONG_SILENCE,
    LONGEST_QUIET,
    MASKED,
    QUESTION_KINDS,
    WIDEST_MASK,
    Material,
    flow_weights,
    other_voice,
    previous_seen,
    question_labels,
    recalled,
    said,
    text_weights,
    unnamed_labels,
)
from train.fit import Fit
from train.loop import together, train, workers
from train.talk import PROBES, flow_losses, probe_loss, text_loss
from train.tokenizer import spread
from world import render, words
from world.conversation import Conversation
from world.stream import UNIT

TOKENS = nano().tokens
FILLER, CONTINUES, IDS = TOKENS.filler, TOKENS.continues, {w: TOKENS.said(w)[0] for w in words.vocabulary()}
INPUTS = torch.randn(8, 3, generator=torch.Generator().manual_seed(5))


def train_line(out):
    """Draws w to the mean of this worker's inputs; ends with the same weights in every process."""
    worker, count = workers()
    w = torch.nn.Parameter(torch.zeros(3))
    share = INPUTS[worker::count]
    trained = train(
        "line", out, {"w": w}, lambda step: ((w - share).pow(2).mean(), {}), 20, rate=0.05, save_every=10
    )
    torch.save(trained["w"], os.path.join(out, f"{worker}_of_{count}.pt"))


class Losses(unittest.TestCase):
    def test_the_greedy_choice_is_to_speak_where_that_is_likelier_than_not(self):
        torch.manual_seed(1)
        wanted = torch.full((1, 100, 1), FILLER)
        wanted[0, :15], wanted[0, 15:20], wanted[0, 20:50] = IDS["it"], IDS["there"], CONTINUES
        logits = torch.randn(IDS["it"] + 200, requires_grad=True)
        counts = torch.ones(1, 100)
        optimizer = torch.optim.Adam([logits], lr=0.1)
        for _ in range(600):
            optimizer.zero_grad()
            text_loss(logits.expand(1, 100, 1, -1), wanted, counts, FILLER).backward()
            optimizer.step()
        # Sounding at all is wanted as often as silence; CONTINUES is the likeliest way to sound.
        logits = logits.detach()
        self.assertAlmostEqual(float(logits[FILLER] - logits[CONTINUES]), 0, delta=0.03)
        p = logits.index_fill(0, torch.tensor([FILLER]), -1e4).softmax(-1)
        self.assertAlmostEqual(float(p[CONTINUES]), 0.6, delta=0.01)
        self.assertAlmostEqual(float(p[IDS["it"]]), 0.3, delta=0.01)
        self.assertAlmostEqual(float(p[IDS["there"]]), 0.1, delta=0.01)

    def test_units_that_do_not_count_change_nothing(self):
        torch.manual_seed(2)
        logits = torch.randn(2, 6, 2, 300)
        wanted = torch.full((2, 6, 2), FILLER)
        counts = torch.ones(2, 6)
        counts[1, 4:] = 0
        a = text_loss(logits, wanted, counts, FILLER)
        wanted[1, 5], logits[1, 4] = IDS["red"], 0
        self.assertEqual(float(a), float(text_loss(logits, wanted, counts, FILLER)))


class PreviousCards(unittest.TestCase):
    def test_they_can_be_known_where_they_were_seen(self):
        red, blue, star = ("red", "star", 1), ("blue", "star", 1), ("red", "heart", 2)
        cards = [red, red, blue, blue, blue, star, star]
        previous = [None, None, red, red, red, blue, blue]
        timeline = [{"card": c, "previous": p} for c, p in zip(cards, previous)]
        seen = torch.tensor(previous_seen(timeline))
        self.assertEqual(seen.tolist(), [-1, -1, 1, 1, 1, 4, 4])
        self.assertTrue(recalled(seen, 0, 40).all())
        self.assertEqual(recalled(seen[2:], 2, 40).tolist(), [False, False, False, True, True])
        self.assertEqual(recalled(seen, 0, 7).tolist(), [True, True, True, True, False, True, True])


class Probes(unittest.TestCase):
    def test_a_question_is_talked_about_until_it_is_answered_or_another_comes(self):
        events = [
            {"type": "story", "start": 0, "end": 2},
            {"type": "question", "kind": "count", "start": 3, "end": 5},
            {"type": "question", "kind": "before", "start": 8, "end": 9},
        ]
        count, before = 1 + QUESTION_KINDS.index("count"), 1 + QUESTION_KINDS.index("before")
        asked = [0] * 3 + [count] * 5 + [before] * (2 + ASKED_FOR)
        self.assertEqual(question_labels(events, 30), asked + [0] * (30 - len(asked)))
        self.assertEqual(question_labels(events, 7), [0] * 3 + [count] * 4)

    def test_only_what_can_be_known_counts(self):
        torch.manual_seed(4)
        labels = {}
        for name, (classes, _) in PROBES.items():
            drawn = torch.stack([torch.randint(n, (2, 5)) for n in classes], -1)
            labels[name] = drawn if len(classes) > 1 else drawn[..., 0]
        batch = {
            **labels,
            "counts": torch.ones(2, 5, dtype=torch.bool),
            "recalled": torch.tensor([[True] * 5, [False] * 5]),
        }
        batch["counts"][0, 3:] = False
        parts = []
        for name, (classes, _) in PROBES.items():
            for i, n in enumerate(classes):
                truth = labels[name].reshape(2, 5, -1)[..., i]
                parts.append(20.0 * torch.nn.functional.one_hot(truth, n))
        guesses = torch.cat(parts, -1)
        loss, right = probe_loss(guesses, batch)
        self.assertLess(float(loss), 1e-6)
        self.assertEqual({float(share) for share in right.values()}, {1.0})
        # A wrong guess of the previous card matters where it was seen, and nowhere else.
        at = sum(PROBES["card"][0])
        guesses[1, :, at : at + 7] = -guesses[1, :, at : at + 7]
        guesses[0, 4, at : at + 7] = -guesses[0, 4, at : at + 7]
        self.assertLess(float(probe_loss(guesses, batch)[0]), 1e-6)
        guesses[0, 1, at : at + 7] = -guesses[0, 1, at : at + 7]
        loss, right = probe_loss(guesses, batch)
        self.assertGreater(float(loss), 1)
        self.assertAlmostEqual(float(right["previous"]), 2 / 3, places=6)


class Text(unittest.TestCase):
    def test_the_token_of_a_unit_says_whether_the_voice_sounds(self):
        units = [(None, False), ("it", True), ("is", True), (None, True), (None, False)]
        timeline = [{"word": word, "agent": sounds} for word, sounds in units]
        text, wanted = said(timeline, {3: "red", 4: None}, TOKENS, Fit(nano().config), 5, 1)
        self.assertEqual(text[:, 0].tolist(), [FILLER, IDS["it"], IDS["is"], CONTINUES, FILLER])
        self.assertEqual(wanted[:, 0].tolist(), [FILLER, IDS["it"], IDS["is"], IDS["red"], FILLER])

    def test_a_words_tokens_fill_the_slots_of_its_unit_and_of_those_after_it(self):
        self.assertEqual(spread({1: [5, 6, 7], 2: [8]}, 4, 2, 0), [[0, 0], [5, 6], [7, 8], [0, 0]])
        self.assertEqual(spread({0: [5]}, 2, 0, -1), [[], []])


class Unnamed(unittest.TestCase):
    def test_silence_is_counted_until_a_new_card_is_talked_about(self):
        card, other = ("red", "star", 1), ("blue", "star", 2)
        units = [(None, ""), (card, ""), (card, ""), (card, "user"), (card, ""), (card, ""), (card, "agent")]
        units += [(card, ""), (other, ""), (other, "agent"), (other, "")]
        timeline = [{"card": shown, "user": who == "user", "agent": who == "agent"} for shown, who in units]
        events = [{"type": "story", "start": 3}, {"type": "naming", "start": 6}]
        self.assertEqual(unnamed_labels(events, timeline), [0, 1, 2, 1, 2, 3, 0, 0, 1, 1, 2])
        events = [{"type": "question", "start": 3}]
        self.assertEqual(unnamed_labels(events, timeline), [0, 1, 2, 0, 0, 0, 0, 0, 1, 1, 2])

    def test_a_long_silence_is_one_class(self):
        timeline = [{"card": ("red", "star", 1), "user": False, "agent": False}] * (LONGEST_QUIET + 4)
        labels = unnamed_labels([], timeline)
        self.assertEqual((labels[LONGEST_QUIET], max(labels)), (1 + LONGEST_QUIET, 1 + LONGEST_QUIET))


class UnitWeights(unittest.TestCase):
    class Cut:
        cuts = [6]
        user_clips = [(0, [0.0]), (4 * UNIT + 7, [0.0]), (11 * UNIT, [0.0])]
        events = []

    class Interrupted(Cut):
        events = [{"type": "interruption", "onset": 4}]

    class Asked(Cut):
        user_clips = []
        events = [{"type": "question", "end": 5, "pauses": [[UNIT + 5, 3 * UNIT - 5]]}]

    active = [False, False, True, True, True, True, False, False, False, False]
    timeline = [{"agent": sounds, "user": False, "card": None} for sounds in active]

    def test_the_voice_learns_nothing_of_a_cut_before_it(self):
        conversation = Conversation(4, length=20)
        material = Material(nano(), codec_weights(nano().config, "audio", seed=3))
        latents, units = material.voice_latents(conversation, conversation.units), conversation.units
        known, unknown = (
            material.encode_audio(render.agent_audio(conversation, fades=fades), units)
            for fades in (True, False)
        )
        before = [cut - 1 for cut in conversation.cuts]
        others = [unit for unit in range(units) if unit not in before]
        self.assertTrue(torch.equal(latents[before], unknown[before]))
        self.assertTrue(torch.equal(latents[others], known[others]))
        self.assertGreater(float((known - unknown)[before].abs().max()), 0)

    def test_falling_silent_weighs_most_in_the_voice(self):
        weights = flow_weights(self.Cut, self.active)
        self.assertEqual(weights.tolist(), [1, 1, 3, 3, 3, 3, 45, 6, 6, 1])

    def test_a_sound_that_meets_the_agents_voice_weighs_in_the_text(self):
        weights = text_weights(self.Cut, self.timeline)
        self.assertEqual(weights.tolist(), [1, 1, 1, 1, 3, 3, 3, 3, 1, 1])
        weights = text_weights(self.Interrupted, self.timeline)
        self.assertEqual(weights.tolist(), [1, 1, 1, 1, 3, 12, 12, 12, 1, 1])

    def test_pauses_and_what_comes_after_a_question_weigh_in_the_text(self):
        weights = text_weights(self.Asked, self.timeline)
        self.assertEqual(weights.tolist(), [1, 30, 30, 1, 1, 1, 3, 3, 3, 1])

    def test_long_silences_over_a_card_weigh_with_the_unit_that_ends_them(self):
        entry = {"user": False, "agent": False, "card": ("red", "star", 1)}
        timeline = [entry] * LONG_SILENCE + [{**entry, "agent": True}, entry]
        silence = type("Silence", (self.Cut,), {"user_clips": []})
        weights = text_weights(silence, timeline).tolist()
        self.assertEqual(weights, [1] * (LONG_SILENCE - 1) + [5, 3, 1])
        bare = [{**entry, "card": None} for entry in timeline]
        self.assertEqual(set(text_weights(silence, bare).tolist()), {1})

    def test_units_without_weight_change_nothing(self):
        torch.manual_seed(3)
        velocities = torch.randn(1, 3, 2, 4), torch.randn(1, 3, 4, 4)
        targets = torch.randn(1, 3, 2, 4), torch.randn(1, 3, 4, 4)
        counts, weight = torch.ones(1, 3), torch.tensor([[1.0, 0.0, 3.0]])
        before = flow_losses(velocities, targets, counts, weight)
        targets[0][0, 1] += 5
        after = flow_losses(velocities, targets, counts, weight)
        self.assertEqual([float(x) for x in before], [float(x) for x in after])


class OtherVoice(unittest.TestCase):
    def test_in_a_third_of_the_crops_some_neighbouring_bands_are_flat(self):
        mel = torch.randn(40, 30, 1, 1, generator=torch.Generator().manual_seed(6)) - 5
        rng, masked = np.random.default_rng(6), []
        for _ in range(600):
            flat = np.flatnonzero(other_voice(mel, rng).std(1).flatten().numpy() < 1e-6)
            if len(flat):
                self.assertLessEqual(len(flat), WIDEST_MASK)
                self.assertEqual(flat.tolist(), list(range(flat[0], flat[0] + len(flat))))
                masked.append(flat)
        self.assertAlmostEqual(len(masked) / 600, MASKED, delta=0.07)
        self.assertEqual(set(np.concatenate(masked)), set(range(40)))


class Workers(unittest.TestCase):
    def test_two_processes_take_the_steps_of_one_with_both_batches(self):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            together(1, functools.partial(train_line, one))
            together(2, functools.partial(train_line, two))
            alone = torch.load(os.path.join(one, "0_of_1.pt"))
            for worker in (0, 1):
                torch.testing.assert_close(torch.load(os.path.join(two, f"{worker}_of_2.pt")), alone)


if __name__ == "__main__":
    unittest.main()
