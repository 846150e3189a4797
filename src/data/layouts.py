"""The layouts in which video features are published. A layout maps a video to its features (n, dim), n snippets."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from src.data.store import check_values, require_own_data
from src.errors import UserError, reason
from src.files import read_text, require_file

Features = NDArray[np.float32]

LARGEST_ARRAY = 1 << 30
"""Bytes that the features of one video have at most."""


class Layout(Protocol):
    """Features of videos as somebody published them. Nothing is read before it is asked for."""

    @property
    def places(self) -> tuple[Path, ...]:
        """The files or folders they are read from."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the features: the layout and its settings, as JSON can say them."""
        ...

    def __contains__(self, video: str) -> bool:
        """Whether there are features of a video."""
        ...

    def sources(self, videos: Iterable[str]) -> list[Path]:
        """The files that the features of videos that are there are read from or computed of."""
        ...

    def missing(self) -> list[str]:
        """What to do about all that lacks besides `places`, such as weights; nothing if nothing does."""
        ...

    def compute(self, videos: Iterable[str]) -> dict[str, str]:
        """Compute what is not published, of videos that are there.

        Returns:
            Why a video has no features, by its id.

        Raises:
            UserError: Nothing can be computed.
        """
        ...

    def __call__(self, video: str) -> Features:
        """The features (n, dim) of a video that is there, n >= 1, finite and within half precision.

        Raises:
            UserError: They are not, or their file is damaged; it names the file.
        """
        ...


class _Published:
    """What the layouts of published files share: nothing is computed."""

    def missing(self) -> list[str]:
        return []

    def compute(self, videos: Iterable[str]) -> dict[str, str]:
        return {}


class _Folder(_Published):
    """What the layouts of one file a video share."""

    suffix = ""

    def __init__(self, folder: str, dim: int) -> None:
        self.places = (Path(folder),)
        self.dim = dim

    @property
    def identity(self) -> dict[str, Any]:
        return {"layout": type(self).__name__, "place": str(self.places[0].absolute())}

    def __contains__(self, video: str) -> bool:
        return _is_inside(video) and self._path(video).is_file()

    def sources(self, videos: Iterable[str]) -> list[Path]:
        return [self._path(video) for video in videos]

    def _path(self, video: str) -> Path:
        return self.places[0] / f"{video}{self.suffix}"


def _is_inside(video: str) -> bool:
    """Whether an id leads nowhere out of a folder: an annotation file may be anybody's."""
    return not Path(video).is_absolute() and ".." not in Path(video).parts


class NpyFolder(_Folder):
    """VIDEO.npy, each (n, dim), in one folder (VSLNet, EMB)."""

    suffix = ".npy"

    def __call__(self, video: str) -> Features:
        path = self._path(video)
        loaded = _load(path)
        if not isinstance(loaded, np.ndarray):
            raise UserError(f"{path} holds several arrays: it is a .npz under another name")
        return _check(path, loaded, self.dim)


class NpzFolder(_Folder):
    """VIDEO.npz with an array `features` (n, dim), in one folder (Moment-DETR, QD-DETR)."""

    suffix = ".npz"

    def __call__(self, video: str) -> Features:
        path = self._path(video)
        loaded = _load(path)
        if not isinstance(loaded, dict):
            raise UserError(f"{path} holds one array without a name: it is a .npy under another name")
        if "features" not in loaded:
            raise UserError(f"{path} has no array 'features', only {', '.join(loaded) or 'nothing'}")
        return _check(path, loaded["features"], self.dim)


class TextFolders(_Folder):
    """A folder for each video, of text files with the `dim` numbers of a vector each, in the order of their names: the
    features that Charades itself ships (VIDEO/VIDEO-000001.txt, every fourth frame at 24 a second)."""

    def __contains__(self, video: str) -> bool:
        return _is_inside(video) and any(self._path(video).glob("*.txt"))

    def sources(self, videos: Iterable[str]) -> list[Path]:
        return [path for video in videos for path in self._files(video)]

    def __call__(self, video: str) -> Features:
        rows = []
        for path in self._files(video):
            words = read_text(path).split()
            try:
                row = np.array(words, np.float32)
            except ValueError as error:
                raise UserError(f"{path} holds what is no number ({reason(error)})") from error
            if len(row) != self.dim:
                raise UserError(f"{path} holds {len(row)} numbers, expected {self.dim} (features.dim)")
            rows.append(row)
        return _check(self._path(video), np.stack(rows), self.dim)

    def _files(self, video: str) -> list[Path]:
        return sorted(self._path(video).glob("*.txt"))


class Hdf5(_Published):
    """One HDF5 file with a dataset (n, dim) for each video (LGI; ActivityNet's C3D).

    Args:
        file: The HDF5 file of the features.
        dim: The numbers of a snippet's features.
        dataset: The path of a video's dataset in the file, with {video} for its id; the id alone by default.
    """

    def __init__(self, file: str, dim: int, dataset: str = "{video}") -> None:
        self.places = (Path(file),)
        self.dim = dim
        self.dataset = dataset

    @property
    def identity(self) -> dict[str, Any]:
        return {"layout": "Hdf5", "place": str(self.places[0].absolute()), "dataset": self.dataset}

    def __contains__(self, video: str) -> bool:
        name = self.dataset.format(video=video)
        try:
            return name.strip("/") != "" and name in self._opened
        except RuntimeError as error:
            raise UserError(f"{self.places[0]} is a damaged HDF5 file ({reason(error)})") from error

    def sources(self, videos: Iterable[str]) -> list[Path]:
        return list(self.places)

    def __call__(self, video: str) -> Features:
        name = self.dataset.format(video=video)
        where = f"{self.places[0]}, {name}"
        try:
            require_own_data(self._opened, name)
            found = self._opened[name]
            if isinstance(found, h5py.Dataset):
                if found.nbytes > LARGEST_ARRAY:
                    raise UserError(f"{where} has {found.nbytes / 2**30:.1f} GiB: it is not the features of a video")
                return _check(where, found[()], self.dim)
        except UserError:
            raise
        except Exception as error:  # whatever the library meets in a damaged file
            raise UserError(f"{where} cannot be read ({reason(error)})") from error
        inside = ", ".join(list(found)[:3]) if isinstance(found, h5py.Group) else "nothing"
        raise UserError(f"{where} is a group of {inside}, not a dataset: set features.layout.dataset")

    @cached_property
    def _opened(self) -> h5py.File:
        try:
            require_file(self.places[0])
            return h5py.File(self.places[0], locking=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(f"{self.places[0]} is not an HDF5 file, or a damaged one ({reason(error)})") from error


class Streams(_Published):
    """Several layouts side by side, such as SlowFast and CLIP, cut to the shortest.

    Args:
        streams: The layouts, in the order of their channels.
        normalize: Whether each stream's snippets are scaled to length one first, as Moment-DETR and QD-DETR do.
    """

    def __init__(self, streams: Sequence[Layout], normalize: bool) -> None:
        self.streams = list(streams)
        self.normalize = normalize
        self.places = tuple(place for stream in self.streams for place in stream.places)

    @property
    def identity(self) -> dict[str, Any]:
        streams = [stream.identity for stream in self.streams]
        return {"layout": "Streams", "streams": streams, "normalize": self.normalize}

    def __contains__(self, video: str) -> bool:
        return all(video in stream for stream in self.streams)

    def sources(self, videos: Iterable[str]) -> list[Path]:
        wanted = list(videos)
        return [path for stream in self.streams for path in stream.sources(wanted)]

    def __call__(self, video: str) -> Features:
        return self.joined([stream(video) for stream in self.streams])

    def missing(self) -> list[str]:
        return [each for stream in self.streams for each in stream.missing()]

    def joined(self, parts: Sequence[Features]) -> Features:
        """The features (n, dim) of a video's streams side by side."""
        length = min(len(part) for part in parts)
        cut = [part[:length] for part in parts]
        return np.concatenate([_unit(part) for part in cut] if self.normalize else cut, axis=1)


def _unit(features: Features) -> Features:
    scaled: Features = features / (np.linalg.norm(features, axis=1, keepdims=True) + 1e-5)
    return scaled


def _load(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """The array of a .npy, or those of a .npz by name. Pickled objects are refused."""
    try:
        require_file(path)
        with path.open("rb") as file:
            is_one = file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX
        if is_one:
            # Mapped, an array is as large as its file at most, whatever its header says.
            return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST_ARRAY:
            raise UserError(f"{path} unpacks to {size / 2**30:.1f} GiB: it is not the features of a video")
        with np.load(path, allow_pickle=False) as loaded:
            return dict(loaded)
    except UserError:
        raise
    except Exception as error:  # whatever the library meets in a damaged file
        raise UserError(f"{path} cannot be read as an array: {reason(error)}") from error


def _check(where: Path | str, features: NDArray[Any], dim: int) -> Features:
    if not np.issubdtype(features.dtype, np.floating) and not np.issubdtype(features.dtype, np.integer):
        raise UserError(f"{where}: features of type {features.dtype}, expected numbers")
    # Some releases keep the axes of length one of the network that made them.
    if features.ndim > 2 and features.size and max(features.shape[1:]) == math.prod(features.shape[1:]):
        features = features.reshape(len(features), -1)
    if features.ndim != 2 or features.shape[1] != dim or len(features) == 0:
        raise UserError(f"{where}: features of shape {features.shape}, expected (n, {dim}) with n >= 1 (features.dim)")
    check_values(features, str(where))
    return features.astype(np.float32)
