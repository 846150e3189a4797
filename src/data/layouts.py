"""The layouts in which video features are published. A layout maps a video to its features (n, dim), n snippets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from src.errors import UserError

Features = NDArray[np.float32]


class Layout(Protocol):
    """Features of videos as somebody published them."""

    @property
    def place(self) -> Path:
        """The file or folder they are read from."""
        ...

    def __call__(self, video: str) -> Features | None:
        """The features (n, dim) of a video, n >= 1; None where there are none.

        Raises:
            UserError: the file is damaged, or not of the expected size.
        """
        ...


class NpyFolder:
    """VIDEO.npy, each (n, dim), in one folder (VSLNet, EMB)."""

    def __init__(self, folder: str, dim: int) -> None:
        self.place = Path(folder)
        self.dim = dim

    def __call__(self, video: str) -> Features | None:
        path = self.place / f"{video}.npy"
        return _check(path, _load(path), self.dim) if path.is_file() else None


class NpzFolder:
    """VIDEO.npz with an array `features` (n, dim), in one folder (Moment-DETR, QD-DETR)."""

    def __init__(self, folder: str, dim: int) -> None:
        self.place = Path(folder)
        self.dim = dim

    def __call__(self, video: str) -> Features | None:
        path = self.place / f"{video}.npz"
        if not path.is_file():
            return None
        with _load(path) as archive:
            if "features" not in archive:
                raise UserError(f"{path} has no array 'features', only {', '.join(archive.files)}")
            return _check(path, archive["features"], self.dim)


class Hdf5:
    """One HDF5 file with a dataset (n, dim) for each video (LGI; ActivityNet's C3D).

    Args:
        file: of the features.
        dim: their size.
        dataset: where a video's dataset is, with {video} for its id.
    """

    def __init__(self, file: str, dim: int, dataset: str = "{video}") -> None:
        self.place = Path(file)
        self.dim = dim
        self.dataset = dataset

    def __call__(self, video: str) -> Features | None:
        name = self.dataset.format(video=video)
        try:
            with h5py.File(self.place) as file:
                if name not in file:
                    return None
                return _check(f"{self.place}, dataset {name}", file[name][:], self.dim)
        except OSError as error:
            raise UserError(f"{self.place} is not an HDF5 file, or a damaged one ({error})") from error


class Streams:
    """Several layouts side by side, such as SlowFast and CLIP: cut to the shortest, each scaled to length one.

    Args:
        streams: the layouts, in the order of their channels.
    """

    def __init__(self, streams: Sequence[Layout]) -> None:
        self.streams = streams
        self.place = streams[0].place

    def __call__(self, video: str) -> Features | None:
        parts = [stream(video) for stream in self.streams]
        found = [part for part in parts if part is not None]
        if len(found) < len(parts):
            return None
        length = min(len(part) for part in found)
        return np.concatenate([_unit(part[:length]) for part in found], axis=1)


def _unit(features: Features) -> Features:
    norm = np.linalg.norm(features, axis=1, keepdims=True)
    scaled: Features = features / np.maximum(norm, 1e-5)
    return scaled


def _load(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read as an array: {str(error).splitlines()[0]}") from error


def _check(where: Path | str, features: NDArray[Any], dim: int) -> Features:
    # Some releases keep the singleton axes of the network that made them.
    squeezed = features.reshape(len(features), -1) if features.ndim > 2 and features.size else features
    if squeezed.ndim != 2 or len(squeezed) == 0 or squeezed.shape[1] != dim:
        raise UserError(
            f"{where}: features of shape {features.shape}, expected (n, {dim}) with n >= 1: see features.dim"
        )
    if not np.isfinite(squeezed).all():
        raise UserError(f"{where}: its features hold NaN or infinity")
    return squeezed.astype(np.float32)
