"""A collection of videos that is searched by sentences: narrated once, indexed, and asked any number of times."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Collection as Some
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from src.arguments import quoted
from src.build import compose
from src.data.narratives import read_narratives
from src.data.records import Narratives
from src.data.text_stores import prepared_narratives
from src.errors import UserError
from src.narrators.build import build_narrator
from src.narrators.narrator import Narrator, Reading
from src.narrators.writing import Report, claimed, name_of, narrate_missing
from src.places import Places
from src.retrieval.index import Entry, Index, Question, Vectors
from src.retrieval.index import Told as Narrated
from src.retrieval.ranker import Found, Ranker, best
from src.retrieval.results import Hit
from src.retrieval.retriever import Told
from src.retrieval.windows import spans, step_of
from src.settings import require_valid
from src.text.encoder import TextEncoder
from src.videos.collection import Item, collect

_log = logging.getLogger(__name__)


class Update(NamedTuple):
    """What came of bringing a collection up to date.

    Attributes:
        searched: How many videos can be searched now.
        problems: What kept others from it, a line each.
    """

    searched: int
    problems: list[str]


class Curve(NamedTuple):
    """How well each narrative of a video matches a sentence: the seconds it stands for, (n, 2), its text and cosine."""

    spans: NDArray[np.float64]
    texts: Sequence[str]
    cosines: NDArray[np.float32]


class Collection:
    """Videos, their narratives and the index of these, as a composed conf/search.yaml names them.

        collection = Collection("holidays", ["narrator=llava_7b"])
        for hit in collection.search("a person opens the door"):
            print(hit.video, hit.start, hit.end, hit.probability, hit.because.text)

    Several threads may search one collection at once.

    Args:
        videos: A folder of video files, one file, or a .txt with a path a line; None for all that the narrator has
            captions of (narrator=imported).
        overrides: Settings as on the command line of src.search.
        cfg: A composed conf/search.yaml, in the place of both.

    Raises:
        UserError: A setting is out of its range.
    """

    def __init__(
        self, videos: str | Path | None = None, overrides: Sequence[str] = (), cfg: DictConfig | None = None
    ) -> None:
        if cfg is None:
            place = [] if videos is None else [f"videos={quoted(str(videos))}"]
            cfg = compose("search", *place, *overrides)
            require_valid(OmegaConf.to_container(cfg, resolve=True))
        self.cfg = cfg
        self.places = Places(cfg)
        self.problems: list[str] = []
        self._updated = False
        self._encoding = threading.Lock()

    @cached_property
    def narrator(self) -> Narrator:
        """Whose narratives are read; nothing is loaded yet."""
        return build_narrator(self.cfg.narrator)

    @cached_property
    def encoder(self) -> TextEncoder:
        """The encoder of narratives and sentences; nothing is loaded yet."""
        return instantiate(self.cfg.text.encoder)

    @cached_property
    def index(self) -> Index:
        """The index, which is made, or made anew where narrator or encoder are others than it was made with."""
        if missing := self.encoder.missing():
            raise UserError(missing[0])
        made_by = {"narrator": self.cfg.narrator.name, **self.encoder.identity}
        folder = self.places.index_of(self.name)
        return instantiate(self.cfg.index.engine)(folder=folder, made_by=made_by, dim=self.cfg.text.dim)

    @cached_property
    def ranker(self) -> Ranker:
        """The model that finds moments."""
        return instantiate(self.cfg.model.ranker, _convert_="all")

    @cached_property
    def name(self) -> str:
        """What its files are named after."""
        if self.cfg.collection is not None:
            return str(self.cfg.collection)
        if self.cfg.videos is None:
            raise UserError(
                "say where the videos are: videos=FOLDER, a video file, or a .txt with a path a line; or, of captions "
                "without videos, what they are called: collection=NAME"
            )
        return name_of(Path(str(self.cfg.videos)).resolve())

    @cached_property
    def narratives(self) -> Path:
        """The narratives file, the same that src.narrate writes of these videos."""
        file = self.places.narratives_of(self.name)
        return file if self.cfg.videos is None else claimed(file, Path(str(self.cfg.videos)).resolve())

    def items(self) -> list[Item]:
        """Its videos as of now."""
        if self.cfg.videos is not None:
            return collect(Path(str(self.cfg.videos)), None, self.cfg.ids)
        if self.narrator.videos is None:
            raise UserError("say where the videos are: videos=FOLDER, a video file, or a .txt with a path a line")
        return [Item(video, None) for video in sorted(self.narrator.videos)]

    def files(self) -> dict[str, Path]:
        """The video files by their ids."""
        return {} if self.cfg.videos is None else {video: path for video, path in self.items() if path is not None}

    def update(self, report: Report | None = None) -> Update:
        """Narrate what is not narrated yet, and bring the index up to date. What cannot be narrated is left out.

        Args:
            report: Is told how many of the new videos are narrated.

        Raises:
            UserError: There is nothing to search.
        """
        items = self.items()
        self.problems = self._narrate(items, report) if self.cfg.narrate else []
        searched = self._index({item.video for item in items})
        if not searched:
            why = "; ".join(self.problems) or f"none of {len(items)} videos is narrated (narrate=true does that)"
            raise UserError(f"there is nothing to search: {why}")
        self._updated = True
        return Update(searched, self.problems)

    def search(
        self, sentence: str, top: int = 10, video: str | None = None, rewordings: Sequence[str] = ()
    ) -> list[Hit]:
        """The moments of all videos that a sentence describes, most probable first.

        Args:
            sentence: In the language of the narratives.
            top: At most so many.
            video: Search this video alone, by its id.
            rewordings: The sentence in other words: narratives are compared with each.

        Raises:
            UserError: The sentence is empty, or there is nothing to search, or no such video.
        """
        return self.search_all([sentence], top, video, rewordings=[rewordings])[0]

    def search_all(
        self,
        sentences: Sequence[str],
        top: int = 10,
        video: str | None = None,
        ranker: Ranker | None = None,
        rewordings: Sequence[Sequence[str]] = (),
    ) -> list[list[Hit]]:
        """What `search` finds for each of several sentences, which are encoded and compared together.

        Args:
            sentences: As `search` takes one.
            top: At most so many moments of each.
            video: Search this video alone, by its id.
            ranker: Another model than the configured one.
            rewordings: Those of each sentence; none for any by default.
        """
        ranker = ranker or self.ranker
        if not self._updated:
            self.update()
        if video is not None and video not in self.index.digests():
            raise UserError(f"no video {video!r} among those that can be searched in {self.name}")
        questions = self.questions(sentences, rewordings)
        source = _Videos(self.files(), self.index)
        every = self.index.candidates(questions, ranker.candidates, video)
        answers = []
        for question, candidates in zip(questions, every, strict=True):
            found = best(ranker(question, candidates, source), top)
            hits = [self._hit(one, question) for one in found]
            answers.append([hit for hit in hits if hit is not None])
        return answers

    def curve(self, sentence: str, video: str) -> Curve:
        """How well each narrative of a video matches a sentence.

        Raises:
            UserError: The sentence is empty, or there is no such video.
        """
        told = self.index.told(video)
        if told is None:
            raise UserError(f"no video {video!r} among those that can be searched in {self.name}")
        (question,) = self.questions([sentence])
        return Curve(spans(told.times, step_of(told.times)), told.texts, told.vectors @ question.vector)

    def questions(self, sentences: Sequence[str], rewordings: Sequence[Sequence[str]] = ()) -> list[Question]:
        """Sentences, and the rewordings of each, as an index and a ranker take them.

        Raises:
            UserError: There is none, or an empty one.
        """
        if not sentences or not all(sentence.strip() for sentence in sentences):
            raise UserError('give at least one sentence, and none that is empty: query="a person opens the door"')
        others = rewordings or [()] * len(sentences)
        # The model is not made for several threads.
        with self._encoding:
            encoded = self.encoder.sentences([*sentences, *chain.from_iterable(others)])
            vectors = [_unit(vector) for vector in encoded]
        rest = iter(vectors[len(sentences) :])
        return [
            Question(sentence, vector, np.stack(list(islice(rest, len(other)))) if other else None)
            for sentence, vector, other in zip(sentences, vectors, others, strict=False)
        ]

    def _narrate(self, items: Sequence[Item], report: Report | None) -> list[str]:
        narrator, reading = self.narrator, Reading(**self.cfg.frames)
        try:
            failed = narrate_missing(
                items,
                self.narratives,
                narrator.writer(reading),
                self.cfg.retry_failed,
                lambda some: narrator.outcomes(some, reading),
                report,
            )
        except UserError as error:
            # What is narrated can be searched all the same.
            return [str(error)]
        return [f"{video} is left out: {why}" for video, why in failed.items()]

    def _index(self, videos: Some[str]) -> int:
        """Bring the index up to date with the narratives of `videos`; returns how many of them there are."""
        there = self.index.digests()
        told: dict[str, str] = {}
        if self.narratives.is_file():
            told = {each.video: _digest(each) for each in read_narratives(self.narratives) if each.video in videos}
        self.index.remove([video for video in there if video not in told])
        new = {video for video, digest in told.items() if there.get(video) != digest}
        if new:
            _log.info("indexing %d videos", len(new))
            self.index.add(self._entries(_Narrated(self.narratives, new)))
        return len(told)

    def _entries(self, narrated: _Narrated) -> Iterator[Entry]:
        store = prepared_narratives(self.places.prepared_narratives_of(self.name), self.encoder, self.narratives)
        encoded = self.encoder.sentences(_Texts(narrated)) if store is None else iter(())
        for one in narrated:
            vectors = islice(encoded, len(one.texts)) if store is None else store[one.video]["features"].float().numpy()
            rows = np.stack([_unit(vector) for vector in vectors])
            yield Entry(one.video, _digest(one), np.array(one.times), one.texts, rows)

    def _hit(self, found: Found, question: Question) -> Hit | None:
        """A moment with what is told in it; None of a video that has been removed since."""
        told = self.index.told(found.video)
        if told is None:
            return None
        covered = spans(told.times, step_of(told.times))
        inside = np.flatnonzero((covered[:, 1] > found.start + 1e-6) & (covered[:, 0] < found.end - 1e-6))
        if not len(inside):
            inside = np.array([np.abs(told.times - (found.start + found.end) / 2).argmin()])
        narratives = [Told(float(told.times[place]), told.texts[place]) for place in inside.tolist()]
        because = narratives[int((told.vectors[inside] @ question.vector).argmax())]
        return Hit(*found, because, tuple(narratives))


class _Videos:
    """The `Source` of a collection."""

    def __init__(self, files: Mapping[str, Path], index: Index) -> None:
        self._files, self._index = files, index

    def file(self, video: str) -> Path | None:
        return self._files.get(video)

    def told(self, video: str) -> Narrated | None:
        return self._index.told(video)


class _Narrated:
    """The narratives of some videos of a file, gone through as often as need be."""

    def __init__(self, file: Path, videos: Some[str]) -> None:
        self.file, self.videos = file, videos

    def __iter__(self) -> Iterator[Narratives]:
        return (each for each in read_narratives(self.file) if each.video in self.videos)


class _Texts:
    """Their texts, which may be too many to hold in memory."""

    def __init__(self, narrated: _Narrated) -> None:
        self._narrated = narrated
        self._count = sum(len(each.texts) for each in narrated)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        for each in self._narrated:
            yield from each.texts


def _digest(narratives: Narratives) -> str:
    """Of what is told and when, whoever wrote it."""
    said: list[Any] = [narratives.times, narratives.texts]
    return hashlib.sha256(repr(said).encode("utf-8", "surrogatepass")).hexdigest()


def _unit(vector: Vectors) -> Vectors:
    """A vector at length one; one of no length, of a text without a known word, stays."""
    length = float(np.linalg.norm(vector))
    return (vector / length if length else vector).astype(np.float32)
