"""Sentence vectors that are kept as they come, so that an encoding which is broken off goes on where it was."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.text.encoder import TextEncoder, Texts

_HEAD = np.dtype("<i8")
_KEPT = np.dtype("<f2")  # as a store has them
_log = logging.getLogger(__name__)


def resumed_sentences(
    store: Path, made_by: Mapping[str, Any], encoder: TextEncoder, texts: Texts
) -> Iterator[NDArray[np.float32]]:
    """What `encoder.sentences(texts)` gives, without encoding again what a killed run had encoded.

    The vectors lie, in half precision, in a hidden file beside `store` until `forget_sentences`. While another process
    writes it, nothing is kept.

    Args:
        store: The store that is being made.
        made_by: What makes it: vectors of anything else are not taken.
        encoder: The encoder.
        texts: The texts, the same and in the same order whenever `made_by` is.
    """
    place = _place(store, made_by)
    place.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        file: FileIO | None = stack.enter_context(place.open("a+b", buffering=0))
        assert file is not None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file = None
        done = _rows(file) if file else np.zeros((0, 0), _KEPT)
        if len(done):
            _log.info("%s of %s texts are encoded already", f"{len(done):,}", f"{len(texts):,}")
        yield from (row.astype(np.float32) for row in done)
        for vector in encoder.sentences(_Rest(texts, len(done))):
            if file:
                head = b"" if file.tell() else np.array(len(vector), _HEAD).tobytes()
                # The store says which numbers are too large for it.
                with np.errstate(over="ignore"):
                    row = head + vector.astype(_KEPT).tobytes()
                if not _written(file, row):
                    # The store may still find room, without what is kept.
                    place.unlink(missing_ok=True)
                    file.truncate(0)
                    file = None
            yield vector


def forget_sentences(store: Path) -> None:
    """Remove what is kept beside a store that is whole now."""
    for place in store.parent.glob(f".{glob.escape(store.name)}.*.vectors"):
        with suppress(OSError):
            place.unlink()


def _place(store: Path, made_by: Mapping[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()
    return store.with_name(f".{store.name}.{digest[:16]}.vectors")


def _written(file: FileIO, row: bytes) -> bool:
    """Whether there was room."""
    try:
        return file.write(row) == len(row)
    except OSError:
        return False


def _rows(file: FileIO) -> NDArray[np.float16]:
    """The whole rows of a file, mapped; it ends after them from now on."""
    file.seek(0)
    head = file.read(_HEAD.itemsize)
    width = int(np.frombuffer(head, _HEAD)[0]) if len(head) == _HEAD.itemsize else 0
    size = os.fstat(file.fileno()).st_size
    count = (size - len(head)) // (width * _KEPT.itemsize) if width else 0
    rows = np.memmap(file, _KEPT, "r", len(head), (count, width)) if count else np.zeros((0, 0), _KEPT)
    # After a power cut a file may end in zeros in the place of what was written, from the middle of a row on.
    while count and not rows[count - 1, -1]:
        count -= 1
    count = max(count - 1, 0)
    file.truncate(len(head) + count * width * _KEPT.itemsize if count else 0)
    file.seek(0, os.SEEK_END)
    return rows[:count]


class _Rest:
    """Texts after the first few."""

    def __init__(self, texts: Texts, first: int) -> None:
        self.texts, self.first = texts, first

    def __len__(self) -> int:
        return len(self.texts) - self.first

    def __iter__(self) -> Iterator[str]:
        return islice(self.texts, self.first, None)
