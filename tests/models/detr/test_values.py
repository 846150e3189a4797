"""The losses and the decoding of the DETR predictors on numbers that can be followed by hand."""

from __future__ import annotations

import math
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from src.data.batch import GroundTruth
from src.data.records import Moment
from src.models.detr.anchor_detr import AnchorDETR
from src.models.detr.assignment import Matches, match
from src.models.detr.correlation import Engagement, engagement_loss
from src.models.detr.detr import DETR, Prediction, Weights
from src.models.detr.inputs import normalise
from src.models.detr.layers import logit
from src.models.detr.losses import label_loss, margin_loss, negative_loss, ranking_loss, span_losses
from tests.models.detr.golden import build
from tests.models.detr.small import batch, sample

HALF = math.log(2)
"""The cross-entropy of two equal logits."""


def pairs(*rows: tuple[int, int, int]) -> Matches:
    return Matches(*(torch.tensor(column) for column in zip(*rows, strict=True)))


def test_spans_cost_their_distance_and_what_they_do_not_share() -> None:
    # (centre, width): 0 to 0.4 against 0.2 to 0.6 of the second window, and the very window of the second sample.
    spans = torch.tensor([[[0.2, 0.4], [0.9, 0.1]], [[0.9, 0.1], [0.5, 0.5]]])
    targets = torch.tensor([[[0.9, 0.1], [0.4, 0.4]], [[0.5, 0.5], [math.nan, math.nan]]])
    distance, overlap = span_losses(spans, targets, pairs((0, 0, 1), (1, 1, 0)))
    # Four numbers, of which one centre is off by 0.2; an IoU of 1/3 and one of 1.
    assert float(distance) == pytest.approx(0.2 / 4)
    assert float(overlap) == pytest.approx((1 - 1 / 3) / 2)


def test_the_background_counts_little() -> None:
    logits = torch.tensor([[[0.0, 0.0], [0.0, 0.0]], [[3.0, 3.0], [0.0, math.log(3)]]])
    # Matched: the first and, with a foreground of 1/4, the last. A plain mean over four.
    loss = label_loss(logits, pairs((0, 0, 0), (1, 1, 0)), background=0.1)
    assert float(loss) == pytest.approx((HALF + 0.1 * HALF + 0.1 * HALF + math.log(4)) / 4)


def test_a_margin_is_asked_of_each_pair() -> None:
    saliency = torch.tensor([[1.0, 0.0, 0.9], [0.0, 0.5, 0.0]])
    positive, negative = torch.tensor([[0, 0], [0, 2]]), torch.tensor([[1, 2], [1, 2]])
    # Beyond the margin; 0.1 into it; 0.7 on the wrong side of it; and one clip twice.
    assert float(margin_loss(saliency, positive, negative, 0.2)) == pytest.approx(2 * (0.0 + 0.1 + 0.7 + 0.0) / 4)


def test_clips_labelled_at_least_so_stand_against_all_others() -> None:
    saliency = torch.tensor([[1.0, 0.0, 0.5, 9.0], [2.0, 1.0, 0.0, 0.0]])
    labels = torch.tensor([[12.0, 2.0, 0.0, 12.0], [0.0, 0.0, 0.0, 0.0]])
    mask = torch.tensor([[True, True, True, False], [True] * 4])
    # Over the temperature, scores are 2, 0 and 1. Labels of at least 1 and 2 are those of the first two clips, of 3 to
    # 11 that of the first alone; the other sample has none.
    total = math.log(math.exp(2) + 1 + math.exp(1))
    both, first = ((total - 2) + total) / 2, total - 2
    loss = ranking_loss(saliency, labels, mask)
    assert float(loss) == pytest.approx((2 * both + 9 * first) / 12 / 2, rel=1e-4)


def test_saliency_is_taught_with_another_querys_clips_where_there_are_any() -> None:
    saliency, labels, mask = (
        torch.tensor([[0.0, math.log(3) / 2]]),
        torch.tensor([[0.0, 1.0]]),
        torch.ones(1, 2, dtype=torch.bool),
    )
    target = SimpleNamespace(labels=labels, mask=mask, positive=torch.tensor([[0]]), negative=torch.tensor([[1]]))

    def loss(negative: Tensor | None) -> float:
        network = SimpleNamespace(weights=SimpleNamespace(margin=0.2))
        output = SimpleNamespace(saliency=saliency, negative=negative)
        return float(AnchorDETR.saliency_loss(network, output, target))  # type: ignore[arg-type]

    margin = 2 * (0.2 + math.log(3) / 2)
    # Over the temperature the clip labelled 1 has ln 3 against 0: 3 of 4, and 3 of 6 where two others are 0.
    assert loss(None) == pytest.approx(margin + math.log(4 / 3) / 12, abs=1e-5)
    assert loss(torch.zeros(1, 2)) == pytest.approx(margin + HALF / 12 + 2 * HALF, abs=1e-5)


def test_samples_of_one_video_are_ranked_by_themselves_where_there_are_two() -> None:
    labels, mask = torch.tensor([[0.0, 1.0]] * 3), torch.ones(3, 2, dtype=torch.bool)
    clips, half = torch.zeros(3, 1, dtype=torch.long), torch.full((3, 2), 0.5)

    def loss(saliency: Tensor, other: list[bool]) -> float:
        found = Engagement(saliency, torch.zeros(3, 2), half, half)
        return float(engagement_loss(found, labels, mask, (clips, clips), 0.2, torch.tensor(other)))

    # Of the samples after which none of another video follows, ranking alone reads the saliency: ln 3 against 0 over
    # the temperature, or 0 and 0.
    for same, difference in ((2, math.log(4 / 3) / 12 - HALF / 12), (1, 0.0)):
        saliency = torch.zeros(3, 2)
        saliency[3 - same :, 1] = math.log(3) / 2
        other = [True] * (3 - same) + [False] * same
        assert loss(saliency, other) - loss(torch.zeros(3, 2), other) == pytest.approx(difference, abs=1e-5)


def test_another_querys_clips_are_none() -> None:
    loss = negative_loss(torch.tensor([[0.0, 0.0], [0.0, 99.0]]), torch.tensor([[True, True], [True, False]]))
    assert float(loss) == pytest.approx((2 * HALF + HALF) / 2)


def test_each_cost_of_a_match_has_its_weight() -> None:
    # One window; the first span lies nearer, the second is more probable. Their widths are equal.
    logits = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0]]])
    spans, window = torch.tensor([[[0.5, 0.2], [0.6, 0.2]]]), torch.tensor([[[0.5, 0.2]]])
    # Distance 0 and 0.1; IoU 1 and 1/3; foreground 1/2 and 3/4.
    for costs, query in (((1.0, 0.0, 0.0), 0), ((0.0, 1.0, 0.0), 0), ((0.0, 0.0, 1.0), 1)):
        assert match(logits, spans, window, costs).query.tolist() == [query]
    assert match(logits, spans, window, (2.6, 0.0, 1.0)).query.tolist() == [0]
    assert match(logits, spans, window, (2.4, 0.0, 1.0)).query.tolist() == [1]
    assert match(logits, spans, window, (0.0, 0.38, 1.0)).query.tolist() == [0]
    assert match(logits, spans, window, (0.0, 0.37, 1.0)).query.tolist() == [1]


def test_vectors_are_scaled_to_length_one() -> None:
    features = torch.tensor([[3.0, 4.0, 0.0, 5.0, 12.0]])
    torch.testing.assert_close(
        normalise(features, [2, 3]), torch.tensor([[0.6, 0.8, 0, 5 / 13, 12 / 13]]), atol=1e-5, rtol=0
    )
    expected = features / math.sqrt(9 + 16 + 25 + 144)
    torch.testing.assert_close(normalise(features), expected, atol=1e-5, rtol=0)


def test_only_the_video_has_several_streams() -> None:
    predictor = build("moment_detr", hidden=8, streams=[2, 3])
    features, mask = torch.rand(1, 2, 5) + 1, torch.ones(1, 2, dtype=torch.bool)
    larger = features * torch.tensor([9.0, 9.0, 1.0, 1.0, 1.0])
    video, narrative = (predictor.embedding(5, stream).eval() for stream in ("video", "narrative"))  # type: ignore[arg-type]
    torch.testing.assert_close(video(larger, mask, None), video(features, mask, None), atol=1e-4, rtol=0)
    assert (narrative(larger, mask, None) - narrative(features, mask, None)).abs().max() > 1e-2


def test_the_inverse_of_the_sigmoid_is_finite() -> None:
    assert logit(torch.tensor([0.5, 0.75, 0.0, 1.0])).tolist() == pytest.approx(
        [0.0, math.log(3), math.log(1e-3), -math.log(1e-3)], abs=1e-5
    )


def output(logits: list[list[list[float]]], spans: list[list[list[float]]]) -> Prediction:
    """A prediction of two layers for one sample."""
    return Prediction(torch.tensor(logits)[:, None], torch.tensor(spans)[:, None], torch.tensor([[1.0, 2.0, 3.0]]))


def detr(**changes: object) -> DETR:
    return build("moment_detr", hidden=8, queries=2, **changes)


def test_moments_come_from_the_last_layer_by_their_probability() -> None:
    given = batch(sample("a", ((0.0, 1.0),), duration=10.0, clips=3)).inputs
    said = output(
        [[[9.0, 0.0], [0.0, 0.0]], [[0.0, math.log(3)], [math.log(3), 0.0]]],
        [[[0.5, 0.1], [0.5, 0.1]], [[0.5, 0.2], [0.9, 0.4]]],
    )
    ranked = detr().decode(said, given, top=5)
    torch.testing.assert_close(ranked.scores, torch.tensor([[0.75, 0.25]]))
    # Around nine tenths, cut off at the end; and 0.4 to 0.6.
    torch.testing.assert_close(ranked.windows, torch.tensor([[[7.0, 10.0], [4.0, 6.0]]]))
    assert ranked.saliency is not None
    assert ranked.saliency.tolist() == [[1, 2, 3]]
    assert detr().decode(said, given, top=1).windows.shape == (1, 1, 2)


def test_each_layer_is_taught_with_the_weights_of_its_terms() -> None:
    weights = Weights(span=3.0, giou=5.0, label=7.0, background=0.5, saliency=11.0, margin=0.2)
    said = output(
        [[[0.0, 0.0], [0.0, 0.0]]] * 2,
        [[[0.5, 0.2], [0.9, 0.1]], [[0.6, 0.2], [0.9, 0.1]]],
    )
    targets = torch.tensor([[[0.5, 0.2], [math.nan, math.nan]]])
    terms = {name: float(term) for name, term in detr(weights=weights).set_losses(said, targets).items()}
    label = 7 * (HALF + 0.5 * HALF) / 2
    assert terms == pytest.approx(
        {
            **{"span_0": 0.0, "giou_0": 0.0, "label_0": label},
            **{"span": 3 * 0.05, "giou": 5 * (1 - 1 / 3), "label": label},
        },
        abs=1e-5,
    )
    assert asdict(Weights()) == {
        **{"span": 10.0, "giou": 1.0, "label": 4.0},
        **{"background": 0.1, "saliency": 1.0, "margin": 0.2},
    }


def test_the_saliency_term_has_its_weight() -> None:
    data = batch(sample("a", ((0.0, 10.0),), duration=30.0, clips=3))
    said = output([[[0.0, 0.0], [0.0, 0.0]]] * 2, [[[0.5, 0.2], [0.9, 0.1]]] * 2)
    # The first clip is inside, 1 and 2 above it are the others: 0.2 + 1 or 0.2 + 2 in each pair.
    found = set()
    for seed in range(8):
        torch.manual_seed(seed)
        terms = detr(weights=Weights(saliency=3.0)).losses(said, data.inputs, data.truth, 0.0)
        found.add(round(float(terms["saliency"]) / 3, 4))
    assert found <= {2.4, 3.4, 4.4}
    assert len(found) > 1


def centres(truth: GroundTruth, **changes: object) -> Tensor:
    return detr(**changes)._targets(truth, queries=2)


def test_windows_are_learned_as_shares_of_their_video() -> None:
    truth = GroundTruth.of(
        [Moment("a", "v", "q", ((2.0, 6.0),), 10.0), Moment("b", "v", "q", ((0.0, 5.0), (10.0, 20.0)), 20.0)]
    )
    for changes in ({}, {"max_windows": 2}):
        found = centres(truth, **changes)
        torch.testing.assert_close(found[1], torch.tensor([[0.125, 0.25], [0.75, 0.5]]))
        torch.testing.assert_close(found[0, 0], torch.tensor([0.4, 0.4]))
        assert found[0, 1].isnan().all()
    # The one window that a query has is always drawn.
    for seed in range(8):
        torch.manual_seed(seed)
        torch.testing.assert_close(centres(truth, max_windows=1)[0], torch.tensor([[0.4, 0.4]]))
