"""Golden latents and pictures of Wan2.1's VAE and of TAEHV, by their own implementations, in float64.

AutoencoderKLWan is diffusers'; the Wan2.1 repository's and TAEHV's own code are single files that the
options name (wan/modules/vae.py, which needs einops, and taehv.py). Makes tests/data/video_codecs/ (see
tests/data/README.md):

    python -m reference.wan_vae --original vae.py --taehv taehv.py    (in scripts/)

With --full it writes nothing there: it makes full-size models with random weights in a folder, and
measures the engine against them in float32 (docs/log says what came out):

    python -m reference.wan_vae --full --taehv taehv.py --size 64x64 --units 2 --folder /tmp/full
"""

import argparse
import importlib.util
import json
import os
import re
import subprocess
import time

import diffusers
import torch
from diffusers import AutoencoderKLWan

import safetensors_file

ROOT = os.path.join(os.path.dirname(__file__), "../..")
OUT = os.path.join(ROOT, "tests/data/video_codecs")
DENO = ["deno", "run", "-A", os.path.join(ROOT, "scripts/reference/video_codec.ts")]
TINY = {"base_dim": 4, "z_dim": 16, "dim_mult": [1, 1, 2, 2], "num_res_blocks": 1}


def module(path):
    """A module from a single file."""
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def seeded(model, seed):
    """Random weights that pass signals on, no value of which stands for another's."""
    torch.manual_seed(seed)
    for name, value in model.named_parameters():
        if name.endswith("gamma"):
            value.data = 1 + 0.2 * torch.randn_like(value)
        elif value.dim() == 1:
            value.data = 0.1 * torch.randn_like(value)
        else:
            value.data = torch.randn_like(value) * value[0].numel() ** -0.5
    return model.eval()


def recording(frames, height, width, seed=3):
    """RGB24 frames [frames, height, width, 3]: coarse colours that move, and noise."""
    torch.manual_seed(seed)
    coarse = torch.randn(1, 3, frames, 4, 4)
    smooth = torch.nn.functional.interpolate(coarse, (frames, height, width), mode="trilinear")
    video = (127.5 + 60 * smooth[0] + 15 * torch.randn(3, frames, height, width)).clamp(0, 255)
    return video.byte().permute(1, 2, 3, 0).contiguous()


def channels_last(x):
    """[1, channels, time, height, width] -> [time, height, width, channels]."""
    return x[0].permute(1, 2, 3, 0).float().contiguous()


def values(frames, dtype):
    """RGB24 frames as [1, 3, frames, height, width] in [-1, 1]."""
    return (frames.permute(3, 0, 1, 2)[None].to(dtype) / 127.5) - 1


@torch.no_grad()
def wan(model, frames, dtype):
    """Latents of unit size, and what becomes of them, [time, height, width, channels]."""
    mean, deviation = (
        torch.tensor(getattr(model.config, f"latents_{key}"), dtype=dtype).view(1, -1, 1, 1, 1)
        for key in ("mean", "std")
    )
    z = (model.encode(values(frames, dtype)).latent_dist.mode() - mean) / deviation
    return channels_last(z), channels_last(model.decode(z * deviation + mean).sample)


@torch.no_grad()
def taehv(model, frames, dtype):
    """The same of TAEHV: the first frame, which comes alone, stands for four."""
    x = values(frames, dtype).transpose(1, 2) / 2 + 0.5
    x = torch.cat([x[:, :1]] * 3 + [x], 1)
    z = model.encode_video(x, show_progress_bar=False)
    y = model.decode_video(z, show_progress_bar=False) * 2 - 1
    return channels_last(z.transpose(1, 2)), channels_last(y.transpose(1, 2))


def narrow_taehv(code, width, widths, patch=1):
    """TAEHV of its own blocks, as wide as told; its plain one has 64 and (256, 128, 64, 64)."""
    model = code.TAEHV(None, patch_size=patch)
    conv, memory, relu = code.conv, code.MemBlock, torch.nn.ReLU
    encoder = [conv(3 * patch**2, width), relu()]
    for pool in (2, 2, 1):
        encoder += [code.TPool(width, pool), conv(width, width, stride=2, bias=False)]
        encoder += [memory(width, width) for _ in range(3)]
    decoder = [code.Clamp(), conv(model.latent_channels, widths[0]), relu()]
    for grow, n, wider in zip((1, 2, 2), widths, widths[1:]):
        decoder += [memory(n, n) for _ in range(3)]
        decoder += [torch.nn.Upsample(scale_factor=2), code.TGrow(n, grow), conv(n, wider, bias=False)]
    decoder += [relu(), conv(widths[3], 3 * patch**2)]
    encoder.append(conv(width, model.latent_channels))
    model.encoder, model.decoder = torch.nn.Sequential(*encoder), torch.nn.Sequential(*decoder)
    return model


def in_range(model, key, scale=0.3, bias=0.0):
    """Makes the last convolution's result small, so that few of its values are cut off."""
    weights = model.state_dict()
    weights[f"{key}.weight"].mul_(scale)
    weights[f"{key}.bias"].add_(bias)
    return model


def original_name(name, blocks):
    """The Wan2.1 repository's name of a tensor of diffusers'."""
    up = re.match(r"decoder\.up_blocks\.(\d+)\.(resnets\.(\d+)|upsamplers\.0)\.(.*)", name)
    if up:
        index = int(up[1]) * (blocks + 2) + (int(up[3]) if up[3] else blocks + 1)
        name = f"decoder.upsamples.{index}.{up[4]}"
    parts = {
        r"^quant_conv": "conv1",
        r"^post_quant_conv": "conv2",
        r"^(..coder)\.conv_in": r"\1.conv1",
        r"^(..coder)\.norm_out": r"\1.head.0",
        r"^(..coder)\.conv_out": r"\1.head.2",
        r"mid_block\.attentions\.0": "middle.1",
        r"mid_block\.resnets\.0": "middle.0",
        r"mid_block\.resnets\.1": "middle.2",
        r"down_blocks": "downsamples",
        r"(\d)\.norm1": r"\1.residual.0",
        r"(\d)\.conv1": r"\1.residual.2",
        r"(\d)\.norm2": r"\1.residual.3",
        r"(\d)\.conv2": r"\1.residual.6",
        r"conv_shortcut": "shortcut",
    }
    for pattern, to in parts.items():
        name = re.sub(pattern, to, name)
    return name


def write_diffusers(model, folder):
    """A folder as `save_pretrained` leaves it."""
    os.makedirs(folder, exist_ok=True)
    config = {"_class_name": "AutoencoderKLWan", "_diffusers_version": diffusers.__version__}
    config |= {key: value for key, value in model.config.items() if not key.startswith("_")}
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file, indent=1)
        file.write("\n")
    weights = os.path.join(folder, "diffusion_pytorch_model.safetensors")
    safetensors_file.write(weights, model.state_dict())


def relative(a, b):
    """Distance of a to b, relative to b's length."""
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


def goldens(args):
    """Writes the tiny models and what they make of a recording."""
    tensors = {"frames": recording(9, 16, 24), "small.frames": recording(5, 16, 16)}
    # In bfloat16 the weights take half of the room; what they are rounded to is what both compute with.
    model = in_range(seeded(AutoencoderKLWan(**TINY), 1), "decoder.conv_out").bfloat16()
    write_diffusers(model, os.path.join(OUT, "wan_vae"))
    z, y = wan(model.double(), tensors["frames"], torch.float64)
    tensors |= {"wan_vae.latents": z, "wan_vae.pictures": y}

    # The original code must make the same of the same weights; only its names are committed.
    code = module(args.original)
    sizes = {"dim": TINY["base_dim"], "dim_mult": TINY["dim_mult"]}
    sizes["temperal_downsample"] = [False, True, True]
    original = code.WanVAE_(z_dim=16, num_res_blocks=1, **sizes).double().eval()
    names = {name: original_name(name, 1) for name in model.state_dict()}
    original.load_state_dict({names[name]: value for name, value in model.state_dict().items()})
    mean, deviation = (
        torch.tensor(getattr(model.config, f"latents_{key}")).double() for key in ("mean", "std")
    )
    with torch.no_grad():
        scale = [mean, 1 / deviation]
        z2 = original.encode(values(tensors["frames"], torch.float64), scale)
        y2 = original.decode(z2, scale).clamp(-1, 1)
    print("original code against diffusers:", relative(channels_last(z2), z), relative(channels_last(y2), y))
    with open(os.path.join(OUT, "wan_original_names.json"), "w") as file:
        json.dump(names, file, indent=0)
        file.write("\n")

    code = module(args.taehv)
    for name, frames, options in (
        ("taehv", "frames", {"width": 4, "widths": [8, 4, 4, 4]}),
        ("taehv_patches", "small.frames", {"width": 3, "widths": [4, 3, 2, 3], "patch": 2}),
    ):
        model = in_range(seeded(narrow_taehv(code, **options), 2), "decoder.22", 2.0, 0.5)
        safetensors_file.write(os.path.join(OUT, f"{name}.safetensors"), model.state_dict())
        z, y = taehv(model.double(), tensors[frames], torch.float64)
        tensors |= {f"{name}.latents": z, f"{name}.pictures": y}
    for name, value in tensors.items():
        inside = (value.abs() < 1).float().mean().item() if "pictures" in name else 1
        print(name, list(value.shape), f"deviation {value.float().std():.3f}, {inside:.3f} inside")
    safetensors_file.write(os.path.join(OUT, "goldens.safetensors"), tensors)


def full(args):
    """Full-size models with random weights: the engine's errors and costs beside the reference's."""
    width, height = map(int, args.size.split("x"))
    frames = recording(1 + 4 * args.units, height, width)
    code = module(args.taehv)
    os.makedirs(args.folder, exist_ok=True)
    for name in args.models:
        if name == "wan_vae":
            path, run = os.path.join(args.folder, name), wan
            model = in_range(seeded(AutoencoderKLWan(), 1), "decoder.conv_out")
            write_diffusers(model, path)
        else:
            path, run = os.path.join(args.folder, "taew2_1.safetensors"), taehv
            model = in_range(seeded(code.TAEHV(None), 2), "decoder.22", 2.0, 0.5)
            safetensors_file.write(path, model.state_dict())
        count = sum(value.numel() for value in model.parameters())
        start, used = time.monotonic(), time.process_time()
        z, y = run(model, frames, torch.float32)
        seconds, used = time.monotonic() - start, time.process_time() - used
        print(f"{name}: {count / 1e6:.1f} M parameters; {torch.get_num_threads()} threads of PyTorch "
              f"took {1000 * seconds / (args.units + 1):.0f} ms a latent there and back, "
              f"{1000 * used / (args.units + 1):.0f} ms of processor time", flush=True)
        told = os.path.join(args.folder, f"{name}_goldens.safetensors")
        safetensors_file.write(told, {"frames": frames, "latents": z, "pictures": y})
        del model
        subprocess.run([*DENO, path, told], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--original", help="wan/modules/vae.py of the Wan2.1 repository")
    parser.add_argument("--taehv", required=True, help="taehv.py")
    parser.add_argument("--full", action="store_true", help="measure full-size models")
    parser.add_argument("--models", nargs="+", default=["wan_vae", "taehv"])
    parser.add_argument("--size", default="64x64", help="WIDTHxHEIGHT of the pictures")
    parser.add_argument("--units", type=int, default=2, help="units after the first frame")
    parser.add_argument("--folder", help="where full-size models go")
    args = parser.parse_args()
    if args.full and not args.folder:
        parser.error("--full needs --folder")
    if not args.full and not args.original:
        parser.error("--original is missing")
    (full if args.full else goldens)(args)


if __name__ == "__main__":
    main()
