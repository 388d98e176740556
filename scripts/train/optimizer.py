"""The optimizer and its rate."""

import math

import torch

from .device import DEVICE

FLOOR = 0.02  # the last learning rate, as a share of the peak


def decayed_or_not(tensors):
    """Names of tensors whose weights decay, and of the others (biases, gains): the optimizer's order."""
    matrices = [key for key, tensor in tensors.items() if tensor.dim() > 1]
    return matrices, [key for key, tensor in tensors.items() if tensor.dim() <= 1]


def optimizer_of(trained, rate, decay, shares):
    """AdamW; fused, it leaves out a step whose gradients aren't finite without asking a card for them.
    shares: name -> its part of the learning rate, where that isn't all of it."""
    groups = []
    for keys, each in zip(decayed_or_not(trained), (decay, 0.0)):
        for share in sorted({shares.get(key, 1.0) for key in keys}, reverse=True) or [1.0]:
            params = [trained[key] for key in keys if shares.get(key, 1.0) == share]
            groups.append({"params": params, "weight_decay": each, "share": share})
    fused = DEVICE.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=fused)


def learning_rate(along, peak, top=1.0):
    """A cosine from `top` of the peak down to a fiftieth, where `along` (0 to 1) of a phase is over."""
    return peak * (FLOOR + (top - FLOOR) * (1 + math.cos(math.pi * min(along, 1))) / 2)


def goes_on(phase, here, until, unit):
    """The phase of the learning rate for a run from `here` until `until` (steps or seconds: `unit`). A
    run that is made longer or shorter goes on from the rate that it has."""
    if phase is None or "until" not in phase:
        return {"from": here if phase else 0, "until": until, "unit": unit, "top": 1.0}
    if (phase["until"], phase["unit"]) == (until, unit):
        return phase
    reached = phase["reached"] if phase["unit"] != unit else here
    along = (reached - phase["from"]) / max(phase["until"] - phase["from"], 1e-9)
    return {"from": here, "until": until, "unit": unit, "top": learning_rate(along, 1, phase["top"])}
