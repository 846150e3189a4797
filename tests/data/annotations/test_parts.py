"""Splits made out of others part videos cleanly, and the same way whatever the order of the file."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.data.annotations.parts import Fold, HeldOut, Within, Without
from src.data.annotations.qvhighlights import source
from src.data.annotations.reading import Annotation, Reader
from src.data.records import Moment
from src.errors import UserError


def reader(videos: list[str]) -> Reader:
    def read() -> Iterator[Annotation]:
        for index, video in enumerate(videos):
            yield Annotation(f"line {index}", Moment(f"{video}/{index}", video, "query", ((0.0, 1.0),), 2.0))

    return read


def videos_of(split: Reader) -> list[str]:
    return [moment.video for _, moment in split()]


many = st.lists(st.integers(0, 60).map(lambda number: f"v{number}"), min_size=30, max_size=90).filter(
    lambda videos: len(set(videos)) >= 10
)


@given(many, st.floats(0.1, 0.9), st.integers(0, 9), st.randoms())
def test_validation_is_held_out_by_video_whatever_the_order(
    videos: list[str], size: float, seed: int, order: random.Random
) -> None:
    train = videos_of(HeldOut(reader(videos), "train", size, seed))
    val = videos_of(HeldOut(reader(videos), "val", size, seed))
    assert not set(train) & set(val)
    assert sorted(train + val) == sorted(videos)
    assert len(set(val)) == round(size * len(set(videos)))
    shuffled = order.sample(videos, len(videos))
    assert sorted(videos_of(HeldOut(reader(shuffled), "val", size, seed))) == sorted(val)


def test_another_seed_holds_out_other_videos() -> None:
    split = reader([f"v{index}" for index in range(100)])
    assert videos_of(HeldOut(split, "val", 0.1, seed=0)) != videos_of(HeldOut(split, "val", 0.1, seed=1))


@pytest.mark.parametrize("size", [0, 0.01, 0.99, 1, 1.5, -0.2])
def test_a_validation_size_that_leaves_a_side_empty_is_an_error(size: float) -> None:
    with pytest.raises(UserError, match="validation split of size"):
        videos_of(HeldOut(reader([f"v{index}" for index in range(10)]), "val", size, seed=0))


@given(st.integers(2, 6), st.integers(0, 5), st.randoms())
def test_folds_part_the_sources(folds: int, seed: int, order: random.Random) -> None:
    excerpts = [f"you_tube{number}_{start}.0_{start + 150}.0" for number in range(20) for start in (0, 60)]
    split = reader(order.sample(excerpts, len(excerpts)))
    tests = [videos_of(Fold(split, "test", fold, folds, seed, source)) for fold in range(folds)]
    assert sorted(chain.from_iterable(tests)) == sorted(excerpts)
    assert max(map(len, tests)) - min(map(len, tests)) <= 2
    for fold, test in enumerate(tests):
        rest = videos_of(Fold(split, "rest", fold, folds, seed, source))
        assert not {source(video) for video in test} & {source(video) for video in rest}
        assert len(test) + len(rest) == len(excerpts)


@pytest.mark.parametrize(("fold", "folds"), [(5, 5), (-1, 5), (0, 1), (0, 11)])
def test_a_fold_that_does_not_exist_is_an_error(fold: int, folds: int) -> None:
    with pytest.raises(UserError, match="does not exist"):
        videos_of(Fold(reader([f"v{index}" for index in range(10)]), "test", fold, folds, seed=0))


def test_without_leaves_out_the_videos_of_others() -> None:
    split = Without(reader(["a", "b", "b", "c", "d"]), [reader(["b"]), reader(["d", "x"])])
    assert videos_of(split) == ["a", "c"]


def test_a_split_is_divided_by_whether_others_have_its_videos() -> None:
    split, others = reader(["a", "b", "a", "c"]), [reader(["c", "d"]), reader(["a"])]
    assert videos_of(Within(split, others)) == ["a", "a", "c"]
    assert videos_of(Without(split, others)) == ["b"]
