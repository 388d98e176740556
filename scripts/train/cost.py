"""What a step of stage 2 costs at a config's size: parameters, floating-point operations, memory of a card
and hours.

    .venv/bin/python -m train.cost CONFIG.json [--batch 8] [--units 250] [--cards 8]      (in scripts/)

The step with noisy latents runs in bfloat16 on tensors without values: operations are those of its
products and of attention, forward and backward; memory is what it keeps for the backward pass, tensor by
tensor, with attention fused, beside weights, gradients, AdamW's moments and the moving average.
"""

import argparse
import contextlib
import gc
import math
import types

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from . import device, loop
from .base import above_0, one_or_more, read_json
from .coders import observation_encoder, unit_shape
from .model import Model
from .run import command
from .talk import step_loss
from .tensors import expected_tensors, is_codec

PEAK = 989e12  # bf16 operations a second of an H100, without sparsity
USED = 0.35  # of it, in training of this kind
# The CPU's fused attention, which PyTorch's own counter leaves out; it keeps no scores, as a card's.
FUSED = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
ATTENTION = {
    FUSED: lambda q, k, v, *_, out_shape=None, **__: sdpa_flop_count(q, k, v),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda grad, q, k, v, *_, out_shape=None, **__: sdpa_backward_flop_count(grad, q, k, v),
}


def batch_of(c, size, units):
    """A batch of zeros."""
    lay = Model(c, {}).layout
    empty = torch.zeros
    first = observation_encoder(c, "audio").layers[0]
    samples = units * unit_shape(c, "observation", "audio")[0]
    heard = (first["mels"], samples // first["hop"]) if first["op"] == "logmel" else (1, samples)
    frames, height, width, _ = unit_shape(c, "observation", "video")
    latents = lambda medium, tokens: empty(size, units, tokens, c["response"][medium]["latent_channels"])
    text = empty(size, units, lay.agent_text, dtype=torch.long)
    return {
        "typed": empty(size, units, lay.user_text, dtype=torch.long),
        "text": text,
        "wanted": text,
        "counts": empty(size, units, dtype=torch.bool),
        "text_weight": empty(size, units),
        "flow_weight": empty(size, units),
        "mel": empty(size, *heard, 1, 1),
        "frames": empty(size, 3, units * frames, height, width, dtype=torch.uint8),
        "audio_latents": latents("audio", lay.agent_audio),
        "video_latents": latents("video", lay.agent_video),
    }


def tensors():
    """Those that live. (By their type: some objects answer isinstance() with warnings.)"""
    gc.collect()
    return [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]


def kept(c, size, units, recompute=False):
    """(bytes that a step's forward pass keeps for the backward one, weights aside; its operations, both
    passes). Runs the step, on tensors with or without values."""
    before = tensors()
    weights = {name: torch.zeros(shape) for name, shape in expected_tensors(c).items()}
    loop.learned(weights, lambda name: not is_codec(name))
    model, batch = Model(c, weights, recompute), batch_of(c, size, units)
    tokens = types.SimpleNamespace(filler=c["filler_token_id"], continues=c["filler_token_id"])
    there = {each.untyped_storage()._cdata for each in [*before, *weights.values()]}
    sizes = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in there:
            sizes[storage._cdata] = storage.nbytes()
        return tensor

    with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x), torch.autocast("cpu", torch.bfloat16):
            loss = step_loss(model, tokens, None, batch)[0]
        # What is worked out again is not saved, but what it is made from lives on.
        for each in tensors():
            keep(each)
        loss.backward()
    return sum(sizes.values()), counter.get_total_flops()


def cost(c, size, units, recompute=False, valued=False):
    """{"parameters", "trained", "tokens": of a step, "flops": of a step, "kept": bytes for the backward pass,
    "bytes": of all}. valued: runs the step with values."""
    with contextlib.nullcontext() if valued else FakeTensorMode():
        step, flops = kept(c, size, units, recompute)
    shapes = expected_tensors(c)
    count = lambda which: sum(math.prod(shape) for name, shape in shapes.items() if which(name))
    everything, learned = count(lambda name: True), count(lambda name: not is_codec(name))
    return {
        "parameters": everything,
        "trained": learned,
        "tokens": size * units * Model(c, {}).layout.rows,
        "flops": flops,
        "kept": step,
        # Weights; gradients, two moments and the moving average of those that learn.
        "bytes": 4 * (everything + 4 * learned) + step,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config")
    parser.add_argument("--batch", type=one_or_more, default=1, help="conversations in a card's step")
    parser.add_argument("--units", type=one_or_more, default=64, help="of a conversation")
    parser.add_argument("--recompute", action="store_true", help="as train.talk's option")
    parser.add_argument("--cards", type=one_or_more, default=8)
    parser.add_argument("--tokens", type=above_0, default=20e9, help="of the whole training")
    args = parser.parse_args()
    device.DEVICE = torch.device("cpu")
    found = cost(read_json(args.config), args.batch, args.units, args.recompute)
    seconds = found["flops"] / (PEAK * USED)
    steps = args.tokens / (found["tokens"] * args.cards)
    for name, value in (
        ("parameters", f"{found['parameters'] / 1e6:,.0f} M, of which {found['trained'] / 1e6:,.0f} M are trained"),
        ("tokens of a card's step", f"{found['tokens']:,}"),
        ("operations of a card's step", f"{found['flops'] / 1e12:,.1f} T"),
        ("memory of a card", f"{found['bytes'] / 2**30:,.1f} GiB, of which {found['kept'] / 2**30:,.1f} GiB for the backward pass"),
        ("time of a step", f"{seconds:.2f} s at {USED:.0%} of {PEAK / 1e12:.0f} T a second"),
        (f"hours for {args.tokens / 1e9:g} G tokens on {args.cards} cards", f"{steps * seconds / 3600:,.1f}"),
    ):
        print(f"{name:45s} {value}")


if __name__ == "__main__":
    command(main)
