"""One self-contained page of many runs, and the same tables as CSV, Markdown and LaTeX."""

from __future__ import annotations

import datetime
import itertools
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from omegaconf import DictConfig

from src.errors import UserError
from src.files import whole
from src.progress import Progress
from src.reporting import figures
from src.reporting.bootstrap import paired_bootstrap
from src.reporting.examples import Example, choose, example, narratives_of, pictures, require_same_queries
from src.reporting.published import read_published, with_published
from src.reporting.tables import (
    WITHIN_CHANCE,
    Chance,
    Column,
    Gains,
    Table,
    differences,
    latex,
    markdown,
    summarise,
    tidy,
)
from src.runs.reading import Answers, Run, differing, find_runs

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sure:
    """A line of the bootstrap table: a variant's difference to the baseline on a split or a part of one."""

    variant: str
    split: str
    metric: str
    mean: float
    low: float
    high: float
    p: float

    @property
    def beyond_chance(self) -> bool:
        """Whether the interval leaves no difference out."""
        return not self.low <= 0 <= self.high


class Drawing(NamedTuple):
    """A figure of the page, also written as a file of this name. `svg` is its text."""

    name: str
    caption: str
    svg: str


@dataclass
class Part:
    """What the page says of one data set."""

    title: str
    table: Table
    parts: Table  # of splits, such as novel words by part of speech; may be empty
    seeds: int
    baseline: str | None
    best: str | None
    variants: int  # how many there are
    drawn: list[str]  # those in the figures
    differences: Gains
    part_differences: Gains
    bootstrap: list[Sure] = field(default_factory=list)
    figures: list[Drawing] = field(default_factory=list)
    distributions: list[tuple[str, list[Drawing]]] = field(default_factory=list)
    examples: list[tuple[str, list[Example]]] = field(default_factory=list)

    @property
    def sure(self) -> dict[tuple[str, Column], Sure]:
        """What the bootstrap says of each difference, by variant and column."""
        return {(each.variant, (each.split, each.metric)): each for each in self.bootstrap}

    @property
    def chance(self) -> Chance:
        """The differences that are within chance."""
        return {key for key, each in self.sure.items() if not each.beyond_chance}

    def verdict(self, variant: str, metric: str) -> str:
        """On which splits a variant differs from the baseline beyond chance, and on which it does not."""
        found = [each for each in self.bootstrap if (each.variant, each.metric) == (variant, metric)]
        whole = [each for each in found if ":" not in each.split]
        said = []
        for word, chosen in (
            ("better", [each for each in whole if each.low > 0]),
            ("worse", [each for each in whole if each.high < 0]),
            ("no different beyond chance", [each for each in whole if not each.beyond_chance]),
        ):
            if chosen:
                said.append(f"{word} on {', '.join(each.split for each in chosen)}")
        return "; ".join(said)


def write_report(cfg: DictConfig) -> Path:
    """Write report.html, runs.csv, a table of each data set as Markdown and LaTeX, and the figures as SVG; returns the
    page's path.

    Raises:
        UserError: There is no finished run.
    """
    runs, problems = find_runs([Path(place) for place in cfg.runs])
    labels = _labels(cfg)
    for run in runs:
        run.variant = labels.get(run.variant, run.variant)
    titles = list(dict.fromkeys(run.data for run in runs))
    if len(titles) > 1:
        problems.append(f"the runs are of {len(titles)} data sets ({', '.join(titles)}): each has a table of its own")
    parts = []
    for title in titles:
        try:
            parts.append(_part(cfg, title, [run for run in runs if run.data == title], problems))
        except UserError as error:
            problems.append(str(error))
    if not parts:
        raise UserError("; ".join(problems))
    folder = Path(cfg.output)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    files = {"runs.csv": tidy(runs)}
    named: set[str] = set()
    for part in parts:
        name = _file_name(part.title, named)
        for table, gains, suffix in ((part.table, part.differences, ""), (part.parts, part.part_differences, "_parts")):
            if table.columns:
                files |= {
                    f"{name}{suffix}.md": markdown(table, gains, part.chance),
                    f"{name}{suffix}.tex": latex(table),
                }
        drawings = [*part.figures, *(drawing for _, each in part.distributions for drawing in each)]
        drawn: set[str] = set()
        files |= {f"figures/{name}_{_file_name(drawing.name, drawn)}.svg": drawing.svg for drawing in drawings}
    files["report.html"] = _render(cfg, runs, parts, problems)
    for name, text in files.items():
        with whole(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    for part in parts:
        print(f"{part.title}\n\n{markdown(part.table, part.differences, part.chance)}")
    for problem in problems:
        _log.warning("%s", problem)
    return folder / "report.html"


def _file_name(text: str, taken: set[str]) -> str:
    """A name of a file, whatever a title or a setting is called: none leads elsewhere, none is taken twice."""
    short = re.sub(r"[^a-z0-9._-]+", "_", text.lower())[:60].lstrip(".") or "_"
    names = itertools.chain([short], (f"{short}_{number}" for number in itertools.count(2)))
    name = next(each for each in names if each not in taken)
    taken.add(name)
    return name


def _part(cfg: DictConfig, title: str, runs: Sequence[Run], problems: list[str]) -> Part:
    table = summarise(runs, cfg.columns)
    if not table.columns:
        raise UserError(f"{title}: no run has any of the metrics {', '.join(cfg.columns)}")
    baseline = _baseline(cfg, {variant: [run for run in runs if run.variant == variant] for variant in table.cells})
    table = _ordered(cfg, table, baseline)
    details = _ordered(cfg, summarise(runs, cfg.columns, parts=True), baseline)
    variants = {variant: [run for run in runs if run.variant == variant] for variant in table.cells}
    ranked = _ranked(table, baseline)
    drawn = [variant for variant in variants if variant in (baseline, *ranked[: figures.MOST - 1])]
    part = Part(
        title=title,
        table=table,
        parts=details,
        seeds=max(len(each) for each in variants.values()),
        baseline=baseline if len(variants) > 1 else None,
        best=next((variant for variant in ranked if any(run.splits for run in variants[variant])), None),
        variants=len(variants),
        drawn=drawn,
        differences=differences(table, baseline) if len(table.cells) > 1 else {},
        part_differences=differences(details, baseline) if len(details.cells) > 1 else {},
    )
    if cfg.paper:
        published = read_published(Path(cfg.paper))
        part.table, part.parts = (with_published(each, published, runs) for each in (table, details))
        if (part.table, part.parts) == (table, details):
            problems.append(f"{cfg.paper} has no number of {title} under {', '.join(cfg.columns)}")
    part.figures = _overview(cfg, variants, table, drawn)
    for split in Progress(_splits(runs), title, "split"):
        try:
            _by_query(cfg, part, split, variants, baseline)
        except UserError as error:
            problems.append(str(error))
    return part


def _splits(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(split for run in runs for split in run.splits))


def _baseline(cfg: DictConfig, variants: Mapping[str, Sequence[Run]]) -> str:
    if cfg.against is not None:
        if cfg.against not in variants:
            raise UserError(f"against={cfg.against!r} is no variant: they are {'; '.join(variants)}")
        return str(cfg.against)
    for variant, runs in variants.items():
        if runs[0].has({"merger": "none", "paragraph": "none"}):
            return variant
    return next(iter(variants))


def _labels(cfg: DictConfig) -> dict[str, str]:
    labels = dict(label.split(": ", 1) for label in cfg.labels if ": " in label)
    if len(labels) < len(cfg.labels):
        raise UserError(f"labels={list(cfg.labels)}: each is a variant's settings, a colon, and its name")
    return labels


def _ordered(cfg: DictConfig, table: Table, baseline: str) -> Table:
    """The baseline first, then what has labels in the labels' order, then the others by name, numbers by value."""
    labels = list(_labels(cfg).values())
    place = {variant: labels.index(variant) if variant in labels else len(labels) for variant in table.cells}
    order = sorted(place, key=lambda variant: (variant != baseline, place[variant], _natural(variant)))
    return table._replace(cells={variant: table.cells[variant] for variant in order})


def _natural(name: str) -> list[tuple[float, str]]:
    """A key that sorts alpha=2 before alpha=10."""
    parts = re.split(r"(\d+(?:\.\d+)?)", name)
    return [(float(part), "") if index % 2 else (-1.0, part) for index, part in enumerate(parts)]


def _ranked(table: Table, baseline: str) -> list[str]:
    """The variants from the best to the worst by the mean of their row, the baseline aside."""
    means = {variant: np.mean([cell.mean for cell in cells.values()]) for variant, cells in table.cells.items()}
    return sorted((variant for variant in means if variant != baseline), key=lambda variant: -means[variant])


def _overview(
    cfg: DictConfig, variants: Mapping[str, Sequence[Run]], table: Table, drawn: Sequence[str]
) -> list[Drawing]:
    found = []
    curves = figures.learning_curves({variant: variants[variant] for variant in drawn}, "mIoU")
    if curves is not None:
        found.append(Drawing("learning_curves", "Validation while training, the mean over seeds.", curves))
    metric = cfg.columns[-1]
    caption = f"{metric} of each split; lines are standard deviations over seeds."
    shown = table._replace(cells={variant: table.cells[variant] for variant in drawn})
    found.append(Drawing("bars", caption, figures.bars(shown, metric)))
    runs = [run for each in variants.values() for run in each]
    for key, swept in _swept([run for run in runs if run.source is None]):
        splits = [split for split in _splits(swept) if any(f"test/{split}/{metric}" in run.metrics for run in swept)]
        found.append(Drawing(f"sweep_{key}", f"{metric} against {key}.", figures.sweep(swept, key, metric, splits)))
    return found


def _swept(runs: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """Each numeric setting with three values or more among runs that differ in nothing else but the seed, and the runs
    of the widest such sweep."""
    keys = differing(runs)
    found = []
    for key in keys:
        alike: dict[str, list[Run]] = {}
        for run in runs:
            if isinstance(run.settings.get(key), int | float):
                others = json.dumps([run.settings.get(other) for other in keys if other != key])
                alike.setdefault(others, []).append(run)
        values = {others: {run.settings[key] for run in each} for others, each in alike.items()}
        widest = max(values, key=lambda others: len(values[others]), default="")
        if len(values.get(widest, ())) >= 3:
            found.append((key, alike[widest]))
    return found


def _by_query(cfg: DictConfig, part: Part, split: str, variants: Mapping[str, Sequence[Run]], baseline: str) -> None:
    """Add what is told query by query of one split. Of most runs only the IoUs stay in memory."""
    every: dict[str, list[NDArray[np.float64]]] = {}  # of each variant's runs
    full: dict[str, Answers] = {}  # of one run of the variants whose queries are shown
    one: Answers | None = None
    for variant, run in ((variant, run) for variant, runs in variants.items() for run in runs if split in run.splits):
        answers = run.answers(split)
        one = one or answers
        require_same_queries(one, answers, split)
        every.setdefault(variant, []).append(answers.ious)
        if variant in (baseline, part.best):
            full.setdefault(variant, answers)
    assert one is not None
    length = (one.truth[:, 1] - one.truth[:, 0]) / one.duration
    middle = one.truth.mean(axis=1) / one.duration
    # A query's IoU, the mean over seeds where there are several.
    shown = {variant: np.mean(every[variant], axis=0) for variant in part.drawn if variant in every}
    by_length, by_place = (
        figures.recall_by(label, where, shown)
        for label, where in (("length / video", length), ("middle / video", middle))
    )
    drawings = [
        Drawing(f"{split}_iou", "How well the first moments overlap.", figures.iou_histogram(shown)),
        Drawing(f"{split}_by_length", "Recall by length of the moment.", by_length),
        Drawing(f"{split}_by_place", "Recall by where the moment lies.", by_place),
    ]
    part.distributions.append((split, drawings))
    if baseline in every and len(every) > 1:
        rows: dict[str, Any] = {split: slice(None)}
        if any(row.startswith(f"{split}:") for row in part.parts.splits):
            rows |= {f"{split}:{kind}": chosen for kind, chosen in one.by_novelty().items()}
        part.bootstrap += _sureness(rows, every, baseline, cfg.columns)
    if part.best is not None and full.keys() == {baseline, part.best}:
        part.examples.append((split, _examples(cfg, variants, full, part.best, baseline)))


def _sureness(
    rows: Mapping[str, Any], ious: Mapping[str, Sequence[NDArray[np.float64]]], baseline: str, columns: Sequence[str]
) -> list[Sure]:
    """The differences of whole splits and their parts, each of `rows` by the queries in it, in what a query has."""
    names = dict.fromkeys([*columns, "R1@0.5", "R1@0.7", "mIoU"])
    least = {name: float(limit[1]) for name in names if (limit := re.fullmatch(r"R1@([\d.]+)", name))}
    metrics = [name for name in names if name in least or name == "mIoU"]
    others = [variant for variant in ious if variant != baseline]

    def values(variant: str) -> NDArray[np.float32]:
        """Each metric of each query by the run with each seed (seeds, M, n), in percent."""
        each = [[found >= least[name] if name in least else found for name in metrics] for found in ious[variant]]
        return np.multiply(each, 100, dtype=np.float32)

    ours, theirs = [values(variant) for variant in others], values(baseline)
    sure = []
    for split, chosen in rows.items():
        found = paired_bootstrap([each[..., chosen] for each in ours], theirs[..., chosen])
        sure += [
            Sure(variant, split, metric, *(float(number[row, column]) for number in found))
            for row, variant in enumerate(others)
            for column, metric in enumerate(metrics)
        ]
    return sure


def _examples(
    cfg: DictConfig, variants: Mapping[str, Sequence[Run]], answers: Mapping[str, Answers], best: str, baseline: str
) -> list[Example]:
    compared = {baseline: answers[baseline], best: answers[best]}
    chosen = choose(answers[best].ious, answers[baseline].ious, cfg.examples)
    records = answers[best].records(chosen)
    told = narratives_of(variants[best][0], [record["video"] for record in records])
    frames = pictures(
        Path(cfg.videos) if cfg.videos else None, [(record["video"], record["duration"]) for record in records]
    )
    return [
        example(index, record, compared, baseline, told, frames) for index, record in zip(chosen, records, strict=True)
    ]


def _render(cfg: DictConfig, runs: Sequence[Run], parts: Sequence[Part], problems: Sequence[str]) -> str:
    templates = Environment(
        loader=PackageLoader("src.reporting"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    today = datetime.datetime.now(datetime.UTC).strftime("%d %B %Y")
    values: dict[str, Any] = {
        "title": cfg.title,
        "subtitle": f"{len(runs)} runs, {today}",
        "runs": runs,
        "parts": parts,
        "problems": problems,
        "within": WITHIN_CHANCE,
        "decisive": cfg.columns[-1],
    }
    return templates.get_template("report.html").render(values)
