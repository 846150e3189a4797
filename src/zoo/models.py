"""Every predictor of conf/predictor and training method of conf/method, with its paper and what is published of it.

A file of papers/ holds what a paper's authors, or others, made known; numbers of the TEA paper's tables and ours are
those of the CSV files in experiments/, where they stand once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from src.files import read_csv, read_text
from src.places import EXPERIMENTS

PAPERS = Path(__file__).parent / "papers"

TABLES = (8, 4, 2, 3, 9)
"""Of the TEA paper, those that list methods of others: first the original splits."""

# In C where PyYAML has it.
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a network was published to score on one split.

    Attributes:
        data: The data set, by its choice of conf/data.
        split: Its split, as the source calls it.
        features: The video features; empty where the source does not say.
        scores: By metric, in percent, as `python -m src.evaluate` names them; `HL mAP` and `HIT@1` are of highlights at
            least very good.
        source: Where the numbers stand.
        of: The one config that they are of, where a paper has several; None for all.
    """

    data: str
    split: str
    features: str
    scores: dict[str, float]
    source: str
    of: str | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What runs of ours scored on one split.

    Attributes:
        data: The data set, by its choice of conf/data.
        split: Its split.
        scores: By metric, in percent: the mean over the runs, or over the queries of all folds.
        runs: How many seeds or folds there were.
        file: The CSV file within experiments/ that holds it.
        line: What its rows are called there.
    """

    data: str
    split: str
    scores: dict[str, float]
    runs: int
    file: str
    line: str


@dataclass(frozen=True, kw_only=True)
class Model:
    """A choice of conf/predictor or conf/method.

    Attributes:
        name: Of the choice.
        group: predictor or method.
        paper: What it is of.
        train: What `python -m src.train` takes to train it as its authors did; the first is what was counted.
        parameters: How many numbers that network learns, those of its training method among them.
        text: The size of its text features.
        video: The size of its video features; None where it reads none.
        golden: Files of numbers of its authors' code that it meets, without their ending.
        test: The test that holds it to them; None where there are none.
        ours: What was measured here.
    """

    name: str
    group: str
    paper: Paper = field(repr=False)
    train: tuple[str, ...]
    parameters: int
    text: int
    video: int | None = None
    golden: tuple[str, ...] = ()
    test: str | None = None
    ours: tuple[Measured, ...] = field(default=(), repr=False)

    @property
    def published(self) -> tuple[Score, ...]:
        """What is published of it; numbers of the very network first."""
        scores = [score for score in self.paper.published if score.of in (None, self.name)]
        return tuple(sorted(scores, key=lambda score: score.of is None))


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A network or method that was published, or this project's own.

    Attributes:
        name: What its authors call it.
        authors: Their family names.
        chosen: How the epoch and the samples of the published numbers were chosen, and what to know before comparing.
        published: What it was published to score.
        venue, year: Where and when; None for what is this project's own.
        arxiv: Its number there, where it is known.
        code: Its authors' repository.
    """

    name: str
    authors: str
    chosen: str
    published: tuple[Score, ...]
    venue: str | None = None
    year: int | None = None
    arxiv: str | None = None
    code: str | None = None
    models: list[Model] = field(default_factory=list, compare=False, repr=False)

    @property
    def place(self) -> str:
        """First author, venue and year."""
        return self.authors if self.venue is None else f"{self.authors.split(',')[0]}, {self.venue} {self.year}"


def list_models() -> list[Model]:
    """Every predictor and training method, by the year of its paper and its name; methods last.

    >>> [model.name for model in list_models() if model.paper.name == "2D-TAN"]
    ['tan_2d', 'tan_2d_pool']
    """
    models = [model for paper in list_papers() for model in paper.models]
    return sorted(models, key=lambda model: model.group == "method")


@cache
def list_papers() -> tuple[Paper, ...]:
    """Every paper, by its year and its name; this project's own last."""
    papers = (_read(yaml.load(read_text(path), _YAML)) for path in PAPERS.glob("*.yaml"))
    return tuple(sorted(papers, key=lambda paper: (paper.year is None, paper.year, paper.name.lower())))


def _read(known: dict[str, Any]) -> Paper:
    """The paper of a file of papers/."""
    table, ours = known.pop("tables", None), known.pop("ours", {})
    groups = {group: known.pop(f"{group}s", {}) for group in ("predictor", "method")}
    published = (*(Score(**score) for score in known.pop("published")), *_tables(table))
    paper = Paper(**known, published=published)
    for group, choices in groups.items():
        for name, about in choices.items():
            lists = {key: tuple(about.get(key, ())) for key in ("train", "golden")}
            measured = tuple(found for where in ours.get(name, ()) for found in _measured(**where))
            paper.models.append(Model(**{**about, **lists}, name=name, group=group, paper=paper, ours=measured))
    return paper


def _tables(method: str | None) -> Iterator[Score]:
    """What the TEA paper's tables say of a method."""
    for number in TABLES if method is not None else ():
        scores: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
        for row in _rows(f"table{number}/paper.csv", ("method", "data", "split", "metric", "value")):
            if row["method"] == method and row["value"]:
                scores[row["data"], row["split"], row.get("feature", "")][row["metric"]] = float(row["value"])
        for (data, split, features), found in scores.items():
            yield Score(data=data, split=split, features=features, scores=found, source=f"TEA, Table {number}")


def _measured(file: str, line: str, data: str) -> Iterator[Measured]:
    """What a file of ours says of a line of it, a run a row (method, queries, metrics …) or a number a row.

    Parts of splits, such as the nouns among the novel words, are left out.
    """
    values: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in _rows(file, ()):
        if line == row.get("variant") and ":" not in row["split"]:
            values[row["split"]][row["metric"]].append((float(row["value"]), 1.0))
        elif line == row.get("method"):
            for metric in row.keys() - {"method", "fold", "queries"}:
                values["test"][metric].append((float(row[metric]), float(row["queries"])))
    for split, metrics in values.items():
        scores = {metric: fmean(*zip(*found, strict=True)) for metric, found in metrics.items()}
        runs = max(len(found) for found in metrics.values())
        yield Measured(data=data, split=split, scores=scores, runs=runs, file=file, line=line)


@cache
def _rows(file: str, needed: tuple[str, ...]) -> list[Mapping[str, str]]:
    return [row for _, row in read_csv(EXPERIMENTS / file, needed)]
