"""Which samples make up each batch of an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from src.errors import UserError


class BatchSampler(Sampler[list[int]]):
    """Lists of sample indices, one list a batch, dealt out to the processes.

    An epoch's batches depend on the seed and the epoch alone, so that training can continue from any batch. Every
    sample stands in exactly one batch of one process.

    Args:
        lengths: number of snippets of each sample.
        size: samples a batch; the last may be smaller.
        shuffle: a new order each epoch; otherwise the given one.
        bucket: batch samples of similar length (needs shuffle); the batches are still in random order.
        seed: The seed of the order.
        rank, world: which of how many processes this is. When training, every process gets the same number of batches;
            when evaluating, some may get one more.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        size: int,
        shuffle: bool,
        bucket: bool = False,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.lengths = torch.tensor(lengths)
        self.size = size
        self.shuffle = shuffle
        self.bucket = bucket
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0
        self.skip = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._batches())

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._batches()[self.skip :]
        self.skip = 0
        return iter(batches)

    def _batches(self) -> list[list[int]]:
        count = len(self.lengths)
        if count < self.world:
            raise UserError(f"a split of {count} queries cannot be shared by {self.world} processes: use fewer devices")
        if not self.shuffle:
            # A process without a batch would be left out of what the others reduce.
            batches = _chunks(torch.arange(count), min(self.size, count // self.world))
            return batches[self.rank :: self.world]
        generator = torch.Generator().manual_seed(self.seed + 1_000_003 * self.epoch)
        order = torch.randperm(count, generator=generator)
        if self.bucket:
            # Sorting the shuffled order keeps samples of one length in random order.
            order = order[self.lengths[order].argsort(stable=True)]
        batches = _chunks(order, self.size * self.world)
        if len(batches) > 1 and len(batches[-1]) < self.world:
            # Too few for every process to get one: they join the batch before.
            rest = batches.pop()
            batches[-1] += rest
        if self.bucket:
            batches = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
        # Every process takes its share of every batch, so that all take the same number of steps.
        return [share for batch in batches if (share := batch[self.rank :: self.world])]


def _chunks(order: torch.Tensor, size: int) -> list[list[int]]:
    return [chunk.tolist() for chunk in order.split(size)]
