"""Highlight detection, against the definition its authors' evaluation follows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.data.annotations.qvhighlights import QvHighlights
from src.data.batch import GroundTruth
from src.data.records import Moment, clip_count
from src.metrics.highlights import HighlightDetection, annotated_scores, clip_average_precision, on_clips
from src.moments import RankedMoments


def defined(saliency: np.ndarray, positive: np.ndarray) -> float:
    """Precision at each distinct saliency from the lowest up, interpolated, averaged where recall changes."""
    if not positive.any():
        return 0.0
    thresholds = np.unique(saliency)
    found = np.array([positive[saliency >= threshold].sum() for threshold in thresholds])
    precision = found / np.array([(saliency >= threshold).sum() for threshold in thresholds])
    precision = np.maximum.accumulate(precision)
    recall = np.append(found / positive.sum(), 0.0)
    return float(precision[np.diff(recall) != 0].mean())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=12))
def test_average_precision_is_as_defined_also_with_ties(clips: list[tuple[int, bool]]) -> None:
    saliency, positive = (np.array(column) for column in zip(*clips, strict=True))
    ours = clip_average_precision(torch.tensor(saliency, dtype=torch.float32), torch.tensor(positive))
    assert float(ours) == pytest.approx(defined(saliency, positive), abs=1e-9)


def test_a_batch_is_as_its_rows() -> None:
    torch.manual_seed(0)
    saliency, positive = torch.randint(0, 5, (4, 3, 20)).float(), torch.rand(4, 3, 20) < 0.3
    rows = [clip_average_precision(saliency[i, j], positive[i, j]) for i in range(4) for j in range(3)]
    assert torch.equal(clip_average_precision(saliency, positive).flatten(), torch.stack(rows))


def moment(**changes: object) -> Moment:
    scores = ((4.0, 0.0, 2.0), (3.0, 3.0, 3.0))
    settings = {"duration": 10.0, "windows": ((2.0, 6.0),), "saliency": scores, "relevant_clips": (1, 2)}
    return Moment(query_id="1", video="v", query="q", **{**settings, **changes})  # type: ignore[arg-type]


def add(metric: HighlightDetection, saliency: torch.Tensor, query: Moment) -> None:
    """Add one query whose clips have this saliency, (1, L)."""
    windows, scores = torch.tensor([[[0.0, 1.0]]]), torch.ones(1, 1)
    ranked = RankedMoments.of(windows, scores, torch.tensor([saliency.shape[1]]), saliency)
    metric.update(ranked, GroundTruth.of([query]))


def test_values_by_hand() -> None:
    metric = HighlightDetection()
    # The best clip is 2: everyone's Good, nobody's VeryGood; clip 1 comes next, the first annotator's VeryGood.
    add(metric, torch.tensor([[0.1, 0.8, 0.9, 0.0, 0.2]]), moment())
    values = {name: float(value) for name, value in metric.compute().items()}
    assert values["HL-min-VeryGood-Hit1"] == 0
    assert values["HL-min-Good-Hit1"] == 100
    assert values["HL-min-VeryGood-mAP"] == pytest.approx(100 * 0.5 / 3)
    assert values["HL-min-Good-mAP"] == pytest.approx(100.0)
    assert values["HL-min-Fair-mAP"] == pytest.approx(100.0)


def test_queries_of_a_batch_are_scored_on_their_own_clips() -> None:
    metric = HighlightDetection()
    # Two clips and four in one batch; of the first, clip 1 is best and good to all, of the second none is annotated
    # but clip 3, which is ranked last.
    short = moment(duration=4.0, windows=((2.0, 4.0),), saliency=((3.0, 3.0, 3.0),), relevant_clips=(1,))
    long = moment(duration=8.0, windows=((6.0, 8.0),), saliency=((4.0, 2.0, 2.0),), relevant_clips=(3,))
    saliency = torch.tensor([[0.1, 0.9, 0.0, 0.0], [0.4, 0.3, 0.2, 0.1]])
    ranked = RankedMoments.of(torch.tensor([[[0.0, 1.0]]] * 2), torch.ones(2, 1), torch.tensor([2, 4]), saliency)
    metric.update(ranked, GroundTruth.of([short, long]))
    values = {name: round(float(value), 4) for name, value in metric.compute().items()}
    assert values == {
        "HL-min-Fair-mAP": 62.5,  # 1 and 1/4
        "HL-min-Fair-Hit1": 50.0,
        "HL-min-Good-mAP": round(100 * (1 + 1 / 12) / 2, 4),  # 1 and, to one of three, 1/4
        "HL-min-Good-Hit1": 50.0,
        "HL-min-VeryGood-mAP": round(100 / 24, 4),  # 0, as nothing is positive, and to one of three 1/4
        "HL-min-VeryGood-Hit1": 0.0,
    }


def test_a_query_without_predicted_saliency_does_not_count() -> None:
    metric = HighlightDetection()
    windows, scores, saliency = torch.tensor([[[0.0, 1.0]]] * 2), torch.ones(2, 1), torch.zeros(2, 5)
    saliency[1, 1] = 1.0
    metric.update(RankedMoments.of(windows, scores, torch.tensor([0, 5]), saliency), GroundTruth.of([moment()] * 2))
    assert metric.compute()["HL-min-VeryGood-Hit1"] == 100
    metric.update(RankedMoments.of(windows, scores, torch.tensor([0, 0])), GroundTruth.of([moment()] * 2))
    assert metric.queries == 1


def test_queries_without_annotated_saliency_do_not_count() -> None:
    metric = HighlightDetection()
    add(metric, torch.zeros(1, 5), moment(saliency=(), relevant_clips=()))
    assert metric.compute() == {}


def test_saliency_of_other_snippets_is_read_at_each_clip() -> None:
    assert on_clips(torch.tensor([1.0, 2.0]), moment()).tolist() == [1, 1, 2, 2, 2]
    assert on_clips(torch.tensor([1.0, 2.0]), moment(duration=4.0, clip_seconds=1.0)).tolist() == [1, 1, 2, 2]


@pytest.fixture(scope="module")
def queries(shared: Path) -> list[Moment]:
    file = shared / "data" / "qvhighlights" / "highlight_val_release.jsonl"
    return [annotation.moment for annotation in QvHighlights(str(file))()]


def test_every_clip_of_the_real_data_keeps_its_score(queries: list[Moment]) -> None:
    for query in queries:
        saliency = torch.arange(len(annotated_scores(query)))
        assert torch.equal(on_clips(saliency, query), saliency)


def test_the_annotators_mean_scores_nearly_all(queries: list[Moment]) -> None:
    metric = HighlightDetection()
    for query in queries[:200]:
        mean = annotated_scores(query).mean(dim=1)[None]
        add(metric, mean, query)
    values = metric.compute()
    assert values["HL-min-Fair-Hit1"] > 98
    assert values["HL-min-Fair-mAP"] > 85


@given(st.floats(2.0, 400.0), st.sampled_from([1.0, 2.0]))
def test_a_clip_that_the_reader_takes_is_scored(duration: float, seconds: float) -> None:
    last = clip_count(duration, seconds) - 1
    rated = {"relevant_clips": (last,), "saliency": ((1.0, 2.0, 3.0),), "clip_seconds": seconds}
    assert annotated_scores(moment(duration=duration, **rated))[last].tolist() == [1.0, 2.0, 3.0]
    assert (last + 1) * seconds <= duration
