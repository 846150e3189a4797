"""Batches loaded ahead of their use, by threads: copying and padding leave the interpreter free for training."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace

import torch
from torch.utils.data import Dataset

from src.data.batch import Batch
from src.data.sampler import BatchSampler

_AHEAD = 2
"""Batches that each worker has ready or under way."""


class Loader:
    """The batches of a dataset in the order of its sampler, in pinned memory where there is a GPU.

    Threads need no copy of the dataset and hand a batch over as it is, where processes would copy it twice.

    Args:
        dataset: gives the batch of a list of sample indices.
        sampler: Makes those lists.
        workers: threads; 0 loads a batch when it is asked for.
    """

    def __init__(self, dataset: Dataset[Batch], sampler: BatchSampler, workers: int) -> None:
        self.dataset = dataset
        # Lightning tells the sampler of this its epoch, and replaces one that the loader itself has where it overfits.
        self.batch_sampler = SimpleNamespace(sampler=sampler)
        self.workers = workers

    @property
    def batches(self) -> BatchSampler:
        """The sampler."""
        return self.batch_sampler.sampler

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        lists = iter(self.batches)
        if self.workers == 0:
            yield from map(self._load, lists)
            return
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="loader")
        pending: deque[Future[Batch]] = deque()
        try:
            for indices in lists:
                pending.append(pool.submit(self._load, indices))
                if len(pending) > _AHEAD * self.workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _load(self, indices: list[int]) -> Batch:
        batch = self.dataset[indices]
        return batch.pin_memory() if torch.cuda.is_available() else batch
