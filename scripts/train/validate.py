"""Held-out figures by the engine's own measures: the weights as a checkpoint, and `wanstream eval` of it on
conversations that training never meets, or on a folder of recordings with truth records."""

import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from world.stream import TRAINING_SEEDS, UNIT_MS

from .base import REPOSITORY, exported, read_json, write_checkpoint, write_json
from .data import HELD_OUT
from .run import InputError, asked, say
from .worlds import world

SEEDS, SECONDS = 6, 24  # conversations of the world, and how long each is
BEST = "engine_activityF1"  # rests on every unit: six conversations have few questions


class Engine:
    """measure(tensors) -> figures of a checkpoint of config `c` as 'engine_' and their key (docs/eval.md).
    folder: recordings, in place of the world's. Where the engine fails, a line says so and there are no
    more figures; training goes on."""

    def __init__(self, out, name, c, tokens, folder=None, number=1):
        self.out, self.name, self.c, self.tokens, self.number = out, name, c, tokens, number
        self.folder = os.path.abspath(folder or os.path.join(out, "validation"))
        self.made, self.broken = folder is None, False

    def measure(self, tensors):
        if self.broken:
            return {}
        try:
            if self.made:
                conversations(self.folder, self.c["unit_ms"], self.number)
            with tempfile.TemporaryDirectory(dir=self.out, prefix="validated-") as folder:
                write_checkpoint(folder, self.c, self.tokens, tensors)
                model = os.path.abspath(folder)
                printed = answer("deno", "task", "-q", "eval", self.folder, "--model", model, "--json", "--quiet", "--no-tune", "--draws", "0")
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
    engine = Engine(out, name, exported(base, few, bool(recordings)), base.tokens, folder, base.world)
    return {"validate": engine.measure, "validate_minutes": minutes, "best": BEST}


def conversations(folder, unit_ms, number=1):
    """Makes a world's held-out conversations in a folder, where they aren't there yet, with truth records
    in units of so many ms."""
    whole = unit_ms // math.gcd(unit_ms, UNIT_MS)  # so many units of the world are whole ones of the config
    fitting = (seed for seed in range(HELD_OUT, TRAINING_SEEDS.stop) if world(number).Conversation(seed, length=SECONDS).units % whole == 0)
    for seed in itertools.islice(fitting, SEEDS):
        made, told = os.path.join(folder, "made", f"{seed}"), os.path.join(folder, f"{seed}")
        if os.path.exists(os.path.join(told, "truth.json")):
            continue
        render = [sys.executable, "-m", f"{world(number).package}.render", f"{seed}", "--seconds", f"{SECONDS}"]
        answer(*render, "--out", made, "--form", "lossless", cwd=os.path.join(REPOSITORY, "scripts"))
        if asked():
            return
        os.makedirs(told, exist_ok=True)
        for name in set(os.listdir(made)) - {"truth.json"}:
            os.replace(os.path.join(made, name), os.path.join(told, name))
        # Last: a folder with a truth record is whole.
        write_json(os.path.join(told, "truth.json"), in_units(read_json(os.path.join(made, "truth.json")), unit_ms))
    shutil.rmtree(os.path.join(folder, "made"), ignore_errors=True)


def in_units(record, unit_ms):
    """A truth record of the world in units of so many ms: a longer unit has what any of the world's in it
    has, and the first of their words; what begins in one of the world's begins in the first that it reaches."""
    if unit_ms == UNIT_MS:
        return record
    first = lambda unit: unit * UNIT_MS // unit_ms
    last = lambda unit: ((unit + 1) * UNIT_MS - 1) // unit_ms
    units = len(record["timeline"]) * UNIT_MS // unit_ms
    timeline = [{"user": False, "agent": False, "word": None, "typed": None} for _ in range(units)]
    for at, entry in enumerate(record["timeline"]):
        for told in timeline[first(at) : last(at) + 1]:
            told |= {"user": told["user"] or entry["user"], "agent": told["agent"] or entry["agent"]}
        for told in timeline[first(at) : first(at) + 1]:
            told |= {key: told[key] or entry[key] for key in ("word", "typed")}
    moved = {"start": first, "onset": first, "answer": first, "end": last}
    move = lambda event: {key: moved[key](value) if key in moved and value is not None else value for key, value in event.items()}
    return {**record, "units": units, "timeline": timeline, "events": [move(event) for event in record["events"]]}


def answer(*command, cwd=REPOSITORY):
    """What a command of the program prints; "" where this process was asked to end meanwhile. Raises
    InputError with the last line that it says where it fails."""
    try:
        child = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    except OSError as error:
        raise InputError(f"{command[0]}: {error.strerror}; npm install -g deno@2.9.6") from None
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
