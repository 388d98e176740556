"""`--compile`: the model's forward pass as one compiled graph for each kind of step."""

import contextlib
import os
import sys

import torch

from .run import InputError, say

CACHE = os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(os.path.expanduser("~"), ".cache", "wanstream-compiled"))
KINDS = 16  # graphs of one pass: with and without noisy latents or gradients, ...


def compiled(model):
    """The model, whose forward pass is compiled when a step first asks for it. What is made is kept in the
    folder $TORCHINDUCTOR_CACHE_DIR (~/.cache/wanstream-compiled). Raises InputError where PyTorch can't
    compile."""
    try:
        torch.compile(lambda x: 2 * x + 1)(torch.ones(8))
    except Exception as error:  # of many classes, by what is missing
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(
            f"--compile: PyTorch can't compile here ({said}); it needs a C++ compiler and Python's headers "
            "(apt-get install g++ python3-dev); or leave --compile out"
        ) from None
    torch._dynamo.config.recompile_limit = KINDS
    model.forward = torch.compile(model.forward, fullgraph=True, dynamic=False)
    say(f"the forward pass is compiled at the first steps of each kind, which take minutes; kept in {CACHE}")
    return model


def uncompiled():
    """Within it what is compiled runs as it stands."""
    # Without anything compiled the compiler isn't even loaded.
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else contextlib.nullcontext()


def compile_settings(chosen):
    """What a run's settings say of it."""
    return {"compile": True} if chosen else {}
