"""What every reader shares: opening a file, and checking a value with a message that says where it stands."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from src.data.records import Moment, Window
from src.errors import UserError


class Annotation(NamedTuple):
    """One query as its file states it. The rules of `src.data.splits` have not been applied yet."""

    where: str  # the file and its line or record
    moment: Moment  # its windows as annotated: perhaps reversed, or reaching past the video


class Reader(Protocol):
    """A split, read anew at each call. Raises UserError on a malformed record, FileNotFoundError on a missing file."""

    def __call__(self) -> Iterator[Annotation]: ...


def annotation(
    where: str, query_id: str, video: str, query: object, windows: tuple[Window, ...], duration: float, **details: Any
) -> Annotation:
    """A checked annotation; `details` are the other fields of Moment.

    Raises:
        UserError: An empty query, no window, or a video without length.
    """
    if not isinstance(query, str) or not query.strip():
        raise UserError(f"{where}: the query is empty or no text ({query!r})")
    if not windows:
        raise UserError(f"{where}: the query has no moment")
    if duration <= 0:
        raise UserError(f"{where}: video {video} lasts {duration:g} s, which must be above 0")
    return Annotation(where, Moment(query_id, video, query.strip(), windows, duration, **details))


def read_text(path: Path) -> str:
    """The file's text, read as UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """Each line with where it stands, FILE:LINE; what is blank at the file's end is no line."""
    text = read_text(path).rstrip()
    for number_of_line, line in enumerate(text.split("\n") if text else [], start=1):
        yield f"{path}:{number_of_line}", line


def parse_json(text: str, where: str) -> dict[str, Any]:
    """The JSON object in `text`; a key given twice, which would silently lose a record, is an error."""
    try:
        value = json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, where))
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a JSON object, found {type(value).__name__}")
    return value


def _unique(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        times = Counter(key for key, _ in pairs)
        twice = next(key for key in times if times[key] > 1)
        raise UserError(f"{where}: key {twice!r} stands twice in one object")
    return record


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
        result = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise UserError(f"{where}: {what} is no finite number ({value!r})")
    return result


def window(value: object, where: str) -> Window:
    """A (start, end) pair of finite numbers, in the file's own unit and order."""
    if not isinstance(value, list) or len(value) != 2:
        raise UserError(f"{where}: a moment must be a [start, end] pair, found {value!r}")
    return number(value[0], "the start", where), number(value[1], "the end", where)
