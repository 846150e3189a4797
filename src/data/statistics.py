"""What a data set holds: the columns of the paper's Table 1, for all of its splits together and for each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from statistics import fmean

from omegaconf import DictConfig

from src.data.records import Moment
from src.data.splits import Split, load_split, split_names
from src.progress import Progress
from src.tables import plain
from src.text.tokens import words


@dataclass(frozen=True)
class Row:
    """One line of Table 1.

    Attributes:
        name: the split, or "all".
        videos: distinct videos.
        moments: queries with their moments, as annotated: those that a rule left out are counted.
        moment_seconds: mean length of a moment inside its video; every window of a query counts. None without answers.
        video_seconds: mean length of a video.
        query_words: mean words of a query, punctuation marks included.
        vocabulary: distinct words and punctuation marks, in lower case.
        example: the first query.
    """

    name: str
    videos: int
    moments: int
    moment_seconds: float | None
    video_seconds: float
    query_words: float
    vocabulary: int
    example: str


def rows(data: DictConfig) -> list[Row]:
    """Table 1 of the data set that `data` (a config of conf/data) describes: "all" first, then each split.

    Raises:
        UserError: as `load_split` does.
    """
    tallies = [_Tally.of(load_split(data, name)) for name in split_names(data)]
    return [sum(tallies, _Tally()).row("all"), *(tally.row(tally.name) for tally in tallies)]


def table(data: DictConfig) -> str:
    """The rows as a plain text table, under the data set's title."""
    header = ("split", "#video", "#moment", "moment (s)", "video (s)", "query (words)", "vocabulary", "query example")
    lines = [header, *(_cells(row) for row in rows(data))]
    return "\n".join([data.title, plain(lines, left=(0, len(header) - 1))])


@dataclass(frozen=True)
class _Tally:
    """What the rows are computed from; tallies of several splits add up."""

    name: str = ""
    read: int = 0
    moments: tuple[Moment, ...] = ()
    words: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, split: Split) -> _Tally:
        queries = Progress(split.moments, f"words of {split.name}", "query")
        counts = Counter(chain.from_iterable(words(moment.query) for moment in queries))
        return cls(split.name, split.findings.read, tuple(split.moments), counts)

    def __add__(self, other: _Tally) -> _Tally:
        return _Tally(self.name, self.read + other.read, self.moments + other.moments, self.words + other.words)

    def row(self, name: str) -> Row:
        durations = {moment.video: moment.duration for moment in self.moments}
        windows = [(window, moment.duration) for moment in self.moments for window in moment.windows]
        seconds = [max(0.0, min(end, last) - max(start, 0.0)) for (start, end), last in windows]
        return Row(
            name=name,
            videos=len(durations),
            moments=self.read,
            moment_seconds=fmean(seconds) if seconds else None,
            video_seconds=fmean(durations.values()),
            query_words=self.words.total() / len(self.moments),
            vocabulary=len(self.words),
            example=" ".join(self.moments[0].query.split()),
        )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.videos:,}",
        f"{row.moments:,}",
        "" if row.moment_seconds is None else f"{row.moment_seconds:.1f}",
        f"{row.video_seconds:.1f}",
        f"{row.query_words:.1f}",
        f"{row.vocabulary:,}",
        row.example,
    )
