"""What is told of all segments at once is what is told of each."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from src.models.proposals.decode import best_segments, best_spans, expected_iou
from src.models.proposals.segments import Segments, coverage, extremes, pair_sums
from src.moments import iou

LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=3)


def snippets(lengths: list[int]) -> torch.Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


@given(LENGTHS, st.integers(1, 4))
def test_sums_and_extremes_are_those_of_each_segment(lengths: list[int], most: int) -> None:
    mask = snippets(lengths)
    segments = Segments.of(mask)
    torch.manual_seed(len(lengths))
    x = torch.randn(mask.shape) * mask
    inside, before, after = segments.inside(), segments.before(most), segments.after(most)
    largest, smallest = extremes(x, segments)
    for row, length in enumerate(lengths):
        for number, (first, last) in enumerate(segments.span.tolist()):
            assert bool(segments.mask[row, number]) == (last < length)
            if last >= length:
                continue
            reach = min(last - first + 1, most)
            own, left = x[row, first : last + 1], x[row, max(first - reach, 0) : first]
            right = x[row, last + 1 : min(last + 1 + reach, length)]
            torch.testing.assert_close(inside.sums(x)[row, number], own.sum())
            torch.testing.assert_close(before.means(x[..., None], mask)[row, number, 0], mean(left))
            torch.testing.assert_close(after.means(x[..., None], mask)[row, number, 0], mean(right))
            assert (largest[row, number], smallest[row, number]) == (own.max(), own.min())


def mean(x: torch.Tensor) -> torch.Tensor:
    return x.sum() / max(len(x), 1)


def test_likeness_is_the_mean_over_pairs() -> None:
    mask = snippets([5, 3])
    segments = Segments.of(mask)
    torch.manual_seed(0)
    pairs = torch.randn(2, 5, 5) * mask[:, :, None] * mask[:, None]
    found = segments.inside().likeness(segments.after(2), pair_sums(pairs), mask)
    number = segments.span.tolist().index([0, 1])
    torch.testing.assert_close(found[0, number], pairs[0, 0:2, 2:4].mean())
    # The second video ends with its third snippet, and after a video's last there is nothing.
    torch.testing.assert_close(found[1, number], pairs[1, 0:2, 2:3].mean())
    assert found[0, segments.span.tolist().index([3, 4])] == 0


@given(LENGTHS)
def test_every_segment_covers_its_snippets(lengths: list[int]) -> None:
    segments = Segments.of(snippets(lengths))
    weight = torch.rand(segments.mask.shape)
    found = coverage(weight, segments, max(lengths))
    for place in range(max(lengths)):
        over = (segments.first <= place) & (place <= segments.last)
        torch.testing.assert_close(found[:, place], weight[:, over].sum(dim=1))


def test_the_expected_iou_is_the_mean_over_what_is_probable() -> None:
    segments = Segments.of(snippets([4]))
    edges = torch.stack((segments.first, segments.last + 1), dim=-1).float()
    scores = torch.randn(1, len(edges), generator=torch.Generator().manual_seed(0)).log_softmax(dim=1)
    every = iou(edges[:, None], edges[None])
    torch.testing.assert_close(expected_iou(scores, edges)[0], every @ scores.exp()[0])


def test_a_segment_between_two_probable_ones_is_the_safest_answer() -> None:
    # (0, 3) and (2, 5) are likelier than (0, 5), which overlaps both by two thirds, and they each other by one third.
    segments = Segments.of(snippets([6]))
    probability = {(0, 3): 0.4, (2, 5): 0.35, (0, 5): 0.25}
    spans = [tuple(span) for span in segments.span.tolist()]
    scores = torch.tensor([[probability.get(span, 0.0) for span in spans]]).log()  # type: ignore[arg-type]
    likeliest, _ = best_segments(scores, segments, 1, 0.5, "probability")
    safest, value = best_segments(scores, segments, 1, 0.5, "expected_iou")
    assert likeliest.tolist() == [[[0, 3]]]
    assert safest.tolist() == [[[0, 5]]]
    torch.testing.assert_close(value, torch.tensor([[0.25 + 0.75 * 2 / 3]]))


def test_boundaries_make_a_distribution_over_segments() -> None:
    start, end = torch.tensor([[0.7, 0.3, 0.0]]).log(), torch.tensor([[0.1, 0.2, 0.7]]).log()
    found, _ = best_spans(start, end, 1, 0.5, "expected_iou")
    assert found.tolist() == [[[0, 2]]]
