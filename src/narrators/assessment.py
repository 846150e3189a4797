"""The report on a narratives file: printed as tables, and written as JSON beside the file."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

from src.data.narratives import read_narratives
from src.data.records import Moment, Narratives
from src.data.splits import load_split, split_names
from src.data.store import Store
from src.data.text_stores import narrative_store
from src.errors import UserError
from src.files import whole
from src.narrators.quality import Closeness, Grounding, Variety, cosine, ground, mentions, variety
from src.places import Places
from src.tables import pipes
from src.text.encoder import TextEncoder

_log = logging.getLogger(__name__)


def assess(cfg: DictConfig, file: Path) -> None:
    """Report on the narratives in `file`, against the queries of the configured data set if there is one.

    The vectors of the narratives are stored for the next time.

    Raises:
        UserError: No such file, a damaged line in it, none of the data set's videos in it, or what the text encoder
            lacks.
    """
    splits = _splits(cfg)
    encoder: TextEncoder | None = instantiate(cfg.text.encoder) if splits else None
    if encoder is not None and (missing := encoder.missing()):
        raise UserError("; and ".join(missing))
    mentioned: dict[str, frozenset[str]] = {}
    held = variety(_noted(file, {moment.video for moments in splits.values() for moment in moments}, mentioned))
    print(_table([held]))
    grounding: list[Grounding] = []
    if encoder is not None:
        store = Places(cfg).narrative_store_of(file.stem)
        grounding = _grounding(splits, file, store, encoder, mentioned)
        print(_table(grounding))
    target = file.with_suffix(".report.json")
    _write(target, held, grounding, cfg)
    _log.info("%s", target)


def _splits(cfg: DictConfig) -> dict[str, list[Moment]]:
    """The moments of each split of the data set; none without a data set."""
    if cfg.get("data") is None:
        return {}
    return {split: list(load_split(cfg.data, split).moments) for split in split_names(cfg.data)}


def _noted(file: Path, wanted: set[str], mentioned: dict[str, frozenset[str]]) -> Iterator[Narratives]:
    """The videos of `file`; note what those of the data set mention."""
    for video in tqdm(read_narratives(file), desc=f"reading {file.name}", unit="video", delay=3, mininterval=1):
        if video.video in wanted:
            mentioned[video.video] = mentions(video)
        yield video


def _grounding(
    splits: dict[str, list[Moment]],
    file: Path,
    store: Path,
    encoder: TextEncoder,
    mentioned: dict[str, frozenset[str]],
) -> list[Grounding]:
    """A row for each split, and one for all together."""
    videos = {moment.video for moments in splits.values() for moment in moments}
    if not mentioned:
        raise UserError(f"{file} has narratives of none of the {len(videos)} videos that are asked about")
    if len(mentioned) < len(videos):
        _log.warning("%d of %d videos have no narratives: left out", len(videos) - len(mentioned), len(videos))
    vectors = narrative_store(store, encoder, file, mentioned)
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


def _write(target: Path, held: Variety, grounding: Sequence[Grounding], cfg: DictConfig) -> None:
    content: dict[str, Any] = {"narratives": _numbers(held)}
    if grounding:
        content["data"] = cfg.data.name
        content["text"] = cfg.text.name
        content["queries"] = [_numbers(row) for row in grounding]
    text = json.dumps(content, indent=2, allow_nan=False)
    with whole(target) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _numbers(row: Variety | Grounding) -> dict[str, Any]:
    """The fields of a row by name; None for a share of nothing, because JSON knows no NaN."""
    return {name: None if _missing(value) else value for name, value in asdict(row).items()}


def _missing(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
