"""Charades-STA (Gao et al., 2017): a line a query, `VIDEO START END##sentence.`, seconds; durations in a JSON file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from src.data.annotations.reading import Annotation, annotation, field, lines, number, parse_object
from src.errors import UserError
from src.files import read_text, shown

_LINE = re.compile(r"(?P<video>\S+) (?P<start>\S+) (?P<end>[^\s#]+)##(?P<query>.*)")


@dataclass(frozen=True)
class CharadesSta:
    """Reads the annotations of Charades-STA.

    Args:
        file: The annotation text file.
        durations: A JSON file of the videos' durations, {video: {"duration": seconds, ...}}.
    """

    file: str
    durations: str

    def __call__(self) -> Iterator[Annotation]:
        videos = parse_object(read_text(Path(self.durations)), self.durations)
        counts: Counter[str] = Counter()
        for where, line in lines(Path(self.file)):
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise UserError(f"{where}: expected `VIDEO START END##sentence`, found {shown(line)}")
            video = match["video"]
            if video not in videos:
                raise UserError(f"{where}: unknown video {video}: {self.durations} holds no duration for it")
            yield annotation(
                where,
                query_id=f"{video}/{counts[video]}",
                video=video,
                query=match["query"],
                windows=((number(match["start"], "the start", where), number(match["end"], "the end", where)),),
                duration=self._duration(videos[video], video),
            )
            counts[video] += 1

    def _duration(self, record: object, video: str) -> float:
        where = f"{self.durations}: video {video}"
        return number(field(record, "duration", where), "the duration", where)
