"""The metrics of splits as a table."""

from __future__ import annotations

from collections.abc import Mapping

from src.tables import plain


def table(values: Mapping[str, float]) -> str:
    """Metrics named [test/]ROW/METRIC as a plain table, a line a row and a column a metric."""
    cells: dict[str, dict[str, float]] = {}
    for name, value in values.items():
        row, metric = name.removeprefix("test/").rsplit("/", 1)
        cells.setdefault(row, {})[metric] = value
    columns = list(dict.fromkeys(metric for row in cells.values() for metric in row))
    lines = [
        [row, *(f"{metrics[column]:.2f}" if column in metrics else "" for column in columns)]
        for row, metrics in cells.items()
    ]
    return plain([["split", *columns], *lines], least=7)
