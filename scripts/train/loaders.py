"""Batches of any material, made by processes of their own ahead of the steps that take them."""

import torch
from torch.utils.data import DataLoader, Dataset

from .device import products


class Steps(Dataset):
    """The batches of steps by their numbers. Of `loaders` processes each keeps a share of the pool and has
    conversations of its own: loader step % loaders makes a step's batch, so that a run that goes on meets
    the same."""

    def __init__(self, material, size, seed, loaders):
        self.material, self.size, self.seed, self.loaders = material, size, seed, loaders
        self.worker, self.workers = material.worker, material.workers
        self.pool = max(size, material.pool // loaders)

    def __getitem__(self, step):
        self.material.worker = self.worker * self.loaders + step % self.loaders
        self.material.workers, self.material.pool = self.workers * self.loaders, self.pool
        return self.material.batch(step // self.loaders, self.size, self.seed)


def made(material, step, size, seed):
    """A batch, made in float32 wherever it is made: in a step, whose products are in bfloat16, too."""
    with products(False):
        return material.batch(step, size, seed)


class Batches:
    """The batch of a step: made here, or ahead by `loaders` processes, in pinned memory where a card is.
    Steps are asked for one after the other."""

    def __init__(self, material, size, seed=0, loaders=0):
        self.material, self.size, self.seed, self.loaders = material, size, seed, loaders
        self.ahead, self.at = iter(()), None

    def __call__(self, step):
        if not self.loaders:
            return made(self.material, step, self.size, self.seed)
        if self.at != step:
            self.at, self.ahead = step, iter(self.loader(step))
        self.at += 1
        return next(self.ahead)

    def loader(self, first):
        return DataLoader(
            Steps(self.material, self.size, self.seed, self.loaders),
            batch_size=None,
            sampler=range(first, 2**40),
            num_workers=self.loaders,
            prefetch_factor=4,
            pin_memory=torch.cuda.is_available(),
            multiprocessing_context="spawn",
        )
