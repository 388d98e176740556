"""Configs that are odd in one way or another (configs.json), and checkpoints of them."""

import json
import os
import sys

import torch

import safetensors_file
from train.base import completed, write_json
from train.tensors import initial_weights
from train.tokenizer import added_token, byte_letters, tokenizer_json


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


def write_qwen(folder):
    """A folder as Qwen3's are downloaded, tiny and random: BF16, a byte-level tokenizer with some merges,
    rows of the vocabulary that no token has."""
    os.makedirs(folder, exist_ok=True)
    letters = byte_letters()
    vocab = {letter: byte for byte, letter in enumerate(letters)}
    merges = []
    for word in ("\u0120what", "\u0120colour", "\u0120it", "\u0120red", "is"):
        for end in range(2, len(word) + 1):
            if word[:end] not in vocab:
                merges.append([word[: end - 1], word[end - 1]])
                vocab[word[:end]] = len(vocab)
    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    split = {"type": "Split", "pattern": {"Regex": " ?\\p{L}+|\\s+|[^\\s\\p{L}]+"}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    tokenizer = tokenizer_json()
    tokenizer["added_tokens"] = [added_token(len(vocab) + i, text) for i, text in enumerate(specials)]
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, level]}
    tokenizer["decoder"] = level
    tokenizer["model"].update(ignore_merges=False, vocab=vocab, merges=merges)
    c = {"model_type": "qwen3", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    c |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 1e-6}
    c |= {"rope_theta": 1e6, "vocab_size": 320, "tie_word_embeddings": True, "torch_dtype": "bfloat16"}
    whole = {**odd_configs()["plain"], **c}
    weights = {n: w.bfloat16() for n, w in initial_weights(whole, 9).items() if n.startswith("model.")}
    safetensors_file.write(os.path.join(folder, "model.safetensors"), weights)
    write_json(os.path.join(folder, "config.json"), c)
    write_json(os.path.join(folder, "tokenizer.json"), tokenizer)


if __name__ == "__main__":
    write_qwen(sys.argv[1])
