"""Golden outputs of Mimi by transformers' MimiModel, from random weights. Needs torch and transformers
(`pip install torch==2.13.0 transformers==5.24.0`, in an environment of its own), in scripts/:

    python -m reference.mimi                a tiny one with all that a config can ask for: tests/data/mimi/
    python -m reference.mimi --full DIR     the published sizes, for scripts/reference/codec.ts

A folder gets config.json and model.safetensors as transformers saves them, and goldens.safetensors:
`sound` [samples], `latents` [frames, channels] before the quantizer, `codes` [frames, codebooks],
`quantized` [frames, channels], `decoded` [samples] from the latents, `decoded_codes` from the codes;
the tiny one also `replicate.latents` and `replicate.decoded`, with pad_mode "replicate".
"""

import argparse
import os
import time

import torch
from transformers import MimiConfig, MimiModel

import safetensors_file

OUT = os.path.join(os.path.dirname(__file__), "../../tests/data/mimi")

# Mimi's 25 and 12.5 frames a second, at 1500 samples a second: a unit of 160 ms is 240 samples. The window
# is shorter than the recording; everything that a config can switch on is on.
TINY = {
    "sampling_rate": 1500,
    "frame_rate": 12.5,
    "upsampling_ratios": [5, 4, 3],
    "hidden_size": 32,
    "num_filters": 4,
    "num_residual_layers": 2,
    "use_conv_shortcut": True,
    "upsample_groups": 8,
    "num_hidden_layers": 2,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "sliding_window": 10,
    "codebook_size": 64,
    "codebook_dim": 16,
    "vector_quantization_hidden_dimension": 16,
    "num_quantizers": 6,
    "num_semantic_quantizers": 2,
}


def randomize(model):
    """Weights under which every part counts: norms, scales and codebooks that are no constants."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            normal = torch.randn(tensor.shape)
            if name.endswith("_layernorm.weight"):
                tensor.copy_(1 + 0.2 * normal)
            elif name.endswith(".scale"):
                tensor.copy_(0.3 * normal)
            elif name.endswith("cluster_usage"):
                tensor.copy_(1 + 3 * torch.rand(tensor.shape))
            elif name.endswith("bias"):
                tensor.copy_(0.1 * normal)
            elif name.endswith("weight"):
                # A transposed convolution of stride s and kernel 2 s adds two taps of each input up.
                transposed = "upsample" in name or ("decoder" in name and tensor.shape[-1] % 2 == 0)
                if tensor.dim() == 3 and transposed:
                    inputs = 2 * (1 if "upsample" in name else tensor.shape[0])
                else:
                    inputs = tensor[0].numel()
                tensor.copy_(normal * (1.2 / inputs) ** 0.5)


def fill_codebooks(model, latents):
    """Codebooks of the size of what they quantize: each about half of what is left."""
    with torch.no_grad():
        for half in (
            model.quantizer.semantic_residual_vector_quantizer,
            model.quantizer.acoustic_residual_vector_quantizer,
        ):
            deviation = half.input_proj(latents).std()
            for layer in half.layers:
                book = layer.codebook
                values = torch.randn(book.embed_sum.shape) * deviation * book.cluster_usage[:, None]
                book.embed_sum.copy_(values)
                deviation = deviation * 0.7


def make(folder, config, units, dtype):
    """Saves a random model in `dtype`, and what it makes of noise in float64 (full size: float32)."""
    torch.manual_seed(1)
    model = MimiModel(MimiConfig(**config)).eval()
    model.config._attn_implementation = "eager"
    samples = units * model.config.sampling_rate * 160 // 1000
    sound = torch.randn(samples) * 0.5
    with torch.no_grad():
        randomize(model)
        fill_codebooks(model, model.encoder(sound[None, None]).latents)
        model.to(dtype).save_pretrained(folder)
        exact = torch.float64 if dtype == torch.bfloat16 else torch.float32
        model = MimiModel.from_pretrained(folder, dtype=exact, attn_implementation="eager").eval()
        begin = time.process_time()
        latents = model.encoder(sound[None, None].to(exact)).latents
        encoded = time.process_time()
        codes = model.quantizer.encode(latents).transpose(0, 1)
        quantized = model.quantizer.decode(codes)
        quantizing = time.process_time()
        decoded = model.decoder(latents).audio_values
        times = encoded - begin, time.process_time() - quantizing
        decoded_codes = model.decoder(quantized).audio_values
        gap = least_gap(model, latents, codes)
    print(f"{folder}: {latents.std():.2f} deviation of latents, {decoded.std():.2f} of sound; two")
    print(f"nearest codes differ by {gap:.1e} of their squared distance at least")
    encoder, decoder = (f"{1000 * seconds / units:.0f} ms" for seconds in times)
    print(f"processor time a unit, all units at once: encoder {encoder}, decoder {decoder}")
    goldens = {
        "sound": sound.float(),
        "latents": latents[0].T.float(),
        "codes": codes[0].T.int(),
        "quantized": quantized[0].T.float(),
        "decoded": decoded[0, 0].float(),
        "decoded_codes": decoded_codes[0, 0].float(),
    }
    if dtype == torch.bfloat16:
        load = {"dtype": exact, "attn_implementation": "eager", "pad_mode": "replicate"}
        model = MimiModel.from_pretrained(folder, **load).eval()
        with torch.no_grad():
            latents = model.encoder(sound[None, None].to(exact)).latents
            decoded = model.decoder(latents).audio_values
        goldens |= {
            "replicate.latents": latents[0].T.float(),
            "replicate.decoded": decoded[0, 0].float(),
        }
    safetensors_file.write(os.path.join(folder, "goldens.safetensors"), goldens)


def least_gap(model, latents, codes):
    """How near the second nearest entry comes to the nearest, of the squared distance."""
    gap, at = 1.0, 0
    for half in (
        model.quantizer.semantic_residual_vector_quantizer,
        model.quantizer.acoustic_residual_vector_quantizer,
    ):
        left = half.input_proj(latents)[0].T
        for layer in half.layers:
            distances = torch.cdist(left.double(), layer.codebook.embed.double()) ** 2
            two = distances.topk(2, largest=False).values
            gap = min(gap, ((two[:, 1] - two[:, 0]) / two[:, 1]).min().item())
            left = left - layer.codebook.embed[codes[0, at]]
            at += 1
    return gap


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", metavar="DIR", help="the published sizes, in 0.4 GB")
    parser.add_argument("--units", type=int, default=12, help="units of 160 ms")
    args = parser.parse_args()
    torch.set_num_threads(2)
    if args.full:
        make(args.full, {}, args.units, torch.float32)
    else:
        make(OUT, TINY, args.units, torch.bfloat16)


if __name__ == "__main__":
    main()
