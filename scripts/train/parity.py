"""What PyTorch makes of a checkpoint, for comparison with the engine: the same conversation, noise and
greedy text, unit by unit.

    .venv/bin/python -m train.parity CHECKPOINT --out FOLDER [--seed 100000] [--units 40]  (in scripts/)
    deno run --allow-read --allow-env scripts/train/parity.ts CHECKPOINT FOLDER           (in the repository's root)

With --given the session has a prompt, a reference voice and a reference picture, drawn at random.
With --steps 1 latents are the noise minus one velocity, so that velocities are compared as they are.
"""

import argparse
import json
import os

import numpy as np
import torch

from world import render
from world.conversation import Conversation, truth
from world.stream import SAMPLE_RATE

from . import given
from .base import ask_engine, completed, read_json, read_weights
from .coders import Encoders, heard
from .fit import Fit
from .model import Model, Stream
from .noise import unit_noise
from .rollout import pictures, sounds
from .solver import taus_of
from .tokenizer import Tokens, spread


def run(checkpoint, out, seed=100_000, units=40, steps=None, references=None):
    """Writes to the folder OUT what the user gives and what PyTorch makes of it, as parity.ts reads it.
    references: what the session is given before, some of `prompt`, `voice` (samples at 16 kHz) and `picture`
    (uint8, of the response's size)."""
    c = read_json(os.path.join(checkpoint, "config.json"))
    tokenizer = completed(read_json(os.path.join(checkpoint, "tokenizer.json")), c, checkpoint)
    tokens = Tokens(tokenizer, c["filler_token_id"], ask_engine)
    model = Model(c, read_weights(checkpoint))
    lay, user = model.layout, Fit(c, "observation")
    conversation = Conversation(seed, length=max(12, units * c["unit_ms"] / 1000))
    units = min(units, user.units(conversation.units))
    sound = user.sound(render.user_audio(conversation), units)
    frames = user.frames(render.user_frames(conversation, last=user.world_units(units)), units)
    begun: dict = {}
    for unit, entry in enumerate(truth(conversation)["timeline"]):
        if entry["typed"] is not None:
            begun.setdefault(user.unit_of(unit), []).extend(tokens.typed(entry["typed"]))
    typed = torch.tensor(spread(begun, units, lay.user_text, -1), dtype=torch.long)
    batch = {
        "mel": heard(c, torch.from_numpy(sound)[None]),
        "frames": torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1,
        "typed": typed[None],
    }
    count = [tokens * channels for tokens, channels in lay.latents]
    solver = {**c["solver"], **({"steps": steps} if steps else {})}
    taus, references, agent = taus_of(solver["steps"], solver["shift"]), references or {}, Fit(c)
    with torch.no_grad():
        before = given.made(tokens, Encoders(c, model.w), agent, **references)
        stream = Stream(model, 1, given=given.padded([before], [0]) if references else None)
    ids, logits, drawn, solved, previous = [], [], [], ([], []), None
    with torch.no_grad():
        audio, video = model.observe(batch, units)
        for unit in range(units):
            chosen, scores = stream.think(
                typed[None, unit], audio[:, unit], video[:, unit], previous, lambda l, _: l.argmax(-1)
            )
            noise = torch.from_numpy(unit_noise(0, unit, sum(count)))
            z = tuple(part.view(1, *shape) for part, shape in zip(noise.split(count), lay.latents))
            previous = stream.solve(z, taus, solver["guidance"], solver["name"])
            ids.append(chosen[0].tolist())
            logits.append(scores[0, -1].numpy())
            drawn.append(noise.numpy())
            for kept, part in zip(solved, previous):
                kept.append(part)
        latents = tuple(torch.stack(part, 1) for part in solved)
        os.makedirs(out, exist_ok=True)
        write = lambda name, values: np.asarray(values).tofile(os.path.join(out, name))
        write("user.f32", sound.astype("<f4"))
        write("user.rgb", frames)
        voice = references.get("voice", np.zeros(0, np.float32))
        write("voice.f32", agent.filled(voice.clip(-1, 1), given.LONGEST_VOICE).astype("<f4"))
        write("picture.rgb", references.get("picture", np.zeros(0, np.uint8)))
        write("logits.f32", np.stack(logits).astype("<f4"))
        write("noise.f32", np.stack(drawn).astype("<f4"))
        write("latents.f32", torch.cat([part[0].flatten(1) for part in latents], 1).numpy().astype("<f4"))
        write("agent.f32", sounds(c, model.w, latents[0])[0].numpy().astype("<f4"))
        write("agent.rgb", pictures(c, model.w, latents[1], tuple(lay.agent_grid)))
    record = {"units": units, "steps": solver["steps"], "tokens": ids, "prompt": references.get("prompt", "")}
    record["typed"] = [[id for id in row if id >= 0] for row in typed.tolist()]
    with open(os.path.join(out, "units.json"), "w") as file:
        json.dump(record, file)


def drawn(c, seed=3, seconds=1.5):
    """References as random as what they stand for: a prompt of known words, noise for a voice, a picture."""
    rng, video = np.random.default_rng(seed), c["response"]["video"]
    voice = rng.normal(0, 0.1, int(seconds * SAMPLE_RATE)).astype(np.float32)
    picture = rng.integers(0, 256, (video["height"], video["width"], 3), np.uint8)
    return {"prompt": "what colour is it", "voice": voice, "picture": picture}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--out", required=True)
    parser.add_argument("--seed", type=int, default=100_000)
    parser.add_argument("--units", type=int, default=40)
    parser.add_argument("--steps", type=int, help="solver steps; default the checkpoint's")
    parser.add_argument("--given", action="store_true", help="a prompt, a voice and a picture come before")
    args = parser.parse_args()
    torch.set_num_threads(1)
    references = drawn(read_json(os.path.join(args.checkpoint, "config.json"))) if args.given else None
    run(args.checkpoint, args.out, args.seed, args.units, args.steps, references)


if __name__ == "__main__":
    main()
