"""Metrics of moments, against worked examples and against each other."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache, partial

import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig
from torch import Tensor

from src.data.batch import GroundTruth
from src.data.records import Moment
from src.metrics.average_precision import STEPS, MomentAveragePrecision
from src.metrics.highlights import HighlightDetection
from src.metrics.metric import MomentMetric
from src.metrics.recall import DiscountedRecall, MeanIoU, Recall
from src.metrics.split import SplitMetrics, rows_of
from src.metrics.table import table
from src.moments import RankedMoments
from src.runs.predictions import Prediction, to_ranked
from tests.compose import compose

NAN = math.nan
Windows = list[list[list[float]]]


def answers(windows: Tensor) -> RankedMoments:
    """Moments in the order given, all of them there."""
    scores = -torch.arange(windows.shape[1]).float().expand(windows.shape[:2])
    return RankedMoments.of(windows, scores, torch.zeros(len(windows), dtype=torch.long))


def annotated(windows: Tensor, duration: float = 10.0) -> GroundTruth:
    moments = [
        Moment(str(i), "v", "a query", tuple((s, e) for s, e in rows if s == s), duration)
        for i, rows in enumerate(windows.tolist())
    ]
    return GroundTruth.of(moments)


def value(metric: MomentMetric, windows: Windows, truth: Windows, name: str | None = None) -> float:
    """The metric's value of that name, or its only one."""
    metric.update(answers(torch.tensor(windows)), annotated(torch.tensor(truth)))
    values = metric.compute()
    return float(values[name]) if name else float(*values.values())


def recall(top: int, least_iou: float, strict: bool = False) -> Recall:
    return Recall([top], [least_iou], strict)


def precision() -> MomentAveragePrecision:
    return MomentAveragePrecision([0.5, 0.75], {}, top=10)


def test_an_iou_of_exactly_the_threshold_is_a_hit_unless_strict() -> None:
    windows, truth = [[[0.0, 4.0]]], [[[0.0, 8.0]]]
    assert value(recall(1, 0.5), windows, truth) == 100
    assert value(recall(1, 0.5, strict=True), windows, truth) == 0


def test_the_threshold_is_compared_in_double_precision() -> None:
    # 0.7 has no exact binary form: 7 of 10 seconds must still reach it.
    assert value(recall(1, 0.7), [[[0.0, 7.0]]], [[[0.0, 10.0]]]) == 100


def test_one_of_the_first_n_is_enough() -> None:
    windows, truth = [[[0.0, 1.0], [5.0, 9.0], [2.0, 3.0]]], [[[5.0, 9.0]]]
    assert value(recall(1, 0.5), windows, truth) == 0
    assert value(recall(5, 0.5), windows, truth) == 100


def test_the_best_matching_annotated_window_counts() -> None:
    windows, truth = [[[4.0, 8.0]], [[0.0, 1.0]]], [[[0.0, 1.0], [4.0, 8.0]], [[9.0, 10.0], [NAN, NAN]]]
    assert value(recall(1, 0.7), windows, truth) == 50
    assert value(MeanIoU(), windows, truth) == 50


def test_a_hit_is_discounted_by_the_distance_of_its_ends() -> None:
    # IoU 0.6; the start is off by 1 of 10 s, the end by 1.
    assert value(DiscountedRecall([0.5], strict=False), [[[1.0, 7.0]]], [[[2.0, 6.0]]]) == pytest.approx(
        100 * 0.9 * 0.9
    )
    assert value(DiscountedRecall([0.7], strict=False), [[[1.0, 7.0]]], [[[2.0, 6.0]]]) == 0


def test_the_discount_is_to_the_window_that_is_matched() -> None:
    # Off by 1 of 10 s at one end of the second window, which it overlaps by 3 of 4 s; the first it does not touch.
    windows, truth = [[[6.0, 9.0]]], [[[0.0, 1.0], [6.0, 10.0]]]
    assert value(DiscountedRecall([0.7], strict=False), windows, truth) == pytest.approx(100 * 0.9)


def test_the_first_moment_alone_is_discounted_and_averaged() -> None:
    windows = [[[0.0, 5.0], [0.0, 10.0]]]
    assert value(DiscountedRecall([0.5], strict=False), windows, [[[0.0, 10.0]]]) == pytest.approx(50)
    assert value(MeanIoU(), windows, [[[0.0, 10.0]]]) == pytest.approx(50)


def test_an_end_further_off_than_the_video_is_long_is_worth_nothing() -> None:
    # IoU 1/3: a hit, whose end is 20 s off in a video of 10 s.
    assert value(DiscountedRecall([0.3], strict=False), [[[0.0, 30.0]]], [[[0.0, 10.0]]]) == 0


def test_a_query_without_an_answer_has_an_iou_of_zero() -> None:
    metric = MeanIoU()
    windows = torch.tensor([[[0.0, 10.0]], [[0.0, 10.0]]])
    ranked = RankedMoments.of(windows, torch.tensor([[1.0], [-math.inf]]), torch.tensor([0, 0]))
    metric.update(ranked, annotated(torch.tensor([[[0.0, 10.0]], [[0.0, 10.0]]])))
    assert metric.compute() == {"mIoU": 50}


def test_windows_that_another_query_of_the_batch_has_more_are_none_to_be_found() -> None:
    metric = precision()
    truth = annotated(torch.tensor([[[0.0, 5.0], [NAN, NAN]], [[0.0, 5.0], [5.0, 10.0]]]))
    metric.update(answers(torch.tensor([[[0.0, 5.0], [6.0, 9.0]], [[0.0, 5.0], [5.0, 10.0]]])), truth)
    assert metric.compute()["mAP"] == pytest.approx(100)


def test_a_strict_comparison_is_that_of_every_recall() -> None:
    ranked, truth = answers(torch.tensor([[[0.0, 4.0]]])), annotated(torch.tensor([[[0.0, 8.0]]]))
    for overrides, hit in (((), 100.0), (("metrics.strict=true",), 0.0)):
        found = SplitMetrics("val", ["val"], partial(metrics, *overrides))
        found.update(ranked, truth)
        values = {name: round(float(x), 4) for name, x in found.compute().items()}
        assert values["val/R1@0.5"] == values["val/R5@0.5"] == hit
        # Its end is off by 4 of 10 s.
        assert values["val/dR1@0.5"] == 0.6 * hit
        assert (values["val/R1@0.3"], values["val/R1@0.7"], values["val/mIoU"]) == (100, 0, 50)


def test_the_tenth_moment_counts_and_the_eleventh_not() -> None:
    for wrong, expected in ((9, 10.0), (10, 0.0)):
        found = metrics()["average_precision"]
        windows = [[*([[8.0, 9.0]] * wrong), [0.0, 4.0]]]
        assert value(found, windows, [[[0.0, 4.0]]], "mAP@0.5") == pytest.approx(expected)


def test_average_precision_is_the_mean_over_ten_overlaps() -> None:
    # IoU 0.92 reaches 0.5 to 0.9, nine of the ten; 0.77 the six to 0.75; 0.5, as it is, the first.
    for end, reached in ((9.2, 9), (7.7, 6), (5.0, 1)):
        assert value(precision(), [[[0.0, end]]], [[[0.0, 10.0]]], "mAP") == pytest.approx(10 * reached)


def test_precision_is_interpolated_from_later_ranks() -> None:
    # The second and the third of three find the two windows: 1/2 and 2/3, of which the first is raised to 2/3.
    windows, truth = [[[4.0, 5.0], [0.0, 2.0], [6.0, 8.0]]], [[[0.0, 2.0], [6.0, 8.0]]]
    assert value(precision(), windows, truth, "mAP@0.5") == pytest.approx(100 * 2 / 3)


def test_average_precision_of_a_worked_example() -> None:
    # Two annotated windows; the first and third answers find them: precisions 1 and 2/3, mean over the two.
    windows = [[[0.0, 2.0], [3.0, 3.5], [6.0, 8.0]]]
    truth = [[[0.0, 2.0], [6.0, 8.0]]]
    assert value(precision(), windows, truth, "mAP@0.5") == pytest.approx(100 * (1 + 2 / 3) / 2)


def test_an_annotated_window_is_found_once() -> None:
    windows, truth = [[[0.0, 2.0], [0.0, 2.0]]], [[[0.0, 2.0], [6.0, 8.0]]]
    assert value(precision(), windows, truth, "mAP@0.5") == pytest.approx(50)


@cache
def configured(*overrides: str) -> DictConfig:
    return compose(*overrides, config="train").metrics.of


def metrics(*overrides: str) -> dict[str, MomentMetric]:
    """Those of conf/metrics/default.yaml."""
    return instantiate(configured(*overrides))


def test_batches_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    ranked = answers(torch.rand(40, 5, 2, generator=generator).sort(dim=-1).values * 10)
    truth = annotated(torch.rand(40, 3, 2, generator=generator).sort(dim=-1).values * 10)
    whole, parts = (SplitMetrics("val", ["val"], metrics) for _ in range(2))
    whole.update(ranked, truth)
    for part in torch.arange(40).split(7):
        members = torch.zeros(40, dtype=torch.bool)
        members[part] = True
        parts.update(ranked.of_queries(members), truth.of_queries(members))
    expected = {name.removeprefix("val/"): float(x) for name, x in whole.compute().items()}
    values = {name.removeprefix("val/"): float(x) for name, x in parts.compute().items()}
    assert values == pytest.approx(expected)
    assert expected["R1@0.3"] >= expected["R1@0.5"]
    assert expected["R5@0.5"] >= expected["R1@0.5"]
    assert {"mIoU", "mAP", "mAP@0.5", "mAP@0.75", "dR1@0.3", "mAP-short"} <= expected.keys()
    whole.reset()
    assert whole.compute() == {}


def test_what_is_no_moment_is_no_hit() -> None:
    windows = torch.tensor([[[0.0, 0.0], [0.0, 10.0]]])
    ranked = RankedMoments.of(windows, torch.tensor([[1.0, -math.inf]]), torch.tensor([0]))
    metric = recall(5, 0.5)
    metric.update(ranked, annotated(torch.tensor([[[0.0, 10.0]]])))
    assert metric.compute() == {"R5@0.5": 0}


def average_precision(predicted: list[tuple[float, float]], truth: list[tuple[float, float]], least: float) -> float:
    """QVHighlights' definition in plain Python: interpolated precision, a predicted window takes its best free one."""
    taken: set[int] = set()
    true = []
    for start, end in predicted:
        ious = []
        for index, (low, high) in enumerate(truth):
            inside = max(0.0, min(end, high) - max(start, low))
            ious.append((inside / (end - start + high - low - inside), index))
        best = max((each for each in ious if each[1] not in taken and each[0] >= least), default=None)
        true.append(best is not None)
        taken |= {best[1]} if best is not None else set()
    precisions = [sum(true[: rank + 1]) / (rank + 1) for rank in range(len(true))]
    return sum(max(precisions[rank:]) for rank in range(len(true)) if true[rank]) / len(truth)


WINDOW = st.tuples(st.integers(0, 59), st.integers(1, 60)).map(lambda pair: (float(pair[0]), float(pair[0] + pair[1])))
QUERY = st.tuples(
    st.lists(WINDOW, min_size=1, max_size=4, unique=True), st.lists(WINDOW, min_size=1, max_size=3, unique=True)
)


@given(st.lists(QUERY, min_size=1, max_size=4))
def test_average_precision_by_length_is_as_defined(
    queries: list[tuple[list[tuple[float, float]], list[tuple[float, float]]]],
) -> None:
    bounds = {"short": (0.0, 10.0), "middle": (10.0, 30.0), "long": (30.0, math.inf)}
    metric = MomentAveragePrecision([], {**bounds, "long": (30.0, None)}, top=10)
    for predicted, truth in queries:
        metric.update(answers(torch.tensor([predicted])), annotated(torch.tensor([truth]), duration=120.0))
    values = metric.compute()
    for name, (low, high) in bounds.items():
        kept = [(p, [(s, e) for s, e in truth if low < e - s <= high]) for p, truth in queries]
        expected = [
            sum(average_precision(p, truth, least) for least in STEPS) / len(STEPS) for p, truth in kept if truth
        ]
        if expected:
            assert float(values[f"mAP-{name}"]) == pytest.approx(100 * sum(expected) / len(expected))
        else:
            assert f"mAP-{name}" not in values


def test_a_part_of_a_split_is_scored_as_its_queries_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    ranked = answers(torch.rand(6, 5, 2, generator=generator).sort(dim=-1).values * 10)
    truth = annotated(torch.rand(6, 1, 2, generator=generator).sort(dim=-1).values * 10)
    truth.moments = [
        replace(moment, novel=(("NOUN", "soup"),) if i % 2 else ()) for i, moment in enumerate(truth.moments)
    ]
    whole = SplitMetrics.of("novel_word", truth.moments, metrics)
    whole.update(ranked, truth)
    members = torch.tensor([False, True] * 3)
    # No query of this batch is of a part that comes before it.
    whole_of_more = SplitMetrics("novel_word", ["novel_word:ADV", *whole.rows], metrics)
    whole_of_more.update(ranked, truth)
    alone = SplitMetrics("nouns", ["nouns"], metrics)
    alone.update(ranked.of_queries(members), truth.of_queries(members))
    values = whole.compute()
    for name, expected in alone.compute().items():
        name = name.replace("nouns", "novel_word:NOUN")
        assert float(values[name]) == pytest.approx(float(expected))
        assert whole_of_more.compute()[name] == values[name]
    assert "novel_word/mIoU" in values


def test_highlights_are_scored_of_a_split_alone_and_nothing_of_one_without_answers() -> None:
    moment = Moment("0", "v", "dice the soup", ((0.0, 1.0),), 2.0, (("NOUN", "soup"),))
    of_rows = SplitMetrics.of("novel_word", [moment], lambda: {"a": HighlightDetection(), "b": MeanIoU()})
    kinds = dict(zip(of_rows.rows, [[type(each) for each in row] for row in of_rows.metrics], strict=True))  # type: ignore[attr-defined]
    assert kinds == {"novel_word": [HighlightDetection, MeanIoU], "novel_word:NOUN": [MeanIoU]}
    assert SplitMetrics.of("test", [replace(moment, windows=())], metrics).rows == []
    assert SplitMetrics.of("val", [], metrics).rows == ["val"]


def test_a_query_counts_in_the_row_of_each_part_of_speech_of_its_novel_words() -> None:
    moment = Moment(
        "0", "video", "dice the soup", ((0.0, 1.0),), 2.0, (("NOUN", "soup"), ("VERB", "dice"), ("NOUN", "a"))
    )
    assert rows_of("novel_word", moment) == ["novel_word", "novel_word:NOUN", "novel_word:VERB"]
    moment = Moment("0", "video", "take the fridge", ((0.0, 1.0),), 2.0, (("v-n", "take fridge"),))
    assert rows_of("novel_composition", moment) == ["novel_composition"]


def test_the_table_has_a_line_a_row_and_a_column_a_metric() -> None:
    lines = table({"test/test_iid/R1@0.5": 12.345, "test/test_ood/R1@0.5": 1.0, "test/test_ood/mIoU": 2.0}).splitlines()
    assert [line.rstrip() for line in lines] == [
        "split      R1@0.5     mIoU",
        "test_iid    12.35",
        "test_ood     1.00     2.00",
    ]


@given(start=st.integers(0, 3000), half=st.integers(1, 400), shift=st.integers(0, 1))
def test_a_tie_of_windows_in_tenths_of_a_second_is_a_hit_unless_strict(start: int, half: int, shift: int) -> None:
    # One window is half of the other, at its beginning or at its end: their IoU is 1/2 to the last digit.
    long = (start / 10, (start + 2 * half) / 10)
    short = ((start + shift * half) / 10, (start + shift * half + half) / 10)
    truth = GroundTruth.of([Moment("q", "v", "a", (long,), duration=500.0)])
    ranked = to_ranked([Prediction("q", ((*short, 1.0),))])
    for strict, expected in ((False, 100.0), (True, 0.0)):
        metric = recall(1, 0.5, strict)
        metric.update(ranked, truth)
        assert metric.compute()["R1@0.5"] == expected
    metric = precision()
    metric.update(ranked, truth)
    assert metric.compute()["mAP@0.5"] == 100
