"""What a step of stage 2 costs at a config's size: parameters, floating-point operations, memory of a card
and hours.

    .venv/bin/python -m train.cost CONFIG.json [--batch 8] [--units 250] [--cards 8]      (in scripts/)

Counted on PyTorch's meta device, which runs the step without values: the operations of products and
attention, forward and backward, of a step with noisy latents.
"""

import argparse
import json
import math

import torch
from torch.utils.flop_counter import FlopCounterMode

from .coders import observation_encoder, unit_shape
from .model import Model
from .tensors import expected_tensors, is_codec

PEAK = 989e12  # bf16 operations a second of an H100, without sparsity
USED = 0.35  # of it, in training of this kind


def batch_of(c, size, units):
    """A batch of zeros on the meta device."""
    model = Model(c, {})
    lay = model.layout
    empty = lambda *shape, **options: torch.zeros(*shape, device="meta", **options)
    first = observation_encoder(c, "audio").layers[0]
    samples = units * unit_shape(c, "observation", "audio")[0]
    heard = (first["mels"], samples // first["hop"]) if first["op"] == "logmel" else (1, samples)
    frames, height, width, _ = unit_shape(c, "observation", "video")
    latents = lambda medium, tokens: empty(size, units, tokens, c["response"][medium]["latent_channels"])
    return {
        "typed": empty(size, units, lay.user_text, dtype=torch.long),
        "text": empty(size, units, lay.agent_text, dtype=torch.long),
        "mel": empty(size, *heard, 1, 1),
        "frames": empty(size, 3, units * frames, height, width, dtype=torch.uint8),
        "audio_latents": latents("audio", lay.agent_audio),
        "video_latents": latents("video", lay.agent_video),
    }


def cost(c, size, units):
    """{"parameters", "trained", "tokens": of a step, "flops": of a step, "bytes": of weights, gradients,
    AdamW's moments, the moving average and the rows kept for the backward pass}."""
    shapes = expected_tensors(c)
    weights = {name: torch.zeros(shape, device="meta") for name, shape in shapes.items()}
    trained = {name: w.requires_grad_(True) for name, w in weights.items() if not is_codec(name)}
    model, batch = Model(c, weights), batch_of(c, size, units)
    z = (batch["audio_latents"], batch["video_latents"])
    # On a card attention is fused and keeps no scores, which are larger than all else.
    largest = 4 * size * units * model.layout.rows * 2 * c["intermediate_size"]
    there = {w.untyped_storage()._cdata for w in weights.values()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in there and storage.nbytes() <= largest:
            kept[storage._cdata] = storage.nbytes() // 2  # as bfloat16
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        logits, (audio, video), _ = model.heads(model.forward(batch, z, torch.zeros(size, units, device="meta")))
        (logits.sum() + audio.sum() + video.sum()).backward()
    learned = sum(w.numel() for w in trained.values())
    return {
        "parameters": sum(math.prod(shape) for shape in shapes.values()),
        "trained": learned,
        "tokens": size * units * model.layout.rows,
        "flops": counter.get_total_flops(),
        "bytes": 4 * 5 * learned + sum(kept.values()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config")
    parser.add_argument("--batch", type=int, default=1, help="conversations in a card's step")
    parser.add_argument("--units", type=int, default=64, help="of a conversation")
    parser.add_argument("--cards", type=int, default=8)
    parser.add_argument("--tokens", type=float, default=20e9, help="of the whole training")
    args = parser.parse_args()
    with open(args.config) as file:
        found = cost(json.load(file), args.batch, args.units)
    seconds = found["flops"] / (PEAK * USED)
    steps = args.tokens / (found["tokens"] * args.cards)
    for name, value in (
        ("parameters", f"{found['parameters'] / 1e6:,.0f} M, of which {found['trained'] / 1e6:,.0f} M are trained"),
        ("tokens of a card's step", f"{found['tokens']:,}"),
        ("operations of a card's step", f"{found['flops'] / 1e12:,.1f} T"),
        ("memory of a card", f"{found['bytes'] / 2**30:,.1f} GiB"),
        ("time of a step", f"{seconds:.2f} s at {USED:.0%} of {PEAK / 1e12:.0f} T a second"),
        (f"hours for {args.tokens / 1e9:g} G tokens on {args.cards} cards", f"{steps * seconds / 3600:,.1f}"),
    ):
        print(f"{name:45s} {value}")


if __name__ == "__main__":
    main()
