"""The contract of a feature extractor: frames to one vector a snippet."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
"""(n, frames, height, width, 3), RGB: the frames of n snippets, in order."""


class Extractor(Protocol):
    """Turns the frames of snippets into features. Built from conf/features without loading anything."""

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the features: method or model and settings, as JSON can say them."""
        ...

    @property
    def frames(self) -> int:
        """How many frames of a snippet it looks at, >= 1, evenly spaced from the snippet's start."""
        ...

    def __call__(self, snippets: Frames) -> NDArray[np.float32]:
        """Features (n, dim) of n >= 1 snippets that follow one another.

        Raises:
            UserError: Its model cannot be loaded.
        """
        ...
