"""Runs: what a folder, a signal, a cut file, other settings and a diverged step do to them.

    cd scripts && .venv/bin/python -m unittest train.tests.test_loop
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

import torch

import safetensors_file
from train import curves, loop, run
from train.log import Log
from train.loop import train
from train.optimizer import FLOOR, goes_on, learning_rate

SCRIPTS = os.path.join(os.path.dirname(__file__), "../..")
X = torch.randn(16, 4, generator=torch.Generator().manual_seed(7))


def line(out, steps=None, name="line", lost=(), scale=1.0, **options):
    """Fits a line; the steps in `lost` have gradients that aren't finite."""
    torch.manual_seed(3)
    weights = {"w": torch.randn(4), "m": torch.randn(4, 4), "frozen": torch.ones(2)}
    parameters = {**weights, **loop.learned(weights, lambda key: key != "frozen")}

    def loss(step):
        x = X[torch.randint(len(X), (8,))]
        y = (x @ parameters["m"] + parameters["w"] - scale * x.flip(1)).pow(2).mean()
        return (y * float("nan") if step in lost else y), {"even": torch.tensor(float(step))}

    keep = lambda weights: weights
    options = {"average": 0.9, "save_every": 4, "report_every": 5, "finish": keep, **options}
    return train(name, out, parameters, loss, steps, rate=0.05, warmup=3, **options)


def logged(out, name="line"):
    return [entry for entry in Log(os.path.join(out, f"{name}.jsonl")).entries() if "run" not in entry]


def state(out):
    return torch.load(os.path.join(out, "line.state"))


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = folder.name

    def background(self, code):
        """A Python process in scripts/, which has `out`, test_loop and run, and whose SIGINT is ignored as
        that of a command in a script's background; it is read until its first line."""
        code = f"from train.tests import test_loop\nfrom train import run\nout={self.out!r}\n{code}"
        child = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=SCRIPTS,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )
        self.addCleanup(ended, child)
        return child


def ended(child):
    child.kill()
    child.wait()
    for pipe in filter(None, (child.stdout, child.stderr)):
        pipe.close()


class Resume(Folder):
    def test_a_run_in_parts_is_the_unbroken_one_to_the_bit(self):
        with tempfile.TemporaryDirectory() as whole:
            expected, kept = line(whole, 13), state(whole)

        def killed():
            raise ZeroDivisionError

        # It ends at step 11 without a word; the last state is that of step 8, the log's last line is cut.
        with self.assertRaises(ZeroDivisionError):
            line(self.out, 13, evaluate=killed, evaluate_every=11)
        self.assertEqual(state(self.out)["step"], 8)
        with open(os.path.join(self.out, "line.jsonl"), "a") as file:
            file.write('{"step": 11, "lo')
        found = line(self.out, 13)
        for key, value in expected.items():
            self.assertTrue(torch.equal(value, found[key]), key)
        for key in ("weights", "mean"):
            for name, value in state(self.out)[key].items():
                self.assertTrue(torch.equal(value, kept[key][name]), name)
        self.assertEqual([entry["step"] for entry in logged(self.out)], [5, 10, 13])

    def test_the_same_command_again_does_nothing(self):
        line(self.out, 6)
        before = {name: os.stat(os.path.join(self.out, name)).st_mtime_ns for name in os.listdir(self.out)}
        self.assertTrue(loop.done(self.out, "line", 6))
        self.assertFalse(loop.done(self.out, "line", 7))
        self.assertFalse(loop.done(self.out, "other", 6))
        after = {name: os.stat(os.path.join(self.out, name)).st_mtime_ns for name in os.listdir(self.out)}
        self.assertEqual(before, after)

    def test_other_settings_are_refused_or_said(self):
        line(self.out, 4, settings={"batch": 6})
        for options in ({"settings": {"batch": 4}}, {"bf16": True}, {"seed": 1}):
            with self.subTest(options), self.assertRaisesRegex(run.InputError, "before.*--changed"):
                line(self.out, 8, **{"settings": {"batch": 6}, **options})
        line(self.out, 8, settings={"batch": 4}, changed=True)
        self.assertEqual(state(self.out)["settings"]["batch"], 4)

    def test_a_state_that_was_made_of_something_else_is_refused(self):
        line(self.out, 4, made_of={"codec": "aa"})
        with self.assertRaisesRegex(run.InputError, "codec aa before, bb now"):
            line(self.out, 8, made_of={"codec": "bb"})

    def test_what_a_run_is_made_of_stands_in_state_log_and_artefact(self):
        line(self.out, 4, made_of={"codec": "aa"}, settings={"batch": 6})
        made = run.about(self.out, "line")
        with open(os.path.join(self.out, "line.jsonl")) as file:
            said = json.loads(file.readline())["run"]
        for facts in (made, said, state(self.out)):
            self.assertEqual(facts["made_of"], {"codec": "aa"})
            self.assertEqual((facts["settings"]["batch"], facts["settings"]["seed"]), (6, 0))
            self.assertEqual(facts["versions"]["torch"], torch.__version__)
        weights = safetensors_file.read(run.artefact(self.out, "line"))
        self.assertEqual((made["digest"], made["step"]), (run.digest(weights), 4))


class Rate(Folder):
    def rates(self):
        return [entry["lr"] for entry in logged(self.out)]

    def test_it_does_not_jump_when_a_run_is_prolonged(self):
        line(self.out, 40, report_every=1)
        line(self.out, 80, report_every=1)
        rates = self.rates()
        self.assertEqual(len(rates), 80)
        for before, after in zip(rates[3:], rates[4:]):
            self.assertLessEqual(after, before + 1e-9)

    def test_a_run_that_is_cut_short_ends_with_the_same_rate(self):
        line(self.out, 20, report_every=1)
        whole = self.rates()
        with tempfile.TemporaryDirectory() as self.out:
            line(self.out, 10, report_every=1)
            self.assertAlmostEqual(self.rates()[-1], learning_rate(0.9, 0.05), places=4)
        self.assertGreater(whole[9], learning_rate(0.9, 0.05))

    def test_another_rate_is_met_at_once(self):
        phase = {"from": 0, "until": 10, "unit": "steps", "top": 1.0, "reached": 10}
        self.assertEqual(goes_on({"from": 10}, 10, 20, "steps")["top"], 1.0)
        self.assertAlmostEqual(goes_on(phase, 10, 20, "steps")["top"], FLOOR)
        self.assertAlmostEqual(goes_on(phase, 600, 900, "seconds")["top"], FLOOR)


class Diverging(Folder):
    def test_steps_whose_gradients_are_not_finite_change_nothing(self):
        stop = {"evaluate": lambda: 1 / 0, "evaluate_every": 7}
        with self.assertRaises(ZeroDivisionError):
            line(self.out, 9, lost=range(6, 9), average=0, save_every=6, **stop)
        before = state(self.out)
        self.assertEqual(before["step"], 6)
        line(self.out, 9, lost=range(6, 9), average=0, save_every=6)
        for key, value in before["weights"].items():
            self.assertTrue(torch.equal(value, state(self.out)["weights"][key]))
        line(self.out, 12, average=0)
        self.assertEqual(max(entry["skipped"] for entry in logged(self.out)), 3)

    def test_a_run_that_only_skips_ends_with_the_last_good_state(self):
        with self.assertRaisesRegex(run.Diverged, "no gradient is finite from step 6 on; the last good state"):
            line(self.out, 90, lost=range(6, 90))
        self.assertTrue(all(value.isfinite().all() for value in state(self.out)["weights"].values()))
        self.assertFalse(os.path.exists(run.artefact(self.out, "line")))
        self.assertEqual(run.Diverged.code, 1)

    def test_what_f16_cannot_hold_is_not_written(self):
        for wrong, what in ((1e5, "has 1e.05, which f16 can't hold"), (float("nan"), "not finite")):
            finish = lambda weights, wrong=wrong: {"big": torch.tensor([wrong])}
            with self.subTest(wrong), self.assertRaisesRegex(run.Diverged, what):
                line(self.out, 4, finish=finish)
            self.assertFalse(os.path.exists(run.artefact(self.out, "line")))


class Figures(Folder):
    def test_they_are_of_the_weights_that_are_written(self):
        seen = []
        torch.manual_seed(3)
        weights = {"w": torch.randn(4)}
        parameters = loop.learned(weights)
        evaluate = lambda: seen.append(parameters["w"].detach().clone()) or {"w": float(parameters["w"].detach().sum())}
        loss = lambda step: (parameters["w"].pow(2).sum(), {})
        found = train("mean", self.out, parameters, loss, 12, rate=0.1, average=0.9, evaluate=evaluate, evaluate_every=6)
        self.assertTrue(torch.equal(seen[-1], found["w"]))
        self.assertFalse(torch.equal(seen[-1], parameters["w"]))
        self.assertEqual([entry["step"] for entry in logged(self.out, "mean") if "w" in entry], [6, 12])

    def test_a_step_has_one_line(self):
        line(self.out, 12, evaluate=lambda: {"good": 1.0}, evaluate_every=4)
        steps = [entry["step"] for entry in logged(self.out)]
        self.assertEqual(steps, [4, 5, 8, 10, 12])
        self.assertEqual([entry["step"] for entry in logged(self.out) if "good" in entry], [4, 8, 12])
        # Of the steps since the line before.
        self.assertEqual([entry["even"] for entry in logged(self.out)], [1.5, 4.0, 6.0, 8.5, 10.5])

    def test_small_numbers_keep_their_digits(self):
        log = Log(os.path.join(self.out, "small.jsonl"))
        log.write(step=1, lr=3.21e-06, loss=-2.5e-07, norm=12.3456789, none=0.0)
        self.assertEqual(log.entries(), [{"step": 1, "lr": 3.21e-06, "loss": -2.5e-07, "norm": 12.34568, "none": 0.0}])

    def test_with_minutes_the_last_interval_is_there_too(self):
        line(self.out, minutes=0.02, report_every=10**6)
        (entry,) = logged(self.out)
        self.assertEqual(entry["step"], state(self.out)["step"])

    def test_the_best_weights_are_kept(self):
        values = iter([1.0, 3.0, 2.0])
        line(self.out, 12, evaluate=lambda: {"error": -next(values)}, evaluate_every=4, best="-error")
        self.assertEqual((run.about(self.out, "line.best")["step"], run.about(self.out, "line")["step"]), (8, 12))
        values = iter([2.5])
        line(self.out, 13, evaluate=lambda: {"error": -next(values)}, best="-error")
        self.assertEqual(run.about(self.out, "line.best")["step"], 8)


    def test_two_measures_have_rhythms_of_their_own_and_one_line_of_a_step(self):
        often, validate = {"evaluate": lambda: {"good": 1.0}, "evaluate_every": 5}, lambda weights: {"better": float(weights["w"].isfinite().all())}
        line(self.out, 12, **often, validate=validate, validate_minutes=1e6, best="better")
        self.assertEqual([entry["step"] for entry in logged(self.out) if "good" in entry], [5, 10, 12])
        self.assertEqual([entry["step"] for entry in logged(self.out) if "better" in entry], [12])
        self.assertEqual(run.about(self.out, "line.best")["step"], 12)
        # The last step of a budget is reported, and then measured: that is one line still.
        line(self.out, minutes=0.02, report_every=1, changed=True, **often, validate=validate, validate_minutes=1e6)
        steps = [entry["step"] for entry in logged(self.out)]
        self.assertEqual(steps, sorted(set(steps)))
        self.assertTrue({"good", "better", "loss"} <= logged(self.out)[-1].keys())

    def test_the_best_by_one_figure_says_nothing_of_another(self):
        for steps, name, value, best in ((4, "a", 9.0, 4), (5, "b", 1.0, 5), (6, "b", 0.5, 5)):
            line(self.out, steps, evaluate=lambda name=name, value=value: {name: value}, best=name)
            self.assertEqual(run.about(self.out, "line.best")["step"], best)

    def test_a_measure_that_fails_to_come_keeps_nothing(self):
        line(self.out, 4, evaluate=lambda: {}, best="engine_activityF1")
        self.assertIsNone(run.about(self.out, "line.best"))


class Curves(Folder):
    def test_a_log_is_drawn_step_by_step_on_an_axis_of_each_kind(self):
        measures = {"evaluate": lambda: {"psnr_clean": 30.0, "engine_answersRight": 0.5, "engine_delayP50": 2.0}}
        line(self.out, 12, evaluate_every=5, **measures)
        line(self.out, 22, evaluate_every=5, **measures)
        before = Log(os.path.join(self.out, "line.jsonl")).entries()
        torn = [*before, *({**entry, "loss": 9.0} for entry in before if 5 < entry["step"] < 21)]
        for entries, last in ((before, 22), (torn, 20)):
            found = curves.series(entries)
            self.assertEqual(set(found), {"loss", "dB", "learning rate", "gradient", "engine: shares", "engine: units"})
            for points in (points for names in found.values() for points in names.values()):
                steps = [step for step, _ in points]
                self.assertEqual(steps, sorted(set(steps)))
                self.assertEqual(steps[-1], last)
        curves.draw(self.out)
        with open(os.path.join(self.out, "curves.png"), "rb") as file:
            self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")

    def test_a_folder_without_logs_is_refused(self):
        with self.assertRaisesRegex(run.InputError, "holds no log"):
            curves.draw(self.out)


class Files(Folder):
    def test_a_cut_file_is_not_done(self):
        line(self.out, 4)
        path = run.artefact(self.out, "line")
        with open(path, "rb") as file:
            whole = file.read()
        for length in (0, 4, 20, len(whole) // 2, len(whole) - 1):
            with open(path, "wb") as file:
                file.write(whole[:length])
            self.assertIsNone(run.about(self.out, "line"), length)
            self.assertFalse(loop.done(self.out, "line", 4))
            with self.assertRaisesRegex(ValueError, "not a whole safetensors file"):
                safetensors_file.read(path)

    def test_a_cut_state_is_refused_in_one_line(self):
        line(self.out, 4)
        path = os.path.join(self.out, "line.state")
        size = os.path.getsize(path)
        for left in (size - 1, size // 2, 10, 0):
            os.truncate(path, left)
            with self.subTest(left), self.assertRaisesRegex(run.InputError, "line.state isn't whole .*remove it to begin anew$") as caught:
                line(self.out, 8)
            self.assertNotIn("\n", str(caught.exception))

    def test_a_write_that_breaks_off_leaves_what_was_there(self):
        path = os.path.join(self.out, "file")
        for text in ("first", None):
            try:
                with safetensors_file.replaced(path, "w") as file:
                    file.write(text or "half")
                    file.flush()
                    if text is None:
                        raise KeyboardInterrupt
            except KeyboardInterrupt:
                pass
        with open(path) as file:
            self.assertEqual(file.read(), "first")
        self.assertEqual(os.listdir(self.out), ["file"])


TORCHRUN = """
import functools
if __name__ == "__main__":
    run.command(lambda: run.together(1, functools.partial(test_loop.halves, out)))
"""


def halves(out, steps=6):
    """Each of the processes takes its part of every batch; writes the losses that it saw."""
    worker, count = run.workers()
    torch.manual_seed(3)
    weights = loop.learned({"m": torch.randn(4, 4)})
    seen = []

    def loss(step):
        x = X.roll(step, 0)[worker * len(X) // count : (worker + 1) * len(X) // count]
        value = (x @ weights["m"] - x.flip(1)).pow(2).mean()
        seen.append(float(value.detach()))
        return value, {}

    train("halves", out, weights, loss, steps, rate=0.05, warmup=3, finish=lambda weights: weights)
    torch.save((seen, weights["m"].detach()), os.path.join(out, f"seen{worker}of{count}"))


LONG = "test_loop.line(out, 10**6, report_every=10**6, save_every=10**6, evaluate=lambda: print('on', flush=True) or {}, evaluate_every=4)"
TWO = """
import functools
if __name__ == "__main__":
    run.command(lambda: run.together(2, functools.partial(test_loop.endless, out)))
"""


TORCH = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


def endless(out):
    """A run that says its process number, and doesn't end."""
    os.write(1, f"{os.getpid()}\n".encode())
    line(out, 10**6, report_every=10**6, save_every=10**6)


class Processes(Folder):
    def test_a_second_run_in_a_folder_is_refused_in_one_line(self):
        first = self.background(f"run.command(lambda: {LONG})")
        self.assertEqual(first.stdout.readline(), "on\n")
        second = self.background("run.command(lambda: test_loop.line(out, 4))")
        said = second.communicate()[1]
        self.assertEqual(second.returncode, 2)
        self.assertRegex(said, rf"\A.*: process {first.pid} trains in this folder: .*\n\Z")
        first.kill()
        first.wait()
        line(self.out, 4)

    def test_a_signal_saves_and_ends(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            child = self.background(f"run.command(lambda: {LONG})")
            self.assertEqual(child.stdout.readline(), "on\n")
            child.send_signal(number)
            said = child.communicate()[1]
            self.assertEqual(child.returncode, 128 + number)
            self.assertRegex(said.strip().split("\n")[-1], "stopped at step [0-9]+, saved")
            self.assertGreaterEqual(state(self.out)["step"], 4)
            self.assertIsNone(run.about(self.out, "line"))

    def several(self, code, *launcher):
        """A process that trains in several: `code` as a script, started by Python with `launcher`."""
        script = os.path.join(self.out, "several.py")
        with open(script, "w") as file:
            file.write(f"from train.tests import test_loop\nfrom train import run\nout={self.out!r}\n{code}")
        child = subprocess.Popen(
            [sys.executable, *launcher, script],
            cwd=SCRIPTS,
            env={**os.environ, "PYTHONPATH": os.path.abspath(SCRIPTS), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )
        self.addCleanup(ended, child)
        return child

    def check_children_end(self, numbers, code, *launcher):
        for number in numbers:
            child = self.several(code, *launcher)
            children = [int(child.stdout.readline()) for _ in range(2)]
            self.assertNotIn(child.pid, children)
            child.send_signal(number)
            # Their side of the pipe closes when the last of them has ended.
            self.assertEqual(child.stdout.read(), "")
            child.stdout.close()
            self.assertIn(child.wait(), (-number, 128 + number, 1))
            for each in children:
                self.assertFalse(os.path.exists(f"/proc/{each}/fd/1"))

    def test_children_end_with_their_parent(self):
        self.check_children_end((signal.SIGKILL, signal.SIGTERM), TWO)

    def test_under_torchrun_too(self):
        self.check_children_end((signal.SIGKILL,), TWO.replace("together(2", "together(1"), *TORCH)

    def test_two_processes_of_torchrun_train_as_one_with_twice_the_batch(self):
        child = self.several(TORCHRUN, *TORCH)
        child.communicate()
        self.assertEqual(child.returncode, 0)
        (first, one), (second, other) = (torch.load(os.path.join(self.out, f"seen{worker}of2")) for worker in (0, 1))
        self.assertTrue(torch.equal(one, other))
        with tempfile.TemporaryDirectory() as alone:
            halves(alone)
            losses, weights = torch.load(os.path.join(alone, "seen0of1"))
        torch.testing.assert_close((torch.tensor(first) + torch.tensor(second)) / 2, torch.tensor(losses))
        torch.testing.assert_close(one, weights)
        self.assertNotEqual(first, second)


if __name__ == "__main__":
    unittest.main()
