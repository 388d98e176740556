"""A conversation of world 2 as streams: sound of both sides, pictures of both sides, what the model is given
before, truth.

    python -m world2.render 100003 --seconds 30 --mp4 show.mp4      (in scripts/)
    python -m world2.render 100003 --out FOLDER --form lossless [--swap card] [--condition prompts]

The last writes what `wanstream eval` reads: user.*, agent.*, truth.json, and persona.png and voice.wav where
a picture and a sound are given (docs/eval.md).
"""

import argparse
import base64
import json
import os
import subprocess

import numpy as np

from world import counterfactual, synthesizers
from world.render import (
    COMPACT,
    LOSSLESS,
    agent_audio,
    blinks,
    faded,
    openness,
    user_audio,
    write_mp4,
    write_wav,
)
from world.stream import FPS, FRAMES

from . import agents, camera
from .characters import HEIGHT, LIDS, MOUTHS, NOD, SWAY, WIDTH, rest_features
from .conditions import CONDITIONS
from .conversation import neighbour_voices, neighbours, swap, truth

__all__ = ["agent_audio", "agent_frames", "agent_states", "user_audio", "user_frames"]

PIECE = 50  # units whose pictures are made at a time


def user_frames(c, noise=True, first=0, last=None):
    """uint8 [(last - first) x FRAMES, 64, 112, 3] of units first to last. noise: there for world.render's
    sake."""
    count = c.units * FRAMES
    end = count if last is None else last * FRAMES
    if c.blind:
        return np.zeros((end - first * FRAMES, camera.HIGH, camera.WIDTH, 3), np.uint8)
    rng = np.random.default_rng([c.seed, 3])
    mouth = openness([(s, x) for s, x, _, moves in c.user_clips if moves], c.units, 6) / 5
    lids = blinks(rng, count, [1, 1, 1])
    return camera.user_frames(c.face, c.presence, c.cards, c.view, count, mouth, lids, first * FRAMES, end)


def agent_states(c):
    """int [units x FRAMES, 4]: mouth (0 closed to MOUTHS - 1), lids (0 open to LIDS - 1), sway (-SWAY to SWAY)
    and nod (0 to NOD)."""
    rng = np.random.default_rng([c.seed, 4])
    count = c.units * FRAMES
    mouth = openness(faded(c.agent_clips), c.units, MOUTHS)
    lids = blinks(rng, count, [LIDS // 2, LIDS - 1, LIDS // 2])
    phase, period = rng.uniform(0, 6.28), rng.uniform(90, 140)
    sway = np.round(0.6 * SWAY * np.sin(phase + 2 * np.pi * np.arange(count) / period)).astype(int)
    nod = np.zeros(count, int)
    down = [1, 3, 6, 9, 9, 7, 5, 3, 1, 0]
    for at in c.nods:
        start = at * FPS // 16000
        part = down[: max(0, count - start)]
        nod[start : start + len(part)] = part
    return np.stack([mouth, lids, sway, nod], 1)


def agent_frames(c, states):
    """uint8 [frames, 192, 336, 3] of agent_states; each picture is drawn once."""
    once, where = np.unique(states, axis=0, return_inverse=True)
    mouth, lids, sway, nod = once.T
    return c.character.frames(mouth / (MOUTHS - 1), lids / (LIDS - 1), nod / NOD, sway / SWAY)[where.reshape(-1)]


def write_pictures(path, pieces, size, output, inputs=()):
    """Pieces uint8 [n, h, w, 3] one after the other, by FFmpeg with these options. size: (width, height)."""
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{size[0]}x{size[1]}", "-r", str(FPS), "-i", "-"]
    ffmpeg = subprocess.Popen([*command, *inputs, *output, "-bitexact", path], stdin=subprocess.PIPE)
    assert ffmpeg.stdin
    for frames in pieces:
        ffmpeg.stdin.write(frames.tobytes())
    ffmpeg.stdin.close()
    if ffmpeg.wait():
        raise RuntimeError(f"ffmpeg failed on {path}")


def write_coded(path, pieces, size, sound, coding):
    write_wav(path + ".wav", sound)
    write_pictures(path, pieces, size, coding, ["-i", path + ".wav"])
    os.remove(path + ".wav")


def faces(c):
    """For eval's measure of characters: features of the reference pictures of neighbours(c), uint8 [27, 48, 3] each in
    base64, the first the right one's."""
    features = (rest_features(one.seed) for one in neighbours(c))
    return [base64.b64encode((one + 0.5).clip(0, 255).astype(np.uint8).tobytes()).decode() for one in features]


def write_for_eval(c, args):
    os.makedirs(args.out, exist_ok=True)
    stem = lambda name: os.path.join(args.out, name)
    coding, end = (COMPACT, "mp4") if args.form == "compact" else (LOSSLESS, "mkv")
    ends = [*range(0, c.units, PIECE), c.units]
    user = (user_frames(c, first=a, last=b) for a, b in zip(ends, ends[1:]))
    write_coded(stem(f"user.{end}"), user, (camera.WIDTH, camera.HIGH), user_audio(c), coding)
    # Swapped conversations are judged by their words alone.
    if not args.swap:
        states = agent_states(c)
        agent = (agent_frames(c, states[a * FRAMES : b * FRAMES]) for a, b in zip(ends, ends[1:]))
        write_coded(stem(f"agent.{end}"), agent, (WIDTH, HEIGHT), agent_audio(c), coding)
    if c.shown:
        write_pictures(stem("persona.png"), [c.character.reference()[None]], (WIDTH, HEIGHT), ["-frames:v", "1"])
    if c.heard_voice:
        write_wav(stem("voice.wav"), c.reference_sound)
        if not args.swap:
            write_wav(stem("voices.wav"), np.concatenate([agents.likeness(voice) for voice in neighbour_voices(c)]))
    record = {**truth(c), "seconds": args.seconds}
    record["character"]["faces"] = faces(c)
    if args.swap:
        record["swap"] = {"kind": args.swap, "of": c.name}
    # Last and at once: a folder with a truth record is whole.
    with open(stem("truth.json.part"), "w") as file:
        json.dump(record, file, separators=(",", ":"))
    os.replace(stem("truth.json.part"), stem("truth.json"))


def side_by_side(user, agent):
    """User's frames at the agent's height, next to it."""
    factor = HEIGHT // camera.HIGH
    return np.concatenate([user.repeat(factor, 1).repeat(factor, 2), agent], axis=2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("seed", type=int)
    parser.add_argument("--seconds", type=float, help="length; drawn from 10-60 when absent")
    parser.add_argument("--mp4", help="write both sides next to each other, to look at")
    parser.add_argument("--out", help="write the streams and truth.json to a folder")
    parser.add_argument("--form", choices=["lossless", "compact"], default="lossless", help="how --out is coded")
    parser.add_argument("--condition", choices=CONDITIONS, default="quiet", help="what is harder (quiet: nothing)")
    parser.add_argument("--swap", choices=counterfactual.SWAPS, help="other cards, or other questions")
    args = parser.parse_args()
    try:
        c = CONDITIONS[args.condition](args.seed, args.seconds)
        if args.swap:
            swap(c, args.swap)
    except synthesizers.Missing as error:
        raise SystemExit(f"--condition {args.condition}: {error}") from None
    if args.out:
        write_for_eval(c, args)
    if args.mp4:
        sounds = {args.mp4 + ".user.wav": user_audio(c), args.mp4 + ".agent.wav": agent_audio(c)}
        for path, sound in sounds.items():
            write_wav(path, sound)
        write_mp4(args.mp4, side_by_side(user_frames(c), agent_frames(c, agent_states(c))), list(sounds))
        for path in sounds:
            os.remove(path)
    for event in truth(c)["events"]:
        print(json.dumps(event))


if __name__ == "__main__":
    main()
