"""The loop that every stage shares: seeded steps, progress with ETA, JSONL log, resume at any step."""

import json
import math
import os
import sys
import time

import torch

# Where models train; material is made on the CPU and travels batch by batch.
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def on_device(batch):
    """A dict of tensors, or one tensor, on the training device."""
    if isinstance(batch, dict):
        return {key: value.to(DEVICE) for key, value in batch.items()}
    return batch.to(DEVICE)


class Log:
    """Appends JSON objects to OUT/NAME.jsonl."""

    def __init__(self, path):
        self.path = path

    def write(self, **entry):
        with open(self.path, "a") as file:
            file.write(json.dumps({k: rounded(v) for k, v in entry.items()}) + "\n")


def rounded(value):
    return round(value, 5) if isinstance(value, float) else value


def learning_rate(step, steps, peak, warmup):
    """Linear warm-up, then a cosine down to a fiftieth."""
    if step < warmup:
        return peak * (step + 1) / warmup
    along = min(1, (step - warmup) / max(1, steps - warmup))
    return peak * (0.02 + 0.98 * (1 + math.cos(math.pi * along)) / 2)


def train(
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
    minutes=None,
    average=0.0,
):
    """Trains `parameters` (name -> tensor) by `step_loss(step)` -> (loss, figures) until `steps`.

    Every step draws its own numbers from (seed, step), so that a resumed run goes on as an unbroken
    one. OUT/NAME.state holds weights, optimizer and step; OUT/NAME.jsonl the log. `minutes`: a budget
    of this run; the learning rate then follows the share of time used instead of the steps (such a
    run isn't repeatable to the bit). `average`: decay of a moving average of the weights, which is
    what the returned dict holds. Returns the weights.
    """
    os.makedirs(out, exist_ok=True)
    state_path = os.path.join(out, f"{name}.state")
    log = Log(os.path.join(out, f"{name}.jsonl"))
    trained = {key: p for key, p in parameters.items() if p.requires_grad}
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in trained.values() if p.dim() > 1], "weight_decay": decay},
            {"params": [p for p in trained.values() if p.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=rate,
        betas=(0.9, 0.98),
    )
    start, spent = 0, 0.0
    mean = {key: p.detach().clone() for key, p in trained.items()} if average else None
    if os.path.exists(state_path):
        state = torch.load(state_path, map_location="cpu")
        with torch.no_grad():
            for key, p in trained.items():
                p.copy_(state["weights"][key])
        optimizer.load_state_dict(state["optimizer"])
        start, spent = state["step"], state["seconds"]
        if average:
            mean = on_device(state["mean"])
        say(f"{name}: resumed at step {start} after {spent:.0f} s")

    def save(step):
        part = f"{state_path}.{os.getpid()}"
        state = {
            "weights": {key: p.detach() for key, p in trained.items()},
            "optimizer": optimizer.state_dict(),
            "step": step,
            "seconds": seconds(),
        }
        if average:
            state["mean"] = mean
        torch.save(state, part)
        os.replace(part, state_path)

    began = time.time()
    seconds = lambda: spent + time.time() - began
    budget = minutes * 60 if minutes else None
    step, sums = start, {}
    while step < steps and not (budget and seconds() >= budget):
        if budget:
            used = learning_rate(int(1000 * seconds() / budget), 1000, rate, 0)
            lr = min(used, rate * (step + 1) / warmup)
        else:
            lr = learning_rate(step, steps, rate, warmup)
        for group in optimizer.param_groups:
            group["lr"] = lr
        torch.manual_seed(seed * 1_000_003 + step)
        optimizer.zero_grad(set_to_none=True)
        loss, figures = step_loss(step)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(trained.values()), 1.0)
        if not torch.isfinite(norm):
            say(f"{name}: step {step} skipped, its gradient is not finite")
            step += 1
            continue
        optimizer.step()
        step += 1
        if average:
            keep = min(average, step / (step + 10))
            with torch.no_grad():
                for key, p in trained.items():
                    mean[key].lerp_(p, 1 - keep)
        for key, value in {"loss": loss.detach(), "norm": norm, **figures}.items():
            sums.setdefault(key, []).append(float(value))
        if step % report_every == 0 or step == steps:
            means = {key: sum(values) / len(values) for key, values in sums.items()}
            log.write(step=step, seconds=seconds(), lr=lr, **means)
            pace = (seconds() - spent) / (step - start)
            left = (budget - seconds()) if budget else (steps - step) * pace
            shown = " ".join(f"{key} {value:.4f}" for key, value in means.items())
            say(f"{name}: step {step}/{steps} {shown} {pace:.2f} s/step, {left / 60:.1f} min left")
            sums = {}
        if evaluate and evaluate_every and step % evaluate_every == 0:
            log.write(step=step, seconds=seconds(), **evaluate())
        if step % save_every == 0:
            save(step)
    save(step)
    if evaluate:
        figures = evaluate()
        log.write(step=step, seconds=seconds(), **figures)
        say(f"{name}: done at step {step}, {seconds():.0f} s, {figures}")
    result = {key: p.detach() for key, p in parameters.items()}
    if average:
        result.update(mean)
    return result


def say(line):
    print(line, file=sys.stderr, flush=True)
