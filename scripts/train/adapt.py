"""What becomes of the backbone that --init brings: trained, at a rate of its own where that is asked for,
frozen, or adapted by matrices of low rank (Hu et al. 2021, LoRA), which are added to it at the end.

A frozen or adapted backbone still learns the rows of its tables that the stream's own tokens have: the
filler and `<|cont|>` stand in rows that its own training never met.
"""

import collections.abc
import math

import torch

from .device import on_device
from .loop import learned
from .tensors import expected_tensors, is_codec

TABLES = ("model.embed_tokens.weight", "lm_head.weight")
SCALE = 2.0  # of what low-rank matrices add (alpha = 2 rank)


def is_backbone(name):
    return name.startswith("model.") or name == "lm_head.weight"


class Adapted(collections.abc.Mapping):
    """Weights by name, made of fixed ones and of what is learned beside them: NAME.rows in a table's rows
    `ids`, NAME.a [rank, inputs] and NAME.b [outputs, rank]."""

    def __init__(self, weights, parts, ids):
        self.weights, self.parts, self.ids = weights, parts, ids

    def __getitem__(self, name):
        weight, parts = self.weights[name], self.parts
        if f"{name}.rows" in parts:
            return weight.index_copy(0, self.ids, parts[f"{name}.rows"])
        if f"{name}.a" in parts:
            return weight + SCALE * parts[f"{name}.b"] @ parts[f"{name}.a"]
        return weight

    def __iter__(self):
        return iter(self.weights)

    def __len__(self):
        return len(self.weights)


def adapt(base, weights):
    """(weights as Model takes them, what a stage learns by name, what becomes of that: a function from
    its values to all tensors of a checkpoint). weights: on the training device."""
    c = base.config
    names = expected_tensors(c)
    if base.backbone == "train":
        trained = learned(weights, lambda name: not is_codec(name))
        return weights, trained, lambda values: {name: values.get(name, weights[name]) for name in names}
    trained = learned(weights, lambda name: not is_codec(name) and not is_backbone(name))
    parts = {}
    ids = torch.tensor([base.tokens.filler, base.tokens.continues])
    for name in filter(is_backbone, list(weights)):
        fixed = weights[name]
        if name in TABLES:
            parts[f"{name}.rows"] = fixed[on_device(ids)].clone()
        elif base.backbone == "lora" and name.endswith("_proj.weight"):
            outputs, inputs = fixed.shape
            parts[f"{name}.a"] = torch.randn(base.rank, inputs, device=fixed.device) / math.sqrt(inputs)
            parts[f"{name}.b"] = torch.zeros(outputs, base.rank, device=fixed.device)
    learned(parts)
    ids = on_device(ids)

    def whole(values):
        merged = Adapted({**weights, **values}, {name: values[name] for name in parts}, ids)
        return {name: merged[name].detach() for name in names}

    return Adapted(weights, parts, ids), {**trained, **parts}, whole


def shares(base, trained):
    """Name to its part of the learning rate: the backbone's own, as --backbone-rate says."""
    return {name: base.backbone_rate for name in trained if is_backbone(name) and not name.endswith(".rows")}


def settings(base):
    """What a run's settings say of it; nothing where a run starts from nothing."""
    if base.init is None:
        return {}
    rank = {"rank": base.rank} if base.backbone == "lora" else {}
    return {"backbone": base.backbone, "backbone_rate": base.backbone_rate, **rank}
