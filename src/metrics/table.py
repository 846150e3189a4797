"""The metrics of splits as a table."""

from __future__ import annotations

from collections.abc import Mapping


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
