"""The report on a narratives file: printed as tables, and written as JSON beside the file."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from src.data.narratives import read_narratives
from src.data.records import Moment, Narratives
from src.data.store import Store
from src.data.text_stores import narrative_store
from src.errors import UserError
from src.files import whole
from src.narrators.quality import Closeness, Grounding, Variety, cosine, ground, mentions, variety
from src.progress import Progress, show
from src.tables import pipes
from src.text.encoder import TextEncoder

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Queries:
    """What narratives are held against.

    Attributes:
        data: The data set's name.
        splits: The queries of each of its splits.
        encoder: The text encoder in whose space narratives and queries are compared.
        text: That encoder's name.
        store: The store of the narratives' vectors, which is made if need be.
    """

    data: str
    splits: Mapping[str, Sequence[Moment]]
    encoder: TextEncoder
    text: str
    store: Path


def assess(file: Path, queries: Queries | None) -> None:
    """Report on the narratives in `file`, against the queries of a data set if there is one.

    Raises:
        UserError: No such file, a damaged line in it, none of the data set's videos in it, or what the text encoder
            lacks.
    """
    if queries is not None and (missing := queries.encoder.missing()):
        raise UserError("; and ".join(missing))
    splits = queries.splits if queries is not None else {}
    mentioned: dict[str, frozenset[str]] = {}
    held = variety(_noted(file, {moment.video for moments in splits.values() for moment in moments}, mentioned))
    show(_table([held]))
    content: dict[str, Any] = {"narratives": _numbers(held)}
    if queries is not None:
        grounding = _grounding(queries, file, mentioned)
        show(_table(grounding))
        rows = [_numbers(row) for row in grounding]
        content |= {"data": queries.data, "text": queries.text, "queries": rows}
    target = file.with_suffix(".report.json")
    with whole(target) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    _log.info("%s", target)


def _noted(file: Path, wanted: set[str], mentioned: dict[str, frozenset[str]]) -> Iterator[Narratives]:
    """The videos of `file`; note what those of the data set mention."""
    for video in Progress(read_narratives(file), f"reading {file.name}", "video"):
        if video.video in wanted:
            mentioned[video.video] = mentions(video)
        yield video


def _grounding(queries: Queries, file: Path, mentioned: dict[str, frozenset[str]]) -> list[Grounding]:
    """A row for each split, and one for all together."""
    splits, encoder = queries.splits, queries.encoder
    videos = {moment.video for moments in splits.values() for moment in moments}
    if not mentioned:
        raise UserError(f"{file} has narratives of none of the {len(videos)} videos that are asked about")
    if len(mentioned) < len(videos):
        _log.warning("%d of %d videos have no narratives: left out", len(videos) - len(mentioned), len(videos))
    vectors = narrative_store(queries.store, encoder, file, mentioned)
    closeness = {
        split: list(_closeness([moment for moment in moments if moment.video in mentioned], vectors, encoder))
        for split, moments in splits.items()
    }
    closeness["all"] = [each for split in closeness.values() for each in split]
    return [ground(split, each, mentioned) for split, each in closeness.items()]


def _closeness(moments: Sequence[Moment], narratives: Store, encoder: TextEncoder) -> Iterator[Closeness]:
    queries = encoder.sentences([moment.query for moment in moments])
    for moment, query in zip(moments, queries, strict=True):
        video = narratives[moment.video]
        similarities = cosine(video["features"].numpy().astype(np.float64), query.astype(np.float64))
        yield Closeness(moment, video["times"].numpy(), similarities)


def _table(rows: Sequence[Variety] | Sequence[Grounding]) -> str:
    """Rows under the names of their fields, as Markdown."""
    names = [field.name for field in fields(rows[0])]
    return pipes([names, *([_cell(value) for value in asdict(row).values()] for row in rows)]) + "\n"


def _cell(value: Any) -> str:
    if _missing(value):
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _numbers(row: Variety | Grounding) -> dict[str, Any]:
    """The fields of a row by name; None for a share of nothing, because JSON knows no NaN."""
    return {name: None if _missing(value) else value for name, value in asdict(row).items()}


def _missing(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
