"""Files that grow: a line at a time, each on the disk before the next, whatever kills the run."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from src.errors import UserError
from src.files import parse_json, read_lines

_log = logging.getLogger(__name__)


class Journal:
    """Records by a key, of a work that may be broken off at any time, and beside them what failed and why.

    A last line that was torn when a run was killed is cut off, and its work done again.

    Args:
        path: The file of records, JSON Lines; made if need be. The failures are in a file beside it.
        key: The field that tells records apart.
        writer: What makes this run's records; what the file holds already must be by the same.
        retry_failed: Whether the failures of earlier runs are forgotten.

    Raises:
        UserError: Another run has the file open, another writer wrote in it, or a line of it is damaged.
    """

    def __init__(self, path: Path, key: str, writer: Mapping[str, Any], retry_failed: bool) -> None:
        self.path = path
        self.key = key
        # As a file would give it back: a tuple is a list there.
        self.writer = json.loads(json.dumps(writer))
        self._files: list[FileIO] = []
        try:
            self._lines = self._opened(path)
            self.done = _by_key(path, key)
            for record in self.done.values():
                if record.get("writer") != self.writer:
                    changes = differences(record.get("writer") or {}, self.writer)
                    raise UserError(
                        f"{path} was written with other settings ({changes}): give another name, or the settings of "
                        "this file"
                    )
            self._failures = self._opened(self.failures_path)
            if retry_failed:
                self._failures.truncate(0)
            failed = _by_key(self.failures_path, key)
            self.failed = {each: str(record.get("reason")) for each, record in failed.items() if each not in self.done}
        except BaseException:
            self.close()
            raise

    @property
    def failures_path(self) -> Path:
        """JSON Lines of the key and the `reason`."""
        return self.path.with_suffix(".failures.jsonl")

    def append(self, key: str, **fields: Any) -> None:
        """Write a record, and return once it is on the disk.

        Raises:
            UserError: It cannot be written.
        """
        record = {self.key: key, **fields, "writer": self.writer}
        append(self._lines, record)
        self.done[key] = record

    def fail(self, key: str, reason: str) -> None:
        """Write that there is no record and why, as `append` does."""
        append(self._failures, {self.key: key, "reason": reason})
        self.failed[key] = reason

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _opened(self, path: Path) -> FileIO:
        file = open_to_append(path)
        self._files.append(file)
        cut_torn_line(file, path)
        return file

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _by_key(path: Path, key: str) -> dict[str, dict[str, Any]]:
    """The records of a file by their key, of which the last one counts."""
    records = {}
    for where, _, line in read_lines(path):
        record = parse_json(line, where)
        if not isinstance(record, dict) or not isinstance(record.get(key), str):
            raise UserError(f"{where}: not a record with its {key}")
        records[record[key]] = record
    return records


def open_to_append(path: Path) -> FileIO:
    """A file that no other run has open, at its end; made if need be.

    Raises:
        UserError: Another run has it open, or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What could not be written must not be tried again when the file is closed.
        file = path.open("ab", buffering=0)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): give another place with output=FILE") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UserError(f"another run is writing {path}: wait for it, or give output=FILE or shard=i/n") from None
    except OSError as error:
        _log.warning("%s cannot be locked (%s): see to it that no other run writes it", path, error.strerror)
    if not path.is_file() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
        file.close()
        return open_to_append(path)  # another file took its place in between
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)  # the file's name too must outlive a power cut
    os.close(folder)
    return file


def cut_torn_line(file: FileIO, path: Path) -> None:
    """Cut off a last line without an end, which a run left that was killed, and say so."""
    size = path.stat().st_size
    whole = _end_of_last_line(path, size)
    if whole < size:
        file.truncate(whole)
        os.fsync(file.fileno())
        _log.warning("%s: its last line was torn (%d bytes): cut off, its work is done again", path, size - whole)


def _end_of_last_line(path: Path, size: int) -> int:
    block = 2**16
    with path.open("rb") as file:
        for start in range(max(size - block, 0), -block, -block):
            file.seek(max(start, 0))
            found = file.read(block).rfind(b"\n")
            if found >= 0:
                return max(start, 0) + found + 1
    return 0


def append(file: FileIO, line: str | dict[str, Any]) -> None:
    """Write a line with its end, or a record as one, and return once it is on the disk.

    Raises:
        UserError: It cannot be written.
    """
    text = line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) + "\n"
    rest = memoryview(text.encode())
    try:
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except OSError as error:
        raise UserError(
            f"{file.name!s} cannot be written ({error.strerror}): what was done is kept; make room and run this again"
        ) from error


def differences(one: dict[str, Any], other: dict[str, Any]) -> str:
    """What two writers differ in, for a message."""
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return ", ".join(f"{key} {one.get(key)!r} and {other.get(key)!r}" for key in keys)
