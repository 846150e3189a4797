"""The store: named rows of features in one HDF5 file, memory-mapped.

Layout: `keys` (V,) text; `offsets` (V + 1,), key k owns rows offsets[k] to offsets[k + 1]; one contiguous dataset a
column, `features` (N, dim) float16 among them; the attribute `made_by`, JSON, says what made it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.errors import UserError

FEATURES = "features"
_FORMAT = "tea-store-1"
_LARGEST = float(np.finfo(np.float16).max)

Columns = Mapping[str, NDArray[Any]]


def write_store(path: Path, rows: Iterable[tuple[str, Columns]], made_by: Mapping[str, Any]) -> None:
    """Write a store, one key at a time, under a temporary name until it is whole.

    Args:
        path: of the store; its folder is made.
        rows: (key, columns): `features` (n, dim), n >= 1, and any further columns of n rows, the same for every key.
        made_by: what made it: source, settings, versions; must be JSON.

    Raises:
        UserError: features that are not finite, too large for half precision, or of another size than the first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    try:
        with h5py.File(temporary, "w") as file:
            _write(file, rows)
            file.attrs["format"] = _FORMAT
            file.attrs["made_by"] = json.dumps(made_by)
        # Chunks grow while the number of rows is unknown; the final file is contiguous, so that it can be mapped.
        final = path.with_name(path.name + ".whole")
        try:
            _make_contiguous(temporary, final)
            final.replace(path)
        finally:
            final.unlink(missing_ok=True)
    finally:
        temporary.unlink(missing_ok=True)


def _write(file: h5py.File, rows: Iterable[tuple[str, Columns]]) -> None:
    keys: list[str] = []
    offsets = [0]
    for key, columns in rows:
        features = columns[FEATURES]
        _check(key, features, file[FEATURES].shape[1] if FEATURES in file else None)
        for name, values in columns.items():
            values = values.astype(np.float16) if name == FEATURES else values
            if name not in file:
                file.create_dataset(
                    name,
                    shape=(0, *values.shape[1:]),
                    maxshape=(None, *values.shape[1:]),
                    dtype=values.dtype,
                    chunks=(4096, *values.shape[1:]),
                )
            file[name].resize(offsets[-1] + len(values), axis=0)
            file[name][offsets[-1] :] = values
        keys.append(key)
        offsets.append(offsets[-1] + len(features))
    if not keys:
        raise UserError("there is nothing to store: no video or text was given")
    file.create_dataset("keys", data=keys, dtype=h5py.string_dtype())
    file.create_dataset("offsets", data=np.array(offsets))


def _check(key: str, features: NDArray[Any], dim: int | None) -> None:
    if features.ndim != 2 or len(features) == 0:
        raise UserError(f"{key}: features of shape {features.shape}, expected (n, dim) with n >= 1")
    if dim is not None and features.shape[1] != dim:
        raise UserError(f"{key}: features of size {features.shape[1]}, the ones before it have {dim}")
    if not np.isfinite(features).all():
        raise UserError(f"{key}: its features hold NaN or infinity")
    if np.abs(features).max() > _LARGEST:
        raise UserError(f"{key}: its features reach {np.abs(features).max():.3g}, too large for half precision")


def _make_contiguous(source: Path, target: Path) -> None:
    with h5py.File(source) as chunked, h5py.File(target, "w") as whole:
        for name, dataset in chunked.items():
            copy = whole.create_dataset(name, shape=dataset.shape, dtype=dataset.dtype)
            for start in range(0, len(dataset), 65536):
                copy[start : start + 65536] = dataset[start : start + 65536]
        for name, value in chunked.attrs.items():
            whole.attrs[name] = value


class Store:
    """A store opened for reading. Rows come from the page cache: processes that read one store share its memory.

    Args:
        path: of the store.

    Raises:
        UserError: no such file, or not a store.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with h5py.File(path) as file:
                if file.attrs.get("format") != _FORMAT:
                    raise UserError(f"{path} is not a store of this version: make it again with python -m src.prepare")
                self.made_by: dict[str, Any] = json.loads(file.attrs["made_by"])
                keys = file["keys"].asstr()[:]
                self._offsets: NDArray[np.int64] = file["offsets"][:]
                self._columns = {
                    name: (file[name].id.get_offset(), file[name].dtype, file[name].shape)
                    for name in file
                    if name not in ("keys", "offsets")
                }
        except FileNotFoundError as error:
            raise UserError(f"no store at {path}: make it with python -m src.prepare") from error
        except OSError as error:
            raise UserError(f"{path} is damaged or not a store ({error}): make it again") from error
        self._index = {key: position for position, key in enumerate(keys)}
        self._maps: dict[str, NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __contains__(self, key: str) -> bool:
        return key in self._index

    def __getstate__(self) -> dict[str, Any]:
        # Each process maps the file itself.
        return {**self.__dict__, "_maps": {}}

    @property
    def dim(self) -> int:
        """Size of a feature vector."""
        return int(self._columns[FEATURES][2][1])

    def count(self, key: str) -> int:
        """Number of rows of a key."""
        position = self._position(key)
        return int(self._offsets[position + 1] - self._offsets[position])

    def __getitem__(self, key: str) -> dict[str, Tensor]:
        """Every column of a key: `features` (n, dim) float16, and what else there is."""
        position = self._position(key)
        start, stop = self._offsets[position : position + 2]
        return {name: torch.from_numpy(np.array(self._map(name)[start:stop])) for name in self._columns}

    def require(self, keys: Iterable[str]) -> None:
        """Raise a UserError that counts and names the keys that are not here."""
        missing = sorted(set(keys) - self._index.keys())
        if missing:
            names = ", ".join(repr(key) for key in missing[:3]) + (", …" if len(missing) > 3 else "")
            raise UserError(f"{self.path} lacks {len(missing)} of what is asked for: {names}")

    def _position(self, key: str) -> int:
        if key not in self._index:
            raise UserError(f"{self.path} has nothing for {key!r}")
        return self._index[key]

    def _map(self, name: str) -> NDArray[Any]:
        if name not in self._maps:
            offset, dtype, shape = self._columns[name]
            self._maps[name] = np.memmap(self.path, dtype=dtype, mode="r", offset=offset, shape=shape)
        return self._maps[name]
