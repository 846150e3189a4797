"""The contract of a feature extractor: windows of frames to vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.videos.frames import Pixels

Frames = NDArray[np.uint8]
"""(n, frames, height, width, 3), RGB: the frames of n windows."""


class Extractor(ABC):
    """Turns windows of frames into features. Built from conf/features without loading anything."""

    vectors: int = 1
    """How many vectors a window gives, evenly spaced in it."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides the features: method or model and settings, as JSON can say them.

        None stands for what cannot be told here, as the digest of weights that lie on another machine.
        """

    @property
    @abstractmethod
    def frames(self) -> int:
        """How many evenly spaced frames a window has, >= 1."""

    @abstractmethod
    def __call__(self, windows: Frames) -> NDArray[np.float32]:
        """Features (n, vectors, dim) of n >= 1 windows, which may be of any videos. With one vector also (n, dim).

        Raises:
            UserError: Its model cannot be loaded.
        """

    def missing(self) -> list[str]:
        """What to do about weights that are not there; nothing if they are."""
        return []

    def window(self, frames: Sequence[Pixels], rate: float) -> Sequence[Pixels]:
        """The frames of a window that it looks at; none if a last window is too short to be one.

        Args:
            frames: The frames that the video has of it: `frames`, or fewer in the last window.
            rate: The frames a second that the video's file states; 0 if it does not.
        """
        if 2 * len(frames) < self.frames:
            return []
        return [*frames, *[frames[-1]] * (self.frames - len(frames))]
