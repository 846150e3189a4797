"""Retrieval in a collection, on answers that can be followed by hand."""

from __future__ import annotations

from src.data.batch import GroundTruth
from src.data.records import Moment
from src.metrics.corpus import CorpusRecall, Placed

TRUTH = GroundTruth.of(
    [
        Moment("q0", "a", "a person waves", ((0.0, 4.0), (10.0, 20.0)), 30.0),
        Moment("q1", "b", "a door opens", ((0.0, 10.0),), 30.0),
    ]
)


def values(*answers: list[Placed]) -> dict[str, float]:
    metric = CorpusRecall([1, 2], [0.5, 0.7])
    metric.update(answers, TRUTH)
    return {name: float(value) for name, value in metric.compute().items()}


def test_a_video_counts_once_and_a_moment_by_its_best_window() -> None:
    first = [Placed("b", 10.0, 20.0), Placed("b", 0.0, 4.0), Placed("a", 10.0, 20.0)]
    second = [Placed("b", 5.0, 10.0), Placed("b", 0.0, 7.0), Placed("a", 0.0, 10.0)]
    assert values(first, second) == {
        # The first query's video is the second of two, the second query's the first.
        **{"VR1": 50.0, "VR2": 100.0},
        # Its moment is the third of three; the second query has IoUs of exactly 0.5 and 0.7, of its own video.
        **{"R1@0.5": 50.0, "R2@0.5": 50.0, "R1@0.7": 0.0, "R2@0.7": 50.0},
    }
    assert values([Placed("a", 10.0, 20.0)], [Placed("a", 0.0, 10.0)])["R1@0.7"] == 50


def test_batches_add_up_and_no_query_has_no_value() -> None:
    metric = CorpusRecall([1], [0.5])
    assert metric.compute() == {}
    for answers in ([[Placed("a", 0.0, 4.0)], []], [[], [Placed("b", 9.0, 10.0)]]):
        metric.update(answers, TRUTH)
    assert {name: float(value) for name, value in metric.compute().items()} == {"VR1": 50.0, "R1@0.5": 25.0}
