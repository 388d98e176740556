"""What a run writes down of its steps: JSON lines, and figures as they lie on the device."""

import json
import os

import torch

import safetensors_file


class Log:
    """Appends JSON objects to OUT/NAME.jsonl, one for a step."""

    def __init__(self, path):
        self.path = path

    def write(self, **entry):
        with open(self.path, "a") as file:
            file.write(json.dumps({k: rounded(v) for k, v in entry.items()}) + "\n")

    def entries(self):
        """What is there; a last line that was cut off isn't."""
        if not os.path.exists(self.path):
            return []
        with open(self.path) as file:
            lines = file.read().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def keep(self, step):
        """Drops what comes after a step: a run goes on from there, and says again what it is made of."""
        now = lambda entry: entry["step"] < step or entry["step"] == step and "run" not in entry
        self.rewrite([entry for entry in self.entries() if now(entry)])

    def drop(self):
        """Drops the last entry."""
        self.rewrite(self.entries()[:-1])

    def rewrite(self, entries):
        with safetensors_file.replaced(self.path, "w") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in entries)


def rounded(value):
    if not isinstance(value, float):
        return value
    # A learning rate may be 3e-06.
    return float(f"{value:.5g}") if abs(value) < 1 else round(value, 5)


class Figures:
    """Figures of steps as they lie on the device: read once for an interval, which waits for a card."""

    def __init__(self):
        self.lists = {}

    def add(self, figures):
        for name, value in figures.items():
            self.lists.setdefault(name, []).append(torch.as_tensor(value))

    def means(self):
        """Mean of each name since the last call."""
        whole = [torch.stack(values).float().mean().cpu() for values in self.lists.values()]
        means = dict(zip(self.lists, torch.stack(whole).tolist())) if whole else {}
        self.lists = {}
        return means
