"""Recordings of two people as material: the same tensors that conversations of the world become.

A folder holds a recording, or folders that each hold one, as `wanstream eval` reads them:

    user.EXT, agent.EXT     what each of them says and shows; or
    both.EXT                one file with two channels, the user's left, and the user's pictures
    agent.safetensors       optional, beside agent.EXT or in its place: the agent's latents, as
                            `wanstream codec agent.mp4 --latents agent.safetensors` writes them
    words.jsonl             optional: {"at": seconds, "text": "..."} of what the agent says
    typed.jsonl             optional: the same of what the user types
    truth.json              optional: the world's, whose timeline has both

FFmpeg brings sound and pictures to the config's rates and sizes. Where no recording shows the user, the
model is told so; other missing pictures are black.
"""

import functools
import glob
import hashlib
import json
import os
import subprocess

import numpy as np
import torch

import safetensors_file
from world.stream import ACTIVE, UNIT_MS

from .base import ask_engine
from .coders import MEDIA, decode, heard, response_decoder, response_encoder, unit_shape
from .data import Material, spoken
from .layout import Layout
from .run import InputError
from .tensors import is_codec
from .tokenizer import spread

PIECE = 150  # units that are read at once


@functools.lru_cache(maxsize=1000)
def probed(path):
    """(seconds, kinds of its streams) of a media file."""
    command = ["ffprobe", "-v", "error", "-show_entries", "format=duration:stream=codec_type", "-of", "json", path]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{path}: FFmpeg can't read it: {done.stderr.strip().splitlines()[-1]}")
    found = json.loads(done.stdout)
    return float(found["format"]["duration"]), {stream["codec_type"] for stream in found["streams"]}


def read(path, start, seconds, options):
    """Bytes of a part of a media file, as FFmpeg's options say."""
    command = ["ffmpeg", "-v", "error", "-ss", f"{start}", "-t", f"{seconds}", "-i", path, *options, "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def lines(path):
    """(seconds, text) of each line of a file like words.jsonl; none where it isn't there."""
    if not os.path.exists(path):
        return []
    with open(path) as file:
        entries = [json.loads(line) for line in file if line.strip()]
    try:
        return [(float(entry["at"]), str(entry["text"])) for entry in entries]
    except (KeyError, TypeError, ValueError):
        raise InputError(f'{path}: each line must be {{"at": seconds, "text": "..."}}') from None


class Recording:
    """One folder: its files, its length in seconds, and what is said and typed when."""

    def __init__(self, folder):
        found = {stem: sorted(glob.glob(os.path.join(glob.escape(folder), f"{stem}.*"))) for stem in ("user", "agent", "both")}
        media = {stem: [path for path in paths if not path.endswith(".safetensors")] for stem, paths in found.items()}
        files = {stem: paths[0] for stem, paths in media.items() if paths}
        self.latents = next((path for path in found["agent"] if path.endswith(".safetensors")), None)
        if not ("both" in files or "user" in files and ("agent" in files or self.latents)):
            raise InputError(f"{folder}: holds neither user.* and agent.* nor both.*")
        self.user, self.agent = files.get("user", files.get("both")), files.get("agent", files.get("both"))
        self.channels = (0, 1) if "both" in files and "agent" not in files else (None, None)
        self.seconds = min(probed(path)[0] for path in (self.user, self.agent) if path)
        self.said, self.typed = (lines(os.path.join(folder, f"{name}.jsonl")) for name in ("words", "typed"))
        truth = os.path.join(folder, "truth.json")
        self.files = sorted(path for path in glob.glob(os.path.join(glob.escape(folder), "*")) if os.path.isfile(path))
        self.worded = os.path.exists(truth) or os.path.exists(os.path.join(folder, "words.jsonl"))
        if os.path.exists(truth):
            with open(truth) as file:
                timeline = json.load(file)["timeline"]
            at = lambda key: [(i * UNIT_MS / 1000, e[key]) for i, e in enumerate(timeline) if e[key] is not None]
            self.said, self.typed = at("word"), at("typed")

    def has(self, side, kind):
        """Whether a side has "audio" or "video"."""
        path = self.user if side == "observation" else self.agent
        if side == "response" and self.latents and kind in safetensors_file.shapes(self.latents):
            return True
        return path is not None and kind in probed(path)[1] and (kind == "audio" or self.shows(side))

    def shows(self, side):
        path = self.user if side == "observation" else self.agent
        mine = side == "observation" or self.channels == (None, None)
        return mine and path is not None and "video" in probed(path)[1]


class Recordings(Material):
    """Pieces of a folder's recordings; every tenth is held out where there are two or more."""

    def __init__(self, base, codecs, folder, units=64, worker=0, workers=1, **pool):
        super().__init__(base, codecs, None, units, worker=worker, workers=workers, **pool)
        folders = sorted(glob.glob(os.path.join(glob.escape(folder), "*", "")))
        self.recordings = [Recording(each) for each in folders or [folder]]
        self.seen = any(recording.shows("observation") for recording in self.recordings)
        self.seconds = self.config["unit_ms"] / 1000
        self.layout = Layout(self.config)
        self.check_latents(base)
        self.whole = functools.lru_cache(maxsize=8)(self.read_whole)
        pieces = [
            (recording, first)
            for recording in self.recordings
            for first in range(0, int(recording.seconds / self.seconds + 1e-6), PIECE)
        ]
        if not pieces:
            raise InputError(f"{folder}: its recordings are shorter than a unit of {self.config['unit_ms']} ms")
        np.random.default_rng(91).shuffle(pieces)
        out = max(1, len(pieces) // 10) if len(pieces) > 1 else 0
        self.pieces, self.others = pieces[out:], pieces[:out] or pieces

    def check_latents(self, base):
        """Raises InputError for latents that aren't those of the run's codecs, or aren't of its units; a
        recording lasts as long as they do."""
        there = [recording for recording in self.recordings if recording.latents]
        if not there:
            return
        if base.init is None:
            raise InputError(f"{there[0].latents}: latents are taken where a run begins with --init, whose codecs made them")
        wanted, shapes = ask_engine({"codecs": base.init}), {}
        for medium in MEDIA:
            time, height, width, channels = response_encoder(self.config, medium).output()
            shapes[medium] = [time, channels] if medium == "audio" else [time, height, width, channels]
        given = base.weights()
        trained = [n for n, w in self.codecs.items() if is_codec(n) and ".encoder." in n and not torch.equal(w.cpu(), given[n])]
        for recording in there:
            path = recording.latents
            try:
                told, found = safetensors_file.metadata(path), safetensors_file.shapes(path)
            except ValueError as error:
                raise InputError(str(error)) from None
            wrong = None
            if told.get("wanstream") != "wanstream latents/1":
                wrong = "isn't a file of latents"
            elif float(told["unit_ms"]) != self.config["unit_ms"]:
                wrong = f"has units of {told['unit_ms']} ms, the run's are of {self.config['unit_ms']}"
            elif trained:
                wrong = f"is of the codecs of {base.init}, of which the run has trained {trained[0]} on"
            for medium in MEDIA:
                if wrong or medium not in found:
                    continue
                if told[f"{medium}.digest"] != wanted[medium] or found[medium][1:] != shapes[medium]:
                    wrong = f"has {medium} of another codec than {base.init}'s"
            if wrong:
                raise InputError(f"{path}: {wrong}: make it by 'wanstream codec --model {base.init} --latents'")
            units = min(shape[0] for name, shape in found.items() if name in MEDIA)
            recording.seconds = min(recording.seconds, units * self.seconds)

    def digest(self):
        """Of the names, sizes and first megabytes of all files."""
        sum_ = hashlib.sha256()
        for path in (path for recording in self.recordings for path in recording.files):
            with open(path, "rb") as file:
                sum_.update(f"{os.path.basename(path)} {os.path.getsize(path)} ".encode() + file.read(1 << 20))
        return {"recordings": sum_.hexdigest()[:16]}

    def conversation(self, number):
        if number not in self.kept:
            self.kept[number] = self.tensors(self.pieces[(number * self.workers + self.worker) % len(self.pieces)])
        return self.kept[number]

    def held_out(self, number):
        return self.tensors(self.others[number % len(self.others)])

    def sound(self, recording, side, first, units):
        """float32 [samples of so many units] of the user or the agent."""
        user = side == "observation"
        path, channel = (recording.user if user else recording.agent), recording.channels[0 if user else 1]
        rate, count = self.config[side]["audio"]["sample_rate"], units * unit_shape(self.config, side, "audio")[0]
        if path is None or "audio" not in probed(path)[1]:
            return np.zeros(count, np.float32)
        pick = ["-af", f"pan=mono|c0=c{channel}"] if channel is not None else ["-ac", "1"]
        options = ["-vn", *pick, "-ar", f"{rate}", "-f", "f32le"]
        samples = np.frombuffer(read(path, first * self.seconds, units * self.seconds, options), "<f4")[:count]
        return np.pad(samples, (0, count - len(samples))).clip(-1, 1)

    def frames(self, recording, side, first, units):
        """uint8 [frames of so many units, height, width, 3]; black where there are none."""
        per_unit, height, width, _ = unit_shape(self.config, side, "video")
        if not recording.shows(side):
            return np.zeros((units * per_unit, height, width, 3), np.uint8)
        path = recording.user if side == "observation" else recording.agent
        size = f"scale={width}:{height}:force_original_aspect_ratio=decrease,pad={width}:{height}:-1:-1"
        options = ["-an", "-vf", f"fps={self.config['fps']},{size}", "-pix_fmt", "rgb24", "-f", "rawvideo"]
        pixels = read(path, first * self.seconds, units * self.seconds, options)
        frames = np.frombuffer(pixels, np.uint8).reshape(-1, height, width, 3)[: units * per_unit]
        missing = units * per_unit - len(frames)
        return np.concatenate([frames, np.repeat(frames[-1:], missing, 0)])

    def read_whole(self, medium, recording):
        # Longer than any stretch that a codec asks for.
        units = max(24, int(recording.seconds / self.seconds + 1e-6))
        return (self.sound if medium == "audio" else self.frames)(recording, "response", 0, units)

    def begun(self, entries, first, units, space):
        """Unit -> tokens of the texts that begin in it."""
        at = [(int(seconds / self.seconds + 1e-6) - first, space + text.strip()) for seconds, text in entries]
        here = [(unit, text) for unit, text in at if 0 <= unit < units]
        made: dict = {}
        for (unit, _), ids in zip(here, self.tokens.encode([text for _, text in here])):
            made.setdefault(unit, []).extend(ids)
        return made

    def tensors(self, c):
        recording, first = c
        units = min(PIECE, int(recording.seconds / self.seconds + 1e-6) - first)
        audio, voice = self.voice(recording, first, units)
        active = np.sqrt((voice.reshape(units, -1) ** 2).mean(1)) > ACTIVE
        sounds = set(np.flatnonzero(active).tolist())
        said = self.begun(recording.said, first, units, " ")
        text = spoken(said, sounds, self.tokens, units, self.config["agent_text_slots"])
        typed = spread(self.begun(recording.typed, first, units, ""), units, self.config["user_text_slots"], -1)
        # It is decided who speaks where the agent begins or ends.
        turns = np.convolve(np.abs(np.diff(active.astype(float), prepend=0)), np.ones(3), "same") > 0
        user = torch.from_numpy(self.sound(recording, "observation", first, units))
        tensors = {
            "text": text,
            "wanted": text,
            "text_weight": torch.from_numpy(np.where(turns, 3.0, 1.0)).float(),
            "previous_seen": torch.full((units,), -1),
            "typed": torch.tensor(typed, dtype=torch.long),
            "worded": torch.full((units,), float(recording.worded)),
            "flow_weight": torch.from_numpy(np.where(active, 3.0, 1.0)).float() * recording.has("response", "audio"),
            "video_weight": torch.full((units,), float(recording.has("response", "video"))),
            "mel": heard(self.config, user[None])[0],
            "audio_latents": audio,
            "video_latents": self.seen_of(recording, first, units),
            "start": first,
        }
        if self.seen:
            frames = torch.from_numpy(self.frames(recording, "observation", first, units))
            tensors["frames"] = frames.permute(3, 0, 1, 2)
        return tensors

    def given(self, recording, medium, first, units):
        """Latents [units, tokens, channels] of a recording's file of them; None where it has none."""
        if recording.latents is None or medium not in safetensors_file.shapes(recording.latents):
            return None
        return safetensors_file.rows(recording.latents, medium, first, units).flatten(1, -2)

    def nothing(self, medium, recording, units):
        """Latents that aren't learned, where there is neither a medium nor a way to encode silence or black."""
        if recording.has("response", medium) or not response_encoder(self.config, medium).told:
            return None
        return torch.zeros(units, *self.layout.latents[MEDIA.index(medium)])

    def voice(self, recording, first, units):
        """The agent's latents, and its sound, which tells where it speaks: where there is none it is decoded."""
        latents = self.given(recording, "audio", first, units)
        if recording.agent is None and latents is not None:
            if response_decoder(self.config, "audio").told:
                raise InputError(f"{recording.latents}: training can't decode it, to know when the agent speaks: put agent.EXT beside it")
            with torch.no_grad():
                z = latents.flatten(0, 1).T[None, :, :, None, None]
                return latents, decode(self.config, self.codecs, "audio", z)[0, 0, :, 0, 0].float().numpy()
        sound = self.sound(recording, "response", first, units)
        latents = self.nothing("audio", recording, units) if latents is None else latents
        return (self.latents_of(sound, units) if latents is None else latents), sound

    def seen_of(self, recording, first, units):
        for latents in (self.given(recording, "video", first, units), self.nothing("video", recording, units)):
            if latents is not None:
                return latents
        return self.pictures(self.frames(recording, "response", first, units)[None], units)[0]

    def agents(self, medium, rng, batch, units):
        """The agent's sound [B, 1, samples, 1, 1] or pictures [B, 3, frames, height, width] in -1..1 of so
        many units from anywhere: what a codec learns from."""
        parts = []
        for _ in range(batch):
            recording, start = self.pieces[int(rng.integers(len(self.pieces)))]
            if recording.agent is None:
                raise InputError(f"{recording.latents}: a codec learns from sound and pictures: put agent.EXT beside it")
            last = int(recording.seconds / self.seconds + 1e-6) - units
            first = min(max(0, last), start + int(rng.integers(PIECE)))
            if last < PIECE:  # short ones are read once
                each = unit_shape(self.config, "response", medium)[0]
                part = self.whole(medium, recording)[first * each : (first + units) * each]
            else:
                part = (self.sound if medium == "audio" else self.frames)(recording, "response", first, units)
            parts.append(torch.from_numpy(part))
        x = torch.stack(parts)
        if medium == "audio":
            return x[:, None, :, None, None]
        return x.permute(0, 4, 1, 2, 3).float() / 127.5 - 1
