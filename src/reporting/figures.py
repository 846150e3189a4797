"""Figures of a report, as SVG text that stands in a page."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import numpy as np
from cycler import cycler
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.typing import RcKeyType
from numpy.typing import NDArray

from src.reporting.tables import Table
from src.runs.reading import Run

# The page's own colours: the baseline grey, the first variant beside it blue.
_COLOURS = ["#8a94a3", "#2563c4", "#d9822b", "#2e7d4f", "#8a4fbf", "#b3392f", "#1d9aa8", "#c2a100"]
MOST = len(_COLOURS)
"""The most variants of a figure: each has a colour of its own."""

_STYLE: dict[RcKeyType, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    # What runs are called is text, whatever dollars it has.
    "text.parse_math": False,
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=_COLOURS),
}
_SIZE = (4.6, 2.6)
"""Inches, the legend aside."""

_LEGEND = 8
"""Points of a legend's letters, in which its spaces are measured too."""


@rc_context(_STYLE)
def learning_curves(variants: Mapping[str, Sequence[Run]], metric: str) -> str | None:
    """Validation metric by epoch, the mean over seeds; None where no run logged it."""
    figure, axes = _empty("epoch", f"val {metric}")
    for variant, runs in variants.items():
        curves = [curve for run in runs if (curve := run.curve(f"val/{metric}"))]
        epochs = sorted({epoch for curve in curves for epoch in curve})
        if epochs:
            values = [mean(curve[epoch] for curve in curves if epoch in curve) for epoch in epochs]
            axes.plot(epochs, values, label=variant, marker="o" if len(epochs) == 1 else None)
    if not axes.lines:
        return None
    return _svg(figure)


@rc_context(_STYLE)
def iou_histogram(ious: Mapping[str, NDArray[np.float64]]) -> str:
    """Share of queries by the IoU of the first moment."""
    figure, axes = _empty("IoU of the first moment", "queries, %")
    edges = np.linspace(0, 1, 11)
    for variant, values in ious.items():
        share = 100 * np.histogram(values, edges)[0] / len(values)
        axes.stairs(share, edges, label=variant, linewidth=1.5)
    return _svg(figure)


@rc_context(_STYLE)
def recall_by(
    label: str, where: NDArray[np.float64], ious: Mapping[str, NDArray[np.float64]], least_iou: float = 0.5
) -> str:
    """R@1 by a property of the annotated moment in [0, 1], in five bins of equally many queries."""
    figure, axes = _empty(label, f"R1@{least_iou}")
    edges = np.unique(np.quantile(where, np.linspace(0, 1, 6)))
    bins = np.clip(np.searchsorted(edges, where, side="right") - 1, 0, max(len(edges) - 2, 0))
    for variant, values in ious.items():
        points = [(where[bins == b].mean(), 100 * (values[bins == b] >= least_iou).mean()) for b in np.unique(bins)]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=variant)
    axes.set_ylim(bottom=0)
    return _svg(figure)


@rc_context(_STYLE)
def bars(table: Table, metric: str) -> str:
    """A metric of every variant on every split, with its standard deviation over seeds."""
    splits = [split for split, name in table.columns if name == metric]
    figure, axes = _empty("", metric)
    width = 0.8 / max(len(table.cells), 1)
    for number, (variant, cells) in enumerate(table.cells.items()):
        shown = [(place, cells[split, metric]) for place, split in enumerate(splits) if (split, metric) in cells]
        places = [place + (number + 0.5) * width - 0.4 for place, _ in shown]
        spread = [stdev(cell.values) if len(cell.values) > 1 else 0.0 for _, cell in shown]
        axes.bar(
            places, [cell.mean for _, cell in shown], width, yerr=spread, label=variant, error_kw={"linewidth": 0.8}
        )
    axes.set_xticks(range(len(splits)), splits, rotation=15)
    return _svg(figure)


@rc_context(_STYLE)
def sweep(runs: Sequence[Run], key: str, metric: str, splits: Sequence[str]) -> str:
    """A metric against a numeric setting, the mean over seeds and its standard deviation."""
    figure, axes = _empty(key.rsplit(".", 1)[-1], metric)
    for split in splits:
        values: dict[float, list[float]] = {}
        for run in runs:
            if (value := run.metrics.get(f"test/{split}/{metric}")) is not None:
                values.setdefault(float(run.settings[key]), []).append(value)
        where = sorted(values)
        spread = [stdev(values[x]) if len(values[x]) > 1 else 0.0 for x in where]
        axes.errorbar(where, [mean(values[x]) for x in where], yerr=spread, marker="o", markersize=3, label=split)
    return _svg(figure)


def _empty(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE)
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _svg(figure: Figure) -> str:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        # Above the axes, where it covers nothing, in as many columns as its names leave room for.
        names = [textwrap.fill(label, 52) for label in labels]
        widest = max(_width(line) for name in names for line in name.splitlines())
        columns = max(1, int(72 * _SIZE[0] / (widest + 5 * _LEGEND)))
        lines = -(-len(names) // columns) * max(name.count("\n") + 1 for name in names)
        figure.set_figheight(_SIZE[1] + 1.6 * _LEGEND * lines / 72)
        figure.legend(handles, names, loc="outside upper left", ncols=columns, fontsize=_LEGEND)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return re.sub(r"^.*?(?=<svg)", "", text.getvalue(), flags=re.DOTALL)


def _width(text: str) -> float:
    """Points that a text takes in a legend."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=_LEGEND), ismath=False)
    return width
