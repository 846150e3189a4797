"""What every reader shares: opening a file, and checking a value with a message that says where it stands."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from src.data.records import LONGEST, Moment, Window
from src.errors import UserError
from src.files import is_number, parse_json, read_text, shown

# Bytes that the name of a file can have; with what is added to a video's.
_LONGEST_NAME = 200


class Annotation(NamedTuple):
    """One query as its file states it. The rules of `src.data.splits` have not been applied yet."""

    where: str  # the file and its line or record
    moment: Moment  # its windows as annotated: perhaps reversed, or reaching past the video


class Reader(Protocol):
    """A split, read anew at each call. Raises UserError on a malformed record, FileNotFoundError on a missing file."""

    def __call__(self) -> Iterator[Annotation]: ...


def annotation(
    where: str,
    query_id: str,
    video: str,
    query: object,
    windows: tuple[Window, ...] | None,
    duration: float,
    **details: Any,
) -> Annotation:
    """A checked annotation.

    `windows` are None where the file keeps the answer back; `details` are the other fields of Moment.

    Raises:
        UserError: An empty query, no window, or a video without length.
    """
    if not isinstance(query, str) or not query.strip():
        raise UserError(f"{where}: the query is empty or no text ({shown(query)})")
    if "\0" in query + video:
        raise UserError(f"{where}: there is a zero in {shown(query)} or {shown(video)}, which no store can hold")
    if not video or Path(video).is_absolute() or ".." in Path(video).parts or len(video.encode()) > _LONGEST_NAME:
        raise UserError(f"{where}: {shown(video)} is no video's name")
    if windows is None:
        windows = ()
    elif not windows:
        raise UserError(f"{where}: the query has no moment")
    if not 0 < duration <= LONGEST:
        raise UserError(f"{where}: video {video} lasts {duration:g} s, which must be above 0 and at most {LONGEST:g}")
    if any(abs(time) > LONGEST for window in windows for time in window):
        raise UserError(f"{where}: the moment lies at {windows[0]}, which is not in seconds of any video")
    return Annotation(where, Moment(query_id, video, query.strip(), windows, duration, **details))


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """Each line with where it stands, FILE:LINE; what is blank at the file's end is no line."""
    text = read_text(path).rstrip()
    for number_of_line, line in enumerate(text.split("\n") if text else [], start=1):
        yield f"{path}:{number_of_line}", line


def parse_object(text: str, where: str) -> dict[str, Any]:
    """The JSON object in `text`."""
    value = parse_json(text, where)
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a JSON object, found {type(value).__name__}")
    return value


def columns(record: object, keys: tuple[str, ...], where: str) -> Iterator[tuple[Any, ...]]:
    """Walk lists of one length side by side: `record[key]` for each key."""
    lists = [field(record, key, where) for key in keys]
    if not all(isinstance(each, list) for each in lists) or len({len(each) for each in lists}) != 1:
        raise UserError(f"{where}: {', '.join(keys)} must be lists of one length")
    return zip(*lists, strict=True)


def field(record: object, key: str, where: str) -> Any:
    """`record[key]`, where record must be an object that has it."""
    if not isinstance(record, dict) or key not in record:
        raise UserError(f"{where}: no {key!r} here; expected an object that has it")
    return record[key]


def number(value: object, what: str, where: str) -> float:
    """A finite number, given as a number or as its text."""
    try:
        result = float(value) if isinstance(value, str) or is_number(value) else math.nan  # type: ignore[arg-type]
    except ValueError:
        result = math.nan
    if not math.isfinite(result):
        raise UserError(f"{where}: {what} is no finite number ({shown(value)})")
    return result


def window(value: object, where: str) -> Window:
    """A (start, end) pair of finite numbers, in the file's own unit and order."""
    if not isinstance(value, list) or len(value) != 2:
        raise UserError(f"{where}: a moment must be a [start, end] pair, found {shown(value)}")
    return number(value[0], "the start", where), number(value[1], "the end", where)
