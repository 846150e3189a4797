"""Charades-STA (Gao et al., 2017): a line a query, `VIDEO START END##sentence.`, seconds; durations in a JSON file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from src.data.annotations.reading import Annotation, annotation, field, number, parse_json, read_text
from src.errors import UserError

_LINE = re.compile(r"(?P<video>\S+) (?P<start>\S+) (?P<end>\S+)##(?P<query>.*)")


@dataclass(frozen=True)
class CharadesSta:
    """Args:
    file: the annotation text file.
    durations: a JSON file, {video: {"duration": seconds, ...}}.
    """

    file: str
    durations: str

    def __call__(self) -> Iterator[Annotation]:
        path = Path(self.file)
        videos = parse_json(read_text(Path(self.durations)), self.durations)
        counts: Counter[str] = Counter()
        for line_number, line in enumerate(read_text(path).rstrip().splitlines(), start=1):
            where = f"{path}:{line_number}"
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise UserError(f"{where}: expected `VIDEO START END##sentence`, found {line!r}")
            video = match["video"]
            if video not in videos:
                raise UserError(f"{where}: unknown video {video}: {self.durations} holds no duration for it")
            yield annotation(
                where,
                query_id=f"{video}/{counts[video]}",
                video=video,
                query=match["query"],
                windows=((number(match["start"], "the start", where), number(match["end"], "the end", where)),),
                duration=number(
                    field(videos[video], "duration", f"{self.durations}: {video}"), "the duration", self.durations
                ),
            )
            counts[video] += 1
