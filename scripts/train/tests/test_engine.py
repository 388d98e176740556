"""What the engine makes of small inputs, this package makes too (train/fixtures.ts writes it down).

    cd scripts && .venv/bin/python -m unittest train.tests.test_engine
"""

import hashlib
import json
import os
import unittest

import numpy as np
import torch

from train.base import nano
from train.codecs import mouth_opening
from train.coders import response_encoder
from train.layout import Layout
from train.model import Model
from train.noise import unit_noise
from train.solver import SOLVERS, program, solve, taus_of
from train.stacks import logmel
from train.tensors import expected_tensors
from train.tests.odd import odd_configs
from train.tokenizer import tokenizer_json

FOLDER = os.path.join(os.path.dirname(__file__), "fixtures")
with open(os.path.join(FOLDER, "engine.json")) as file:
    ENGINE = json.load(file)


class Engine(unittest.TestCase):
    def test_log_mel_at_every_rate(self):
        for case in ENGINE["logmel"]:
            mel = logmel(torch.tensor([case["samples"]]), case, case["sampleRate"])[0].T
            expected = torch.tensor(case["mel"]).view(mel.shape)
            self.assertLess(float((mel - expected).abs().max()), 2e-3, case["sampleRate"])

    def test_another_rate_is_another_spectrum(self):
        case = ENGINE["logmel"][2]
        wrong = logmel(torch.tensor([case["samples"]]), case, 16000)[0].T.flatten()
        self.assertGreater(float((wrong - torch.tensor(case["mel"])).abs().max()), 0.1)

    def test_noise(self):
        for case in ENGINE["noise"]:
            noise = unit_noise(case["seed"], case["unit"], case["count"])
            np.testing.assert_allclose(noise, case["noise"], atol=2e-5)

    def test_the_program_of_every_solver(self):
        self.assertEqual(set(SOLVERS), {case["name"] for case in ENGINE["solvers"]})
        for case in ENGINE["solvers"]:
            taus = taus_of(case["steps"], case["shift"])
            mine = json.loads(json.dumps(program(case["name"], taus)))
            self.assertEqual(len(mine), len(case["program"]))
            for ours, theirs in zip(mine, case["program"]):
                for a, b in zip(ours, theirs):
                    if isinstance(a, dict):
                        self.assertEqual(set(a), set(b))
                        for slot in a:
                            self.assertAlmostEqual(a[slot], b[slot], places=12)
                    elif isinstance(a, str):
                        self.assertEqual(a, b)
                    else:
                        self.assertAlmostEqual(a, b, places=12)

    def test_how_open_the_agents_mouth_is(self):
        for case in ENGINE["mouths"]:
            row, column = torch.arange(case["height"])[:, None], torch.arange(case["width"])
            green = ((7 * column + 3 * row) % 256).float() / 127.5 - 1
            x = torch.stack([torch.zeros_like(green), green, torch.zeros_like(green)])[None, :, None]
            self.assertAlmostEqual(float(mouth_opening(x)), case["opening"], places=5, msg=case)

    def test_solvers_find_the_end_of_a_known_path(self):
        # dz/dtau = z: from tau 1 to 0 it shrinks by e; the second-order solvers come closer.
        errors = {}
        for name in SOLVERS:
            (z,) = solve((torch.ones(1, dtype=torch.float64),), lambda z, _: z, name, taus_of(16))
            errors[name] = abs(float(z) - np.exp(-1))
        self.assertLess(max(error for name, error in errors.items() if name != "euler"), errors["euler"] / 5)

    def test_layouts_and_tensors_of_odd_configs(self):
        configs = odd_configs()
        self.assertEqual(list(configs), [case["name"] for case in ENGINE["shapes"]])
        for case in ENGINE["shapes"]:
            c, theirs = configs[case["name"]], case["layout"]
            mine = Layout(c)
            self.assertEqual(mine.agent_samples, theirs["agentSamples"])
            self.assertEqual(mine.user_samples, theirs["userSamples"])
            self.assertEqual(mine.frames, theirs["frames"])
            self.assertEqual(list(mine.user_grid), theirs["userVideoGrid"])
            self.assertEqual(list(mine.agent_grid), theirs["agentVideoGrid"])
            for key in ("observation", "response", "agentText", "userText", "userAudio", "agentAudio"):
                name = key.replace("T", "_t").replace("A", "_a")
                self.assertEqual(getattr(mine, name), theirs[key], key)
            text = json.dumps(sorted(expected_tensors(c).items()), separators=(",", ":"))
            self.assertEqual(hashlib.sha256(text.encode()).hexdigest(), case["tensors"], case["name"])

    def test_every_row_sees_what_it_sees_in_the_engine_and_stands_where_it_stands(self):
        c = list(odd_configs().values())[1]
        wanted = ENGINE["attention"]
        c = {**c, "history_units": wanted["history"], "sink_units": wanted["sinks"]}
        model = Model(c, {})
        lay, units = model.layout, 6
        positions = lay.positions(c["positions_per_unit"])
        masks = {
            context: model.mask(0, units, lay.rows, c["history_units"], context, "cpu") == 0
            for context in (True, False)
        }
        for row in wanted["rows"]:
            unit, at = row["unit"], row["row"]
            alone = at >= lay.rows
            at -= lay.response if alone else 0
            self.assertEqual(
                (positions[at] + unit * c["positions_per_unit"]).tolist(), row["position"], row
            )
            sees = masks[not alone][unit * lay.rows + at][: units * lay.clean].view(units, lay.clean)
            for other in range(units):
                expected = row["sees"].get(str(other), "0" * lay.clean)
                self.assertEqual("".join(str(int(s)) for s in sees[other]), expected, (unit, at, alone, other))

    def test_the_tokenizer(self):
        base = nano()
        self.assertEqual(base.tokens.json, tokenizer_json())
        known = base.tokens.known
        for case in ENGINE["tokenizer"]:
            if case["text"] in known:
                self.assertEqual(known[case["text"]], case["ids"])
        self.assertIn("red", known)
        rows = [[base.tokens.said("it")[0]], [base.tokens.continues], [base.tokens.filler], [65]]
        self.assertEqual(base.tokens.words(rows), ["it", None, None, "<65>"])

    def test_latents_of_the_shipped_nano_are_two_sounds_and_four_pictures(self):
        self.assertEqual(response_encoder(nano().config, "audio").output(), [2, 1, 1, 32])
        self.assertEqual(response_encoder(nano().config, "video").output(), [1, 2, 2, 32])


if __name__ == "__main__":
    unittest.main()
