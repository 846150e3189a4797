"""Matching, labels and losses, against what they are defined to be."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.data.batch import Batch
from src.models.detr.assignment import match, to_bounds, to_spans
from src.models.detr.inputs import endpoints, normalise
from src.models.detr.labels import draw_pairs, first_window, saliency_labels
from src.models.detr.losses import margin_loss, negative_loss, ranking_loss
from src.models.position import clip_code
from src.moments import generalised_iou
from tests.models.detr.small import batch, sample

share = st.floats(0, 1, width=32)


@given(st.lists(st.tuples(share, share), min_size=2, max_size=2))
def test_generalised_iou_is_bounded_and_symmetric(pairs: list[tuple[float, float]]) -> None:
    first, second = torch.tensor([sorted(pair) for pair in pairs])
    value = generalised_iou(first, second)
    assert -1 <= float(value) <= 1
    assert torch.equal(value, generalised_iou(second, first))


def test_generalised_iou_by_hand() -> None:
    first = torch.tensor([[0.0, 2.0], [0.0, 1.0], [1.0, 1.0]])
    second = torch.tensor([[1.0, 3.0], [3.0, 4.0], [1.0, 1.0]])
    torch.testing.assert_close(generalised_iou(first, second), torch.tensor([1 / 3, -0.5, 0.0]))


def test_spans_and_bounds_are_inverse() -> None:
    bounds = torch.tensor([[0.1, 0.4], [0.0, 1.0]])
    torch.testing.assert_close(to_bounds(to_spans(bounds)), bounds)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_matching_is_the_cheapest_assignment_of_each_sample(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    samples, queries, windows = 5, 4, 3
    logits = torch.randn(samples, queries, 2, generator=generator)
    spans = torch.rand(samples, queries, 2, generator=generator)
    targets = torch.rand(samples, windows, 2, generator=generator)
    counts = torch.randint(1, windows + 1, (samples,), generator=generator)
    targets[torch.arange(windows) >= counts[:, None]] = torch.nan
    matches = match(logits, spans, targets, (10.0, 1.0, 4.0))
    assert len(matches.sample) == counts.sum()

    overlap = generalised_iou(to_bounds(spans)[:, :, None], to_bounds(targets)[:, None])
    distance = (spans[:, :, None] - targets[:, None]).abs().sum(-1)
    cost = 10 * distance - overlap - 4 * logits.softmax(-1)[:, :, :1]
    for index in range(samples):
        mine = matches.of(index, 1)
        assert sorted(mine.window.tolist()) == list(range(int(counts[index])))
        ours = cost[index][mine.query, mine.window].sum()
        best = min(
            cost[index][list(order), range(len(order))].sum()
            for order in itertools.permutations(range(queries), int(counts[index]))
        )
        torch.testing.assert_close(ours, best)


def labels_of(data: Batch) -> torch.Tensor:
    return saliency_labels(data.inputs, data.truth)


def test_labels_of_windows_are_the_clips_inside() -> None:
    labels = labels_of(batch(sample("a", ((4.0, 9.0), (20.1, 20.2)), clips=15), sample("b", ((0.0, 3.0),), clips=5)))
    assert labels[0].nonzero().flatten().tolist() == [2, 3, 10]
    assert labels[1].nonzero().flatten().tolist() == [0]


def test_the_first_window_is_its_whole_clips() -> None:
    # Clips of two seconds: 4.9 to 9.2 is rounded to clips 2 to 4.
    data = batch(sample("a", ((4.9, 9.2), (12.0, 14.0)), clips=15), sample("b", ((0.0, 30.0),), clips=5))
    found = first_window(data.inputs, data.truth)
    assert found[0].nonzero().flatten().tolist() == [2, 3, 4]
    assert found[1].tolist() == [True] * 5 + [False] * 10


def test_labels_of_annotators_are_the_sum_of_their_scores() -> None:
    scored = sample("a", ((4.0, 8.0),), saliency=((4, 4, 4), (0, 2, 1), (3, 2, 2)), relevant_clips=(2, 3, 14))
    labels = labels_of(batch(scored, sample("b", ((0.0, 30.0),))))
    assert {clip: round(float(labels[0, clip])) for clip in labels[0].nonzero().flatten().tolist()} == {
        2: 12,
        3: 3,
        14: 7,
    }
    assert labels[1].tolist() == [1.0] * 15


def test_labels_of_annotators_on_other_clips_keep_the_highest() -> None:
    labels = labels_of(
        batch(sample("a", ((4.0, 8.0),), clips=5, saliency=((4, 4, 4), (1, 1, 1)), relevant_clips=(0, 1)))
    )
    assert labels[0].tolist() == [12.0, 0.0, 0.0, 0.0, 0.0]


def test_pairs_compare_the_relevant_with_the_irrelevant() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([[0.0, 3, 0, 9, 5, 0], [0, 1, 1, 0, 0, 0]])
    mask = torch.tensor([[True] * 6, [True] * 5 + [False]])
    drawn = [draw_pairs(labels, mask) for _ in range(60)]
    positive, negative = (torch.stack(side) for side in zip(*drawn, strict=True))
    hard, drawn_positive, drawn_negative = positive[:, 0, 0], positive[:, 0, 1], negative[:, 0, 1]
    assert set(zip(hard.tolist(), negative[:, 0, 0].tolist(), strict=True)) == {(3, 1)}
    assert set(drawn_positive.tolist()) == {1, 3, 4}
    assert set(drawn_negative.tolist()) == {0, 2, 5}
    assert set(positive[:, 1].flatten().tolist()) == {1, 2}
    assert set(negative[:, 1].flatten().tolist()) == {0, 3, 4}


def test_pairs_of_nothing_to_compare_cost_nothing() -> None:
    labels, mask = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), torch.tensor([[True, True, False], [True] * 3])
    saliency = torch.randn(2, 3, requires_grad=True)
    loss = margin_loss(saliency, *draw_pairs(labels, mask), margin=0.2)
    loss.backward()
    assert float(loss.detach()) == 0
    assert not saliency.grad.any()


def test_margin_by_hand() -> None:
    saliency = torch.tensor([[1.0, 0.0, 0.9]])
    loss = margin_loss(saliency, torch.tensor([[0, 0]]), torch.tensor([[1, 2]]), margin=0.2)
    torch.testing.assert_close(loss, torch.tensor(2 * (0.0 + 0.1) / 2))


def test_ranking_ignores_padding_and_prefers_the_right_order() -> None:
    labels, mask = torch.tensor([[12.0, 6, 0, 0]]), torch.tensor([[True, True, True, False]])
    right = ranking_loss(torch.tensor([[2.0, 1.0, 0.0, 99.0]]), labels, mask)
    wrong = ranking_loss(torch.tensor([[0.0, 1.0, 2.0, 99.0]]), labels, mask)
    assert right < wrong
    torch.testing.assert_close(right, ranking_loss(torch.tensor([[2.0, 1.0, 0.0, -7.0]]), labels, mask))


def test_large_scores_of_negative_pairs_stay_finite() -> None:
    loss = negative_loss(torch.tensor([[200.0, 5.0]]), torch.tensor([[True, False]]))
    assert float(loss) == pytest.approx(200.0)


def test_places_of_clips() -> None:
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    assert endpoints(mask)[0].tolist() == [[0, 0.25], [0.25, 0.5], [0.5, 0.75], [0.75, 1]]
    assert endpoints(mask)[1].tolist() == [[0, 0.5], [0.5, 1], [0, 0], [0, 0]]
    # Clip 2 of 4 and clip 1 of 2 lie at the same place of their videos.
    torch.testing.assert_close(clip_code(mask, 16)[0, 1], clip_code(mask, 16)[1, 0], atol=1e-5, rtol=0.0)


def test_zero_vectors_stay_zero() -> None:
    assert not normalise(torch.zeros(2, 3)).any()


def test_streams_are_normalised_each_by_itself() -> None:
    lengths = normalise(torch.randn(4, 9), streams=[6, 3]).split([6, 3], dim=-1)
    for stream in lengths:
        torch.testing.assert_close(stream.norm(dim=-1), torch.ones(4), atol=1e-4, rtol=0.0)
