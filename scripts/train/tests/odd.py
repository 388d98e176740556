"""Configs that are odd in one way or another (configs.json), and checkpoints of them."""

import json
import os

import torch

import safetensors_file
from train.base import completed, write_json
from train.model import initial_weights
from train.tokenizer import tokenizer_json


def patched(base, patch):
    if not (isinstance(base, dict) and isinstance(patch, dict)):
        return patch
    return {**base, **{key: patched(base.get(key), value) for key, value in patch.items()}}


def odd_configs():
    """name -> config, in the file's order."""
    with open(os.path.join(os.path.dirname(__file__), "configs.json")) as file:
        made = json.load(file)
    return {name: patched(made["base"], patch) for name, patch in made["odd"].items()}


def write_checkpoint(folder, c, seed=5):
    """A checkpoint with random weights, stored as the config says."""
    os.makedirs(folder, exist_ok=True)
    stored = getattr(torch, c.get("torch_dtype", "float32"))
    weights = {name: w.to(stored) for name, w in initial_weights(c, seed).items()}
    safetensors_file.write(os.path.join(folder, "model.safetensors"), weights)
    write_json(os.path.join(folder, "config.json"), c)
    write_json(os.path.join(folder, "tokenizer.json"), completed(tokenizer_json(), c, folder))
