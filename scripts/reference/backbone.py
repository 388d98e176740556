"""Golden outputs of Qwen3's forward pass, in plain PyTorch and float64.

Independent of the engine: written from the published architecture, sharing no code with it. Makes
tests/data/backbone/ (see tests/data/README.md):

    .venv/bin/python -m reference.backbone    (in scripts/)

With transformers installed (torch 2.13.0, transformers 5.24, in an environment of their own) it makes
tests/data/backbone-qwen3/ and -qwen2/, and compares the engine with transformers on a folder as it was
downloaded:

    python -m reference.backbone --transformers
    python -m reference.backbone --folder Qwen3-0.6B [--precision f32 f16 int8 int4] [--text TEXT]
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

import torch

import safetensors_file

OUT = os.path.join(os.path.dirname(__file__), "../../tests/data/backbone")

CONFIG = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "head_dim": 16,
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 96,
    "model_type": "qwen3",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "vocab_size": 64,
}
# How many rotary frequencies turn with time, height, width in the second case.
MROPE_SECTION = [4, 2, 2]


def random_weights(c):
    def normal(*shape, std):
        return (torch.randn(*shape) * std).to(torch.bfloat16)

    def norm(size):
        return (1 + 0.2 * torch.randn(size)).to(torch.bfloat16)

    d, inner, head = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    queries, keys = c["num_attention_heads"] * head, c["num_key_value_heads"] * head
    w = {"model.embed_tokens.weight": normal(c["vocab_size"], d, std=0.5)}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        w[p + "input_layernorm.weight"] = norm(d)
        w[p + "self_attn.q_proj.weight"] = normal(queries, d, std=d**-0.5)
        w[p + "self_attn.k_proj.weight"] = normal(keys, d, std=d**-0.5)
        w[p + "self_attn.v_proj.weight"] = normal(keys, d, std=d**-0.5)
        w[p + "self_attn.o_proj.weight"] = normal(d, queries, std=queries**-0.5)
        w[p + "self_attn.q_norm.weight"] = norm(head)
        w[p + "self_attn.k_norm.weight"] = norm(head)
        w[p + "post_attention_layernorm.weight"] = norm(d)
        w[p + "mlp.gate_proj.weight"] = normal(inner, d, std=d**-0.5)
        w[p + "mlp.up_proj.weight"] = normal(inner, d, std=d**-0.5)
        w[p + "mlp.down_proj.weight"] = normal(d, inner, std=2 * inner**-0.5)
    w["model.norm.weight"] = norm(d)
    return w


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def rotary_angles(c, positions, section):
    """positions [N, 3] -> angles [N, head_dim / 2]; interleaved as Qwen3-VL does it: frequencies
    1, 4, 7, ... turn with height and 2, 5, 8, ... with width, as many as the section says."""
    half = c["head_dim"] // 2
    inverse = c["rope_theta"] ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = positions[:, :1].double() * inverse
    if section is not None:
        for axis in (1, 2):
            which = slice(axis, 3 * section[axis], 3)
            angles[:, which] = positions[:, axis : axis + 1].double() * inverse[which]
    return angles


def rotate(x, angles):
    """x [heads, N, head_dim]: pairs (i, i + half) turn, as in Hugging Face's rotate_half."""
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], -1)
    angles = torch.cat([angles, angles], -1)
    return x * angles.cos() + turned * angles.sin()


def forward(c, w, x, positions, mask, section):
    """x [N, D], mask [N, N] (True: seen) -> hidden states (input, after each layer, after the last
    norm) and logits."""
    n, head, eps = x.shape[0], c["head_dim"], c["rms_norm_eps"]
    angles = rotary_angles(c, positions, section)
    hidden = [x]
    for i in range(c["num_hidden_layers"]):
        layer = lambda name: w[f"model.layers.{i}.{name}.weight"]
        split = lambda y: y.view(n, -1, head).transpose(0, 1)  # [heads, N, head_dim]
        y = rms_norm(x, layer("input_layernorm"), eps)
        q = split(y @ layer("self_attn.q_proj").T)
        k = split(y @ layer("self_attn.k_proj").T)
        v = split(y @ layer("self_attn.v_proj").T)
        q = rotate(rms_norm(q, layer("self_attn.q_norm"), eps), angles)
        k = rotate(rms_norm(k, layer("self_attn.k_norm"), eps), angles)
        repeat = c["num_attention_heads"] // c["num_key_value_heads"]
        k, v = k.repeat_interleave(repeat, 0), v.repeat_interleave(repeat, 0)
        scores = (q @ k.transpose(1, 2)) / math.sqrt(head)
        attended = scores.masked_fill(~mask, -math.inf).softmax(-1) @ v
        x = x + attended.transpose(0, 1).reshape(n, -1) @ layer("self_attn.o_proj").T
        y = rms_norm(x, layer("post_attention_layernorm"), eps)
        gate, up = y @ layer("mlp.gate_proj").T, y @ layer("mlp.up_proj").T
        x = x + (torch.nn.functional.silu(gate) * up) @ layer("mlp.down_proj").T
        hidden.append(x)
    normed = rms_norm(x, w["model.norm.weight"], eps)
    logits = normed @ w["model.embed_tokens.weight"].T
    return torch.stack(hidden + [normed]), logits


GROUPS = ["observation", "language", "response"]


def sees(query, key):
    """The block-causal rule, for (unit, group, index within the group)."""
    if query[0] != key[0]:
        return key[0] < query[0]
    if query[1] != key[1]:
        return GROUPS.index(key[1]) < GROUPS.index(query[1])
    return query[1] != "language" or key[2] <= query[2]


def stream_tokens():
    """Places and positions of a prefill (2 prompt tokens, 2 of a persona) and two units (audio,
    2x2 video | 2 text slots | audio, 1x3 video), 4 positions a unit from 2 on."""
    places = [(-1, "language", 0), (-1, "language", 1), (-1, "response", 0), (-1, "response", 1)]
    positions = [(0, 0, 0), (1, 1, 1), (0, 0, 0), (1, 1, 2)]
    for unit in (0, 1):
        t = 2 + 4 * unit
        observation = [(t, t, t)] + [(t, t + h, t + w) for h in (0, 1) for w in (0, 1)]
        language = [(t, t, t), (t + 2, t + 2, t + 2)]
        response = [(t, t, t)] + [(t, t, t + w) for w in (0, 1, 2)]
        for group, rows in zip(GROUPS, (observation, language, response)):
            places += [(unit, group, index) for index in range(len(rows))]
            positions += rows
    return places, positions


TINY = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 160,
    "max_position_embeddings": 256,
}
# The first seed whose greedy tokens are all clearly the likeliest, and many different ones.
FAMILIES = {
    "qwen3": {"head_dim": 32, "tie_word_embeddings": False},
    "qwen2": {"tie_word_embeddings": True},
}
GREEDY = 64

# Around a system prompt, a user's and an assistant's turns, as ChatML has it.
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


def write_tokenizer(folder):
    """A byte-level tokenizer of printable ASCII, the newline and three special tokens, as transformers
    saves one; ids that the vocabulary has beyond them stay unused."""
    letters = ["\u0120"] + [chr(byte) for byte in range(0x21, 0x7F)] + ["\u010a"]
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [
            {"id": len(letters) + i, "content": content, **flags} for i, content in enumerate(specials)
        ],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {
            "type": "BPE",
            "unk_token": None,
            "vocab": {letter: i for i, letter in enumerate(letters)},
            "merges": [],
        },
    }
    for name, content in (
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", {"chat_template": CHAT_TEMPLATE}),
    ):
        with open(os.path.join(folder, name), "w") as file:
            json.dump(content, file, indent=1)
            file.write("\n")


def causal(model, ids, count):
    """Logits of a plain pass over ids, `count` greedy tokens after them by a growing cache, and the least
    lead of a greedy token over the next likely one."""
    with torch.no_grad():
        out = model(ids.view(1, -1), use_cache=True)
        logits, row, cache = out.logits[0], out.logits[0, -1], out.past_key_values
        tokens, lead = [], math.inf
        while len(tokens) < count:
            top = row.topk(2)
            lead = min(lead, (top.values[0] - top.values[1]).item())
            tokens.append(top.indices[0].item())
            out = model(top.indices[:1].view(1, 1), past_key_values=cache, use_cache=True)
            row, cache = out.logits[0, -1], out.past_key_values
    return logits, tokens, lead


def with_transformers():
    """Tiny models of transformers' own classes with seeded weights, saved as it saves them."""
    import transformers

    for family, extra in FAMILIES.items():
        name = {"qwen3": "Qwen3", "qwen2": "Qwen2"}[family]
        config = getattr(transformers, f"{name}Config")(**TINY, **extra)
        folder = f"{OUT}-{family}"
        for seed in range(100):
            torch.manual_seed(seed)
            model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
            for key, parameter in model.named_parameters():
                # Larger than the first weights of a training: attention and gates then do something.
                std = 0.2 if parameter.dim() == 2 else 0.3
                mean = 1.0 if "norm" in key else 0.0
                torch.nn.init.normal_(parameter, mean, std)
            # What is stored is bf16; the reference computes with these values in f32. The rotary
            # frequencies, which are no parameters, stay as they are.
            for parameter in model.parameters():
                parameter.data = parameter.data.to(torch.bfloat16).float()
            ids = torch.randint(0, TINY["vocab_size"], (24,))
            logits, tokens, lead = causal(model, ids, GREEDY)
            if lead > 0.02 and len(set(tokens)) > 12:
                break
        model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="100KB")
        os.remove(os.path.join(folder, "generation_config.json"))
        write_tokenizer(folder)
        goldens = {
            "ids": ids.int(),
            "logits": logits.float(),
            "tokens": torch.tensor(tokens).int(),
        }
        safetensors_file.write(os.path.join(folder, "goldens.safetensors"), goldens)
        print(f"{family}: seed {seed}, lead {lead:.3f}, {len(set(tokens))} different tokens")


def compare(folder, precisions, text):
    """Prints how far the engine is from transformers on a folder."""
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder) if text else None
    if tokenizer:
        ids = tokenizer(text, return_tensors="pt").input_ids[0]
    else:
        torch.manual_seed(0)
        ids = torch.randint(0, model.config.vocab_size, (24,))
    logits, tokens, lead = causal(model, ids, GREEDY)
    script = os.path.join(os.path.dirname(__file__), "causal.ts")
    print(f"{folder}: {len(ids)} tokens, {GREEDY} greedy ones, least lead {lead:.4f}")
    worst = 0.0
    for precision in precisions:
        with tempfile.TemporaryDirectory() as at:
            output = os.path.join(at, "causal.safetensors")
            subprocess.run(
                ["deno", "run", "-q", "-A", script, folder, "--precision", precision, "-o", output]
                + ["--ids", ",".join(str(i) for i in ids.tolist()), "--greedy", str(GREEDY)],
                check=True,
            )
            ours = safetensors_file.read(output)
        error = ((ours["logits"] - logits).norm() / logits.norm()).item()
        same = next((i for i, (a, b) in enumerate(zip(ours["tokens"].int().tolist(), tokens)) if a != b), GREEDY)
        print(f"{precision}: relative error of logits {error:.2e}, {same} of {GREEDY} greedy tokens equal")
        if precision == "f32":
            worst = error if same == GREEDY else math.inf
    return 0 if worst < 1e-3 else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--transformers", action="store_true", help="tiny models by transformers")
    parser.add_argument("--folder", help="a Qwen3 or Qwen2.5 folder to compare the engine on")
    parser.add_argument("--precision", nargs="+", default=["f32", "f16", "int8", "int4"])
    parser.add_argument("--text", help="its tokens are given; by default 24 random ones")
    args = parser.parse_args()
    if args.folder:
        sys.exit(compare(args.folder, args.precision, args.text))
    if args.transformers:
        return with_transformers()
    plain()


def plain():
    torch.manual_seed(1)
    os.makedirs(OUT, exist_ok=True)
    weights = random_weights(CONFIG)
    safetensors_file.write(os.path.join(OUT, "model.safetensors"), weights)
    with open(os.path.join(OUT, "config.json"), "w") as file:
        json.dump(CONFIG, file, indent=2)
        file.write("\n")
    w = {name: tensor.double() for name, tensor in weights.items()}

    ids = torch.randint(0, CONFIG["vocab_size"], (12,))
    line = torch.arange(12).view(12, 1).expand(12, 3)
    causal = torch.ones(12, 12, dtype=torch.bool).tril()
    hidden, logits = forward(CONFIG, w, w["model.embed_tokens.weight"][ids], line, causal, None)
    goldens = {
        "causal.ids": ids.int(),
        "causal.hidden": hidden.float(),
        "causal.logits": logits.float(),
    }

    places, positions = stream_tokens()
    mask = torch.tensor([[sees(q, k) for k in places] for q in places])
    positions = torch.tensor(positions)
    x = (torch.randn(len(places), CONFIG["hidden_size"]) * 0.5).float()
    hidden, logits = forward(CONFIG, w, x.double(), positions, mask, MROPE_SECTION)
    goldens |= {
        "stream.mrope_section": torch.tensor(MROPE_SECTION).int(),
        "stream.units": torch.tensor([unit for unit, _, _ in places]).int(),
        "stream.groups": torch.tensor([GROUPS.index(group) for _, group, _ in places]).int(),
        "stream.indices": torch.tensor([index for _, _, index in places]).int(),
        "stream.positions": positions.int(),
        "stream.mask": mask.to(torch.uint8),
        "stream.input": x,
        "stream.hidden": hidden.float(),
        "stream.logits": logits.float(),
    }
    safetensors_file.write(os.path.join(OUT, "goldens.safetensors"), goldens)


if __name__ == "__main__":
    main()
