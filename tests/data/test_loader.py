"""Batches loaded ahead are those that would be loaded in turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from torch.utils.data import Dataset

from src.data.loader import Loader
from src.data.sampler import BatchSampler


class Asked(Dataset[Any]):
    """Gives the indices it is asked for, and remembers them."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __getitem__(self, indices: list[int]) -> list[int]:
        if 13 in indices:
            raise KeyError("13")
        self.asked.append(indices)
        return indices


def loader(count: int, workers: int) -> Loader:
    return Loader(Asked(), BatchSampler([1] * count, 2, False), workers)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_come_in_the_order_of_the_sampler(workers: int) -> None:
    batches = loader(9, workers)
    assert len(batches) == 5
    for _ in range(2):
        assert list(batches) == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]
    assert sum(thread.name.startswith("loader") for thread in threading.enumerate()) == 0


class Taken(BatchSampler):
    """Counts the lists that were taken of it."""

    count = 0

    def __iter__(self) -> Iterator[list[int]]:
        for indices in super().__iter__():
            self.count += 1
            yield indices


@pytest.mark.parametrize(("workers", "ready"), [(0, 0), (1, 2), (3, 6)])
def test_each_worker_has_two_batches_ready_or_under_way(workers: int, ready: int) -> None:
    sampler = Taken([1] * 24, 2, False)
    iterator = iter(Loader(Asked(), sampler, workers))
    assert next(iterator) == [0, 1]
    assert sampler.count == 1 + ready
    assert next(iterator) == [2, 3]
    assert sampler.count == 2 + ready
    iterator.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [0, 2])
def test_what_goes_wrong_while_loading_is_raised_at_its_batch(workers: int) -> None:
    iterator = iter(loader(14, workers))
    assert [next(iterator) for _ in range(6)][-1] == [10, 11]
    with pytest.raises(KeyError, match="13"):
        next(iterator)
