"""The geometry of time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from src.moments import (
    RankedMoments,
    align_narratives,
    generalised_iou,
    iou,
    pool,
    seconds_to_snippets,
    snippets_to_seconds,
)

durations = st.floats(0.5, 1000)
lengths = st.integers(1, 40)
intervals = st.tuples(st.floats(0, 100), st.floats(0, 100)).map(sorted)


@given(intervals, intervals)
def test_iou_is_symmetric_bounded_and_one_on_itself(first: list[float], second: list[float]) -> None:
    a, b = torch.tensor(first, dtype=torch.float64), torch.tensor(second, dtype=torch.float64)
    assert 0 <= iou(a, b) <= 1
    assert iou(a, b) == iou(b, a)
    assert iou(a, a) == (1 if first[1] > first[0] else 0)


def test_overlap_by_hand() -> None:
    first = torch.tensor([[0.0, 4.0], [0.0, 4.0], [0.0, 4.0], [2.0, 2.0]])
    second = torch.tensor([[2.0, 6.0], [6.0, 10.0], [1.0, 3.0], [2.0, 2.0]])
    torch.testing.assert_close(iou(first, second), torch.tensor([1 / 3, 0.0, 0.5, 0.0]))
    # 2 of the hull's 10 seconds are in neither; the hull of the others is their union.
    torch.testing.assert_close(generalised_iou(first, second), torch.tensor([1 / 3, -0.2, 0.5, 0.0]))
    torch.testing.assert_close(generalised_iou(second, first), torch.tensor([1 / 3, -0.2, 0.5, 0.0]))
    # Wider batches, of which one is broadcast.
    every = generalised_iou(first[:3, None], second[None, :3])
    assert every.shape == (3, 3)
    assert float(every[0, 1]) == pytest.approx(-0.2)


@pytest.mark.parametrize("width", [1e-300, 5e-324])
def test_the_narrowest_interval_overlaps_itself(width: float) -> None:
    narrow = torch.tensor([0.0, width], dtype=torch.float64)
    assert iou(narrow, narrow) == 1


def test_ranked_moments_say_how_many_there_are() -> None:
    windows = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [[5.0, 6.0], [7.0, 8.0], [0.0, 9.0]]])
    scores = torch.tensor([[0.5, -torch.inf, -torch.inf], [0.4, 0.3, 0.2]])
    saliency = torch.tensor([[1.0, 2.0, 3.0, 4.0], [4.0, 5.0, 6.0, 7.0]])
    ranked = RankedMoments.of(windows, scores, torch.tensor([2, 4]), saliency)
    assert ranked.counts.tolist() == [1, 3]
    assert ranked.present.tolist() == [[True, False, False], [True, True, True]]
    assert ranked.windows.tolist() == [[[1, 2], [0, 0], [0, 0]], [[5, 6], [7, 8], [0, 9]]]
    assert ranked.scores.tolist() == scores.tolist()
    assert ranked.saliency is not None
    assert ranked.saliency.tolist() == [[1, 2, 0, 0], [4, 5, 6, 7]]
    second = ranked.of_queries(torch.tensor([False, True]))
    assert (second.windows.tolist(), second.counts.tolist()) == ([[[5, 6], [7, 8], [0, 9]]], [3])
    assert torch.equal(second.scores, scores[1:])
    assert second.saliency is not None
    assert (second.saliency.tolist(), second.lengths.tolist()) == ([[4, 5, 6, 7]], [4])
    without = RankedMoments.of(windows, scores, torch.tensor([2, 4]))
    assert without.saliency is None
    assert without.of_queries(torch.tensor([True, False])).saliency is None


def test_snippets_to_seconds_by_hand() -> None:
    assert snippets_to_seconds(torch.tensor([[1, 2], [0, 0], [3, 3]]), 4, 10.0).tolist() == [
        [2.5, 7.5],
        [0.0, 2.5],
        [7.5, 10.0],
    ]
    # A length and a duration for each.
    spans = snippets_to_seconds(torch.tensor([[0, 1], [0, 1]]), torch.tensor([2, 4]), torch.tensor([10.0, 2.0]))
    assert spans.tolist() == [[0.0, 10.0], [0.0, 1.0]]


def test_no_moment_ends_after_its_video() -> None:
    for length in range(1, 129):
        duration = torch.tensor(30.96)
        assert snippets_to_seconds(torch.tensor([0, length - 1]), length, duration)[1] <= duration


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


def test_bins_are_the_nearest_to_equal() -> None:
    # Edges at 0, 1.75, 3.5, 5.25 and 7 are rounded, halves to even: bins of 2, 2, 1 and 2.
    features = torch.arange(7.0)[:, None]
    assert pool(features, 4, "max").flatten().tolist() == [1, 3, 4, 6]
    assert pool(features, 4, "mean").flatten().tolist() == [0.5, 2.5, 4.0, 5.5]
    assert pool(features[:5], 2, "mean").flatten().tolist() == [0.5, 3.0]


def test_a_snippet_without_a_narrative_takes_the_nearest_to_its_middle() -> None:
    vectors = torch.tensor([[1.0], [2.0]])
    # The middle of the second of four seconds is nearer to 2.6, its start to 0.
    assert align_narratives(torch.tensor([0.0, 2.6]), vectors, 4, 4.0).flatten().tolist() == [1, 2, 2, 2]
    # ... and nearer to 0 than to 3.2, to which its end is nearer.
    assert align_narratives(torch.tensor([0.0, 3.2]), vectors, 4, 4.0).flatten().tolist() == [1, 1, 2, 2]


def test_a_narrative_between_two_snippets_is_of_the_later() -> None:
    vectors = torch.tensor([[1.0], [2.0]])
    assert align_narratives(torch.tensor([0.0, 2.0]), vectors, 2, 4.0, fill="zero").flatten().tolist() == [1, 2]
    assert align_narratives(torch.tensor([0.0, 1.99]), vectors, 2, 4.0, fill="zero").flatten().tolist() == [1.5, 0]


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
