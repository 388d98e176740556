"""Runs that don't harm each other: a lock on the folder, children that end with their parent, signals
that save, one line and an exit code for what can't be done."""

import contextlib
import datetime
import fcntl
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import platform
import signal
import sys
import tempfile
import threading
import time

import numpy as np
import torch
import torch.distributed as dist

import safetensors_file


class InputError(ValueError):
    """What was given can't be used, or doesn't fit: the message is one line, the exit code 2."""

    code = 2


class Diverged(Exception):
    """A run whose weights can't be used: exit code 1."""

    code = 1


class Stopped(Exception):
    """A run that was asked to end and has saved its state: 128 + the signal's number."""

    def __init__(self, line, number):
        super().__init__(line)
        self.code = 128 + number


def command(main):
    """Calls main(); what it refuses is one line on stderr, and the process ends with its exit code."""
    try:
        main()
    except (InputError, Diverged, Stopped) as error:
        say(str(error))
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def say(line):
    """Tells it on stderr; of processes that train together the first does."""
    if workers()[0] == 0:
        print(line, file=sys.stderr, flush=True)


# One run in a folder.

_held: dict[str, object] = {}


@contextlib.contextmanager
def locked(out):
    """Holds the folder OUT, which is made where it isn't there. The lock ends with the process, however
    that ends. Raises InputError where another run holds it."""
    os.makedirs(out, exist_ok=True)
    folder = os.path.realpath(out)
    # Children train in a folder that their parent, or the first of them, holds.
    mine = multiprocessing.parent_process() is None and os.environ.get("RANK", "0") == "0"
    if folder in _held or not mine:
        yield
        return
    with open(os.path.join(folder, ".lock"), "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                f"{out}: process {file.read().strip()} trains in this folder: end it first, or take another --out"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        _held[folder] = file
        try:
            yield
        finally:
            del _held[folder]


# Signals.


_asking: list = []


def asked():
    """Whether a run of this process was asked to end."""
    return any(each.number for each in _asking)


class Asked:
    """Whether this process was asked to end, by SIGINT or SIGTERM; a second SIGINT ends it at once. In
    children that a script started in the background SIGINT would be ignored otherwise."""

    def __init__(self):
        self.number = 0

    def __enter__(self):
        self.before = []
        _asking.append(self)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before.append((number, signal.signal(number, self.hear)))
        return self

    def hear(self, number, _):
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number

    def __exit__(self, *_):
        _asking.remove(self)
        for number, handler in self.before:
            signal.signal(number, handler)


# Processes that train together.


def workers():
    """(this process's number, how many train together)."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


# A worker waits so long for the others; the first one validates meanwhile.
PATIENCE = datetime.timedelta(hours=2)


def meet():
    """Waits until every process that trains along is here."""
    if dist.is_initialized():
        dist.barrier()


def together(count, run):
    """Calls run() in `count` processes that train one set of weights, each on batches of its own:
    steps as of a `count` times larger batch. With count 1 here and now; under torchrun in the
    processes that it has started. A process's exit code that isn't 0 becomes this one's."""
    if "RANK" in os.environ:
        end_with_parent()
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
        run()
        return dist.destroy_process_group()
    if count == 1:
        return run()
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, Asked() as asked:
        meeting = os.path.join(folder, "meeting")
        children = [spawn.Process(target=_join, args=(rank, count, run, meeting)) for rank in range(count)]
        for child in children:
            child.start()
        told = 0
        while alive := [child for child in children if child.exitcode is None]:
            multiprocessing.connection.wait([child.sentinel for child in alive], 0.2)
            failed = any(child.exitcode for child in children)
            if told == 0 and (asked.number or failed):
                for child in alive:
                    child.terminate()
            told += bool(asked.number or failed)
            if told == 300:  # a minute: it waits for one that is gone
                for child in alive:
                    child.kill()
    code = max(child.exitcode or 0 for child in children) or min(child.exitcode or 0 for child in children)
    if code:
        sys.exit(128 - code if code < 0 else code)


def _join(rank, count, run, meeting):
    end_with_parent()
    # No card: the processes share the machine's cores.
    dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=count, timeout=PATIENCE)
    try:
        run()
    except (InputError, Diverged, Stopped) as error:
        say(str(error))
        sys.exit(error.code)
    dist.destroy_process_group()


def end_with_parent():
    """Ends this process as soon as its parent, Python's or torchrun, is gone, also where that was killed
    outright."""
    parent, number = multiprocessing.parent_process(), os.getppid()

    def watch():
        if parent is not None:
            multiprocessing.connection.wait([parent.sentinel])
        while parent is None and os.getppid() == number:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# What a run was made of.


def digest(tensors):
    """16 hex digits of SHA-256 over names, shapes and values."""
    sum_ = hashlib.sha256()
    for name in sorted(tensors):
        values = tensors[name].detach().cpu().float().contiguous()
        sum_.update(f"{name} {list(values.shape)} ".encode())
        sum_.update(values.numpy().tobytes())
    return sum_.hexdigest()[:16]


def digest_of_files(paths):
    """16 hex digits of SHA-256 over the names and contents of files."""
    sum_ = hashlib.sha256()
    for path in sorted(paths):
        with open(path, "rb") as file:
            sum_.update(f"{os.path.basename(path)} ".encode() + file.read())
    return sum_.hexdigest()[:16]


def versions():
    return {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": np.__version__}


def artefact(out, name):
    """Path of what a stage leaves."""
    return os.path.join(out, f"{name}.safetensors")


def about(out, name):
    """What OUT/NAME.safetensors says of itself, {} where it says nothing; None where it isn't there whole."""
    try:
        return json.loads(safetensors_file.metadata(artefact(out, name)).get("about", "{}"))
    except (FileNotFoundError, ValueError):
        return None
