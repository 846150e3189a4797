"""The index without an engine: every vector is compared. Cost and disk grow with the narratives.

A folder of two files. `videos.sqlite` says which videos there are, in transactions: narratives, words, and where their
vectors stand. `vectors-N.f32` holds those one after another, only ever appended to, and is read as mapped memory. What
a writer had appended when it was killed, no video names; the next one writes over it. When half of a file is of videos
that were removed, the others move to file N + 1.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.errors import UserError, reason
from src.files import require_folder, writing
from src.retrieval.bm25 import Bm25, stems
from src.retrieval.index import Candidate, Entry, Question, Told, Vectors, Windows, fused
from src.retrieval.windows import spans, step_of

_FORMAT = "tea-index-1"
_TABLES = """
CREATE TABLE about (format TEXT, made_by TEXT, dim INTEGER, file INTEGER, rows INTEGER, version INTEGER);
CREATE TABLE videos (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, digest TEXT, start INTEGER, count INTEGER,
    times BLOB, texts TEXT, words BLOB
);
CREATE TABLE words (id INTEGER PRIMARY KEY, stem TEXT UNIQUE);
"""
_TOGETHER = 256
"""Videos that are taken in at a time."""
_ASKED = 16
"""Sentences that are compared at a time."""
_WAITED = 60.0
"""Seconds to wait for another process in the middle of a transaction."""

_log = logging.getLogger(__name__)


class ExactIndex:
    """An `Index` in a folder; made there if need be, and anew where it was made by something else.

    Args:
        folder: Where it lies.
        made_by: What made the vectors, as JSON can say it.
        dim: The numbers of a vector.

    Raises:
        UserError: The folder cannot be written to, or the disk is full.
    """

    def __init__(self, folder: Path, made_by: Mapping[str, Any], dim: int) -> None:
        self.folder = folder
        self.dim = dim
        self._made_by = json.dumps(made_by, sort_keys=True)
        self._database = folder / "videos.sqlite"
        self._local = threading.Lock()
        self._held: _Held | None = None
        require_folder(folder)
        if self._problem() is not None:
            with self._writing():
                self._make()

    def digests(self) -> dict[str, str]:
        with self._reading() as database:
            return dict(database.execute("SELECT name, digest FROM videos"))

    def add(self, entries: Iterable[Entry]) -> None:
        rest = iter(entries)
        while some := list(islice(rest, _TOGETHER)):
            with self._writing() as database, database:
                self._take(database, some)
        self._clear_out()

    def remove(self, videos: Collection[str]) -> None:
        if not videos:
            return
        with self._writing() as database, database:
            database.executemany("DELETE FROM videos WHERE name = ?", [(video,) for video in videos])
            database.execute("UPDATE about SET version = version + 1")
        self._clear_out()

    def candidates(self, questions: Sequence[Question], most: int, video: str | None = None) -> list[list[Candidate]]:
        held = self._now()
        if not held.names or (video is not None and video not in held.places):
            return [[] for _ in questions]
        only = None if video is None else held.places[video]
        found = []
        for start in range(0, len(questions), _ASKED):
            some = questions[start : start + _ASKED]
            cosines = np.stack([question.sought for question in some]) @ held.vectors.T
            found += [
                self._best(held, question.sentence, row, most, only)
                for question, row in zip(some, cosines, strict=True)
            ]
        return found

    def told(self, video: str) -> Told | None:
        held = self._now()
        number = held.places.get(video)
        if number is None:
            return None
        with self._reading() as database:
            found = database.execute("SELECT texts FROM videos WHERE id = ?", (held.ids[number],)).fetchone()
        if found is None:
            return None  # removed just now
        rows = slice(held.starts[number], held.starts[number] + len(held.times[number]))
        return Told(held.times[number], tuple(json.loads(found[0])), held.vectors[rows])

    def _best(
        self, held: _Held, sentence: str, cosines: NDArray[np.float32], most: int, only: int | None
    ) -> list[Candidate]:
        windows, words = held.windows, held.bm25(sentence)
        best, matching = windows.best(np.append(cosines, np.float32(-np.inf))), words[windows.video]
        among = np.arange(len(best)) if only is None else np.flatnonzero(windows.video == only)
        found = []
        for window in among[fused((best[among], matching[among]), most)]:
            video, first = windows.video[window], int(windows.first[window])
            end = first + int((windows.rows[window] < len(held.vectors)).sum())
            rows = slice(held.starts[video] + first, held.starts[video] + end)
            times = held.times[video]
            seconds = spans(times, step_of(times))[first:end]
            found.append(Candidate(held.names[video], seconds, cosines[rows], float(words[video]), held.vectors[rows]))
        return found

    def _now(self) -> _Held:
        """What the index holds now, loaded again where a writer has changed it."""
        with self._local:
            while True:
                with self._reading() as database:
                    file, rows, version = database.execute("SELECT file, rows, version FROM about").fetchone()
                    if self._held is not None and self._held.version == (file, rows, version):
                        return self._held
                    try:
                        vectors = _mapped(self._vectors(file), rows, self.dim)
                    except FileNotFoundError:
                        continue  # a writer has put another in its place since
                    self._held = _load(database, vectors, (file, rows, version))

    def _vectors(self, file: int) -> Path:
        return self.folder / f"vectors-{file}.f32"

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            # Writable where it can be: what a writer that was killed in a transaction left is then rolled back.
            place = f"{self._database.absolute().as_uri()}?mode=rw"
            with closing(sqlite3.connect(place, timeout=_WAITED, uri=True)) as database:
                # One moment's state, whatever writers do meanwhile.
                database.execute("BEGIN")
                yield database
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise UserError(f"{self.folder} is being written, for more than {_WAITED:g} s: try again") from error
            raise UserError(f"{self.folder} is damaged ({reason(error)}): delete it, and it is made again") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """The database, with every other writer kept out."""
        with writing(self.folder), (self.folder / "lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log.info("%s: waiting for another process that writes it", self.folder)
                fcntl.flock(lock, fcntl.LOCK_EX)
            with closing(sqlite3.connect(self._database, timeout=_WAITED)) as database:
                yield database

    def _problem(self) -> str | None:
        """Why what is there is not this index; None if it is."""
        if not self._database.is_file() or self._database.stat().st_size == 0:
            return "there is none"
        try:
            with self._reading() as database:
                found = database.execute("SELECT format, made_by, dim, file, rows FROM about").fetchall()
        except UserError as error:
            return str(error)
        if len(found) != 1:
            return "it was not finished"
        (form, made_by, dim, file, rows) = found[0]
        if (form, made_by, dim) != (_FORMAT, self._made_by, self.dim):
            return "it was made by another version, encoder or settings"
        path = self._vectors(file)
        if not path.is_file() or path.stat().st_size < rows * dim * 4:
            return f"{path} is missing or cut short"
        return None

    def _make(self) -> None:
        """Begin anew, unless another process has by now."""
        problem = self._problem()
        if problem is None:
            return
        _log.info("making %s: %s", self.folder, problem)
        for old in (self._database, *self.folder.glob("videos.sqlite-*"), *self.folder.glob("vectors-*.f32")):
            old.unlink(missing_ok=True)
        self._vectors(0).touch()
        with closing(sqlite3.connect(self._database)) as database, database:
            database.executescript(f"BEGIN; {_TABLES}")
            database.execute("INSERT INTO about VALUES (?, ?, ?, 0, 0, 0)", (_FORMAT, self._made_by, self.dim))

    def _take(self, database: sqlite3.Connection, entries: Sequence[Entry]) -> None:
        file, rows = database.execute("SELECT file, rows FROM about").fetchone()
        # On the disk before the transaction that names them.
        _append(self._vectors(file), rows, (entry.vectors for entry in entries), self.dim)
        for entry in entries:
            count = len(entry.times)
            counted = stems(entry.texts)
            database.executemany("INSERT OR IGNORE INTO words (stem) VALUES (?)", [(stem,) for stem in counted])
            numbers = [
                (database.execute("SELECT id FROM words WHERE stem = ?", (stem,)).fetchone()[0], times)
                for stem, times in counted.items()
            ]
            database.execute("DELETE FROM videos WHERE name = ?", (entry.video,))
            database.execute(
                "INSERT INTO videos (name, digest, start, count, times, texts, words) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(entry.video, entry.digest, rows, count, entry.times.astype(np.float64).tobytes()),
                    *(json.dumps(list(entry.texts), ensure_ascii=False), np.array(numbers, np.int32).tobytes()),
                ),
            )
            rows += count
        database.execute("UPDATE about SET rows = ?, version = version + 1", (rows,))

    def _clear_out(self) -> None:
        """Move the vectors to a new file where half of those in the old one are of no video any more."""
        with self._writing() as database, database:
            file, rows = database.execute("SELECT file, rows FROM about").fetchone()
            used = database.execute("SELECT total(count) FROM videos").fetchone()[0]
            if rows <= 2 * used:
                return
            old, end = _mapped(self._vectors(file), rows, self.dim), 0
            videos = database.execute("SELECT id, start, count FROM videos ORDER BY start").fetchall()
            for id_, start, count in videos:
                _append(self._vectors(file + 1), end, [old[start : start + count]], self.dim, lasting=False)
                database.execute("UPDATE videos SET start = ? WHERE id = ?", (end, id_))
                end += count
            _append(self._vectors(file + 1), end, (), self.dim)
            database.execute("UPDATE about SET file = ?, rows = ?, version = version + 1", (file + 1, end))
        self._vectors(file).unlink(missing_ok=True)


class _Held(NamedTuple):
    """What is in memory of one version of the index; vectors are mapped."""

    version: tuple[int, int, int]
    ids: list[int]
    names: list[str]
    places: dict[str, int]
    times: list[NDArray[np.float64]]
    starts: list[int]
    vectors: Vectors
    windows: Windows
    bm25: Bm25


def _load(database: sqlite3.Connection, vectors: Vectors, version: tuple[int, int, int]) -> _Held:
    videos = database.execute("SELECT id, name, start, count, times, words FROM videos ORDER BY start").fetchall()
    ids, names, starts, counts = ([video[column] for video in videos] for column in range(4))
    every = [np.frombuffer(video[4], np.float64) for video in videos]
    stemmed = [np.frombuffer(video[5], np.int32).reshape(-1, 2) for video in videos]
    rows = np.repeat(np.arange(len(videos), dtype=np.int32), [len(each) for each in stemmed])
    terms, times = np.concatenate([np.zeros((0, 2), np.int32), *stemmed]).T
    vocabulary = {stem: number for number, stem in database.execute("SELECT id, stem FROM words")}
    bm25 = Bm25(rows, terms, times, np.bincount(rows, times, len(videos)), vocabulary)
    places = {name: number for number, name in enumerate(names)}
    return _Held(version, ids, names, places, every, starts, vectors, Windows(starts, counts, len(vectors)), bm25)


def _mapped(path: Path, rows: int, dim: int) -> Vectors:
    if rows == 0:
        return np.zeros((0, dim), np.float32)
    return np.memmap(path, np.float32, "r", shape=(rows, dim))


def _append(path: Path, rows: int, pieces: Iterable[Vectors], dim: int, lasting: bool = True) -> None:
    """Write vectors after the first `rows`, over whatever a killed writer left there; `lasting`: to the disk itself."""
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    with os.fdopen(opened, "r+b") as file:
        file.seek(rows * dim * 4)
        file.truncate()
        for piece in pieces:
            file.write(np.ascontiguousarray(piece, np.float32).data)
        file.flush()
        if lasting:
            os.fsync(file.fileno())
