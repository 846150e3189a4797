"""Which samples make up a batch."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.data.sampler import BatchSampler
from src.errors import UserError


@given(
    lengths=st.lists(st.integers(1, 128), min_size=4, max_size=60),
    size=st.integers(1, 9),
    shuffle=st.booleans(),
    bucket=st.booleans(),
    world=st.integers(1, 4),
    epoch=st.integers(0, 3),
)
def test_every_sample_is_dealt_out_once(
    lengths: list[int], size: int, shuffle: bool, bucket: bool, world: int, epoch: int
) -> None:
    samplers = [BatchSampler(lengths, size, shuffle, bucket and shuffle, 0, rank, world) for rank in range(world)]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    dealt = [list(sampler) for sampler in samplers]
    assert sorted(chain(*chain(*dealt))) == list(range(len(lengths)))
    counts = [len(batches) for batches in dealt]
    assert min(counts) >= 1
    # When training, all processes step together.
    assert max(counts) - min(counts) <= (0 if shuffle else 1)
    assert counts == [len(sampler) for sampler in samplers]


def test_too_few_for_every_process_join_the_batch_before() -> None:
    def sizes(count: int) -> list[list[int]]:
        return [[len(batch) for batch in BatchSampler([1] * count, 2, True, rank=rank, world=2)] for rank in (0, 1)]

    assert sizes(8) == [[2, 2], [2, 2]]
    assert sizes(9) == [[2, 3], [2, 2]]
    assert sizes(10) == [[2, 2, 1], [2, 2, 1]]
    assert sizes(11) == [[2, 2, 2], [2, 2, 1]]


def test_before_it_is_told_of_one_it_is_the_first_epoch_of_the_only_process() -> None:
    sampler = BatchSampler(list(range(20)), 4, True)
    untold = list(sampler)
    sampler.set_epoch(0)
    assert untold == list(sampler)
    assert sorted(chain(*untold)) == list(range(20))


def test_batches_follow_from_seed_and_epoch_alone() -> None:
    lengths = list(range(1, 40))
    first, second = BatchSampler(lengths, 4, True, seed=3), BatchSampler(lengths, 4, True, seed=3)
    first.set_epoch(0)
    next(iter(first))
    for sampler in (first, second):
        sampler.set_epoch(5)
    assert list(first) == list(second)
    second.set_epoch(6)
    assert list(first) != list(second)


def test_every_seed_and_epoch_has_an_order_of_its_own() -> None:
    orders = set()
    for seed in range(4):
        sampler = BatchSampler(list(range(20)), 4, True, seed=seed)
        for epoch in range(8):
            sampler.set_epoch(epoch)
            orders.add(tuple(chain(*sampler)))
    assert len(orders) == 4 * 8


def test_an_epoch_can_begin_in_its_middle_once() -> None:
    sampler = BatchSampler(list(range(20)), 4, True)
    whole = list(sampler)
    sampler.skip = 3
    assert list(sampler) == whole[3:]
    assert list(sampler) == whole


def test_buckets_hold_videos_of_similar_length() -> None:
    lengths = [1 + i * 37 % 128 for i in range(128)]

    def padding(bucket: bool) -> int:
        batches = BatchSampler(lengths, 8, True, bucket)
        return sum(max(lengths[i] for i in batch) - lengths[j] for batch in batches for j in batch)

    assert padding(bucket=True) < padding(bucket=False) / 4


def test_fewer_queries_than_processes_are_refused() -> None:
    with pytest.raises(UserError, match="a split of 1 queries cannot be shared by 2 processes"):
        list(BatchSampler([4], 8, False, world=2))


def test_buckets_come_in_another_order_each_epoch() -> None:
    sampler = BatchSampler(lengths=[1 + i % 16 for i in range(64)], size=4, shuffle=True, bucket=True)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append([sum(1 + i % 16 for i in batch) for batch in sampler])
    # By the lengths that they hold: which come first, not only which samples of one length stand together.
    assert orders[0] != orders[1] != orders[2]
    assert all(order != sorted(order) for order in orders)
