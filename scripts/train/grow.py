"""Gives a half-trained stage the residual layers that a new config has and its state hasn't. Their last
convolution is 0, so the model is at first what it was (Chen et al. 2016, Net2Net, section 2.4).

    .venv/bin/python -m train.grow --out FOLDER --stage conversations
        --config FILE --moved observation.audio.encoder.1=observation.audio.encoder.3   (in scripts/)

Rewrites OUT/STAGE.state and OUT/config.json; the next run of the stage goes on from there.
"""

import argparse
import os

import torch

import safetensors_file

from .base import check, opened, read_json, write_json
from .optimizer import decayed_or_not
from .run import command, locked
from .tensors import expected_tensors, initial_weights, is_codec


def grown(state, initial, moved):
    """The state of a stage whose parameters are those of `initial` (name -> first values), then what
    it had beside them. moved: (old, new) prefixes of names. Optimizer moments stay with their weights.

    Raises ValueError for a tensor that has no place, and for a new one that isn't a residual layer's.
    """
    renamed = {name: new_name(name, moved) for name in state["weights"]}
    names = [*initial, *(new for new in renamed.values() if new == "probe")]
    lost = sorted(set(renamed.values()) - set(names))
    if lost:
        raise ValueError(f"the config has no {lost[0]}: --moved OLD=NEW says what became of it")
    first = {name: initial[name] for name in names if name not in renamed.values()}
    for name in first:
        layer = name.rsplit(".", 2 if ".conv" in name or ".norm" in name else 1)[0]
        if f"{layer}.conv2.weight" not in first:
            raise ValueError(f"{name} is new and not of a residual layer: it would change the model")
        if name == f"{layer}.conv2.weight":
            first[name] = torch.zeros_like(first[name])

    def ordered(had):
        whole = {**first, **{renamed[name]: value for name, value in had.items()}}
        return {name: whole[name].clone() for name in names}

    weights = ordered(state["weights"])
    before, after = (sum(decayed_or_not(each), []) for each in (state["weights"], weights))
    optimizer = dict(state["optimizer"])
    optimizer["state"] = {
        after.index(renamed[before[i]]): moments for i, moments in optimizer["state"].items()
    }
    groups, at = [], 0
    for group, members in zip(optimizer["param_groups"], decayed_or_not(weights)):
        groups.append({**group, "params": list(range(at, at + len(members)))})
        at += len(members)
    optimizer["param_groups"] = groups
    result = {**state, "weights": weights, "optimizer": optimizer}
    return {**result, "mean": ordered(state["mean"])} if "mean" in state else result


def new_name(name, moved):
    for old, new in moved:
        if name.startswith(old + "."):
            return new + name[len(old) :]
    return name


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--config", required=True, help="the config with the new layers")
    parser.add_argument("--stage", default="conversations")
    parser.add_argument("--moved", action="append", default=[], metavar="OLD=NEW")
    args = parser.parse_args()
    with locked(args.out):
        grow(args)


def grow(args):
    c = check(read_json(args.config), opened(args.out).tokens.json, args.config)
    initial = initial_weights(c)
    initial = {name: initial[name] for name in expected_tensors(c) if not is_codec(name)}
    path = os.path.join(args.out, f"{args.stage}.state")
    state = torch.load(path, map_location="cpu")
    state = grown(state, initial, [pair.split("=") for pair in args.moved])
    with safetensors_file.replaced(path) as file:
        torch.save(state, file)
    write_json(os.path.join(args.out, "config.json"), c)


if __name__ == "__main__":
    command(main)
