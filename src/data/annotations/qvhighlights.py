"""QVHighlights (Lei et al., 2021): JSON Lines, a query a line, with several windows and the saliency of its clips.

`{"qid", "query", "duration", "vid", "relevant_windows": [[start, end], ...], "relevant_clip_ids": [clip, ...],
"saliency_scores": [[score, score, score], ...]}`, seconds; clip k is [2k, 2k + 2) s; a score is 0 (low) to 4 (high).
The published test file has none of the last three: its answers are kept back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.data.annotations.reading import Annotation, annotation, columns, field, lines, number, parse_object, window
from src.data.records import Window, clip_count
from src.errors import UserError
from src.files import shown

# What a record says of its answer.
_ANSWER = ("relevant_windows", "relevant_clip_ids", "saliency_scores")


def source(video: str) -> str:
    """The YouTube video that a `YOUTUBE-ID_START_END` excerpt was cut from. Two excerpts of one source look alike."""
    return video.rsplit("_", 2)[0]


@dataclass(frozen=True)
class QvHighlights:
    """Reads the annotations of QVHighlights.

    Args:
        file: A JSON Lines file. A query of which it has neither windows nor clips gets no answer.
        clip_seconds: The length of the clips that were rated.
    """

    file: str
    clip_seconds: float = 2.0

    def __call__(self) -> Iterator[Annotation]:
        for where, line in lines(Path(self.file)):
            record = parse_object(line, where)
            video = field(record, "vid", where)
            if not isinstance(video, str) or video.count("_") < 2:
                raise UserError(f"{where}: vid must read YOUTUBE-ID_START_END, found {shown(video)}")
            query_id = field(record, "qid", where)
            if not isinstance(query_id, str) and type(query_id) is not int:
                raise UserError(f"{where}: qid must be a number or text, found {shown(query_id)}")
            duration = number(field(record, "duration", where), "the duration", where)
            answered = any(key in record for key in _ANSWER)
            yield annotation(
                where,
                query_id=str(query_id),
                video=video,
                query=field(record, "query", where),
                windows=_windows(record, where) if answered else None,
                duration=duration,
                clip_seconds=self.clip_seconds,
                **(self._rated(record, duration, where) if answered else {}),
            )

    def _rated(self, record: dict[str, Any], duration: float, where: str) -> dict[str, Any]:
        """The relevant clips and their scores, as fields of Moment."""
        rated = list(columns(record, ("relevant_clip_ids", "saliency_scores"), where))
        return {
            "relevant_clips": tuple(self._clip(clip, duration, where) for clip, _ in rated),
            "saliency": tuple(_scores(scores, where) for _, scores in rated),
        }

    def _clip(self, value: Any, duration: float, where: str) -> int:
        if type(value) is not int or not 0 <= value < clip_count(duration, self.clip_seconds):
            raise UserError(
                f"{where}: clip {shown(value)} is not one of the {duration:g} s video's {self.clip_seconds:g} s clips"
            )
        return value


def _windows(record: dict[str, Any], where: str) -> tuple[Window, ...]:
    windows = field(record, "relevant_windows", where)
    if not isinstance(windows, list):
        raise UserError(f"{where}: relevant_windows must be a list, found {shown(windows)}")
    return tuple(window(each, where) for each in windows)


def _scores(scores: Any, where: str) -> tuple[float, float, float]:
    if not isinstance(scores, list) or len(scores) != 3:
        raise UserError(f"{where}: saliency_scores must hold each clip's three scores, found {shown(scores)}")
    first, second, third = (number(score, "a saliency score", where) for score in scores)
    return first, second, third
