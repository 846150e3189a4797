"""Metrics of moments, against worked examples and against each other."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchmetrics import Metric

from src.data.records import Moment
from src.metrics.average_precision import MomentMeanAveragePrecision
from src.metrics.recall import DiscountedRecall, MeanIoU, RecallAtIoU
from src.metrics.suite import MomentMetrics, rows_of, table

NAN = math.nan


def value(
    metric: Metric, windows: list[list[list[float]]], truth: list[list[list[float]]], duration: float = 10
) -> float:
    metric.update(torch.tensor(windows), torch.tensor(truth), torch.full((len(windows),), duration))
    result: Tensor = metric.compute()
    return float(result)


def test_an_iou_of_exactly_the_threshold_is_a_hit_unless_strict() -> None:
    windows, truth = [[[0.0, 4.0]]], [[[0.0, 8.0]]]
    assert value(RecallAtIoU(1, 0.5), windows, truth) == 100
    assert value(RecallAtIoU(1, 0.5, strict=True), windows, truth) == 0


def test_the_threshold_is_compared_in_double_precision() -> None:
    # 0.7 has no exact binary form: 7 of 10 seconds must still reach it.
    assert value(RecallAtIoU(1, 0.7), [[[0.0, 7.0]]], [[[0.0, 10.0]]]) == 100


def test_one_of_the_first_n_is_enough() -> None:
    windows, truth = [[[0.0, 1.0], [5.0, 9.0], [2.0, 3.0]]], [[[5.0, 9.0]]]
    assert value(RecallAtIoU(1, 0.5), windows, truth) == 0
    assert value(RecallAtIoU(5, 0.5), windows, truth) == 100


def test_the_best_matching_annotated_window_counts() -> None:
    windows, truth = [[[4.0, 8.0]], [[0.0, 1.0]]], [[[0.0, 1.0], [4.0, 8.0]], [[9.0, 10.0], [NAN, NAN]]]
    assert value(RecallAtIoU(1, 0.7), windows, truth) == 50
    assert value(MeanIoU(), windows, truth) == 50


def test_a_hit_is_discounted_by_the_distance_of_its_ends() -> None:
    # IoU 0.6; the start is off by 1 of 10 s, the end by 1.
    assert value(DiscountedRecall(0.5), [[[1.0, 7.0]]], [[[2.0, 6.0]]]) == pytest.approx(100 * 0.9 * 0.9)
    assert value(DiscountedRecall(0.7), [[[1.0, 7.0]]], [[[2.0, 6.0]]]) == 0


def test_average_precision_of_a_worked_example() -> None:
    # Two annotated windows; the first and third answers find them: precisions 1 and 2/3, mean over the two.
    windows = [[[0.0, 2.0], [3.0, 3.5], [6.0, 8.0]]]
    truth = [[[0.0, 2.0], [6.0, 8.0]]]
    assert value(MomentMeanAveragePrecision([0.5]), windows, truth) == pytest.approx(100 * (1 + 2 / 3) / 2)


def test_an_annotated_window_is_found_once() -> None:
    windows, truth = [[[0.0, 2.0], [0.0, 2.0]]], [[[0.0, 2.0], [6.0, 8.0]]]
    assert value(MomentMeanAveragePrecision([0.5]), windows, truth) == pytest.approx(50)


def test_batches_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    windows = torch.rand(40, 5, 2, generator=generator).sort(dim=-1).values * 10
    truth = torch.rand(40, 3, 2, generator=generator).sort(dim=-1).values * 10
    duration = torch.full((40,), 10.0)
    whole, parts = (MomentMetrics([0.3, 0.5], [1, 5], strict=False) for _ in range(2))
    whole.update(windows, truth, duration)
    for part in torch.arange(40).split(7):
        parts.update(windows[part], truth[part], duration[part])
    expected = {name: float(x) for name, x in whole.compute().items()}
    assert {name: float(x) for name, x in parts.compute().items()} == pytest.approx(expected)
    assert expected["R1@0.3"] >= expected["R1@0.5"]
    assert expected["R5@0.5"] >= expected["R1@0.5"]
    assert {"mIoU", "mAP", "mAP@0.5", "mAP@0.75", "dR1@0.3"} <= expected.keys()


def test_a_query_counts_in_the_row_of_each_part_of_speech_of_its_novel_words() -> None:
    moment = Moment(
        "0", "video", "dice the soup", ((0.0, 1.0),), 2.0, (("NOUN", "soup"), ("VERB", "dice"), ("NOUN", "a"))
    )
    assert rows_of("novel_word", moment) == ["novel_word", "novel_word:NOUN", "novel_word:VERB"]
    moment = Moment("0", "video", "take the fridge", ((0.0, 1.0),), 2.0, (("v-n", "take fridge"),))
    assert rows_of("novel_composition", moment) == ["novel_composition"]


def test_the_table_has_a_line_a_row_and_a_column_a_metric() -> None:
    lines = table({"test/test_iid/R1@0.5": 12.345, "test/test_ood/R1@0.5": 1.0, "test/test_ood/mIoU": 2.0}).splitlines()
    assert [line.split() for line in lines] == [
        ["split", "R1@0.5", "mIoU"],
        ["test_iid", "12.35"],
        ["test_ood", "1.00", "2.00"],
    ]
