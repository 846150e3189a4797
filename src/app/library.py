"""What the page searches: a collection of videos and the uploaded ones, brought up to date in the background."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from src.errors import UserError
from src.retrieval import Collection, Hit
from src.retrieval.collection import Curve
from src.retrieval.ranker import Ranker

_log = logging.getLogger(__name__)


class Video(NamedTuple):
    """A video of the page: a key that is no name of a file, what it is called, and where it is."""

    key: str
    name: str
    file: Path | None
    id: str
    collection: Collection


@dataclass
class Progress:
    """How far narrating is: videos done, and of how many; what was left out, and whether it goes on."""

    busy: bool = False
    done: int = 0
    of: int = 0
    problems: list[str] = field(default_factory=list)


class Library:
    """Collections that are searched as one.

    Args:
        collections: The collections.
        rankers: The models that answer, by name, the first of them unless another is asked for.
        names: Gives what videos are called that were handed in on the page, by their ids.
        handed_in: The collection of these, searched with the others once there is one.
    """

    def __init__(
        self,
        collections: Sequence[Collection],
        rankers: Mapping[str, Ranker],
        names: Callable[[], Mapping[str, str]],
        handed_in: Collection | None = None,
    ) -> None:
        self.collections = [*collections, *([handed_in] if handed_in else [])]
        self._handed_in = handed_in
        self.rankers = rankers
        self.names = names
        self.progress = Progress()
        self._again = threading.Event()
        self._updating = threading.Lock()
        self._videos: dict[str, Video] = {}

    def update(self) -> None:
        """Narrate and index what is new, in a thread of its own; once more if it is asked for meanwhile."""
        self._again.set()
        threading.Thread(target=self._update, name="narrating", daemon=True).start()

    def _update(self) -> None:
        with self._updating:
            while self._again.is_set():
                self._again.clear()
                self.progress = Progress(busy=True)
                for collection in self.collections:
                    if collection is self._handed_in and not self.names():
                        continue
                    try:
                        update = collection.update(self._report)
                        self.progress.problems += update.problems
                    except UserError as error:
                        self.progress.problems.append(str(error))
                    except Exception as error:  # the page goes on with what there is
                        _log.exception("narrating failed")
                        self.progress.problems.append(f"narrating failed: {type(error).__name__}")
                self._find()
                self.progress.busy = False

    def _report(self, done: int, of: int) -> None:
        self.progress.done, self.progress.of = done, of

    def videos(self) -> dict[str, Video]:
        """Those that can be searched, by key."""
        return self._videos

    def video(self, key: str) -> Video:
        """The video of a key.

        Raises:
            UserError: There is none.
        """
        if key not in self._videos:
            raise UserError("there is no such video: it may have been removed")
        return self._videos[key]

    def search(self, sentence: str, top: int, key: str | None, model: str | None) -> list[tuple[Video, Hit]]:
        """The moments of all collections, or of one video, most probable first.

        Raises:
            UserError: The sentence is empty, or no such video or model.
        """
        if model is not None and model not in self.rankers:
            raise UserError(f"no model {model[:80]!r}: give {' or '.join(self.rankers)}")
        ranker = self.rankers[model or next(iter(self.rankers))]
        only = None if key is None else self.video(key)
        found: list[tuple[Video, Hit]] = []
        for collection in self.collections:
            if only is not None and only.collection is not collection:
                continue
            of_id = {video.id: video for video in self._videos.values() if video.collection is collection}
            if not of_id:
                continue
            (hits,) = collection.search_all([sentence], top, None if only is None else only.id, ranker)
            found += [(of_id[hit.video], hit) for hit in hits if hit.video in of_id]
        if not found and not sentence.strip():
            raise UserError("type a sentence: what is to be seen")
        return sorted(found, key=lambda each: -each[1].probability)[:top]

    def curve(self, sentence: str, key: str) -> Curve:
        """How well each narrative of a video matches a sentence."""
        video = self.video(key)
        return video.collection.curve(sentence, video.id)

    def _find(self) -> None:
        found, names = {}, self.names()
        for number, collection in enumerate(self.collections):
            try:
                files, there = collection.files(), collection.index.digests()
            except UserError:
                continue  # there is nothing in it yet
            for id_ in there:
                key = hashlib.sha256(f"{number}/{id_}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
                found[key] = Video(key, names.get(id_, id_), files.get(id_), id_, collection)
        self._videos = found
