"""The index by LanceDB, for collections that are large, shared, or in object storage (the extra `lance`).

Two tables. A row of `narratives` is a narrative with its vector; a row of `videos` is a video, which is written last:
only narratives with the mark of a row there are read. What a writer had added when it was killed is thus of no video,
and goes when the next one writes.
"""

from __future__ import annotations

import fcntl
import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from src.errors import UserError, reason
from src.files import require_folder, writing
from src.retrieval.bm25 import asked, stems
from src.retrieval.index import BEST, Candidate, Entry, Question, Told, Vectors, fused
from src.retrieval.windows import spans, step_of, windows

_FORMAT = "tea-lance-2"
_TOGETHER = 1024
"""Videos that are taken in at a time: each time is a version of the tables."""
_KEPT = timedelta(minutes=10)
"""How long the versions stay that others may be reading."""
_SAMPLE, _ROUNDS = 64, 10
"""Vectors for each part of their index that it is divided by, and how often."""
_SHARE = 4
"""How many times fewer parts there are than the root of the vectors: as many are found at the same cost, and dividing
them takes less (300,000 captions)."""
_DISTANCE: Final = "l2"
"""Squared, so that of vectors of length one it is 2 - 2 cos. By products, vectors are divided among a few parts, as the
longest of their means is the nearest to most; what LanceDB calls cosine is not the same with an index as without."""


class _Kept(NamedTuple):
    """A video's narratives, and the stems of all their words."""

    told: Told
    stems: list[str]


class LanceIndex:
    """An `Index` in LanceDB tables.

    Args:
        folder: Where it lies on this machine, if `place` says nothing else; its lock is there in any case.
        made_by: What made the vectors, as JSON can say it.
        dim: The numbers of a vector.
        place: Another place: a folder, or an address such as s3://bucket/name.
        storage: Settings of object storage, as LanceDB takes them (endpoint, region …). Keys are read from the
            environment.
        rows: Narratives that the vectors' index is asked for.
        probes: Parts of the vectors' index that are searched.
        least: Narratives from which on there is an index of vectors; fewer are all compared.

    Raises:
        UserError: LanceDB is not installed, or the place cannot be reached or written to.
    """

    def __init__(
        self,
        folder: Path,
        made_by: Mapping[str, Any],
        dim: int,
        place: str | None,
        storage: Mapping[str, str],
        rows: int,
        probes: int,
        least: int,
    ) -> None:
        try:
            import lancedb
        except ImportError as error:
            raise UserError("index=lance needs LanceDB: pip install '.[lance]'") from error
        self.dim, self.rows, self.probes, self.least = dim, rows, probes, least
        self._lock = folder / "lock"
        self._read: tuple[int, Mapping[str, tuple[str, str]]] = (-1, {})
        require_folder(folder)
        about = json.dumps({"format": _FORMAT, "dim": dim, **made_by}, sort_keys=True)
        where = place or str(folder / "tables")
        with self._told():
            self._database = lancedb.connect(where, storage_options=dict(storage) or None)
            names = set(self._database.table_names())
            if (
                not {"about", "narratives", "videos"} <= names
                or self._table("about").to_arrow()["made_by"][0].as_py() != about
            ):
                self._make(names, about)

    def digests(self) -> dict[str, str]:
        return {name: digest for name, (digest, _) in self._videos().items()}

    def add(self, entries: Iterable[Entry]) -> None:
        rest = iter(entries)
        added = False
        while some := list(islice(rest, _TOGETHER)):
            with self._writing():
                self._take(some)
            added = True
        if added:
            with self._writing():
                self._tidy()

    def remove(self, videos: Collection[str]) -> None:
        if not videos:
            return
        with self._writing():
            self._delete("videos", "name", videos)
            self._delete("narratives", "video", videos)

    def candidates(self, questions: Sequence[Question], most: int, video: str | None = None) -> list[list[Candidate]]:
        with self._told():
            there = self._videos()
            if video is not None:
                return [self._of(question, [video] if video in there else [], there, most) for question in questions]
            return [self._of(question, self._near(question, there, most), there, most) for question in questions]

    def told(self, video: str) -> Told | None:
        with self._told():
            there = self._videos()
            kept = self._fetch([video], there) if video in there else {}
            return kept[video].told if video in kept else None

    def nearest(self, vector: Vectors) -> dict[tuple[str, str, int], float]:
        """The products of the `rows` narratives that the vectors' index finds for a vector (dim,).

        Returns:
            They are told apart by video, mark and place within the video. The index may miss some of the nearest.
        """
        length = max(float(np.linalg.norm(vector)), 1e-12)
        found = (
            self._table("narratives")
            .search(vector / length, vector_column_name="vector")
            .distance_type(_DISTANCE)
            .nprobes(self.probes)
            .select(["video", "mark", "row", "_distance"])
            .limit(self.rows)
            .to_arrow()
            .to_pydict()
        )
        told = zip(found["video"], found["mark"], found["row"], strict=True)
        return {each: length * (1 - distance / 2) for each, distance in zip(told, found["_distance"], strict=True)}

    def _near(self, question: Question, there: Mapping[str, tuple[str, str]], most: int) -> list[str]:
        """The videos that vectors and words are nearest to."""
        cosines: dict[str, list[float]] = {}
        for (name, mark, _), cosine in self.nearest(question.sought).items():
            if there.get(name, ("", ""))[1] == mark:
                cosines.setdefault(name, []).append(cosine)
        matched = dict.fromkeys(cosines, 0.0)
        if any(map(str.isalnum, question.sentence)):
            said = self._table("videos").search(_plain(question.sentence), query_type="fts", fts_columns="text")
            rows = said.select(["name", "_score"]).limit(most).to_arrow().to_pydict()
            matched |= {name: score for name, score in zip(rows["name"], rows["_score"], strict=True) if name in there}
        names = list(matched)
        # What was not among the nearest rows is below all of them.
        best = np.array([_mean_of_best(cosines.get(name, [-1.0])) for name in names])
        return [names[place] for place in fused((best, np.array([matched[name] for name in names])), most)]

    def _of(
        self, question: Question, videos: Sequence[str], there: Mapping[str, tuple[str, str]], most: int
    ) -> list[Candidate]:
        """The windows of these videos, best first, the words of each weighed among them."""
        told = self._fetch(videos, there)
        names = [name for name in videos if name in told]
        if not names:
            return []
        words = asked(question.sentence, [told[name].stems for name in names])
        found = []
        for name, share in zip(names, words.tolist(), strict=True):
            one = told[name].told
            cosines = one.vectors @ question.sought
            covered = spans(one.times, step_of(one.times))
            for first, end in windows(len(one.times)):
                found.append(Candidate(name, covered[first:end], cosines[first:end], share, one.vectors[first:end]))
        best = np.array([np.sort(each.cosines)[-BEST:].mean() for each in found])
        return [found[place] for place in fused((best, np.array([each.words for each in found])), most)]

    def _fetch(self, videos: Sequence[str], there: Mapping[str, tuple[str, str]]) -> dict[str, _Kept]:
        marks = [there[video][1] for video in videos]
        if not marks:
            return {}
        rows = (
            self._table("narratives")
            .search()
            .where(f"mark IN ({', '.join(map(_quoted, marks))})")
            .select(["video", "row", "time", "text", "stems", "vector"])
            .limit(2**31 - 1)
            .to_arrow()
            .sort_by([("video", "ascending"), ("row", "ascending")])
            .combine_chunks()
        )
        times, texts, stemmed = rows["time"].to_numpy(), rows["text"].to_pylist(), rows["stems"].to_pylist()
        flat = rows["vector"].combine_chunks().flatten() if len(rows) else np.zeros(0)
        vectors: Vectors = np.asarray(flat, np.float32).reshape(-1, self.dim)
        found = {}
        end = 0
        for name, group in groupby(rows["video"].to_pylist()):
            start, end = end, end + len(list(group))
            told = Told(times[start:end], tuple(texts[start:end]), vectors[start:end])
            found[name] = _Kept(told, " ".join(stemmed[start:end]).split())
        return found

    def _videos(self) -> Mapping[str, tuple[str, str]]:
        """Each video with its digest and mark."""
        with self._told():
            table = self._table("videos")
            # Reading the names of many videos is a third of a query, and needless as long as nobody writes.
            now = table.version
            version, found = self._read
            if version != now:
                rows = table.search().select(["name", "digest", "mark"]).limit(2**31 - 1).to_arrow().to_pydict()
                found = {name: (digest, mark) for name, digest, mark in zip(*rows.values(), strict=True)}
                self._read = now, found
        return found

    def _table(self, name: str) -> Any:
        return self._database.open_table(name)

    def _make(self, names: Collection[str], about: str) -> None:
        import pyarrow as pa

        with self._writing():
            for name in names:
                self._database.drop_table(name)
            vector = pa.list_(pa.float16(), self.dim)
            narratives = [("video", pa.string()), ("mark", pa.string()), ("row", pa.int32()), ("time", pa.float64())]
            told = [("text", pa.string()), ("stems", pa.string()), ("vector", vector)]
            self._database.create_table("narratives", schema=pa.schema([*narratives, *told]))
            columns = [(name, pa.string()) for name in ("name", "digest", "mark", "text")]
            videos = self._database.create_table("videos", schema=pa.schema(columns))
            videos.create_fts_index("text", with_position=False, replace=True)
            # Last, so that what was broken off here is made anew.
            self._database.create_table("about", [{"made_by": about}])

    def _take(self, entries: Sequence[Entry]) -> None:
        import pyarrow as pa

        marks = [secrets.token_hex(8) for _ in entries]
        counts = [len(entry.times) for entry in entries]
        vectors = np.concatenate([entry.vectors for entry in entries]).astype(np.float16)
        narratives = {
            "video": np.repeat([entry.video for entry in entries], counts),
            "mark": np.repeat(marks, counts),
            "row": np.concatenate([np.arange(count, dtype=np.int32) for count in counts]),
            "time": np.concatenate([entry.times for entry in entries]),
            "text": [text for entry in entries for text in entry.texts],
            "stems": [" ".join(stems([text]).elements()) for entry in entries for text in entry.texts],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), self.dim),
        }
        self._table("narratives").add(pa.table(narratives))
        names = [entry.video for entry in entries]
        texts = [_plain(" ".join(entry.texts)) for entry in entries]
        videos = pa.table({"name": names, "digest": [e.digest for e in entries], "mark": marks, "text": texts})
        # One commit: a video is there as it was before, or as it is now.
        self._table("videos").merge_insert("name").when_matched_update_all().when_not_matched_insert_all().execute(
            videos
        )

    def _tidy(self) -> None:
        """Remove narratives of no video, and bring the indexes up to date."""
        from lancedb.index import BTree, IvfSq

        marks = {mark for _, mark in self._videos().values()}
        every = self._table("narratives").search().select(["mark"]).limit(2**31 - 1).to_arrow()["mark"]
        if left := set(every.unique().to_pylist()) - marks:
            self._delete("narratives", "mark", left)
        narratives = self._table("narratives")
        there = {index.columns[0] for index in narratives.list_indices()}
        if "mark" not in there:
            narratives.create_index("mark", config=BTree())
        count = narratives.count_rows()
        if count >= self.least and "vector" not in there:
            parts = IvfSq(_DISTANCE, round(count**0.5 / _SHARE), max_iterations=_ROUNDS, sample_rate=_SAMPLE)
            narratives.create_index("vector", config=parts)
        for name in ("narratives", "videos"):
            self._table(name).optimize(cleanup_older_than=_KEPT)

    def _delete(self, table: str, column: str, values: Collection[str]) -> None:
        rest = iter(values)
        while some := list(islice(rest, _TOGETHER)):
            self._table(table).delete(f"{column} IN ({', '.join(map(_quoted, some))})")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep out other writers of this machine."""
        with writing(self._lock.parent), self._lock.open("ab") as lock, self._told():
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Make a UserError of what the library beneath says."""
        try:
            yield
        except (RuntimeError, ValueError, OSError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"the index beside {self._lock.parent} cannot be used ({reason(error)[:300]})") from error


def _mean_of_best(cosines: Sequence[float]) -> float:
    some = sorted(cosines)[-BEST:]
    return sum(some) / len(some)


def _plain(text: str) -> str:
    """Words alone: a query of words must not read as an expression."""
    return " ".join("".join(letter if letter.isalnum() else " " for letter in text).split())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
