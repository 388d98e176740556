"""Stage 2's step of an older commit and of this one, in turns in one process, from the same weights and on
the same batches: CPU seconds of each, and the median over pairs of their ratio. A pair is a step with noisy
latents and one of text alone of each commit, one after the other, so that what else the machine does meets
both.

    .venv/bin/python -m train.paired [--commit 9a60a0f] [--pairs 5] [--no-bf16] [--compile]     (in scripts/)
"""

import argparse
import importlib
import io
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

import torch

from . import loop, talk
from .base import nano, one_or_more
from .compiled import compiled
from .data import Material
from .device import products
from .model import Model
from .optimizer import optimizer_of
from .run import InputError, command
from .tensors import initial_weights, is_codec


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--commit", default="9a60a0f", help="from before training took any config")
    parser.add_argument("--pairs", type=one_or_more, default=5, help="after a first one, which isn't counted")
    parser.add_argument("--no-bf16", action="store_true")
    parser.add_argument("--compile", action="store_true", help="this commit's forward pass, in the first pair")
    args = parser.parse_args()
    torch.set_num_threads(1)
    base = nano()
    first = initial_weights(base.config, 1)
    material = Material(base, {name: w for name, w in first.items() if is_codec(name)}, units=48)
    batches = [material.batch(step, 6) for step in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        archive = ["git", "-C", "..", "archive", f"{args.commit}:scripts/train"]
        done = subprocess.run(archive, capture_output=True)
        if done.returncode:
            raise InputError(f"--commit {args.commit}: {done.stderr.decode().strip().splitlines()[-1]}")
        tarfile.open(fileobj=io.BytesIO(done.stdout)).extractall(f"{folder}/before", filter="data")
        sys.path.insert(0, folder)
        old_talk, shape = (importlib.import_module(f"before.{name}") for name in ("talk", "shape"))

    def taker(model, step_loss, old):
        trained = loop.learned(model.w, lambda name: not is_codec(name))
        probe = trained["probe"] = torch.nn.Parameter(talk.initial_probe(base.config))
        optimizer = optimizer_of(trained, 1e-3, 0.02, {})

        def take(number, flow):
            batch = dict(batches[number % len(batches)])
            if old:
                batch["frames"] = batch["frames"].float() / 127.5 - 1
                batch |= {key: batch[key][..., 0] for key in ("text", "wanted", "typed")}
            began = time.process_time()
            torch.manual_seed(number)
            optimizer.zero_grad()
            with products(not old and not args.no_bf16):
                loss = step_loss(model, probe, batch, flow=flow)[0]
            loss.backward()
            torch.nn.utils.clip_grad_norm_(list(trained.values()), 1.0)
            optimizer.step()
            return time.process_time() - began, float(loss.detach())

        return take

    model = Model(base.config, {name: w.clone() for name, w in first.items()})
    now = taker(compiled(model) if args.compile else model, lambda model, *rest, **more: talk.step_loss(model, base.tokens, *rest, **more), False)
    before = taker(old_talk.Model(shape.config(), {name: w.clone() for name, w in first.items()}), old_talk.step_loss, True)
    spent: dict[bool, list] = {True: [], False: []}
    for pair in range(args.pairs + 1):
        for flow in spent:
            (old, theirs), (new, mine) = before(2 * pair + flow, flow), now(2 * pair + flow, flow)
            print(f"pair {pair} {'flow' if flow else 'text'}: loss {theirs:.4f} and {mine:.4f}, {old:.2f} and {new:.2f} s")
            if pair:
                spent[flow].append((old, new))
    ratios = {flow: statistics.median(new / old for old, new in pairs) for flow, pairs in spent.items()}
    both = statistics.median((a[1] + b[1]) / (a[0] + b[0]) for a, b in zip(*spent.values()))
    print(f"ratio of a step with noisy latents {ratios[True]:.3f}, of text alone {ratios[False]:.3f}, of both {both:.3f}: medians of {args.pairs} pairs")


if __name__ == "__main__":
    command(main)
