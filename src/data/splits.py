"""A data set's splits, as its config names them, with the rules for moments that do not fit their video."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hydra.utils import instantiate
from omegaconf import DictConfig

from src.data.annotations.reading import Annotation, Reader
from src.data.records import Moment, Window
from src.errors import UserError

_log = logging.getLogger(__name__)

# A moment that passes its video's end by less than this ends with it: the same number, written twice.
_SAME_SECONDS = 1e-3


@dataclass(frozen=True)
class Findings:
    """What was read, and what was done with the moments that do not fit their video.

    Attributes:
        read: queries in the annotation files.
        videos: videos they are about.
        swapped: reversed moments; their ends were swapped.
        clipped: moments that passed their video's end (or began before it); clipped to it.
        overlong: such moments kept as annotated, in a test split that is scored so.
        unreachable: moments without length inside their video, kept in a test split, where nothing can hit them.
        dropped: the same in any other split, where there is nothing to learn from them: left out.
        skipped: queries left out because none of their moments remained.
        unanswered: queries of a test split whose file keeps the answers back: they can be answered, not scored.
    """

    read: int
    videos: int
    swapped: int = 0
    clipped: int = 0
    overlong: int = 0
    unreachable: int = 0
    dropped: int = 0
    skipped: int = 0
    unanswered: int = 0

    def __str__(self) -> str:
        rules = {
            "reversed (ends swapped)": self.swapped,
            "reaching outside their video (clipped to it)": self.clipped,
            "reaching outside their video (scored as annotated)": self.overlong,
            "without length inside their video (kept: nothing can hit them)": self.unreachable,
            "without length inside their video (left out)": self.dropped,
        }
        found = ", ".join(f"{count:,} {rule}" for rule, count in rules.items() if count)
        parts = [f"{self.read:,} queries of {self.videos:,} videos", f"moments: {found}" if found else ""]
        parts.append(f"queries skipped as none of their moments remained: {self.skipped:,}" if self.skipped else "")
        parts.append(f"without answers, so that nothing is scored: {self.unanswered:,}" if self.unanswered else "")
        return "; ".join(filter(None, parts))


@dataclass(frozen=True)
class Split:
    """The moments of one split, in file order, and how they came about."""

    name: str
    moments: list[Moment]
    findings: Findings


def split_names(data: DictConfig) -> list[str]:
    """The splits of a data set: train, validation, then every test split that is not the validation split too."""
    return list(dict.fromkeys((data.train, data.val, *data.tests)))


def load_split(data: DictConfig, split: str) -> Split:
    """Read one split of the data set that `data` (a config of conf/data) describes; log one line of what was found.

    Rules: a reversed moment has its ends swapped. A moment that reaches outside its video is clipped to it, save in the
    test splits of a data set with `scored_as: annotated`, whose authors score against the annotation as it stands. A
    moment with no length inside its video is left out of train and validation, and kept in a test split, so that a
    test split never changes its size; nothing can hit it there. A test split, and no other, may be without answers.

    Raises:
        UserError: on an unknown split, a missing file, a malformed record, an empty query, a video without length, and
            where answers are missing.
    """
    if split not in data.splits:
        raise UserError(f"{data.name} has no split {split!r}: it has {', '.join(data.splits)}")
    if data.scored_as not in ("clipped", "annotated"):
        raise UserError(f"data.scored_as is {data.scored_as!r}: give clipped or annotated")
    reader: Reader = instantiate(data.splits[split], _convert_="all")
    try:
        annotations = list(reader())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{data.title}: no annotation file {error.filename}. Get it from {data.source} and put it there,"
            " or say where the annotations are with paths.data=FOLDER"
        ) from error
    if not annotations:
        raise UserError(f"{data.name}, split {split}: the annotation files hold no query")
    _check_ids(annotations)
    is_test = split in data.tests
    unanswered = [where for where, moment in annotations if not moment.windows]
    if unanswered and not (is_test and len(unanswered) == len(annotations)):
        raise UserError(
            f"{unanswered[0]}: the query has no answer, and so have {len(unanswered) - 1} more of {data.name}, split"
            f" {split}: only all queries of a test split together may have none"
        )
    counts: Counter[str] = Counter()
    moments = list(_fit(annotations, not (is_test and data.scored_as == "annotated"), is_test, counts))
    videos = len({each.moment.video for each in annotations})
    findings = Findings(read=len(annotations), videos=videos, unanswered=len(unanswered), **counts)
    _log.info("%s %s: %s", data.name, split, findings)
    return Split(split, moments, findings)


def _check_ids(annotations: list[Annotation]) -> None:
    first: dict[str, str] = {}
    for where, moment in annotations:
        if moment.query_id in first:
            raise UserError(f"{where}: query id {moment.query_id} was already given at {first[moment.query_id]}")
        first[moment.query_id] = where


def _fit(annotations: list[Annotation], clip: bool, keep: bool, counts: Counter[str]) -> Iterator[Moment]:
    """Apply the rules of `load_split`; `keep` the queries whose moments have no length inside their video or not."""
    for _, moment in annotations:
        windows = [_settle(window, moment.duration, clip, counts) for window in moment.windows]
        inside = [window for window in windows if min(window[1], moment.duration) > max(window[0], 0.0)]
        counts["unreachable" if keep else "dropped"] += len(windows) - len(inside)
        if keep or inside:
            yield replace(moment, windows=tuple(windows if keep else inside))
        else:
            counts["skipped"] += 1


def _settle(window: Window, duration: float, clip: bool, counts: Counter[str]) -> Window:
    start, end = sorted(window)
    counts["swapped"] += start < window[0]
    if start < -_SAME_SECONDS or end > duration + _SAME_SECONDS:
        counts["clipped" if clip else "overlong"] += 1
        if not clip:
            return start, end
    return min(max(start, 0.0), duration), min(max(end, 0.0), duration)
