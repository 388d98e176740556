"""nano's shape: writes its config.json content. The trained shape is the one in engine/models/nano/.

    .venv/bin/python -m train.shape > config.json       (in scripts/)
"""

import json
import os
import sys

from .tokenizer import FILLER, VOCABULARY_SIZE

MELS = 40
VIDEO_CHANNELS = 32
AUDIO_CHANNELS = 32


def conv(channels, kernel=(1, 1, 1), stride=(1, 1, 1)):
    layer = {"op": "conv", "channels": channels, "kernel": list(kernel)}
    return layer if max(stride) == 1 else {**layer, "stride": list(stride)}


def residual(kernel, dilation=1, channels=None):
    layer = {"op": "residual", "kernel": list(kernel)}
    if dilation != 1:
        layer["dilation"] = dilation
    return layer if channels is None else {**layer, "channels": channels}


SILU = {"op": "silu"}


def shuffle(*factor):
    return {"op": "shuffle", "factor": list(factor)}


def unshuffle(*factor):
    return {"op": "unshuffle", "factor": list(factor)}


def halve(channels):
    return conv(channels, (1, 4, 4), (1, 2, 2))


def double(channels):
    return [conv(4 * channels), shuffle(1, 2, 2)]


VIDEO_ENCODER = [
    # One unit at a time: latents depend on their unit's frames alone. The decoder carries state.
    unshuffle(4, 8, 8),  # 16 x 16 x 768
    conv(64),
    residual((1, 3, 3)),
    SILU,
    halve(96),
    residual((1, 3, 3)),
    SILU,
    halve(128),
    residual((1, 3, 3)),
    SILU,
    halve(160),  # 2 x 2
    SILU,
    conv(VIDEO_CHANNELS),
]
VIDEO_DECODER = [
    conv(160, (2, 3, 3)),
    residual((2, 3, 3)),
    *double(128),  # 4 x 4
    residual((1, 3, 3)),
    *double(96),  # 8 x 8
    residual((2, 3, 3)),
    *double(64),  # 16 x 16
    residual((1, 3, 3)),
    *double(48),  # 32 x 32
    residual((1, 3, 3)),
    SILU,
    conv(192),
    shuffle(4, 4, 4),  # 128 x 128, four frames
]
AUDIO_ENCODER = [
    unshuffle(80, 1, 1),  # 32 x 80
    conv(128, (2, 1, 1)),
    residual((3, 1, 1)),
    residual((3, 1, 1), 3),
    SILU,
    conv(192, (8, 1, 1), (4, 1, 1)),  # 8
    residual((3, 1, 1)),
    SILU,
    conv(256, (8, 1, 1), (4, 1, 1)),  # 2
    residual((2, 1, 1)),
    conv(AUDIO_CHANNELS),
]
AUDIO_DECODER = [
    conv(256, (2, 1, 1)),
    residual((2, 1, 1)),
    conv(768),
    shuffle(4, 1, 1),  # 8 x 192
    residual((3, 1, 1)),
    residual((3, 1, 1), 3),
    conv(512),
    shuffle(4, 1, 1),  # 32 x 128
    residual((3, 1, 1)),
    residual((3, 1, 1), 3),
    residual((3, 1, 1), 9),
    SILU,
    conv(160),
    {"op": "overlap_add", "hop": 80},
]
OBSERVED_AUDIO = [
    {"op": "logmel", "window": 400, "fft": 512, "hop": 160, "mels": MELS},
    residual((5, 1, 1), 1, 128),
    residual((5, 1, 1), 3, 128),
    conv(192, (8, 1, 1), (8, 1, 1)),
    SILU,
]
OBSERVED_VIDEO = [
    unshuffle(4, 8, 8),  # 8 x 8 x 768
    conv(64),
    SILU,
    halve(96),
    SILU,
    residual((2, 3, 3)),
    halve(128),  # 2 x 2
]


def config(hidden=192, layers=4, inner=512, heads=6):
    """14 tokens a unit: 1 of text in, 2 + 4 observed, 1 of text out, 2 + 4 latents."""
    return {
        "model_type": "wanstream",
        "architectures": ["Wanstream"],
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000,
        "rope_scaling": {"mrope_section": [8, 4, 4], "mrope_interleaved": True},
        "vocab_size": VOCABULARY_SIZE,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "unit_ms": 160,
        "fps": 25,
        "positions_per_unit": 4,
        "user_text_slots": 1,
        "agent_text_slots": 1,
        "filler_token_id": FILLER,
        "history_units": 40,
        "sink_units": 0,
        "observation": {
            "audio": {"sample_rate": 16000, "encoder": OBSERVED_AUDIO},
            "video": {"width": 64, "height": 64, "encoder": OBSERVED_VIDEO},
        },
        "response": {
            "audio": {
                "sample_rate": 16000,
                "latent_channels": AUDIO_CHANNELS,
                "encoder": AUDIO_ENCODER,
                "decoder": AUDIO_DECODER,
            },
            "video": {
                "width": 128,
                "height": 128,
                "latent_channels": VIDEO_CHANNELS,
                "encoder": VIDEO_ENCODER,
                "decoder": VIDEO_DECODER,
            },
        },
        "solver": {"name": "euler", "steps": 4, "shift": 1, "guidance": 1.5},
        # A third of the world's questions are typed; it has no prompts and one persona.
        "trained_with": ["user_text"],
    }


def check_solver(solver):
    """Raises ValueError unless the engine takes this solver; its names and ranges are the engine's."""
    path = os.path.join(os.path.dirname(__file__), "../../engine/config/solver.json")
    with open(path) as file:
        known = json.load(file)
    if solver["name"] not in known["names"]:
        raise ValueError(f"solver {solver['name']}: it may be {', '.join(known['names'])}")
    for name, (least, most) in known["ranges"].items():
        if not least <= solver[name] <= most:
            raise ValueError(f"solver {name} {solver[name]}: it may be from {least} to {most}")


if __name__ == "__main__":
    json.dump(config(), sys.stdout, indent=2)
