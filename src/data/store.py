"""The store: named rows of features in one HDF5 file, read a key at a time.

Layout: `keys` (K,) text; `offsets` (K + 1,), key k owns rows offsets[k] to offsets[k + 1]; one contiguous dataset a
column, `features` (N, dim) float16 among them; the attribute `made_by`, JSON, says what made it.
Where few rows recur, as the vectors of words do, each stands once in the datasets of the group `table`, and the only
column is `row` (N,), which of them each is.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.errors import UserError, reason
from src.files import is_text, parse_json, require_file, workplace
from src.progress import Progress

FEATURES = "features"
ROW = "row"
LARGEST = float(np.finfo(np.float16).max)
"""The largest feature that a store can hold."""

_FORMAT = "tea-store-1"
_HEADER = ("keys", "offsets")
_TABLE = "table"
_WHOLE = ".whole"
_BLOCK = 4 << 20
"""Bytes of a column that are copied at a time."""

_log = logging.getLogger(__name__)

Columns = Mapping[str, NDArray[Any]]


def write_store(
    path: Path, rows: Iterable[tuple[str, Columns]], made_by: Mapping[str, Any], table: Columns | None = None
) -> None:
    """Write a store, one key at a time, whole or not at all.

    Args:
        path: The store's file; its folder is made.
        rows: The (key, columns) of the store: `features` (n, dim), n >= 1, and any further columns of n rows, the same
            for every key. With a table `row` (n,) alone: the rows of the table that the key has.
        made_by: What made the store: source and settings, as JSON can say them. Sizes and the format are added.
        table: Rows that recur, each once: `features` (V, dim), and any further columns of V rows.

    Raises:
        UserError: Features that are not finite, too large for half precision, or of another size than the first; a key
            given twice; no rows at all.
    """
    with workplace(path) as folder:
        spool = _Spool(folder, path)
        with spool:
            for key, columns in rows:
                spool.add(key, columns)
        if not spool.counts:
            raise UserError(f"there is nothing to store in {path}: no video or text was given")
        if table is not None:
            check_values(table[FEATURES], f"the table of {path}")
            table = {**table, FEATURES: table[FEATURES].astype(np.float16)}
        spool.write(folder / _WHOLE, made_by, table)
        (folder / _WHOLE).replace(path)


class _Spool:
    """Columns as raw files that grow, until the number of rows is known and they can become contiguous datasets."""

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder = folder
        self.target = target
        self.counts: dict[str, int] = {}
        self._files: dict[str, BinaryIO] = {}
        self._kinds: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> _Spool:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def add(self, key: str, columns: Columns) -> None:
        if "\0" in key or not is_text(key):
            raise UserError(f"{key!a} holds what is no character: {self.target} cannot store it")
        if key in self.counts:
            raise UserError(f"{key!r} is given twice to {self.target}")
        stored = dict(columns)
        if FEATURES in columns:
            self._check(key, columns[FEATURES])
            stored[FEATURES] = columns[FEATURES].astype(np.float16)
        count = len(next(iter(stored.values())))
        if count == 0:
            raise UserError(f"{key!r}, for {self.target}: it has no rows")
        if not self._files:
            for name, values in stored.items():
                self._kinds[name] = values.dtype, values.shape[1:]
                self._files[name] = self._stack.enter_context((self.folder / name).open("wb"))
        for name, (dtype, shape) in self._kinds.items():
            values = stored[name]
            if values.dtype != dtype or values.shape != (count, *shape):
                raise ValueError(f"{key}: column {name} is {values.dtype} {values.shape}, not {dtype} (n, *{shape})")
            np.ascontiguousarray(values).tofile(self._files[name])
        self.counts[key] = count

    def _check(self, key: str, features: NDArray[Any]) -> None:
        where = f"{key!r}, for {self.target}"
        if features.ndim != 2 or len(features) == 0:
            raise UserError(f"{where}: features of shape {features.shape}, expected (n, dim) with n >= 1")
        if self._kinds and features.shape[1:] != self._kinds[FEATURES][1]:
            dim = self._kinds[FEATURES][1][0]
            raise UserError(f"{where}: features of size {features.shape[1]}, those before it have {dim}")
        check_values(features, where)

    def write(self, path: Path, made_by: Mapping[str, Any], table: Columns | None) -> None:
        offsets = np.cumsum([0, *self.counts.values()], dtype=np.int64)
        rows = int(offsets[-1])
        with h5py.File(path, "w") as file:
            for name, (dtype, shape) in self._kinds.items():
                dataset = file.create_dataset(name, shape=(rows, *shape), dtype=dtype)
                with (self.folder / name).open("r+b") as spooled:
                    self._move(spooled, dataset)
            for name, values in (table or {}).items():
                file.create_dataset(f"{_TABLE}/{name}", data=values)
            features = file[FEATURES if table is None else f"{_TABLE}/{FEATURES}"]
            file.create_dataset("keys", data=list(self.counts), dtype=h5py.string_dtype())
            file.create_dataset("offsets", data=offsets)
            sizes = {"keys": len(self.counts), "rows": rows, "dim": features.shape[1]}
            file.attrs["format"] = _FORMAT
            file.attrs["made_by"] = json.dumps({**made_by, "sizes": sizes, "format": _FORMAT})

    def _move(self, spooled: BinaryIO, dataset: h5py.Dataset) -> None:
        """Move a column from its last block to its first: what is copied is cut off, so the disk holds it only once."""
        values = np.empty(dataset.shape[1:], dataset.dtype)
        size = max(1, _BLOCK // values.nbytes)
        for start in Progress(range(0, len(dataset), size)[::-1], f"writing {self.target.name}", "block"):
            spooled.seek(start * values.nbytes)
            block = np.frombuffer(spooled.read(size * values.nbytes), values.dtype)
            dataset[start : start + size] = block.reshape(-1, *values.shape)
            spooled.truncate(start * values.nbytes)


def check_values(features: NDArray[Any], where: str) -> None:
    """Raise a UserError if a store cannot hold features (n, dim), n and dim >= 1. `where` names them in it."""
    largest = np.abs(features).max()
    if not np.isfinite(largest):
        rows = np.flatnonzero(~np.isfinite(features).all(axis=1))
        raise UserError(
            f"{where}: its features hold NaN or infinity, first in row {rows[0]} ({len(rows)} of {len(features)} rows)"
        )
    if largest > LARGEST:
        raise UserError(f"{where}: its features reach {largest:.4g}, past the {LARGEST:.0f} of half precision")


class _Column(NamedTuple):
    offset: int  # of its first byte in the file
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def require_own_data(file: h5py.File, name: str) -> None:
    """Raise a ValueError if a path in an HDF5 file leads out of it, or into places of its own choosing."""
    parts = name.strip("/").split("/")
    for end in range(1, len(parts) + 1):
        if not isinstance(file.get("/".join(parts[:end]), getlink=True), h5py.HardLink):
            raise ValueError(f"{'/'.join(parts[:end])} is a link, or is not there")
    found = file[name]
    if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
        raise ValueError(f"{name} takes its data from other files")


class _Version(NamedTuple):
    """What tells a file from another that took its name."""

    number: int
    size: int
    written: int


class Store:
    """A store opened for reading. Its rows stay in the page cache, which processes share, and count in none of them.

    It holds the file open, so that it and the processes forked from it read what was there then, even if another
    store takes its place. A pickled copy opens the file when it first reads from it, and refuses another store.

    Args:
        path: The store's file.
        columns: What it must have besides `features`.

    Raises:
        UserError: No such file, not a store, or a damaged one.
    """

    def __init__(self, path: Path, columns: Sequence[str] = ()) -> None:
        self.path = path
        try:
            require_file(path)
            self._version = _version(path.stat())
            # A store never changes in place, so it needs no lock, which some file systems do not have.
            with h5py.File(path, locking=False) as file:
                foreign = str(file.attrs.get("format")) != _FORMAT
                if not foreign:
                    keys = self._read_header(file, columns)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UserError(f"no store at {path}: make it with python -m src.prepare") from error
        except Exception as error:  # whatever the library meets in a damaged file
            raise UserError(
                f"{path} is damaged or not a store ({reason(error)}): delete it and make it again"
            ) from error
        if foreign:
            raise UserError(f"{path} is not a store of this version: make it again with python -m src.prepare")
        self._index = {key: position for position, key in enumerate(keys)}
        self._file: FileIO | None = None
        self._table: dict[str, NDArray[Any]] = {}
        self._open()

    def _read_header(self, file: h5py.File, columns: Sequence[str]) -> list[str]:
        """Everything but the columns' values; returns the keys."""
        self.made_by = _made_by(file)
        keys: list[str] = list(_header(file, "keys", self._version).asstr()[:])
        self._offsets: NDArray[np.int64] = _header(file, "offsets", self._version)[:]
        _require_offsets(self._offsets, len(keys))
        if len(set(keys)) < len(keys):
            raise ValueError("a key stands twice in it")
        rows, names = int(self._offsets[-1]), [name for name in file if name not in (*_HEADER, _TABLE)]
        self._columns = {name: _column(file, name, rows, self._version) for name in names}
        self._table_columns: dict[str, _Column] = {}
        if _TABLE in file:
            self._table_columns = _table(file, self._version)
            if names != [ROW] or self._columns[ROW].dtype.kind not in "iu" or len(self._columns[ROW].shape) != 1:
                raise ValueError("it has a table, and does not say which of its rows each is")
        _require_columns(self._table_columns or self._columns, columns)
        return keys

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __contains__(self, key: object) -> bool:
        return key in self._index

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_table": {}}

    @property
    def dim(self) -> int:
        """Size of a feature vector."""
        return (self._table_columns or self._columns)[FEATURES].shape[1]

    def count(self, key: str) -> int:
        """Number of rows of a key."""
        position = self._position(key)
        return int(self._offsets[position + 1] - self._offsets[position])

    def __getitem__(self, key: str) -> dict[str, Tensor]:
        """Every column of a key, copied: `features` (n, dim) float16, and what else there is.

        Raises:
            UserError: The store has no such key, or a number of it is not finite.
        """
        position = self._position(key)
        start, stop = self._offsets[position : position + 2]
        file = self._file or self._open()
        rows = {name: self._rows(file, column, start, stop) for name, column in self._columns.items()}
        if self._table:
            which = rows.pop(ROW)
            if which.min() < 0 or which.max() >= len(self._table[FEATURES]):
                raise self._damaged(f"{key!r} has rows that its table has not")
            rows |= {name: values[which] for name, values in self._table.items()}
        for name, values in rows.items():
            if not _is_finite(values):
                raise self._damaged(f"{name} of {key!r} is not finite")
        return {name: torch.from_numpy(values) for name, values in rows.items()}

    def _damaged(self, what: str) -> UserError:
        return UserError(f"{self.path} is damaged ({what}): delete it and make it again")

    def require(self, keys: Iterable[str]) -> None:
        """Raise a UserError that counts and names the keys that are not here."""
        wanted = set(keys)
        missing = sorted(wanted - self._index.keys())
        if missing:
            raise UserError(f"{self.path} has nothing for {len(missing)} of {len(wanted)}: {listing(missing)}")

    def _position(self, key: str) -> int:
        if key not in self._index:
            raise UserError(f"{self.path} has nothing for {key!r}")
        return self._index[key]

    def _open(self) -> FileIO:
        file = self.path.open("rb", buffering=0)
        if _version(os.fstat(file.fileno())) != self._version:
            file.close()
            raise UserError(f"{self.path} was made anew while it was in use: start again")
        # A table is small beside what is made of it, and its rows are read in no order.
        self._table = {
            name: self._rows(file, column, 0, column.shape[0]) for name, column in self._table_columns.items()
        }
        self._file = file
        return file

    def _rows(self, file: FileIO, column: _Column, start: int, stop: int) -> NDArray[Any]:
        """Rows of a column, read at their place: mapped pages would count as this process's memory."""
        offset, dtype, (_, *shape) = column
        rows = np.empty((stop - start, *shape), dtype)
        wanted = rows.reshape(-1).view(np.uint8).data
        place = offset + start * (rows.nbytes // len(rows))
        while wanted:
            read = os.preadv(file.fileno(), [wanted], place)
            if read == 0:
                raise UserError(f"{self.path} was cut short while it was in use: make it again")
            wanted, place = wanted[read:], place + read
        return rows


def _made_by(file: h5py.File) -> dict[str, Any]:
    text = file.attrs["made_by"]
    found = parse_json(text, "made_by") if isinstance(text, str) else None
    sizes = found.get("sizes") if isinstance(found, dict) else None
    if not isinstance(sizes, dict) or not {"keys", "rows", "dim"} <= sizes.keys():
        raise ValueError("what made it is not said")
    assert isinstance(found, dict)
    return found


def _header(file: h5py.File, name: str, version: _Version) -> h5py.Dataset:
    """Keys or offsets, which are read at once: what is not in the file (HDF5 fills it up) would have no end."""
    require_own_data(file, name)
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 1 or dataset.nbytes > version.size:
        raise ValueError(f"{name} is no list within the file")
    return dataset


def _require_offsets(offsets: NDArray[Any], keys: int) -> None:
    if offsets.dtype.kind not in "iu" or len(offsets) != keys + 1 or keys == 0:
        raise ValueError(f"there are {keys} keys and {len(offsets)} offsets")
    if offsets[0] != 0 or not (offsets[:-1] < offsets[1:]).all():
        raise ValueError("its offsets do not ascend from 0")


def _column(file: h5py.File, name: str, rows: int, version: _Version) -> _Column:
    require_own_data(file, name)
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "fiub" or not dataset.dtype.isnative:
        raise ValueError(f"{name} is no column of this machine's numbers")
    offset = dataset.id.get_offset()
    if dataset.ndim < 1 or dataset.shape[0] != rows or offset is None or offset + dataset.nbytes > version.size:
        raise ValueError(f"{name} has not {rows} rows in one piece")
    return _Column(offset, dataset.dtype, dataset.shape)


def _table(file: h5py.File, version: _Version) -> dict[str, _Column]:
    require_own_data(file, f"{_TABLE}/{FEATURES}")
    rows = file[_TABLE][FEATURES].shape[0]
    return {name: _column(file, f"{_TABLE}/{name}", rows, version) for name in file[_TABLE]}


def _require_columns(columns: Mapping[str, _Column], needed: Sequence[str]) -> None:
    if missing := {FEATURES, *needed} - columns.keys():
        raise ValueError(f"it has no {', '.join(sorted(missing))}")
    _, dtype, shape = columns[FEATURES]
    if dtype != np.float16 or len(shape) != 2:
        raise ValueError(f"its features are {dtype} {shape}, not float16 (n, dim)")


def _is_finite(values: NDArray[Any]) -> bool:
    if values.dtype == np.float16:
        # By its bits, which is many times as fast: an exponent of ones is infinity or NaN.
        return not ((values.view(np.uint16) & 0x7C00) == 0x7C00).any()
    return bool(np.isfinite(values).all())


def open_if_made_by(path: Path, made_by: Mapping[str, Any], columns: Sequence[str] = ()) -> Store | None:
    """The store at `path` if it is whole and was made by just this; None if it must be made (anew), and say so."""
    if not path.is_file():
        _log.info("making %s", path)
        return None
    try:
        store = Store(path, columns)
    except UserError as error:
        _log.warning("making it anew: %s", error)
        return None
    # By way of JSON, where tuples are lists.
    asked = json.loads(json.dumps(made_by))
    different = [name for name in asked if store.made_by.get(name) != asked[name]]
    if different:
        _log.info("making %s anew: it was made with another %s", path, ", ".join(different))
        return None
    return store


def listing(names: Sequence[str], most: int = 3) -> str:
    """The first few of `names`, for a message."""
    return ", ".join(repr(name) for name in names[:most]) + (", …" if len(names) > most else "")


def _version(status: os.stat_result) -> _Version:
    return _Version(status.st_ino, status.st_size, status.st_mtime_ns)
