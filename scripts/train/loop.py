"""The loop that every stage shares: seeded steps, progress with ETA, JSONL log, resume at any step."""

import json
import math
import os
import sys
import tempfile
import time

import torch
import torch.distributed as dist
import torch.multiprocessing

# Where models train; material is made on the CPU and travels batch by batch.
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def on_device(batch):
    """A dict of tensors, or one tensor, on the training device."""
    if isinstance(batch, dict):
        return {key: value.to(DEVICE) for key, value in batch.items()}
    return batch.to(DEVICE)


def workers():
    """(this process's number, how many train together)."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def together(count, run):
    """Calls run() in `count` processes that train one set of weights, each on batches of its own:
    steps as of a `count` times larger batch. With count 1 here and now."""
    if count == 1:
        return run()
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_join, (count, run, os.path.join(folder, "meeting")), count)


def _join(rank, count, run, meeting):
    dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=count)
    run()
    dist.destroy_process_group()


def average_gradients(parameters, count):
    """Every worker gets the mean of all workers' gradients."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients]).cpu()
    dist.all_reduce(flat)
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
        gradient.copy_(part.view_as(gradient) / count)


def agreed(value):
    """The first worker's number, for all."""
    if workers()[1] == 1:
        return value
    shared = torch.tensor([value], dtype=torch.float64)
    dist.broadcast(shared, 0)
    return float(shared)


class Log:
    """Appends JSON objects to OUT/NAME.jsonl."""

    def __init__(self, path):
        self.path = path

    def write(self, **entry):
        with open(self.path, "a") as file:
            file.write(json.dumps({k: rounded(v) for k, v in entry.items()}) + "\n")


def rounded(value):
    return round(value, 5) if isinstance(value, float) else value


def learning_rate(along, peak):
    """A cosine from the peak down to a fiftieth, where `along` (0 to 1) of a run is over."""
    return peak * (0.02 + 0.98 * (1 + math.cos(math.pi * along)) / 2)


def decayed_or_not(tensors):
    """Names of tensors whose weights decay, and of the others (biases, gains): the optimizer's order."""
    matrices = [key for key, tensor in tensors.items() if tensor.dim() > 1]
    return matrices, [key for key, tensor in tensors.items() if tensor.dim() <= 1]


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
    what the returned dict holds. A new optimizer, also of a state that lost its own (train.restore),
    is warmed up. Returns the weights. Within together() gradients are averaged over the workers; the
    first one writes and its clock counts.
    """
    os.makedirs(out, exist_ok=True)
    state_path = os.path.join(out, f"{name}.state")
    worker, count = workers()
    log = Log(os.path.join(out, f"{name}.jsonl"))
    trained = {key: p for key, p in parameters.items() if p.requires_grad}
    groups = zip(decayed_or_not(trained), (decay, 0.0))
    optimizer = torch.optim.AdamW(
        [{"params": [trained[key] for key in keys], "weight_decay": each} for keys, each in groups],
        lr=rate,
        betas=(0.9, 0.98),
    )
    start, spent = 0, 0.0
    mean = {key: p.detach().clone() for key, p in trained.items()} if average else {}
    if os.path.exists(state_path):
        state = torch.load(state_path, map_location="cpu")
        with torch.no_grad():
            for key, p in trained.items():
                p.copy_(state["weights"][key])
        if "optimizer" in state:
            optimizer.load_state_dict(state["optimizer"])
        start, spent = state["step"], state["seconds"]
        if average:
            mean = on_device(state["mean"])
        say(f"{name}: resumed at step {start} after {spent:.0f} s")

    def save(step):
        if worker:
            return
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

    optimizer_since = start - int(max((each["step"] for each in optimizer.state.values()), default=0))
    began = now = time.time()
    seconds = lambda: spent + now - began
    budget = minutes * 60 if minutes else None
    step, sums = start, {}
    while step < steps:
        now = agreed(time.time())
        if budget and seconds() >= budget:
            break
        along = seconds() / budget if budget else step / steps
        lr = min(learning_rate(along, rate), rate * (step - optimizer_since + 1) / warmup)
        for group in optimizer.param_groups:
            group["lr"] = lr
        torch.manual_seed((seed * 1_000_003 + step) * count + worker)
        optimizer.zero_grad(set_to_none=True)
        loss, figures = step_loss(step)
        loss.backward()
        if count > 1:
            average_gradients(trained.values(), count)
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
        if worker == 0 and (step % report_every == 0 or step == steps):
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
