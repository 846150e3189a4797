"""Tables of many runs: tidy, and means with standard deviations over seeds as Markdown, LaTeX and HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from statistics import mean, stdev
from typing import NamedTuple

from src.runs.reading import Run
from src.tables import pipes


class Cell(NamedTuple):
    """Values of one metric over the seeds of one variant."""

    values: tuple[float, ...]
    best: bool = False  # of its column
    difference: bool = False  # to a published number: shown with its sign

    @property
    def mean(self) -> float:
        return mean(self.values)

    @property
    def number(self) -> str:
        """The mean, with its sign where it is a difference."""
        return f"{self.mean:+.1f}" if self.difference else f"{self.mean:.1f}"

    @property
    def spread(self) -> str:
        """The standard deviation over seeds; nothing for a single one."""
        return f"± {stdev(self.values):.1f}" if len(self.values) > 1 and not self.difference else ""

    def __str__(self) -> str:
        return f"{self.number} {self.spread}".rstrip()


Column = tuple[str, str]
"""Split (or a row within it, such as novel_word:NOUN) and metric."""

Gains = Mapping[str, Mapping[Column, float]]
"""The differences to a baseline, by variant and column."""


Chance = Collection[tuple[str, Column]]
"""The differences that are within chance, by variant and column."""

WITHIN_CHANCE = "°"
"""Marks them."""


class Table(NamedTuple):
    """Cells by variant and column; not every variant need have every column."""

    columns: list[Column]
    cells: dict[str, dict[Column, Cell]]

    @property
    def splits(self) -> list[str]:
        return list(dict.fromkeys(split for split, _ in self.columns))

    @property
    def metrics(self) -> list[str]:
        return list(dict.fromkeys(metric for _, metric in self.columns))

    def of(self, split: str) -> dict[str, dict[Column, Cell]]:
        """The cells of the variants that have any of this split."""
        return {variant: cells for variant, cells in self.cells.items() if any(column[0] == split for column in cells)}


def tidy(runs: Sequence[Run]) -> str:
    """CSV, a line for each metric of each run: folder, data, variant, seed, split, metric, value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("folder", "data", "variant", "seed", "split", "metric", "value"))
    for run in runs:
        for name, value in run.metrics.items():
            split, _, metric = name.removeprefix("test/").rpartition("/")
            texts = (_cell(text) for text in (str(run.folder), run.data, run.variant))
            writer.writerow((*texts, run.seed, _cell(split), _cell(metric), value))
    return text.getvalue()


def summarise(runs: Sequence[Run], metrics: Sequence[str], parts: bool = False) -> Table:
    """The test metrics of runs of one data set; runs that differ in nothing but the seed share a line.

    `parts` asks for the parts of splits (novel_word:NOUN, Table 7) in place of whole splits.
    """
    found: dict[str, dict[Column, list[float]]] = {}
    for run in runs:
        for name, value in run.metrics.items():
            split, _, metric = name.removeprefix("test/").rpartition("/")
            if name.startswith("test/") and metric in metrics and (":" in split) == parts:
                found.setdefault(run.variant, {}).setdefault((split, metric), []).append(value)
    splits = list(dict.fromkeys(split for cells in found.values() for split, _ in cells))
    columns = [(split, metric) for split in splits for metric in metrics]
    best = {
        column: max((mean(cells[column]) for cells in found.values() if column in cells), default=None)
        for column in columns
    }
    cells = {
        variant: {
            column: Cell(tuple(values), best=len(found) > 1 and mean(values) == best[column])
            for column, values in by_column.items()
        }
        for variant, by_column in found.items()
    }
    return Table(columns, cells)


def markdown(table: Table, gains: Gains, chance: Chance = ()) -> str:
    """A pipe table, aligned to be read as it stands: a line for each variant on each split, the best of a column of a
    split in bold, differences to the baseline in brackets, those within chance marked."""
    lines = [["split", f"{WITHIN_CHANCE} within chance" if chance else "", *table.metrics]]
    for split in table.splits:
        for variant, cells in table.of(split).items():
            numbers = []
            for column in ((split, metric) for metric in table.metrics):
                gain = gains.get(variant, {}).get(column)
                mark = WITHIN_CHANCE if (variant, column) in chance else ""
                bracket = f" ({gain:+.1f}{mark})" if gain is not None else ""
                numbers.append(_bold(cells.get(column), "**", "**") + bracket)
            lines.append([_marked(split), _marked(variant), *numbers])
    return pipes(lines) + "\n"


def latex(table: Table) -> str:
    """A tabular for booktabs, the best of each column in bold."""
    lines = [r"\begin{tabular}{l" + "r" * len(table.columns) + "}", r"\toprule"]
    lines.append(" & ".join(["", *(_escape(f"{split} {metric}") for split, metric in table.columns)]) + r" \\")
    lines.append(r"\midrule")
    for variant, cells in table.cells.items():
        numbers = (
            _bold(cells.get(column), r"\textbf{", "}").replace("±", r"$\pm$").replace("–", "--")
            for column in table.columns
        )
        lines.append(" & ".join([_escape(variant), *numbers]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def differences(table: Table, baseline: str) -> Gains:
    """Each variant's means minus the baseline's, where both have the column."""
    theirs = table.cells.get(baseline, {})
    return {
        variant: {column: cell.mean - theirs[column].mean for column, cell in cells.items() if column in theirs}
        for variant, cells in table.cells.items()
        if variant != baseline
    }


def _bold(cell: Cell | None, before: str, after: str) -> str:
    if cell is None:
        return "–"
    return f"{before}{cell}{after}" if cell.best else str(cell)


# What TeX would obey, or typeset as something else.
_TEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
_MARKDOWN = {character: f"\\{character}" for character in "\\`*[]|"} | {"<": "&lt;"}


def _escape(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)


def _marked(text: str) -> str:
    return "".join(_MARKDOWN.get(character, character) for character in text)


def _cell(text: str) -> str:
    """Text for a spreadsheet, which would take what begins so for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
