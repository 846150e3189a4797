"""The stores of text features: made once, and again when what they were made of has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from src.data.narratives import missing_narratives, read_narratives
from src.data.store import ROW, Columns, Store, listing, open_if_made_by, write_store
from src.errors import UserError
from src.progress import Progress
from src.text.encoder import TextEncoder
from src.text.words import WordVectors


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
    with file.open("rb") as content:
        made_by = {**encoder.identity, "narratives": hashlib.file_digest(content, "sha256").hexdigest()}
    wanted = set(videos)
    kept = open_if_made_by(path, made_by, ("times",))
    if kept is not None:
        _require(wanted, set(kept), file)
        return kept
    # All of the file is checked before the long work begins.
    texts = _Texts(file)
    _require(wanted, texts.videos, file)

    def rows() -> Iterator[tuple[str, Columns]]:
        vectors = encoder.sentences(texts)
        for video in read_narratives(file):
            features = np.stack(list(islice(vectors, len(video.texts))))
            yield video.video, {"features": features, "times": np.array(video.times)}

    write_store(path, rows(), made_by)
    return Store(path)


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
