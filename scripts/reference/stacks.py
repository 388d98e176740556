"""Golden outputs of the layers of encoders and decoders (LayerConfig in engine/config/config.ts), in float64.

Independent of the engine: convolutions are torch's conv3d, the transform torch's FFT. Makes
tests/data/stacks.json and stacks.safetensors (see tests/data/README.md):

    .venv/bin/python -m reference.stacks    (in scripts/)
"""

import json
import math
import os

import torch
from torch.nn.functional import conv3d, pad, silu

import safetensors_file

OUT = os.path.join(os.path.dirname(__file__), "../../tests/data")
EPS = 1e-6
SAMPLE_RATE = 16000

# name, units in the input, shape of one unit [T, H, W, C], layers.
CASES = [
    ("conv pointwise", 3, [2, 3, 2, 5], [{"op": "conv", "channels": 7, "kernel": [1, 1, 1]}]),
    ("conv causal", 3, [4, 1, 1, 6], [{"op": "conv", "channels": 5, "kernel": [3, 1, 1]}]),
    (
        "conv dilated",
        4,
        [2, 1, 1, 4],
        [{"op": "conv", "channels": 3, "kernel": [3, 1, 1], "dilation": 3}],
    ),
    (
        "conv strided in time",
        3,
        [8, 1, 1, 3],
        [{"op": "conv", "channels": 6, "kernel": [8, 1, 1], "stride": [4, 1, 1]}],
    ),
    (
        "conv halves space",
        2,
        [1, 8, 6, 3],
        [{"op": "conv", "channels": 4, "kernel": [1, 4, 4], "stride": [1, 2, 2]}],
    ),
    (
        "conv in time and space",
        3,
        [2, 4, 6, 3],
        [{"op": "conv", "channels": 5, "kernel": [4, 3, 5], "stride": [2, 1, 1]}],
    ),
    ("residual in time", 3, [4, 1, 1, 6], [{"op": "residual", "kernel": [3, 1, 1], "dilation": 3}]),
    (
        "residual in time and space, narrow",
        3,
        [1, 3, 4, 6],
        [{"op": "residual", "kernel": [2, 3, 3], "channels": 4}],
    ),
    ("silu", 1, [3, 2, 2, 4], [{"op": "silu"}]),
    ("rmsnorm", 1, [3, 2, 2, 6], [{"op": "rmsnorm"}]),
    ("unshuffle", 2, [4, 4, 6, 3], [{"op": "unshuffle", "factor": [4, 2, 3]}]),
    ("shuffle", 2, [1, 2, 2, 48], [{"op": "shuffle", "factor": [4, 2, 3]}]),
    ("overlap_add", 3, [4, 1, 1, 10], [{"op": "overlap_add", "hop": 5}]),
    (
        "logmel",
        3,
        [320, 1, 1, 1],
        [{"op": "logmel", "window": 400, "fft": 512, "hop": 160, "mels": 24}],
    ),
    (
        "logmel of short windows",
        4,
        [40, 1, 1, 1],
        [{"op": "logmel", "window": 24, "fft": 32, "hop": 10, "mels": 5}],
    ),
    (
        "stack of an audio decoder",
        3,
        [2, 1, 1, 6],
        [
            {"op": "conv", "channels": 8, "kernel": [2, 1, 1]},
            {"op": "residual", "kernel": [3, 1, 1]},
            {"op": "conv", "channels": 24, "kernel": [1, 1, 1]},
            {"op": "shuffle", "factor": [4, 1, 1]},
            {"op": "silu"},
            {"op": "conv", "channels": 16, "kernel": [1, 1, 1]},
            {"op": "overlap_add", "hop": 8},
        ],
    ),
    (
        "stack of a video encoder",
        3,
        [4, 8, 8, 3],
        [
            {"op": "unshuffle", "factor": [4, 2, 2]},
            {"op": "conv", "channels": 8, "kernel": [1, 1, 1]},
            {"op": "silu"},
            {"op": "conv", "channels": 8, "kernel": [1, 4, 4], "stride": [1, 2, 2]},
            {"op": "residual", "kernel": [2, 3, 3]},
            {"op": "rmsnorm"},
            {"op": "conv", "channels": 4, "kernel": [1, 1, 1]},
        ],
    ),
]


def causal_conv(x, weight, bias, stride, dilation):
    """x [T, H, W, C], weight [out, in, t, h, w]."""
    t, h, w = weight.shape[2:]
    x = x.permute(3, 0, 1, 2)[None]
    across, down = (w - stride[2]) // 2, (h - stride[1]) // 2
    x = pad(x, (across, across, down, down, (t - stride[0]) * dilation, 0))
    y = conv3d(x, weight, bias, stride=stride, dilation=(dilation, 1, 1))
    return y[0].permute(1, 2, 3, 0)


def rms_norm(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * weight


def unshuffle(x, factor):
    """channel = ((c ft + dt) fh + dh) fw + dw."""
    (t, h, w, c), (ft, fh, fw) = x.shape, factor
    x = x.view(t // ft, ft, h // fh, fh, w // fw, fw, c)
    return x.permute(0, 2, 4, 6, 1, 3, 5).reshape(t // ft, h // fh, w // fw, c * ft * fh * fw)


def shuffle(x, factor):
    (t, h, w, c), (ft, fh, fw) = x.shape, factor
    x = x.view(t, h, w, c // (ft * fh * fw), ft, fh, fw)
    return x.permute(0, 4, 1, 5, 2, 6, 3).reshape(t * ft, h * fh, w * fw, -1)


def overlap_add(x, hop):
    frames = x.view(-1, 2 * hop)
    tails = torch.cat([torch.zeros(1, hop, dtype=x.dtype), frames[:-1, hop:]])
    return (frames[:, :hop] + tails).reshape(-1, 1, 1, 1)


def mel_filters(fft, mels):
    """[mels, fft / 2 + 1]: triangles of height 1, evenly spaced on HTK's mel scale from 0 to half
    of SAMPLE_RATE (torchaudio's melscale_fbanks with its defaults)."""
    to_mel = lambda hertz: 2595 * math.log10(1 + hertz / 700)
    points = torch.linspace(0, to_mel(SAMPLE_RATE / 2), mels + 2, dtype=torch.float64)
    points = 700 * (10 ** (points / 2595) - 1)
    bins = torch.linspace(0, SAMPLE_RATE / 2, fft // 2 + 1, dtype=torch.float64)
    rise = (bins - points[:-2, None]) / (points[1:-1] - points[:-2])[:, None]
    fall = (points[2:, None] - bins) / (points[2:] - points[1:-1])[:, None]
    return torch.minimum(rise, fall).clamp(min=0)


def logmel(x, window, fft, hop, mels):
    """Frame i looks at the `window` samples that end where hop i ends; silence came before."""
    samples = pad(x.flatten(), (window - hop, 0))
    frames = samples.unfold(0, window, hop) * torch.hann_window(window, dtype=torch.float64)
    power = torch.fft.rfft(frames, fft).abs() ** 2
    return (power @ mel_filters(fft, mels).T + 1e-5).log().view(-1, 1, 1, mels)


def apply(layer, x, weights, name):
    """One layer; random weights are made on the way and put into `weights` by name."""

    def tensor(key, *shape, std=None):
        made = (torch.randn(*shape) * std if std else 1 + 0.2 * torch.randn(*shape)).float()
        weights[f"{name}.{key}"] = made
        return made.double()

    def conv(key, x, channels, kernel, stride=(1, 1, 1), dilation=1):
        inputs = x.shape[-1]
        std = (inputs * math.prod(kernel)) ** -0.5
        weight = tensor(f"{key}weight", channels, inputs, *kernel, std=std)
        return causal_conv(x, weight, tensor(f"{key}bias", channels, std=0.3), stride, dilation)

    op = layer["op"]
    if op == "conv":
        stride, dilation = layer.get("stride", (1, 1, 1)), layer.get("dilation", 1)
        return conv("", x, layer["channels"], layer["kernel"], stride, dilation)
    if op == "residual":
        channels = x.shape[-1]
        inner = layer.get("channels", channels)
        y = silu(rms_norm(x, tensor("norm.weight", channels)))
        y = conv("conv1.", y, inner, layer["kernel"], dilation=layer.get("dilation", 1))
        return x + conv("conv2.", silu(y), channels, (1, 1, 1))
    if op == "silu":
        return silu(x)
    if op == "rmsnorm":
        return rms_norm(x, tensor("weight", x.shape[-1]))
    if op == "unshuffle":
        return unshuffle(x, layer["factor"])
    if op == "shuffle":
        return shuffle(x, layer["factor"])
    if op == "overlap_add":
        return overlap_add(x, layer["hop"])
    if op == "logmel":
        weights[f"{name}.filters"] = mel_filters(layer["fft"], layer["mels"]).float()
        return logmel(x, layer["window"], layer["fft"], layer["hop"], layer["mels"])
    raise ValueError(op)


def main():
    torch.manual_seed(2)
    cases, tensors = [], {}
    for number, (name, units, shape, layers) in enumerate(CASES):
        prefix = f"{number:02d}"
        x = torch.randn(units * shape[0], *shape[1:]).float()
        if layers[0]["op"] == "logmel":
            x *= 0.1
        tensors[f"{prefix}.input"] = x
        x = x.double()
        for i, layer in enumerate(layers):
            x = apply(layer, x, tensors, f"{prefix}.{i}")
        tensors[f"{prefix}.output"] = x.float()
        case = {"name": name, "prefix": prefix, "units": units, "input": shape, "layers": layers}
        cases.append(case)
    safetensors_file.write(os.path.join(OUT, "stacks.safetensors"), tensors)
    with open(os.path.join(OUT, "stacks.json"), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
