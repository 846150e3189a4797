"""Files that are whole or not there at all."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from src.errors import UserError

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
        UserError: The folder cannot be made or written to.
    """
    _require_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def workplace(path: Path) -> Iterator[Path]:
    """A folder beside `path` for what is written on the way to it. It goes with the block.

    Those that processes left which were killed go first.

    Raises:
        UserError: The folder of `path` cannot be made or written to.
    """
    _require_folder(path.parent)
    prefix = f".{path.name}.work-"
    for left in path.parent.glob(f"{glob.escape(prefix)}*"):
        with suppress(OSError), _held(left):
            shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    with _held(folder):
        try:
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


def _require_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be made ({error.strerror}): see conf/paths") from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"the folder {folder} cannot be written to: see conf/paths")
