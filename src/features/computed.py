"""Video files as a layout of features: what is not published is computed from the frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.errors import UserError, reason
from src.features.extractor import Extractor, Frames
from src.videos.collection import Ids, collect
from src.videos.frames import READERS, TIMES, Backend, Pixels, from_start, read_frames


class Computed:
    """A `Layout` (src/data/layouts.py) whose features are computed. Snippet i covers [i, i + 1) · `seconds`.

    Args:
        videos: A folder (its subfolders are looked through), one video file, or a .txt with a path a line.
        extractor: The extractor of the features.
        dim: The numbers of a snippet's features.
        seconds: The length of a snippet in seconds, > 0. A last one of less than half that length is left out.
        batch_size: The snippets at a time.
        reader: The library that decodes the frames: `pyav` or `decord`.
        longest: The most pixels of a frame's longer side; larger frames are scaled down to it.
        ids: What a video is called: its file's `name` without the ending, or its `path` in the folder.
    """

    def __init__(
        self,
        videos: str,
        extractor: Extractor,
        dim: int,
        seconds: float,
        batch_size: int,
        reader: Backend,
        longest: int,
        ids: Ids = "name",
    ) -> None:
        if reader not in READERS:
            raise UserError(f"features: reader={reader!r}: give {' or '.join(READERS)}")
        if seconds <= 0 or batch_size < 1 or longest < 1:
            raise UserError(f"features: seconds={seconds}, batch_size={batch_size} and longest={longest}: all above 0")
        self.places = (Path(videos),)
        self.extractor = extractor
        self.dim = dim
        self.seconds = seconds
        self.batch_size = batch_size
        self.reader: Backend = reader
        self.longest = longest
        self.ids: Ids = ids

    @property
    def identity(self) -> dict[str, Any]:
        settings = {
            "place": str(self.places[0].absolute()),
            "seconds": self.seconds,
            "longest": self.longest,
            "times": TIMES,
        }
        return {"layout": "Videos", **settings, "extractor": self.extractor.identity}

    def __contains__(self, video: str) -> bool:
        return video in self.files

    def sources(self, videos: Iterable[str]) -> list[Path]:
        return [self.files[video] for video in videos]

    def __call__(self, video: str) -> NDArray[np.float32]:
        return self.of_file(self.files[video])

    def of_file(self, path: Path) -> NDArray[np.float32]:
        """The features (n, dim) of any video file.

        Raises:
            UserError: it cannot be read, or its features have another size than `dim`.
        """
        features = np.concatenate([self._extracted(batch, path) for batch in self._batches(path)])
        if features.shape[1] != self.dim:
            raise UserError(f"{path}: features of size {features.shape[1]}, but features.dim is {self.dim}")
        return features

    def _extracted(self, snippets: Frames, path: Path) -> NDArray[np.float32]:
        try:
            return self.extractor(snippets)
        except UserError:
            raise
        except Exception as error:  # a model can fail on a picture that it was not made for in any way
            raise UserError(f"{path}: its features cannot be computed ({reason(error)[:200]})") from error

    @cached_property
    def files(self) -> dict[str, Path]:
        """The video files by their ids.

        Raises:
            UserError: There are none.
        """
        return {video: path for video, path in collect(self.places[0], None, self.ids) if path is not None}

    def _batches(self, path: Path) -> Iterator[Frames]:
        snippets = self._snippets(path)
        while batch := list(islice(snippets, self.batch_size)):
            yield np.stack([np.stack(frames) for frames in batch])

    def _snippets(self, path: Path) -> Iterator[list[Pixels]]:
        """The frames of each snippet; the last frame again where the video ends within one."""
        count = self.extractor.frames
        frames = from_start(read_frames(path, self.seconds / count, self.reader, self.longest), self.seconds / count)
        snippet = list(islice(frames, count))
        while snippet:
            yield snippet + [snippet[-1]] * (count - len(snippet))
            snippet = list(islice(frames, count))
            if 2 * len(snippet) < count:
                return
