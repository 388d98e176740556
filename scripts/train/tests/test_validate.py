"""What goes on beside training: validation by the engine, the compiled pass, and what a step costs.

    cd scripts && .venv/bin/python -m unittest train.tests.test_validate
"""

import contextlib
import io
import json
import os
import tempfile
import types
import unittest
from unittest import mock

import torch

from train import compiled, cost, run, validate
from train.adapt import adapt
from train.base import exported, nano
from train.model import Model
from train.tensors import initial_weights
from train.tests.odd import odd_configs
from train.tests.test_loop import line, logged
from train.tests.test_model import random_batch
from world.conversation import Conversation, truth


class Validation(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = folder.name

    def engine(self):
        base = nano()
        return validate.Engine(self.out, "line", exported(base), base.tokens, self.out)

    def trained(self, answer):
        """What a run of 8 steps that validates says, and its log."""
        engine, said, weights = self.engine(), io.StringIO(), initial_weights(nano().config)
        with mock.patch.object(validate, "answer", answer), contextlib.redirect_stderr(said):
            # Every step finds that it is time.
            line(self.out, 8, validate=lambda _: engine.measure(weights), validate_minutes=1e-9, best=validate.BEST)
        self.assertEqual([name for name in os.listdir(self.out) if name.startswith("validated-")], [])
        return said.getvalue(), logged(self.out)

    def test_a_failing_engine_is_told_once_and_ends_nothing_else(self):
        def failing(*_, **__):
            raise run.InputError("no adapter")

        said, entries = self.trained(failing)
        self.assertEqual(said.count("no more validation by the engine: no adapter"), 1)
        self.assertEqual(entries[-1]["step"], 8)
        self.assertFalse(any("engine" in name for entry in entries for name in entry))
        self.assertIsNone(run.about(self.out, "line.best"))

    def test_its_figures_stand_in_the_log_and_choose_the_best(self):
        values = iter([0.2, 0.7, None, 0.6, *[0.1] * 8])
        figure = lambda key, value, kind=None: {"key": key, "value": value, "kind": kind}
        answers = lambda *_: json.dumps({"figures": [figure("activityF1", next(values)), figure("x", 1, "colour")]})
        _, entries = self.trained(answers)
        self.assertEqual([entry.get("engine_activityF1") for entry in entries], [0.2, 0.7, None, 0.6, *[0.1] * 4])
        self.assertFalse(any("engine_x" in entry for entry in entries))
        self.assertEqual(run.about(self.out, "line.best")["step"], 2)

    def test_what_the_engine_says_last_is_told_and_a_run_that_is_to_end_does_not_wait(self):
        with self.assertRaisesRegex(run.InputError, "^the reason$"):
            validate.answer("sh", "-c", "echo first >&2; echo the reason >&2; exit 3")
        with self.assertRaisesRegex(run.InputError, "no-such-program: No such file"):
            validate.answer("no-such-program")
        self.assertEqual(validate.answer("echo", "told"), "told\n")
        with run.Asked() as asked:
            asked.number = 15
            self.assertEqual(validate.answer("sh", "-c", "sleep 1000"), "")

    def test_truth_records_are_told_in_the_configs_units(self):
        record = truth(Conversation(90_000, length=24))
        units = len(record["timeline"])
        self.assertIs(validate.in_units(record, 160), record)
        for unit_ms in (80, 320, 120):
            told = validate.in_units(record, unit_ms)
            self.assertEqual(told["units"], len(told["timeline"]))
            self.assertEqual(told["units"], units * 160 // unit_ms)
            for key in ("user", "agent"):
                for unit, entry in enumerate(told["timeline"]):
                    covered = range(unit * unit_ms // 160, ((unit + 1) * unit_ms - 1) // 160 + 1)
                    self.assertEqual(entry[key], any(record["timeline"][at][key] for at in covered))
            words = [entry["word"] for entry in record["timeline"] if entry["word"]]
            kept = [entry["word"] for entry in told["timeline"] if entry["word"]]
            self.assertEqual(kept, words if unit_ms <= 160 else kept)
            self.assertLessEqual(len(kept), len(words))
            for mine, theirs in zip(told["events"], record["events"], strict=True):
                for key in ("start", "onset", "answer", "end"):
                    if theirs.get(key) is not None:
                        self.assertLess(abs(mine[key] * unit_ms - theirs[key] * 160), max(unit_ms, 160))
                self.assertLessEqual(mine.get("start", 0), mine.get("end", 1e9))

    def test_recordings_need_others_to_validate_on(self):
        options = lambda **more: validate.validation(self.out, "conversations", nano(), 5, recordings="some", **more)
        with self.assertRaisesRegex(run.InputError, "--validate-on FOLDER"):
            options()
        self.assertEqual(options(folder="others")["best"], validate.BEST)
        self.assertEqual(validate.validation(self.out, "conversations", nano(), 0), {})


class Compiled(unittest.TestCase):
    def test_the_forward_pass_is_one_graph(self):
        """Of every kind of step; adapted weights and sinks have the most turns in it."""
        c = odd_configs()["sinks, slots, heun"]
        base = types.SimpleNamespace(config=c, backbone="lora", rank=2, tokens=types.SimpleNamespace(filler=3, continues=4))
        weights, _, _ = adapt(base, initial_weights(c, 1))
        model, batch, tau = Model(c, weights), random_batch(c, 1, 18), torch.full((1, 18), 0.5)
        z = tuple(torch.randn_like(batch[f"{m}_latents"]) for m in ("audio", "video"))
        pass_ = torch.compile(model.forward, fullgraph=True, dynamic=False, backend="eager")
        for arguments, options in (((batch,), {}), ((batch, z, tau), {"noisy_context": False})):
            torch.testing.assert_close(pass_(*arguments, **options), model.forward(*arguments, **options))

    def test_without_a_compiler_a_line_says_so(self):
        with (
            tempfile.TemporaryDirectory() as folder,
            mock.patch.dict(os.environ, PATH=folder, TORCHINDUCTOR_CACHE_DIR=folder),
            self.assertRaisesRegex(run.InputError, r"--compile: .*g\+\+") as caught,
        ):
            compiled.compiled(Model(nano().config, {}))
        self.assertNotIn("\n", str(caught.exception))


class Recomputed(unittest.TestCase):
    def test_gradients_are_the_same(self):
        c = odd_configs()["plain"]
        batch, found = random_batch(c, 1, 5), []
        for recompute in (False, True):
            weights = initial_weights(c, 1)
            trained = {n: w.requires_grad_() for n, w in weights.items() if n.startswith("model.layers.")}
            Model(c, weights, recompute).forward(batch).pow(2).mean().backward()
            found.append({name: w.grad for name, w in trained.items()})
        torch.testing.assert_close(*found)


class Cost(unittest.TestCase):
    def test_what_is_counted_without_values_is_what_a_step_with_values_keeps(self):
        c = {**odd_configs()["plain"], "num_hidden_layers": 3}
        counted, real = (cost.cost(c, 1, 6, valued=valued) for valued in (False, True))
        self.assertEqual(counted["flops"], real["flops"])
        self.assertAlmostEqual(counted["kept"] / real["kept"], 1, delta=0.05)
        # Two operations for a weight and row forward, four backward, with attention on top.
        matrices = sum(w.numel() for n, w in initial_weights(c).items() if n.startswith("model.layers.") and w.dim() == 2)
        self.assertGreater(counted["flops"], 0.8 * 6 * matrices * counted["tokens"])
        wide = {**c, "hidden_size": 1024, "intermediate_size": 3072}
        more, less = (cost.cost(wide, 1, 6, recompute) for recompute in (False, True))
        self.assertLess(less["kept"], 0.6 * more["kept"])
        self.assertGreater(less["flops"], 1.2 * more["flops"])


if __name__ == "__main__":
    unittest.main()
