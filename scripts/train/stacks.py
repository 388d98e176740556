"""Encoders and decoders (lists of LayerConfig in engine/config/config.ts) over whole recordings at once.

Tensors are [batch, channels, time, height, width]. Before the first unit lie zeros, at every layer's
input, as the engine's fresh state has them; so a recording run at once equals one run unit by unit,
with what is `carried` from one to the next: a dict, empty at first, of each layer's last inputs.
"""

import math

import torch
import torch.nn.functional as F

EPS = 1e-6  # of every RMSNorm in a layer
# The layers that training runs, with the keys that it knows; the engine has more.
KNOWN = {
    "conv": ("channels", "kernel", "stride", "dilation"),
    "residual": ("channels", "kernel", "dilation"),
    "silu": (),
    "rmsnorm": (),
    "unshuffle": ("factor",),
    "shuffle": ("factor",),
    "overlap_add": ("hop",),
    "logmel": ("window", "fft", "hop", "mels"),
}


def unknown(layers):
    """The first of an encoder's layers that training can't run, in words; None where it runs all."""
    for i, layer in enumerate(layers):
        if layer["op"] not in KNOWN:
            return f"layer {i}, {layer['op']}"
        if strange := [key for key in layer if key != "op" and key not in KNOWN[layer["op"]]]:
            return f"layer {i}, {layer['op']} with {strange[0]}"
    return None


def layer_tensors(layer, channels):
    """Names within the layer to shapes, as `parameters` of engine/layers/'s files."""
    op = layer["op"]
    if op == "conv":
        out = layer["channels"]
        return {"weight": [out, channels, *layer["kernel"]], "bias": [out]}
    if op == "residual":
        inner = layer.get("channels", channels)
        return {
            "norm.weight": [channels],
            "conv1.weight": [inner, channels, *layer["kernel"]],
            "conv1.bias": [inner],
            "conv2.weight": [channels, inner, 1, 1, 1],
            "conv2.bias": [channels],
        }
    if op == "rmsnorm":
        return {"weight": [channels]}
    return {}


def shape_after(layer, shape):
    """[time, height, width, channels] of one unit after a layer."""
    t, h, w, c = shape
    op = layer["op"]
    if op == "conv":
        st, sh, sw = layer.get("stride", [1, 1, 1])
        return [t // st, h // sh, w // sw, layer["channels"]]
    if op in ("unshuffle", "shuffle"):
        ft, fh, fw = layer["factor"]
        if op == "unshuffle":
            return [t // ft, h // fh, w // fw, c * ft * fh * fw]
        return [t * ft, h * fh, w * fw, c // (ft * fh * fw)]
    if op == "overlap_add":
        return [t * layer["hop"], 1, 1, 1]
    if op == "logmel":
        return [t // layer["hop"], 1, 1, layer["mels"]]
    return shape


def stack_tensors(layers, shape, name):
    """All tensors of an encoder or decoder for input of `shape`, and the output's shape."""
    tensors = {}
    for i, layer in enumerate(layers):
        for key, extents in layer_tensors(layer, shape[3]).items():
            tensors[f"{name}.{i}.{key}"] = extents
        shape = shape_after(layer, shape)
    return tensors, shape


def run(weights, name, layers, x, first=0, rate=None, carried=None):
    """Runs layers[first:] of the encoder or decoder `name` over x; rate: samples per second of sound."""
    for i, layer in enumerate(layers):
        if i >= first:
            x = apply(weights, f"{name}.{i}", layer, x, rate, carried)
    return x


def apply(weights, name, layer, x, rate=None, carried=None):
    op = layer["op"]
    if op == "conv":
        stride, dilation = layer.get("stride", [1, 1, 1]), layer.get("dilation", 1)
        x = after_past(x, (layer["kernel"][0] - stride[0]) * dilation, name, carried)
        return conv(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, dilation)
    if op == "residual":
        y = F.silu(rms_norm(x, weights[f"{name}.norm.weight"]))
        first, dilation = (weights[f"{name}.conv1.weight"], weights[f"{name}.conv1.bias"]), layer.get("dilation", 1)
        y = after_past(y, (layer["kernel"][0] - 1) * dilation, name, carried)
        y = F.silu(conv(y, *first, [1, 1, 1], dilation))
        return x + conv(y, weights[f"{name}.conv2.weight"], weights[f"{name}.conv2.bias"])
    if op == "silu":
        return F.silu(x)
    if op == "rmsnorm":
        return rms_norm(x, weights[f"{name}.weight"])
    if op == "unshuffle":
        return unshuffle(x, layer["factor"])
    if op == "shuffle":
        return shuffle(x, layer["factor"])
    if op == "overlap_add":
        return overlapped(after_past(x, 1, name, carried))
    if op == "logmel":
        sound = after_past(x, layer["window"] - layer["hop"], name, carried)[:, 0, :, 0, 0]
        return windowed_mel(sound, layer, rate)[..., None, None]
    raise ValueError(f"unknown layer {op}")


def after_past(x, past, name, carried):
    """x behind so much of the time before it: what `carried` holds, which is then this one's, or zeros."""
    if past == 0:
        return x
    if carried is None or name not in carried:
        x = F.pad(x, (0, 0, 0, 0, past, 0))
    else:
        x = torch.cat([carried[name], x], 2)
    if carried is not None:
        carried[name] = x[:, :, -past:]
    return x


def conv(x, weight, bias, stride=(1, 1, 1), dilation=1):
    """x begins with the past that the kernel reaches; centred in space. Fewer dimensions where the
    kernel allows: 2-3x faster."""
    (kt, kh, kw), (st, sh, sw) = weight.shape[2:], stride
    down, across = (kh - sh) // 2, (kw - sw) // 2
    b, c, t, h, w = x.shape
    if h == w == kh == kw == 1:
        y = F.conv1d(x[:, :, :, 0, 0], weight[:, :, :, 0, 0], bias, stride=st, dilation=dilation)
        return y[..., None, None]
    if kt == 1 and st == 1:
        flat = x.transpose(1, 2).reshape(b * t, c, h, w)
        y = F.conv2d(flat, weight[:, :, 0], bias, stride=(sh, sw), padding=(down, across))
        return y.view(b, t, *y.shape[1:]).transpose(1, 2)
    spacing = (dilation, 1, 1)
    return F.conv3d(x, weight, bias, stride, padding=(0, down, across), dilation=spacing)


def rms_norm(x, weight):
    scale = torch.rsqrt(x.pow(2).mean(1, keepdim=True) + EPS)
    return x * scale * weight.view(1, -1, 1, 1, 1)


def unshuffle(x, factor):
    """channel = ((c ft + dt) fh + dh) fw + dw."""
    (b, c, t, h, w), (ft, fh, fw) = x.shape, factor
    x = x.reshape(b, c, t // ft, ft, h // fh, fh, w // fw, fw)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, -1, t // ft, h // fh, w // fw)


def shuffle(x, factor):
    (b, c, t, h, w), (ft, fh, fw) = x.shape, factor
    x = x.reshape(b, c // (ft * fh * fw), ft, fh, fw, t, h, w)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, -1, t * ft, h * fh, w * fw)


def overlap_add(x):
    return overlapped(F.pad(x, (0, 0, 0, 0, 1, 0)))


def overlapped(x):
    """overlap_add of frames that the one before the first precedes."""
    frames = x[:, :, :, 0, 0].transpose(1, 2)  # [B, 1 + T, 2 hop]
    head, tail = frames.chunk(2, dim=2)
    y = head[:, 1:] + tail[:, :-1]
    return y.reshape(len(y), 1, -1, 1, 1)


_filters: dict = {}


def mel_filters(fft, mels, sample_rate):
    """[mels, fft / 2 + 1]: triangles of height 1, evenly spaced on HTK's mel scale."""
    if (fft, mels, sample_rate) not in _filters:
        top = 2595 * math.log10(1 + sample_rate / 2 / 700)
        points = torch.linspace(0, top, mels + 2, dtype=torch.float64)
        points = 700 * (10 ** (points / 2595) - 1)
        bins = torch.linspace(0, sample_rate / 2, fft // 2 + 1, dtype=torch.float64)
        rise = (bins - points[:-2, None]) / (points[1:-1] - points[:-2])[:, None]
        fall = (points[2:, None] - bins) / (points[2:] - points[1:-1])[:, None]
        _filters[fft, mels, sample_rate] = torch.minimum(rise, fall).clamp(min=0).float()
    return _filters[fft, mels, sample_rate]


def logmel(samples, layer, sample_rate):
    """[B, samples] -> [B, mels, frames]: log(mel power + 1e-5) of windows that end with their hop."""
    return windowed_mel(F.pad(samples, (layer["window"] - layer["hop"], 0)), layer, sample_rate)


def windowed_mel(samples, layer, sample_rate):
    """logmel of samples that the window - hop before the first precede."""
    window, fft, hop = layer["window"], layer["fft"], layer["hop"]
    frames = samples.unfold(1, window, hop)
    frames = frames * torch.hann_window(window, device=samples.device)
    power = torch.fft.rfft(frames, fft).abs() ** 2
    filters = mel_filters(fft, layer["mels"], sample_rate).to(samples.device)
    return (power @ filters.T + 1e-5).log().transpose(1, 2)


def initial(name, shape):
    """A tensor's first values: norms 1, biases 0, the last convolution of a residual small."""
    if name.endswith("norm.weight") or len(shape) == 1 and name.endswith(".weight"):
        return torch.ones(shape)
    if name.endswith("bias"):
        return torch.zeros(shape)
    fan = math.prod(shape[1:])
    return torch.randn(shape) * (0.3 if ".conv2." in name else 1.0) / math.sqrt(fan)
