"""A conversation as streams: sound of both sides, pictures of both sides, text per unit, truth.

    /usr/bin/python3 -m world.render 100003 --seconds 30 --mp4 show.mp4      (in scripts/)
    /usr/bin/python3 -m world.render 100003 --out FOLDER     user.wav, agent.wav, *.mp4, truth.json
    /usr/bin/python3 -m world.render 100003 --out FOLDER --form lossless [--swap card]
                                             [--condition noisy]

The last writes what `wanstream eval` reads: user.*, agent.*, truth.json (docs/eval.md).
"""

import argparse
import json
import os
import subprocess
import wave

import numpy as np

from . import counterfactual, draw, synthesizers
from .conditions import CONDITIONS
from .conversation import truth
from .stream import FPS, FRAME, FRAMES, SAMPLE_RATE, UNIT

CUT_FADE = 40  # samples in which a voice that is cut off fades: too short to be prepared for


def user_audio(c):
    """float32 [units x UNIT] in [-1, 1]: the user's voice, noises, changing level, noise floor."""
    rng = np.random.default_rng([c.seed, 2])
    voices = [(start, samples * loudness) for start, samples, loudness, _ in c.user_clips]
    sound = mixed(voices, c.units)
    level = 10 ** (rng.uniform(-8, 4) / 20)
    gain = np.full(len(sound), level, np.float32)
    for _ in range(rng.integers(0, 3)):
        at = int(rng.integers(len(sound)))
        gain[at:] = 10 ** (rng.uniform(-10, 5) / 20)
    sound *= gain
    noise = rng.standard_normal(len(sound)).astype(np.float32)
    if rng.random() < 0.6:  # a low rumble rather than a hiss
        noise = np.convolve(noise, np.exp(-np.arange(20) / 4).astype(np.float32), "same") * 0.4
    sound += noise * np.float32(10 ** (rng.uniform(*c.noise_floor) / 20))
    return c.heard(sound).clip(-1, 1)


def agent_audio(c, fades=True):
    """float32 [units x UNIT]: the agent's voice, silence elsewhere. fades=False: where it is cut off it
    sounds in full to the last sample, as it is made by somebody who doesn't know yet."""
    return mixed(faded(c.agent_clips) if fades else c.agent_clips, c.units).clip(-1, 1)


def faded(clips):
    """Agent clips of which those that are cut off end without a click."""
    return [(start, fade_out(samples) if cut_off else samples) for start, samples, cut_off in clips]


def fade_out(samples):
    """A voice that is cut off where the samples end."""
    faded, length = samples.copy(), min(CUT_FADE, len(samples))
    faded[-length:] *= np.linspace(1, 0, length)
    return faded


def mixed(clips, units):
    """float32 [units x UNIT]: clips (start, samples, ...), each from its start on."""
    sound = np.zeros(units * UNIT, np.float32)
    for start, samples, *_ in clips:
        part = samples[: max(0, len(sound) - start)]
        sound[start : start + len(part)] += part
    return sound


def openness(clips, units, levels):
    """Mouth per video frame, 0 to levels - 1, from loudness: fast to open, slower to close."""
    rms = np.sqrt(np.mean(mixed(clips, units).reshape(-1, FRAME) ** 2, axis=1))
    opening, at = np.zeros(len(rms)), 0.0
    for i, value in enumerate(np.clip(rms / 0.14, 0, 1) ** 0.7):
        at = max(value, at * 0.45)
        opening[i] = at
    return np.minimum((opening * levels).astype(int), levels - 1)


def blinks(rng, frames, closing):
    """Lids per frame: `closing` is played at random moments, 0 (open) elsewhere."""
    lids = np.zeros(frames, int)
    at = int(rng.integers(10, 100))
    while at < frames:
        part = closing[: frames - at]
        lids[at : at + len(part)] = part
        at += int(rng.integers(50, 130))
    return lids


def current(changes, frame):
    return [value for at, value in changes if at < (frame + 1) * FRAME][-1]


def user_frames(c, noise=True, first=0, last=None):
    """uint8 [(last - first) x FRAMES, 64, 64, 3] of units first to last: face and card, with the
    camera's noise and brightness."""
    rng = np.random.default_rng([c.seed, 3])
    count = c.units * FRAMES
    if c.blind:
        return np.zeros((len(range(first * FRAMES, count if last is None else last * FRAMES)), draw.USER_SIZE, draw.USER_SIZE, 3), np.uint8)
    mouth = openness([(s, x) for s, x, _, moves in c.user_clips if moves], c.units, 6)
    lids = blinks(rng, count, [1, 1, 1])
    phase, period = rng.uniform(0, 6.28), rng.uniform(60, 180)
    sway = np.round(1.4 * np.sin(phase + 2 * np.pi * np.arange(count) / period)).astype(int)
    places = {
        card: (*(float(v) for v in rng.integers(-4, 5, 2) / 2), float(rng.choice([0.8, 0.9, 1.0])))
        for _, card in c.cards
    }
    offsets = rng.integers(draw.USER_SIZE**2 * 3, size=count)
    wanted = range(first * FRAMES, count if last is None else last * FRAMES)
    frames = np.empty((len(wanted), draw.USER_SIZE, draw.USER_SIZE, 3), np.uint8)
    for row, i in enumerate(wanted):
        there, card = current(c.presence, i), current(c.cards, i)
        who = c.face if there else None
        state = (int(mouth[i]), int(lids[i]), int(sway[i])) if there else (0, 0, 0)
        frames[row] = draw.user_picture(who, *state, card, places[card])
    return camera(frames, rng, offsets[wanted.start : wanted.stop]) if noise else frames


def camera(frames, rng, offsets):
    """Brightness, a cast of colour, and noise, which is drawn once and shifted from frame to frame."""
    gain = (rng.uniform(0.85, 1.1) * rng.uniform(0.96, 1.04, 3)).astype(np.float32)
    size = draw.USER_SIZE**2 * 3
    bank = (rng.standard_normal(size * 2) * rng.uniform(0, 5)).astype(np.float32)
    out = np.empty_like(frames)
    for i, offset in enumerate(offsets):
        lit = frames[i] * gain + bank[offset : offset + size].reshape(frames[i].shape)
        out[i] = lit.clip(0, 255)
    return out


def agent_states(c):
    """int [units x FRAMES, 4]: mouth, blink, sway, nod of draw.agent_picture."""
    rng = np.random.default_rng([c.seed, 4])
    count = c.units * FRAMES
    mouth = openness(faded(c.agent_clips), c.units, draw.MOUTHS)
    lids = blinks(rng, count, [1, 2, 1])
    phase, period = rng.uniform(0, 6.28), rng.uniform(90, 140)
    sway = np.round(4 * np.sin(phase + 2 * np.pi * np.arange(count) / period)).astype(int)
    nod = np.zeros(count, int)
    down = [1, 3, 6, 8, 8, 7, 5, 3, 1, 0]
    for at in c.nods:
        first = at // FRAME
        part = down[: max(0, count - first)]
        nod[first : first + len(part)] = part
    return np.stack([mouth, lids, sway, nod], 1)


def agent_frames(states):
    """uint8 [frames, 128, 128, 3] of agent_states."""
    return np.stack([draw.agent_picture(*(int(v) for v in state)) for state in states])


def write_wav(path, samples, rate=SAMPLE_RATE):
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).round().astype("<i2").tobytes())


# Codings of pictures and sound. Compact ones keep a set that is committed small.
LOSSLESS = "-c:v ffv1 -pix_fmt bgr0 -c:a pcm_s16le".split()
COMPACT = "-c:v libx264 -preset veryslow -crf 21 -pix_fmt yuv420p -c:a aac -b:a 28k".split()


def write_coded(path, pieces, size, sound, coding):
    """pieces: frames uint8 [n, size, size, 3] one after the other; sound float32, as long as they are."""
    wav = path + ".wav"
    write_wav(wav, sound)
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{size}x{size}", "-r", str(FPS), "-i", "-", "-i", wav, *coding]
    ffmpeg = subprocess.Popen(command + ["-bitexact", path], stdin=subprocess.PIPE)
    for frames in pieces:
        ffmpeg.stdin.write(frames.tobytes())
    ffmpeg.stdin.close()
    if ffmpeg.wait():
        raise RuntimeError(f"ffmpeg failed on {path}")
    os.remove(wav)


def write_mp4(path, frames, wavs, fps=FPS):
    """frames uint8 [n, h, w, 3]; wavs: sound files, mixed into one track each side of the stereo."""
    height, width = frames.shape[1:3]
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
    for wav in wavs:
        command += ["-i", wav]
    if len(wavs) == 2:
        command += ["-filter_complex", "[1:a][2:a]join=inputs=2:channel_layout=stereo[a]"]
        command += ["-map", "0:v", "-map", "[a]"]
    command += ["-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest", path]
    subprocess.run(command, check=True, input=frames.tobytes())


def side_by_side(user, agent):
    """User's frames enlarged to the agent's size, next to it."""
    factor = agent.shape[1] // user.shape[1]
    return np.concatenate([user.repeat(factor, 1).repeat(factor, 2), agent], axis=2)


def write_for_eval(c, args):
    os.makedirs(args.out, exist_ok=True)
    stem = lambda name: os.path.join(args.out, name)
    coding, end = (COMPACT, "mp4") if args.form == "compact" else (LOSSLESS, "mkv")
    # Piece by piece: ten minutes of pictures don't fit into every memory.
    ends = [*range(0, c.units, 250), c.units]
    user = (user_frames(c, first=a, last=b) for a, b in zip(ends, ends[1:]))
    write_coded(stem(f"user.{end}"), user, draw.USER_SIZE, user_audio(c), coding)
    # Swapped conversations are judged by their words alone.
    if not args.swap:
        states = agent_states(c)
        agent = (agent_frames(states[a * FRAMES : b * FRAMES]) for a, b in zip(ends, ends[1:]))
        write_coded(stem(f"agent.{end}"), agent, draw.AGENT_SIZE, agent_audio(c), coding)
    record = {**truth(c), "seconds": args.seconds}
    if args.swap:
        record["swap"] = {"kind": args.swap, "of": c.name}
    # Last and at once: a folder with a truth record is whole.
    with open(stem("truth.json.part"), "w") as file:
        json.dump(record, file, separators=(",", ":"))
    os.replace(stem("truth.json.part"), stem("truth.json"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("seed", type=int)
    parser.add_argument("--seconds", type=float, help="length; drawn from 10-60 when absent")
    parser.add_argument("--mp4", help="write both sides next to each other, to look at")
    parser.add_argument("--out", help="write the streams and truth.json to a folder")
    parser.add_argument("--form", choices=["lossless", "compact"], help="write --out for 'eval'")
    parser.add_argument("--condition", choices=CONDITIONS, default="quiet", help="what is harder (quiet: nothing)")
    parser.add_argument("--swap", choices=counterfactual.SWAPS, help="other cards, or other questions")
    args = parser.parse_args()
    try:
        c = CONDITIONS[args.condition](args.seed, args.seconds)
        if args.swap:
            counterfactual.swap(c, args.swap)
    except synthesizers.Missing as error:
        raise SystemExit(f"--condition {args.condition}: {error}") from None
    if args.form and args.out:
        return write_for_eval(c, args)
    user, agent = user_frames(c), agent_frames(agent_states(c))
    folder = args.out or os.path.dirname(os.path.abspath(args.mp4 or "."))
    os.makedirs(folder, exist_ok=True)
    stem = lambda name: os.path.join(folder, name)
    write_wav(stem("user.wav"), user_audio(c))
    write_wav(stem("agent.wav"), agent_audio(c))
    if args.mp4:
        write_mp4(args.mp4, side_by_side(user, agent), [stem("user.wav"), stem("agent.wav")])
    if args.out:
        write_mp4(stem("user.mp4"), user, [stem("user.wav")])
        write_mp4(stem("agent.mp4"), agent, [stem("agent.wav")])
        with open(stem("truth.json"), "w") as file:
            json.dump(truth(c), file, separators=(",", ":"))
    for event in c.events:
        print(json.dumps(event))


if __name__ == "__main__":
    main()
