"""The metrics of one split, under the names used everywhere, and the table of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor
from torchmetrics import Metric, MetricCollection

from src.data.records import Moment
from src.metrics.average_precision import MomentMeanAveragePrecision
from src.metrics.recall import DiscountedRecall, MeanIoU, RecallAtIoU

STEPS = [round(0.5 + 0.05 * i, 2) for i in range(10)]
"""0.5:0.05:0.95, over which mAP is averaged."""


class MomentMetrics(MetricCollection):
    """R{n}@{m} for each top n and IoU m, dR1@{m}, mIoU, mAP@0.5, mAP@0.75 and mAP, all in percent.

    Args:
        least_ious: m.
        tops: n.
        strict: whether recall asks for more than m instead of at least m.
    """

    def __init__(self, least_ious: Sequence[float], tops: Sequence[int], strict: bool) -> None:
        metrics: dict[str, Metric | MetricCollection] = {
            **{f"R{top}@{m}": RecallAtIoU(top, m, strict) for top in tops for m in least_ious},
            **{f"dR1@{m}": DiscountedRecall(m, strict) for m in least_ious},
            "mIoU": MeanIoU(),
            "mAP@0.5": MomentMeanAveragePrecision([0.5]),
            "mAP@0.75": MomentMeanAveragePrecision([0.75]),
            "mAP": MomentMeanAveragePrecision(STEPS),
        }
        # The name of a module holds no point.
        super().__init__({name.replace(".", "_"): metric for name, metric in metrics.items()}, compute_groups=False)

    def compute(self) -> dict[str, Tensor]:
        """The metrics by name."""
        return {name.replace("_", "."): value for name, value in super().compute().items()}


def rows_of(split: str, moment: Moment) -> list[str]:
    """The rows of a result that a query counts in: its split, and for each part of speech of its novel words one more.

    The latter are Table 7's: `novel_word:NOUN`. Kinds of novel compositions are in small letters, and have none.
    """
    kinds = sorted({kind for kind, _ in moment.novel if kind.isupper()})
    return [split, *(f"{split}:{kind}" for kind in kinds)]


def table(values: Mapping[str, float]) -> str:
    """Metrics named [test/]ROW/METRIC as a plain table, a line a row and a column a metric."""
    cells: dict[str, dict[str, float]] = {}
    for name, value in values.items():
        row, metric = name.removeprefix("test/").rsplit("/", 1)
        cells.setdefault(row, {})[metric] = value
    columns = list(dict.fromkeys(metric for row in cells.values() for metric in row))
    width = max([5, *map(len, cells)])
    lines = ["split".ljust(width) + "".join(column.rjust(max(9, len(column) + 2)) for column in columns)]
    for row, metrics in cells.items():
        numbers = (
            (f"{metrics[column]:.2f}" if column in metrics else "").rjust(max(9, len(column) + 2)) for column in columns
        )
        lines.append(row.ljust(width) + "".join(numbers))
    return "\n".join(lines)
