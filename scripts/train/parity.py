"""What PyTorch makes of a checkpoint, for comparison with the engine: the same conversation, noise and
greedy text, unit by unit.

    .venv/bin/python -m train.parity CHECKPOINT --out FOLDER [--seed 100000] [--units 40]  (in scripts/)
    deno run --allow-read --allow-env scripts/train/parity.ts CHECKPOINT FOLDER           (in the repository's root)

With --steps 1 latents are the noise minus one velocity, so that velocities are compared as they are.
"""

import argparse
import json
import os

import numpy as np
import torch

import safetensors_file
from world import render
from world.conversation import Conversation, truth
from world.stream import UNIT

from .model import Model, Stream
from .noise import unit_noise
from .rollout import pictures, solver_taus, sounds
from .stacks import logmel
from .tokenizer import IDS


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--out", required=True)
    parser.add_argument("--seed", type=int, default=100_000)
    parser.add_argument("--units", type=int, default=40)
    parser.add_argument("--steps", type=int, help="solver steps; default the checkpoint's")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with open(os.path.join(args.checkpoint, "config.json")) as file:
        c = json.load(file)
    model = Model(c, safetensors_file.read(os.path.join(args.checkpoint, "model.safetensors")))
    conversation = Conversation(args.seed, length=max(12, args.units * 0.16))
    units = min(args.units, conversation.units)
    sound = render.user_audio(conversation)[: units * UNIT]
    frames = render.user_frames(conversation, last=units)
    typed = [entry["typed"] for entry in truth(conversation)["timeline"][:units]]
    mel = logmel(torch.from_numpy(sound)[None], c["observation"]["audio"]["encoder"][0])
    batch = {
        "mel": mel[..., None, None],
        "frames": torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1,
    }
    lay = model.layout
    shapes = [(lay.agent_audio, c["response"]["audio"]["latent_channels"])]
    shapes += [(lay.agent_video, c["response"]["video"]["latent_channels"])]
    count = [a * b for a, b in shapes]
    steps = args.steps or c["solver"]["steps"]
    stream, taus = Stream(model, 1), solver_taus(steps, c["solver"]["shift"])
    ids, logits, drawn, solved, previous = [], [], [], ([], []), None
    with torch.no_grad():
        audio, video = model.observe(batch, units)
        for unit in range(units):
            word = torch.tensor([-1 if typed[unit] is None else IDS[typed[unit]]])
            chosen, scores = stream.think(word, audio[:, unit], video[:, unit], previous, lambda l: l.argmax(-1))
            noise = torch.from_numpy(unit_noise(0, unit, sum(count)))
            z = tuple(part.view(1, *shape) for part, shape in zip(noise.split(count), shapes))
            previous = stream.solve(z, taus, c["solver"]["guidance"])
            ids.append(int(chosen))
            logits.append(scores[0].numpy())
            drawn.append(noise.numpy())
            for kept, part in zip(solved, previous):
                kept.append(part)
    latents = tuple(torch.stack(part, 1) for part in solved)
    os.makedirs(args.out, exist_ok=True)
    write = lambda name, values: np.asarray(values).tofile(os.path.join(args.out, name))
    write("user.f32", sound.astype("<f4"))
    write("user.rgb", frames)
    write("logits.f32", np.stack(logits).astype("<f4"))
    write("noise.f32", np.stack(drawn).astype("<f4"))
    write("latents.f32", torch.cat([part[0].flatten(1) for part in latents], 1).numpy().astype("<f4"))
    write("agent.f32", sounds(model.w, latents[0])[0].numpy().astype("<f4"))
    write("agent.rgb", pictures(model.w, latents[1], tuple(lay.agent_grid)))
    with open(os.path.join(args.out, "units.json"), "w") as file:
        json.dump({"units": units, "steps": steps, "typed": typed, "tokens": ids}, file)


if __name__ == "__main__":
    main()
