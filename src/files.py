"""Files: written whole or not at all, and read within bounds, as they may be anybody's, half copied or made by hand."""

from __future__ import annotations

import csv
import errno
import fcntl
import glob
import hashlib
import io
import json
import math
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from src.errors import NoRoomError, UserError, reason

Record = TypeVar("Record")

LARGEST_TEXT = 1 << 30
"""Bytes of the largest text that is read at once; those of real data sets have some 10^8."""

LONGEST_LINE = 1 << 28
"""Bytes of the longest line of JSON Lines: the narratives of one video, or one query's predictions."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_FULL_IN_WORDS = {
    os.strerror(errno.ENOSPC): os.strerror(errno.ENOSPC),
    os.strerror(errno.EDQUOT): os.strerror(errno.EDQUOT),
    "Not enough free space": os.strerror(errno.ENOSPC),
    " requested and ": os.strerror(errno.ENOSPC),
    "database or disk is full": os.strerror(errno.ENOSPC),
    "PytorchStreamWriter failed writing": os.strerror(errno.ENOSPC),
}
_MARK = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
# How JSON writes half a character: only with this in its text can a value hold one.
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")

_SAMPLES, _SAMPLE = 8, 1 << 13


def digest(paths: Iterable[Path]) -> str:
    """A digest of files by their names, sizes and content, of which a large file's is read in eight places.

    Times do not count: a copy of a file is the same file.
    """
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            found.update(f"{path.name}\0{size}\0".encode())
            if size <= _SAMPLES * _SAMPLE:
                found.update(file.read())
                continue
            for sample in range(_SAMPLES):
                file.seek((size - _SAMPLE) * sample // (_SAMPLES - 1))
                found.update(file.read(_SAMPLE))
    return found.hexdigest()


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; rename it to `path` if the block succeeds, else remove it.

    The folder is made. The name is the writer's own, so that two that write one file at once both leave it whole.

    Raises:
        UserError: The folder cannot be made or written to, or the disk is full.
    """
    require_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with writing(path):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def workplace(path: Path) -> Iterator[Path]:
    """A folder beside `path` for what is written on the way to it. It goes with the block.

    Those that processes left which were killed go first.

    Raises:
        UserError: The folder of `path` cannot be made or written to, or the disk is full.
    """
    require_folder(path.parent)
    prefix = f".{path.name}.work-"
    for left in path.parent.glob(f"{glob.escape(prefix)}*"):
        with suppress(OSError), _held(left):
            shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    with _held(folder):
        try:
            with writing(path):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder until the block or this process ends; an OSError where another does."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)


_PLACES = "say with TEA_STORES=FOLDER where stores and narratives go, and with TEA_OUTPUTS where runs do (conf/paths)"


def require_folder(folder: Path) -> None:
    """Make a folder where there is none.

    Raises:
        UserError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be made ({error.strerror}): {_PLACES}") from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"the folder {folder} cannot be written to: {_PLACES}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make a UserError that names `path` of a disk that fills up while it is written."""
    try:
        yield
    except Exception as error:
        if why := why_full(error):
            raise NoRoomError(f"{path} cannot be written ({why}): make room, then run the command again") from error
        raise


def why_full(error: Exception) -> str | None:
    """What keeps a file from being written any further, if an exception is about that."""
    if isinstance(error, UserError):
        return None
    if isinstance(error, OSError) and error.errno in _FULL:
        return error.strerror
    # Libraries say it in their own ways: HDF5, numpy, SQLite and PyTorch.
    said = str(error)
    return next((why for words, why in _FULL_IN_WORDS.items() if words in said), None)


def require_file(path: Path) -> None:
    """Raise unless `path` is a file, for whatever else can be opened (a pipe, a device) may never end.

    Raises:
        FileNotFoundError, NotADirectoryError: there is nothing there.
        UserError: it is no file, or cannot be looked at.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, ValueError) as error:  # a loop of links, no permission, a name that no file can have
        raise UserError(f"{path} cannot be read ({reason(error)})") from error
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path} is no file" + (": it is a folder" if stat.S_ISDIR(found.st_mode) else ""))


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        UserError: it is no file, not in UTF-8, or too large to be what it should be.
    """
    require_file(path)
    try:
        size = path.stat().st_size
        if size > LARGEST_TEXT:
            raise UserError(f"{path} has {size / 2**30:.1f} GiB: no text of more than {LARGEST_TEXT >> 30} is read")
        return decoded(path.read_bytes(), path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error


class Line(NamedTuple):
    """A line of a file with its end: where it stands, for messages, and at which byte."""

    where: str
    offset: int
    content: bytes


def read_lines(path: Path) -> Iterator[Line]:
    """Each line of a file, without holding more than one; a byte order mark is left out.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        UserError: it is no file, or a line has no end.
    """
    require_file(path)
    try:
        with path.open("rb") as file:
            if file.read(len(_MARK)) != _MARK:
                file.seek(0)
            number, offset = 1, file.tell()
            while line := file.readline(LONGEST_LINE):
                where = f"{path}, line {number}"
                if len(line) == LONGEST_LINE:
                    raise UserError(f"{where} has more than {LONGEST_LINE >> 20} MiB: it is no record")
                yield Line(where, offset, line)
                number, offset = number + 1, offset + len(line)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error


def read_records(path: Path, parse: Callable[[Any, str], Record], key: Callable[[Record], str]) -> Iterator[Record]:
    """The records of JSON Lines, one at a time.

    Args:
        path: The file.
        parse: Checks what a line holds, and makes a record of it; it gets where that stands, for its messages.
        key: What each record is known by.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        UserError: a line is no JSON, breaks the rules of `parse`, or has a key that was there before.
    """
    first: dict[str, int] = {}
    for number, (where, _, line) in enumerate(read_lines(path), start=1):
        record = parse(parse_json(line, where), where)
        if key(record) in first:
            raise UserError(f"{where}: {key(record)!r} was already given on line {first[key(record)]}")
        first[key(record)] = number
        yield record


def read_csv(path: Path, needed: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row of a CSV by its columns, those that `needed` names among them, with where it stands.

    A column that the row does not reach is empty.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        UserError: it is no CSV in UTF-8, lacks a column, or a row has more fields than there are columns.
    """
    rows = csv.DictReader(io.StringIO(read_text(path), newline=""), restval="")
    try:
        if not set(needed) <= set(rows.fieldnames or ()):
            raise UserError(f"{path} needs the columns {', '.join(needed[:-1])} and {needed[-1]}")
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            if None in row:
                raise UserError(f"{where}: more fields than columns")
            yield where, row
    except csv.Error as error:
        raise UserError(f"{path}, line {rows.line_num + 1}: not CSV ({error})") from error


def decoded(content: bytes, where: Path | str) -> str:
    """Bytes as text in UTF-8, with or without a byte order mark. `where` names them in a UserError."""
    if content.startswith(_GZIP):
        raise UserError(f"{where}: compressed by gzip, not text: unpack it first")
    if (zero := content.find(b"\0")) >= 0:
        raise UserError(f"{where}: not UTF-8 text (it holds a zero at byte {zero}): convert it first")
    try:
        return content.removeprefix(_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 text ({error.reason} at byte {error.start}): convert it first") from error


def parse_json(content: str | bytes, where: Path | str, what: str = "JSON") -> Any:
    """The value of a JSON text, whose strings can all be stored.

    Args:
        content: the text, as such or in UTF-8.
        where: what it is read from, for messages.
        what: what it should be, for messages.

    Raises:
        UserError: it is not JSON, a key stands twice in one object (which would silently lose a record), it nests too
            deep, a number has too many digits, or a string holds half a character (a lone surrogate).
    """
    text = content if isinstance(content, str) else decoded(content, f"{where}: not {what}")
    try:
        value = json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, where))
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not {what}: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise UserError(f"{where}: not {what} that can be read: it nests too deep") from error
    except ValueError as error:
        raise UserError(f"{where}: not {what} that can be read: {reason(error)}") from error
    if _ESCAPED_HALF.search(text):
        _require_characters(value, where)
    return value


def is_text(text: str) -> bool:
    """Whether every letter of a text is a character, so that it can be written in UTF-8."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def is_number(value: Any) -> bool:
    """Whether a value out of JSON is a finite number that a float can hold; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def shown(value: Any, most: int = 80) -> str:
    """A value out of a file for a message: short, on one line, without what a terminal would obey."""
    if isinstance(value, int) and value.bit_length() > 4 * most:
        return f"a number of {value.bit_length()} bits"
    text = repr(value) if not isinstance(value, list | dict) or len(value) <= most else f"{type(value).__name__} …"
    return text if len(text) <= most else f"{text[:most]}…"


def _unique(pairs: list[tuple[str, Any]], where: Path | str) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        times = Counter(key for key, _ in pairs)
        twice = next(key for key in times if times[key] > 1)
        raise UserError(f"{where}: key {shown(twice)} stands twice in one object")
    return record


def _require_characters(value: Any, where: Path | str) -> None:
    rest = [value]
    while rest:
        node = rest.pop()
        if isinstance(node, str) and not is_text(node):
            raise UserError(f"{where}: {ascii(node)[:80]} holds half a character, which cannot be stored")
        if isinstance(node, dict):
            rest += [*node.keys(), *node.values()]
        elif isinstance(node, list):
            rest += node
