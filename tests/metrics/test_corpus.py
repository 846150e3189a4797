"""Recall in a corpus counts the annotated video and its moments among those of all others."""

from __future__ import annotations

import pytest

from src.data.batch import GroundTruth
from src.data.records import Moment
from src.metrics.corpus import CorpusRecall, Placed


def asked(video: str, *windows: tuple[float, float]) -> GroundTruth:
    """A query whose video is named as in an answer, but by a string of its own, as in files."""
    return GroundTruth.of([Moment("q", f"video {video}", "a query", windows, 100.0)])


def placed(video: str, start: float, end: float) -> Placed:
    return Placed(f"video {video}", start, end)


def test_videos_are_ranked_by_their_first_moment_and_moments_by_themselves() -> None:
    metric = CorpusRecall([1, 2, 5], [0.5, 0.7])
    answer = [placed("b", 0, 10), placed("b", 20, 30), placed("a", 50, 60), placed("a", 0, 6), placed("a", 0, 7)]
    metric.update([answer], asked("a", (0, 10), (80, 90)))
    values = {name: float(value) for name, value in metric.compute().items()}
    assert values == {
        **{"VR1": 0, "VR2": 100, "VR5": 100},
        **{"R1@0.5": 0, "R2@0.5": 0, "R5@0.5": 100},
        **{"R1@0.7": 0, "R2@0.7": 0, "R5@0.7": 100},
    }


def test_the_same_seconds_of_another_video_are_wrong() -> None:
    metric = CorpusRecall([1], [0.5])
    metric.update([[placed("b", 0, 10)], [], [placed("a", 0, 10)]], GroundTruth.of([*asked("a", (0, 10)).moments] * 3))
    assert float(metric.compute()["VR1"]) == pytest.approx(100 / 3)
    assert float(metric.compute()["R1@0.5"]) == pytest.approx(100 / 3)


def test_an_answer_without_a_query_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        CorpusRecall([1], [0.5]).update([[], []], asked("a", (0, 10)))


def test_without_a_query_there_is_no_value() -> None:
    assert CorpusRecall([1], [0.5]).compute() == {}
