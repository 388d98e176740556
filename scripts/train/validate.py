"""Held-out figures by the engine's own measures: the weights as a checkpoint, and `wanstream eval` of it on
conversations that training never meets, or on a folder of recordings with truth records."""

import json
import os
import signal
import subprocess
import tempfile

from .base import REPOSITORY, exported, write_checkpoint
from .data import HELD_OUT
from .run import InputError, asked, say

SEEDS, SECONDS = 6, 24
BEST = "engine_activityF1"  # rests on every unit: six conversations have few questions


class Engine:
    """measure(tensors) -> figures of a checkpoint of config `c` as 'engine_' and their key (docs/eval.md).
    folder: recordings, in place of the world's. Where the engine fails, a line says so and there are no
    more figures; training goes on."""

    def __init__(self, out, name, c, tokens, folder=None):
        self.out, self.name, self.c, self.tokens = out, name, c, tokens
        made = ["--seeds", f"{HELD_OUT}..{HELD_OUT + SEEDS - 1}", "--seconds", f"{SECONDS}", "--swaps", "0"]
        made += ["--keep", os.path.abspath(os.path.join(out, "validation"))]
        self.recordings = [os.path.abspath(folder)] if folder else made
        self.broken = False

    def measure(self, tensors):
        if self.broken:
            return {}
        try:
            with tempfile.TemporaryDirectory(dir=self.out, prefix="validated-") as folder:
                write_checkpoint(folder, self.c, self.tokens, tensors)
                printed = answer("eval", *self.recordings, "--model", os.path.abspath(folder), "--json", "--quiet", "--no-tune", "--draws", "0")
        except InputError as error:
            self.broken = True
            say(f"{self.name}: no more validation by the engine: {error}")
            return {}
        figures = json.loads(printed)["figures"] if printed else []
        return {f"engine_{each['key']}": each["value"] for each in figures if each["kind"] is None and each["value"] is not None}


def validation(out, name, base, minutes, folder=None, recordings=None, few=None):
    """What train() takes to validate by the engine every so many minutes; nothing where they are 0."""
    if not minutes:
        return {}
    if recordings and not folder:
        raise InputError("--validate: the world's conversations don't tell what a model of --recordings has learned; name others with truth records by --validate-on FOLDER")
    engine = Engine(out, name, exported(base, few, bool(recordings)), base.tokens, folder)
    return {"validate": engine.measure, "validate_minutes": minutes, "best": BEST}


def answer(*words):
    """What a command of the program prints; "" where this process was asked to end meanwhile. Raises
    InputError with the last line that it says where it fails."""
    try:
        child = subprocess.Popen(
            ["deno", "task", "-q", *words],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    except OSError as error:
        raise InputError(f"deno: {error.strerror}; npm install -g deno@2.9.6") from None
    try:
        while True:
            try:
                printed, said = child.communicate(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                if asked():
                    return ""
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            child.communicate()
    if child.returncode:
        raise InputError((said.strip().splitlines() or [f"exit code {child.returncode}"])[-1])
    return printed
