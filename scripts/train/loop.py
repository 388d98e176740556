"""The loop that every stage shares: seeded steps, progress with ETA, resume at any step."""

import contextlib
import json
import math
import os
import time

import numpy as np
import torch

import safetensors_file

from .device import DEVICE, on_device, products
from .log import Figures, Log
from .optimizer import goes_on, learning_rate, optimizer_of
from .run import (
    Asked,
    Diverged,
    InputError,
    Stopped,
    about,
    artefact,
    digest,
    locked,
    meet,
    say,
    together,
    versions,
    workers,
)

__all__ = ["say", "together", "train", "workers"]

SKIPPED = 20  # steps in a row whose gradients aren't finite: the run has diverged
LARGEST = 65504.0  # of f16, in which checkpoints are exported


def learned(weights, which=lambda name: True):
    """Makes the chosen tensors of a dict parameters, in their places; returns them by name."""
    for name in filter(which, weights):
        weights[name] = torch.nn.Parameter(weights[name])
    return {name: weights[name] for name in weights if which(name)}


def numbers(*key):
    """A generator of random numbers that follows from a key, another in each of several workers."""
    worker, count = workers()
    return np.random.default_rng([*key, worker] if count > 1 else [*key])


class Measure:
    """figures() of the weights that are written: every so many steps or minutes, and at the end."""

    def __init__(self, figures, steps=0, minutes=None):
        self.figures, self.steps, self.every, self.at = figures, steps, (minutes or 0) * 60, 0.0

    def due(self, step, seconds):
        return bool(self.steps) and step % self.steps == 0 or self.every > 0 and seconds - self.at >= self.every


class Step(torch.nn.Module):
    """A stage's loss as a module over its parameters, for DistributedDataParallel."""

    def __init__(self, trained, step_loss):
        super().__init__()
        self.step_loss = step_loss
        for name, parameter in trained.items():
            self.register_parameter(name.replace(".", "/"), parameter)

    def forward(self, step):
        return self.step_loss(step)


def agreed(*values):
    """The first worker's numbers, for all."""
    if workers()[1] == 1:
        return values
    shared = torch.tensor(values, dtype=torch.float64, device=DEVICE)
    torch.distributed.broadcast(shared, 0)
    return shared.tolist()


# A stage.


def done(out, name, steps=None, minutes=None):
    """Whether OUT/NAME.safetensors is what so many steps or minutes make; then says so."""
    made = about(out, name)
    if made is None or not made and os.path.exists(os.path.join(out, f"{name}.state")):
        return False
    if not made:
        say(f"{name}: {artefact(out, name)} is there and says not what made it; remove it to train anew")
        return True
    if made["stage"] != name:
        say(f"{name}: {made['stage']} has trained it on since; to begin anew remove {name}.* and {made['stage']}.* from {out}")
        return True
    enough = made["seconds"] >= minutes * 60 - 1 if minutes else made["step"] >= steps
    if enough:
        say(f"{name}: done already, at step {made['step']}; more --steps or --minutes go on")
    return enough


def whole(name, tensors, state_path):
    """Raises Diverged for a tensor that isn't finite, or that is not in f16."""
    for key, tensor in tensors.items():
        largest = float(tensor.abs().max())
        if not largest <= LARGEST:
            what = "is not finite" if not math.isfinite(largest) else f"has {largest:.3g}, which f16 can't hold"
            left = f"the last good state is {state_path}" if os.path.exists(state_path) else "no state was saved"
            raise Diverged(f"{name}: {key} {what}; {left}: go on from it with --changed and a lower --rate")


def differing(name, before, now):
    """'batch 6 before, 4 now' for each setting that differs."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return ", ".join(f"{key} {before.get(key)} before, {now.get(key)} now" for key in keys)


@contextlib.contextmanager
def exchanged(tensors, others):
    """The tensors have the others' values for a while."""
    kept = {key: tensors[key].detach().clone() for key in others}
    try:
        with torch.no_grad():
            for key, value in others.items():
                tensors[key].copy_(value)
        yield
    finally:
        with torch.no_grad():
            for key, value in kept.items():
                tensors[key].copy_(value)


def train(name, out, parameters, step_loss, steps=None, rate=1e-3, **options):
    """Trains `parameters` (name -> tensor) by `step_loss(step)` -> (loss, figures); see `Training`.
    Returns the weights that are written."""
    with locked(out), Asked() as asked:
        return Training(name, out, parameters, step_loss, steps, rate, **options).run(asked)


class Training:
    """Every step draws its own numbers from (seed, step), so that a resumed run goes on as an unbroken
    one, to the bit. OUT/NAME.state holds weights, optimizer, step, settings, versions and digests;
    OUT/NAME.jsonl the log, OUT/NAME.safetensors at the end the weights.

    minutes: a budget of all runs of this stage; the learning rate then follows the share of time used
    instead of the steps (such a run isn't repeatable to the bit). average: decay of a moving average of
    the weights, which is what is evaluated and written. A new optimizer, also of a state that lost its
    own (train.restore), is warmed up. evaluate() -> figures of those weights, every `evaluate_every`
    steps or `evaluate_minutes`; validate(weights as finish() gives them) -> more figures, every
    `validate_minutes`. Where one of them is called `best` (with a minus in front: less is better)
    OUT/NAME.best.safetensors keeps the weights that had the best.

    settings: what must stay the same in a run that goes on, unless `changed`; made_of: name -> digest of
    what it is trained on, which must stay too. carried: what step_loss keeps from step to step.
    finish(weights) -> the tensors to write; without it nothing is written. bf16: products in bfloat16.
    uneven: some steps leave some parameters out. shares: name -> its part of the learning rate.

    Within together() gradients are averaged over the workers; the first one writes, and its clock and
    signals count.
    """

    def __init__(
        self,
        name,
        out,
        parameters,
        step_loss,
        steps,
        rate,
        warmup=100,
        decay=0.01,
        seed=0,
        save_every=200,
        report_every=10,
        evaluate=None,
        evaluate_every=0,
        evaluate_minutes=None,
        validate=None,
        validate_minutes=None,
        best=None,
        minutes=None,
        average=0.0,
        settings=None,
        made_of=None,
        changed=False,
        carried=None,
        finish=None,
        bf16=False,
        uneven=False,
        shares=None,
    ):
        os.makedirs(out, exist_ok=True)
        self.name, self.out, self.parameters = name, out, parameters
        self.steps, self.rate, self.warmup, self.seed = steps, rate, warmup, seed
        self.save_every, self.report_every = save_every, report_every
        self.measures = [Measure(evaluate, evaluate_every, evaluate_minutes)] if evaluate else []
        if validate and finish:
            self.measures.append(Measure(lambda: validate(finish(self.written())), 0, validate_minutes))
        self.best = best
        self.budget = minutes * 60 if minutes else None
        self.average, self.bf16, self.finish = average, bf16, finish
        self.state_path = os.path.join(out, f"{name}.state")
        self.worker, self.count = workers()
        self.log = Log(os.path.join(out, f"{name}.jsonl"))
        self.trained = {key: p for key, p in parameters.items() if p.requires_grad}
        self.optimizer = optimizer_of(self.trained, rate, decay, shares or {})
        self.mean = {key: p.detach().clone() for key, p in self.trained.items()} if average else {}
        fixed = {"rate": rate, "decay": decay, "warmup": warmup, "average": average, "bf16": bf16}
        self.settings = {**fixed, "seed": seed, "workers": self.count, **(settings or {})}
        self.made_of, self.carried = made_of or {}, carried if carried is not None else {}
        self.step, self.spent, self.best_value, self.said, phase = 0, 0.0, None, {}, None
        if os.path.exists(self.state_path):
            phase = self.resume(changed)
        if self.worker == 0:
            self.log.keep(self.step if os.path.exists(self.state_path) else -1)
        steps_done = (int(each["step"]) for each in self.optimizer.state.values())
        self.optimizer_since = self.step - max(steps_done, default=0)
        self.began = self.now = time.time()
        unit, until = ("seconds", self.budget) if self.budget else ("steps", steps)
        here = self.spent if self.budget else self.step
        self.phase = goes_on(phase, here, until, unit)
        self.skipped = torch.zeros((), device=DEVICE)
        self.step_loss = step_loss
        if self.count > 1:
            module = Step(self.trained, step_loss)
            self.step_loss = torch.nn.parallel.DistributedDataParallel(module, find_unused_parameters=uneven)

    def resume(self, changed):
        """Takes the state up; returns its phase of the learning rate."""
        try:
            state = torch.load(self.state_path, map_location="cpu", weights_only=True)
        except Exception as error:  # of many classes, by where it was cut
            said = str(error).split("\n")[0] or type(error).__name__
            raise InputError(f"{self.name}: {self.state_path} isn't whole ({said}): remove it to begin anew") from None
        if wrong := differing("", state.get("made_of", self.made_of), self.made_of):
            raise InputError(f"{self.name}: {self.state_path} was trained on something else ({wrong}): remove it to begin anew")
        before = state.get("settings", self.settings)
        if wrong := differing("", before, self.settings):
            if not changed:
                raise InputError(f"{self.name}: {wrong}; give what was before, or --changed to go on so")
            say(f"{self.name}: goes on with {wrong}")
        with torch.no_grad():
            for key, p in self.trained.items():
                p.copy_(state["weights"][key])
        if "optimizer" in state:
            fused = [group["fused"] for group in self.optimizer.param_groups]
            decays = [group["weight_decay"] for group in self.optimizer.param_groups]
            self.optimizer.load_state_dict(state["optimizer"])
            for group, each, decay in zip(self.optimizer.param_groups, fused, decays):
                group.update(fused=each, foreach=None, weight_decay=decay)
        self.step, self.spent = state["step"], state["seconds"]
        if self.average:
            self.mean = on_device(state["mean"])
        # Of another figure it says nothing about this one's.
        name, value = state.get("best") or (None, None)
        self.best_value = value if name == self.best else None
        self.carried.update(state.get("carried", {}))
        say(f"{self.name}: resumed at step {self.step} after {self.spent:.0f} s")
        # Another rate is met at once, whatever was left of the one before.
        return state.get("phase") if before["rate"] == self.rate else {"from": self.step}

    def seconds(self):
        return self.spent + self.now - self.began

    def written(self):
        """The weights as they are written: where there is a moving average, that."""
        return {key: p.detach() for key, p in self.parameters.items()} | self.mean

    def save(self):
        whole(self.name, {key: p.detach() for key, p in self.trained.items()}, self.state_path)
        if self.worker:
            return
        reached = self.seconds() if self.budget else self.step
        state = {
            "weights": {key: p.detach() for key, p in self.trained.items()},
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds(),
            "phase": {**self.phase, "reached": reached},
            "settings": self.settings,
            "made_of": self.made_of,
            "versions": versions(),
            "carried": self.carried,
            "best": (self.best, self.best_value),
        }
        if self.average:
            state["mean"] = self.mean
        with safetensors_file.replaced(self.state_path) as file:
            torch.save(state, file)

    def write(self, path_name):
        """Writes the weights as OUT/PATH_NAME.safetensors, with what they were made of; returns them."""
        tensors = self.finish(self.written())
        whole(self.name, tensors, self.state_path)
        if self.worker == 0:
            facts = {"stage": self.name, "step": self.step, "seconds": round(self.seconds(), 1)}
            facts |= {"digest": digest(tensors), "made_of": self.made_of, "settings": self.settings}
            facts |= {"versions": versions()}
            safetensors_file.write(artefact(self.out, path_name), tensors, {"about": json.dumps(facts)})
        return tensors

    def measured(self, due):
        """What the measures that are due say of the weights that are written; keeps these where they are
        the best."""
        figures = {}
        with exchanged(self.parameters, self.mean):
            for measure in due:
                figures |= measure.figures()
        self.now = time.time()
        for measure in due:
            measure.at = self.seconds()
        if self.best and self.best.lstrip("-") in figures:
            value = -figures[self.best[1:]] if self.best[0] == "-" else figures[self.best]
            if self.best_value is None or value > self.best_value:
                self.best_value = value
                if self.finish:
                    self.write(f"{self.name}.best")
        return figures

    def take(self):
        """One step of the optimizer; returns its figures and the learning rate."""
        along = (self.seconds() if self.budget else self.step) - self.phase["from"]
        along /= max(self.phase["until"] - self.phase["from"], 1e-9)
        lr = learning_rate(along, self.rate, self.phase["top"])
        lr = min(lr, self.rate * (self.step - self.optimizer_since + 1) / self.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("share", 1.0)
        torch.manual_seed((self.seed * 1_000_003 + self.step) * self.count + self.worker)
        self.optimizer.zero_grad(set_to_none=True)
        with products(self.bf16):
            loss, figures = self.step_loss(self.step)
        loss.backward()
        trained = list(self.trained.values())
        norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
        lost = (~torch.isfinite(norm)).float()
        self.skipped = (self.skipped + 1) * lost
        if self.optimizer.defaults["fused"]:
            self.optimizer.found_inf = lost  # it then leaves everything as it is
        self.optimizer.step()
        self.step += 1
        if self.average:
            keep = min(self.average, self.step / (self.step + 10))
            with torch.no_grad():
                torch._foreach_lerp_(list(self.mean.values()), trained, 1 - keep)
        return {"loss": loss.detach(), "norm": norm, **figures}, lr

    def run(self, asked):
        first = self.step
        if self.worker == 0:
            facts = {"settings": self.settings, "made_of": self.made_of, "versions": versions()}
            self.log.write(step=first, seconds=self.spent, run=facts)
        figures, due, number = Figures(), [], 0
        for measure in self.measures:
            measure.at = self.spent
        check_every = self.report_every if DEVICE.type == "cuda" else 1
        while self.steps is None or self.step < self.steps:
            if (self.step - first) % check_every == 0:
                self.now, number = agreed(time.time(), asked.number)
                if number or self.budget and self.seconds() >= self.budget:
                    break
            taken, lr = self.take()
            figures.add(taken)
            last = self.step == self.steps
            due = [measure for measure in self.measures if last or measure.due(self.step, self.seconds())]
            if self.step % self.report_every == 0 or last or due:
                self.report(first, lr, figures, due)
            if self.step % self.save_every == 0:
                self.save()
        left = [] if number else [measure for measure in self.measures if measure not in due]
        if self.step > first and (figures.lists or left):
            self.report(first, lr, figures, left)
        self.save()
        if number:
            raise Stopped(f"{self.name}: stopped at step {self.step}, saved; the same command goes on", int(number))
        made = self.write(self.name) if self.finish else self.written()
        meet()
        return made

    def report(self, first, lr, figures, due):
        """A line of the log and one to the terminal; raises Diverged where steps come to nothing."""
        if float(self.skipped) >= SKIPPED:
            raise Diverged(
                f"{self.name}: no gradient is finite from step {self.step - int(self.skipped)} on; the last good state is {self.state_path}: "
                "go on from it with --changed and a lower --rate"
            )
        means = figures.means()
        if self.worker:
            return
        if due:
            means |= self.measured(due)
        if self.said.get("step") == self.step:  # a step has one line
            self.log.drop()
            means = {**self.said, **means}
        self.said = {**means, "step": self.step, "seconds": self.seconds(), "lr": lr, "skipped": int(self.skipped)}
        self.log.write(**self.said)
        pace = (self.seconds() - self.spent) / max(self.step - first, 1)
        left = (self.budget - self.seconds()) if self.budget else ((self.steps or self.step) - self.step) * pace
        shown = " ".join(f"{key} {value:.4f}" for key, value in means.items())
        of = f"/{self.steps}" if self.steps else ""
        say(f"{self.name}: step {self.step}{of} {shown} {pace:.2f} s/step, {max(left, 0) / 60:.1f} min left")
