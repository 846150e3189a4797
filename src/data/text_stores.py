"""The stores of text features: made once, and again when what they were made of has changed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.data.narratives import read_narratives
from src.data.store import Columns, Store, write_store
from src.text.encoder import TextEncoder

_log = logging.getLogger(__name__)


def query_store(path: Path, encoder: TextEncoder, sentences: Sequence[str]) -> Store:
    """Word vectors of each different sentence: columns `features` (Q, dim) and `unknown` (Q,)."""
    different = sorted(set(sentences))

    def rows() -> Iterator[tuple[str, Columns]]:
        for sentence, words in zip(different, encoder.words(different), strict=True):
            yield sentence, {"features": words.features, "unknown": words.unknown}

    return _up_to_date(path, {**encoder.identity, "sentences": _digest(different)}, rows)


def narrative_store(path: Path, encoder: TextEncoder, file: Path) -> Store:
    """Sentence vectors of a narratives file, by video: columns `features` (n, dim) and `times` (n,) in seconds."""
    videos = list(read_narratives(file))

    def rows() -> Iterator[tuple[str, Columns]]:
        vectors = encoder.sentences([text for video in videos for text in video.texts])
        position = 0
        for video in videos:
            end = position + len(video.texts)
            yield video.video, {"features": vectors[position:end], "times": np.array(video.times)}
            position = end

    narratives = _digest([f"{video.video} {video.times} {video.texts}" for video in videos])
    return _up_to_date(path, {**encoder.identity, "narratives": narratives}, rows)


def _up_to_date(path: Path, made_by: dict[str, Any], rows: Callable[[], Iterator[tuple[str, Columns]]]) -> Store:
    if path.is_file():
        store = Store(path)
        if store.made_by == made_by:
            return store
        _log.info("%s was made of something else: making it anew", path)
    else:
        _log.info("making %s", path)
    write_store(path, rows(), made_by)
    return Store(path)


def _digest(texts: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode())
        digest.update(b"\0")
    return digest.hexdigest()
