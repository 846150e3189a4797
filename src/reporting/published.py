"""Numbers of a paper beside ours, and the differences to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isinf, isnan
from pathlib import Path
from typing import NamedTuple

from src.errors import UserError, reason
from src.files import read_csv
from src.reporting.tables import Cell, Column, Table
from src.runs.reading import Run


class Published(NamedTuple):
    """A number of a paper.

    Attributes:
        method: The method's name, with what the file says of it besides (year, feature …).
        data: The name of the data set; None for any.
        column: The split and the metric.
        value: The published number, in percent.
        ours: The settings of our runs that it is to be compared with; empty where there are none.
    """

    method: str
    data: str | None
    column: Column
    value: float
    ours: dict[str, str]


def read_published(path: Path) -> list[Published]:
    """The numbers of a paper: a CSV with the columns method, split, metric and value.

    Three columns more have a meaning: `data` names the data set, `ours` the settings of the runs that are compared with
    the number, as on the command line (merger=add paragraph=query); any other says more of the method and is shown with
    its name. A row without a value stands for one that the paper does not give.

    Raises:
        UserError: The file is missing, has other columns, or a row is broken; it names the line.
    """
    if not path.is_file():
        raise UserError(f"no numbers of a paper at {path}")
    published = []
    for where, row in read_csv(path, ("method", "split", "metric", "value")):
        try:
            value = float(row.pop("value") or "nan")
            ours = _settings(row.pop("ours", ""))
        except ValueError as error:
            raise UserError(f"{where}: {reason(error)}") from error
        if isinf(value):
            raise UserError(f"{where}: the value is not finite")
        if not isnan(value):
            data, column = row.pop("data", "") or None, (row.pop("split"), row.pop("metric"))
            published.append(Published(", ".join(filter(None, row.values())), data, column, value, ours))
    return published


def _settings(text: str) -> dict[str, str]:
    pairs = [setting.partition("=") for setting in text.split()]
    if not all(value for _, _, value in pairs):
        raise ValueError(f"ours is {text!r}, not settings such as merger=add")
    return {key: value for key, _, value in pairs}


def with_published(table: Table, published: Iterable[Published], runs: Sequence[Run]) -> Table:
    """The table of some runs with a line for each method of a paper that has numbers on their data set.

    A method is compared with the variants that have its settings (`ours`), or that bear its name: its line follows the
    variant's, and the differences, ours minus the paper's, follow it.
    """
    one_of = {run.variant: run for run in runs}
    lines: dict[str, dict[Column, Cell]] = {}
    below: dict[str, dict[str, dict[Column, Cell]]] = {variant: {} for variant in table.cells}
    for method, data, column, value, ours in published:
        if column not in table.columns or data not in (None, runs[0].config["data"]["name"]):
            continue
        name = f"{method} (paper)"
        lines.setdefault(name, {})[column] = Cell((value,))
        for variant, cells in table.cells.items():
            if column in cells and (method == variant or (ours and one_of[variant].has(ours))):
                below[variant][name] = lines[name]
                differences = below[variant].setdefault(f"{variant} minus {name}", {})
                differences[column] = Cell((cells[column].mean - value,), difference=True)
    ordered: dict[str, dict[Column, Cell]] = {}
    for variant, cells in table.cells.items():
        ordered |= {variant: cells} | below[variant]
    return Table(table.columns, ordered | lines)
