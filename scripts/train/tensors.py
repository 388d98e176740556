"""Tensors of a checkpoint by the engine's names: their shapes and first weights."""

import math

import torch

from . import stacks
from .coders import MEDIA, observation_encoder, response_decoder, response_encoder

TYPE_COUNT = 7
TAU_FEATURES = 256


def expected_tensors(c):
    """Name to shape of every tensor of a checkpoint, as expectedTensors in engine/checkpoint/tensors.ts."""
    d, inner, head = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    queries, keys = c["num_attention_heads"] * head, c["num_key_value_heads"] * head
    tensors = {"model.embed_tokens.weight": [c["vocab_size"], d]}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        tensors[p + "input_layernorm.weight"] = [d]
        tensors[p + "self_attn.q_proj.weight"] = [queries, d]
        tensors[p + "self_attn.k_proj.weight"] = [keys, d]
        tensors[p + "self_attn.v_proj.weight"] = [keys, d]
        tensors[p + "self_attn.o_proj.weight"] = [d, queries]
        tensors[p + "self_attn.q_norm.weight"] = [head]
        tensors[p + "self_attn.k_norm.weight"] = [head]
        tensors[p + "post_attention_layernorm.weight"] = [d]
        tensors[p + "mlp.gate_proj.weight"] = [inner, d]
        tensors[p + "mlp.up_proj.weight"] = [inner, d]
        tensors[p + "mlp.down_proj.weight"] = [d, inner]
    tensors["model.norm.weight"] = [d]
    if not c["tie_word_embeddings"]:
        tensors["lm_head.weight"] = [c["vocab_size"], d]

    def linear(name, out, inputs):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = [out, inputs], [out]

    tensors["type_embedding.weight"] = [TYPE_COUNT, d]
    tensors["no_picture_embedding"] = [d]
    tensors["no_sound_embedding"] = [d]
    linear("tau_embedding.linear1", d, TAU_FEATURES)
    linear("tau_embedding.linear2", d, d)
    for medium in MEDIA:
        encoder = observation_encoder(c, medium)
        if c["observation"][medium]["encoder"] != "codec":
            tensors.update(encoder.tensors())
        linear(f"observation.{medium}.projection", d, encoder.output()[3])
    for medium in MEDIA:
        tensors.update({**response_encoder(c, medium).tensors(), **response_decoder(c, medium).tensors()})
        linear(f"response.{medium}.input", d, c["response"][medium]["latent_channels"])
        linear(f"response.{medium}.output", c["response"][medium]["latent_channels"], d)
    return tensors


def is_codec(name):
    """Whether a tensor is part of a response codec's encoder or decoder."""
    parts = name.split(".")
    return parts[0] == "response" and parts[2] in ("encoder", "decoder")


def initial_weights(c, seed=0):
    """Fresh float32 tensors."""
    torch.manual_seed(seed)
    d = c["hidden_size"]
    weights = {}
    for name, shape in expected_tensors(c).items():
        value = stacks.initial(name, shape)
        if name in ("model.embed_tokens.weight", "type_embedding.weight") or name.startswith("no_"):
            value = torch.randn(shape) / math.sqrt(d)
        elif ".output.weight" in name:
            value = value * 0.3
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            value = value / math.sqrt(2 * c["num_hidden_layers"])
        weights[name] = value
    # Log-mel values lie around -7 +- 3: the first convolution takes that out.
    encoder = c["observation"]["audio"]["encoder"]
    if encoder != "codec" and encoder[0]["op"] == "logmel":
        first = next(i for i, layer in enumerate(encoder) if layer["op"] == "conv")
        name = f"observation.audio.encoder.{first}"
        weights[f"{name}.weight"] /= 3
        weights[f"{name}.bias"] = 7 * weights[f"{name}.weight"].sum((1, 2, 3, 4))
    return weights
