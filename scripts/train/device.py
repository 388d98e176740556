"""Where models train, and in which numbers."""

import contextlib
import os

import torch

# Where models train; material is made on the CPU and travels batch by batch.
DEVICE = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if torch.cuda.is_available() else torch.device("cpu")


def on_device(batch):
    """A dict of tensors, or one tensor, on the training device."""
    if isinstance(batch, dict):
        return {key: value.to(DEVICE, non_blocking=True) for key, value in batch.items()}
    return batch.to(DEVICE, non_blocking=True)


def products(bf16):
    """Products of matrices in bfloat16 or not, whatever holds around."""
    if not torch.amp.is_autocast_available(DEVICE.type):
        return contextlib.nullcontext()
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16)


def fast_bf16():
    """Whether products in bfloat16 are faster here than in float32."""
    return DEVICE.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
