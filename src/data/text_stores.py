"""The stores of text features: made once, and again when what they were made of has changed."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from src.data.narratives import missing_narratives, read_narratives
from src.data.resumed import forget_sentences, resumed_sentences
from src.data.rewordings import missing_rewordings, read_rewordings
from src.data.store import ROW, Columns, Store, listing, open_if_made_by, write_store
from src.errors import UserError
from src.progress import Progress
from src.text.encoder import TextEncoder
from src.text.words import WordVectors

_log = logging.getLogger(__name__)


def query_store(path: Path, encoder: TextEncoder, sentences: Iterable[str]) -> Store:
    """Word vectors of each different sentence: columns `features` (Q, dim) and `unknown` (Q,) bool.

    Where a word has one vector wherever it stands, that is stored once.

    Args:
        path: The store's file; kept if it was made of these sentences with this encoder.
        encoder: The encoder of the words.
        sentences: The queries, never empty.

    Raises:
        UserError: The encoder's model or vectors are missing or damaged; the store is then left as it was.
    """
    different = sorted(set(sentences))

    digest = hashlib.sha256("\0".join(different).encode()).hexdigest()
    made_by = {**encoder.identity, "sentences": digest}
    kept = open_if_made_by(path, made_by, ("unknown",))
    if kept is not None:
        return kept
    if isinstance(encoder, WordVectors):
        # Few words recur often: each vector is stored once.
        words, rows = encoder.table(different)
        given: Iterator[Columns] = ({ROW: row} for row in rows)
        write_store(path, zip(different, given, strict=True), made_by, words._asdict())
    else:
        given = (words._asdict() for words in encoder.words(different))
        write_store(path, zip(different, given, strict=True), made_by)
    return Store(path)


def narrative_store(path: Path, encoder: TextEncoder, file: Path, videos: Iterable[str]) -> Store:
    """Sentence vectors of a narratives file, by video: columns `features` (n, dim) and `times` (n,) float64 seconds.

    Args:
        path: The store's file; kept if it was made of this very narratives file with this encoder.
        encoder: The encoder of the sentences.
        file: The narratives file. All its videos are stored, so that data sets of the same videos share the store.
        videos: The ids that must be among them.

    Raises:
        UserError: No such file, a malformed line in it, or no narratives for some of `videos`: it counts and names
            them; what is wrong with the encoder. The store is then left as it was.
    """
    if missing := missing_narratives(file):
        raise UserError(missing[0])
    made_by = _made_of(file, encoder)
    wanted = set(videos)
    kept = open_if_made_by(path, made_by, ("times",))
    if kept is not None:
        _require(wanted, set(kept), file)
        return kept
    # All of the file is checked before the long work begins.
    texts = _Texts(file)
    _require(wanted, texts.videos, file)

    def rows() -> Iterator[tuple[str, Columns]]:
        vectors = resumed_sentences(path, made_by, encoder, texts)
        for video in read_narratives(file):
            features = np.stack(list(islice(vectors, len(video.texts))))
            yield video.video, {"features": features, "times": np.array(video.times)}

    write_store(path, rows(), made_by)
    forget_sentences(path)
    return Store(path)


def prepared_narratives(path: Path, encoder: TextEncoder, file: Path) -> Store | None:
    """The store at `path`, if `narrative_store` made it of this very narratives file with this encoder."""
    try:
        store = Store(path, ("times",))
    except UserError:
        return None
    return store if _made_of(file, encoder).items() <= store.made_by.items() else None


def rewording_store(path: Path, encoder: TextEncoder, file: Path, sentences: Iterable[str]) -> Store:
    """Sentence vectors of a rewordings file, by the sentence that was reworded: the column `features` (R, dim).

    Args:
        path: The store's file; kept if it was made of this very rewordings file with this encoder.
        encoder: The encoder of the sentences.
        file: The rewordings file.
        sentences: The queries that should be among the reworded; it is said how many are not.

    Raises:
        UserError: No such file, a malformed line in it, or rewordings of none of `sentences`. The store is then left as
            it was.
    """
    if missing := missing_rewordings(file):
        raise UserError(missing[0])
    made_by = {**encoder.identity, "rewordings": _digest(file)}
    reworded = {each.query: each.rewordings for each in read_rewordings(file)}
    wanted = set(sentences)
    lacking = sorted(wanted - reworded.keys())
    if len(lacking) == len(wanted):
        raise UserError(
            f"{file} rewords other queries, none of these {len(wanted)} ({listing(lacking)}): write theirs with "
            "python -m src.reword and the same data and reworder"
        )
    if lacking:
        _log.warning("%d of %d queries have no rewordings in %s: each is itself alone", len(lacking), len(wanted), file)
    kept = open_if_made_by(path, made_by)
    if kept is not None:
        return kept
    vectors = resumed_sentences(path, made_by, encoder, [text for texts in reworded.values() for text in texts])
    rows = ((query, {"features": np.stack(list(islice(vectors, len(texts))))}) for query, texts in reworded.items())
    write_store(path, rows, made_by)
    forget_sentences(path)
    return Store(path)


def _made_of(file: Path, encoder: TextEncoder) -> dict[str, Any]:
    # By way of JSON, where tuples are lists, as a store says it.
    made_by: dict[str, Any] = json.loads(json.dumps({**encoder.identity, "narratives": _digest(file)}))
    return made_by


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class _Texts:
    """The texts of a narratives file, which may be too many to hold in memory. `videos` are those it is about."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.videos: set[str] = set()
        self._count = 0
        for video in Progress(read_narratives(file), f"checking {file.name}", "video"):
            self.videos.add(video.video)
            self._count += len(video.texts)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        for video in read_narratives(self.file):
            yield from video.texts


def _require(wanted: set[str], there: set[str], file: Path) -> None:
    lacking = sorted(wanted - there)
    if lacking:
        raise UserError(
            f"{file} has no narratives of {len(lacking)} of {len(wanted)} videos ({listing(lacking)}): "
            "write them with python -m src.narrate"
        )
