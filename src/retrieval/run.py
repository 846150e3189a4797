"""Search with a trained network: the index says which videos, the network when."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from src.arguments import quoted
from src.data.records import Narratives
from src.errors import UserError
from src.retrieval.index import Candidate, Question
from src.retrieval.ranker import Found, Source
from src.retrieval.retriever import EncodedVideo, Retriever
from src.retrieval.similarity import Similarity
from src.retrieval.windows import step_of

_log = logging.getLogger(__name__)


class Run:
    """A `Ranker` that asks the network of a run folder for the moments of the videos that match best.

    A moment's probability is that of its video, by the similarity of the narratives, times the share that its score has
    among those of the network's moments of the video: a network's own scores are comparable within a video only.

    Args:
        folder: The run folder, or a checkpoint.
        videos: Videos that the network looks at, those of the best windows.
        moments: Moments of a video, at most.
        device: Where the network runs.
        paths: Where things lie, as conf/paths names it.
        similarity: Says how probable a window's video is.
    """

    def __init__(
        self,
        folder: str,
        videos: int,
        moments: int,
        device: str,
        paths: Mapping[str, str],
        similarity: Similarity,
    ) -> None:
        self.folder, self.videos, self.moments, self.device = folder, videos, moments, device
        self.paths = paths
        self.similarity = similarity
        self._encoded: dict[tuple[str, Path | None], EncodedVideo] = {}

    @property
    def candidates(self) -> int:
        return self.similarity.candidates

    @cached_property
    def retriever(self) -> Retriever:
        """The network, loaded when it is first asked: no code runs that its files choose."""
        places = [f"paths.{name}={quoted(str(place))}" for name, place in self.paths.items()]
        return Retriever.load(self.folder, overrides=places, device=self.device)

    def __call__(self, question: Question, candidates: Sequence[Candidate], source: Source) -> list[Found]:
        best: dict[str, float] = {}
        for candidate, right in zip(candidates, self.similarity.probabilities(candidates), strict=True):
            best[candidate.video] = max(best.get(candidate.video, 0.0), right)
        found = []
        problem: UserError | None = None
        for video in sorted(best, key=lambda each: -best[each])[: self.videos]:
            right = best[video]
            try:
                encoded = self._encode(video, source)
            except UserError as error:
                problem = error
                _log.warning("%s is left out: %s", video, error)
                continue
            if encoded is None:
                continue
            (answer,) = self.retriever.retrieve(encoded, [question.sentence], self.moments)
            scores = np.array([moment.score for moment in answer.moments])
            shares = np.exp(scores - scores.max()) if (scores < 0).any() else scores
            for moment, share in zip(answer.moments, shares / max(shares.sum(), 1e-9), strict=True):
                found.append(Found(video, moment.start, moment.end, right * float(share)))
        if problem is not None and not found:
            raise problem
        return found

    def _encode(self, video: str, source: Source) -> EncodedVideo | None:
        """A video as the network sees it, made once; None where it has been removed since."""
        file, told = source.file(video), source.told(video)
        if told is None:
            return None
        if (video, file) not in self._encoded:
            narratives = Narratives(video, tuple(told.times.tolist()), tuple(told.texts))
            if file is None and self.retriever.parts.uses_video:
                raise UserError(f"the network of {self.folder} looks at videos, and the file of {video} is not here")
            of = file or float(told.times[-1]) + step_of(told.times)
            self._encoded[video, file] = self.retriever.encode_told(narratives, of)
        return self._encoded[video, file]
