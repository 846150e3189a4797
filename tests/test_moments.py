"""The geometry of time."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from src.moments import align_narratives, iou, pool, seconds_to_snippets, snippets_to_seconds

durations = st.floats(0.5, 1000)
lengths = st.integers(1, 40)
intervals = st.tuples(st.floats(0, 100), st.floats(0, 100)).map(sorted)


@given(intervals, intervals)
def test_iou_is_symmetric_bounded_and_one_on_itself(first: list[float], second: list[float]) -> None:
    a, b = torch.tensor(first, dtype=torch.float64), torch.tensor(second, dtype=torch.float64)
    assert 0 <= iou(a, b) <= 1
    assert iou(a, b) == iou(b, a)
    assert iou(a, a) == (1 if first[1] > first[0] else 0)


@st.composite
def windows(draw: st.DrawFn) -> tuple[tuple[float, float], int, float]:
    duration = draw(durations)
    start, end = sorted((draw(st.floats(0, 1)), draw(st.floats(0, 1))))
    return (start * duration, max(end, min(start + 1e-3, 1.0)) * duration), draw(lengths), duration


@given(windows())
def test_no_span_of_snippets_overlaps_a_window_more(case: tuple[tuple[float, float], int, float]) -> None:
    window, length, duration = case
    first, last = seconds_to_snippets(window, length, duration)
    assert 0 <= first <= last < length
    edges = torch.arange(length + 1, dtype=torch.float64) * duration / length
    every = torch.stack(torch.broadcast_tensors(edges[:-1, None], edges[None, 1:]), dim=-1)
    overlaps = iou(every, torch.tensor(window, dtype=torch.float64)).triu()
    assert overlaps[first, last] >= overlaps.max() - 1e-9


@given(lengths, durations, st.data())
def test_snippets_to_seconds_and_back(length: int, duration: float, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, length - 1))
    last = data.draw(st.integers(first, length - 1))
    start, end = snippets_to_seconds(torch.tensor([first, last]), length, duration).double().tolist()
    assert seconds_to_snippets((start, min(end, duration)), length, duration) == (first, last)


def test_a_moment_within_a_snippet_is_that_snippet() -> None:
    assert seconds_to_snippets((1.2, 1.4), 3, 3.0) == (1, 1)
    assert seconds_to_snippets((2.9, 3.0), 3, 3.0) == (2, 2)
    assert seconds_to_snippets((0.0, 3.0), 3, 3.0) == (0, 2)


@given(st.integers(1, 300), st.integers(1, 128), st.sampled_from(["max", "mean"]))
def test_pooling_keeps_short_videos_and_covers_long_ones(count: int, limit: int, how: str) -> None:
    features = torch.arange(count, dtype=torch.float32)[:, None]
    pooled = pool(features, limit, how)  # type: ignore[arg-type]
    assert pooled.shape == (min(count, limit), 1)
    assert (pooled[1:] > pooled[:-1]).all()
    if how == "max":
        assert pooled[-1] == count - 1
    if count <= limit:
        torch.testing.assert_close(pooled, features)


def test_pooling_takes_the_mean_or_the_maximum_of_each_bin() -> None:
    features = torch.tensor([[1.0], [3.0], [5.0], [11.0]])
    assert pool(features, 2, "mean").flatten().tolist() == [2.0, 8.0]
    assert pool(features, 2, "max").flatten().tolist() == [3.0, 11.0]


def test_narratives_are_averaged_in_the_snippet_their_time_falls_in() -> None:
    times = torch.tensor([0.0, 1.0, 2.0, 9.0, 10.0])
    vectors = torch.tensor([[1.0], [3.0], [10.0], [7.0], [9.0]])
    aligned = align_narratives(times, vectors, length=5, duration=10.0)
    # Snippets of two seconds; the time at the end belongs to the last; snippets 2 and 3 take the nearest in time.
    assert aligned.flatten().tolist() == [2.0, 10.0, 10.0, 7.0, 8.0]
    assert align_narratives(times, vectors, 5, 10.0, fill="zero").flatten().tolist() == [2.0, 10.0, 0.0, 0.0, 8.0]


@given(st.integers(1, 50), lengths, durations, st.integers(0, 1000))
def test_every_snippet_gets_a_narrative(count: int, length: int, duration: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    times = (torch.rand(count, generator=generator, dtype=torch.float64) * duration).sort().values
    vectors = torch.rand(count, 3, generator=generator) + 1
    aligned = align_narratives(times, vectors, length, duration)
    assert aligned.shape == (length, 3)
    assert (aligned >= vectors.min(dim=0).values - 1e-5).all()
    assert (aligned <= vectors.max(dim=0).values + 1e-5).all()
