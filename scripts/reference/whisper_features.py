"""Golden log-mel features of Whisper's as Smart Turn takes them, by transformers.

With transformers 5.24 in an environment of its own it makes tests/data/whisper_features.safetensors
(see tests/data/README.md):

    python -m reference.whisper_features    (in scripts/)
"""

import os

import numpy as np
import torch
from transformers import WhisperFeatureExtractor

import safetensors_file

OUT = os.path.join(os.path.dirname(__file__), "../../tests/data/whisper_features.safetensors")
RATE = 16000
SEEN = 8 * RATE
FRAMES = 24


def sound(samples):
    """Noise and a square wave in steps of loudness, exact in float32; tests make the same."""
    made, state = np.zeros(samples, np.float32), 1
    for i in range(samples):
        state = (1103515245 * state + 12345) % 2**31
        step = i // 4000
        loudness = 0.0 if step % 7 == 6 else 0.5 ** (1 + step % 5)
        tone = 0.5 if (i // (8 + 4 * (step % 9))) % 2 == 0 else -0.5
        made[i] = loudness * (tone + ((state >> 16) - 16384) / 32768)
    return made


def main():
    extractor = WhisperFeatureExtractor(chunk_length=8)
    arrays = {}
    for name, seconds in (("short", 3.3), ("long", 9.1)):
        made = sound(round(seconds * RATE))[-SEEN:]
        seen = np.concatenate([np.zeros(SEEN - len(made), np.float32), made])
        features = extractor(
            seen, sampling_rate=RATE, padding="max_length", max_length=SEEN, truncation=True,
            do_normalize=True, return_tensors="np",
        ).input_features[0]
        assert features.shape == (80, 800)
        frames = np.unique(np.r_[0, 1, 798, 799, np.random.default_rng(1).integers(0, 800, FRAMES)])
        arrays[f"{name}.frames"] = torch.from_numpy(frames.astype(np.int32))
        arrays[f"{name}.features"] = torch.from_numpy(features[:, frames].astype(np.float32))
    safetensors_file.write(OUT, arrays)


if __name__ == "__main__":
    main()
