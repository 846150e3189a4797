"""A descriptor of colour, edges and motion: no weights, and about a millisecond a snippet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src.errors import UserError
from src.features.extractor import Extractor, Frames

CHANNELS = 14
"""Numbers a cell: 3 of mean colour, 7 of the histogram of hues, 2 of edges, 2 of motion."""

_HUES = 7


class Pixels(Extractor):
    """Over each cell of a grid, and all frames of the snippet: the mean colour, the histogram of hues weighted by
    saturation, the energy of upright and of level edges, and how much brightness changes from frame to frame and from
    the first frame to the last. Histogram, edges and motion are square roots.

    Args:
        rows: The rows of the grid.
        columns: The columns of the grid; the features have rows · columns · CHANNELS numbers.
        frames: The frames of a snippet, at least 2.
        cell: The pixels along the side of a cell; frames are scaled to rows · cell by columns · cell.
    """

    def __init__(self, rows: int, columns: int, frames: int, cell: int) -> None:
        if min(rows, columns, cell) < 1 or frames < 2:
            raise UserError(
                f"features: rows={rows}, columns={columns}, cell={cell} must be above 0, frames={frames} above 1"
            )
        self.rows, self.columns, self.cell, self._frames = rows, columns, cell, frames

    @property
    def identity(self) -> dict[str, Any]:
        grid = {"rows": self.rows, "columns": self.columns, "cell": self.cell}
        return {"extractor": "pixels", "version": 1, **grid, "frames": self.frames}

    @property
    def frames(self) -> int:
        return self._frames

    def __call__(self, windows: Frames) -> NDArray[np.float32]:
        return np.stack([self._describe(self._scaled(frames)) for frames in windows])

    def _scaled(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(frames, rows · cell, columns · cell, 3), in [0, 1]."""
        size = self.columns * self.cell, self.rows * self.cell
        if frames.shape[2:0:-1] != size:
            scaled = [Image.fromarray(frame).resize(size, Image.Resampling.BOX) for frame in frames]
            frames = np.stack([np.asarray(image) for image in scaled])
        return np.divide(frames, 255, dtype=np.float32)

    def _describe(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        colour = self._pool(frames.mean(axis=0))
        grey = frames @ np.full(3, 1 / 3, np.float32)
        across = np.abs(np.diff(grey, axis=2, append=grey[:, :, -1:])).mean(axis=0)
        down = np.abs(np.diff(grey, axis=1, append=grey[:, -1:])).mean(axis=0)
        changes = np.abs(np.diff(grey, axis=0)).mean(axis=0)
        drift = np.abs(grey[-1] - grey[0])
        energies = self._pool(np.stack((across, down, changes, drift), axis=-1))
        parts = (2 * colour - 1, np.sqrt(self._hues(frames)), 3 * np.sqrt(energies))
        return np.concatenate(parts, axis=-1).astype(np.float32).reshape(-1)

    def _hues(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """The histogram (rows, columns, hues) over all frames, mass in [0, 1]."""
        red, green, blue = np.ascontiguousarray(np.moveaxis(frames, -1, 0))
        most = np.maximum(np.maximum(red, green), blue)
        spread = most - np.minimum(np.minimum(red, green), blue)
        safe = np.where(spread > 0, spread, 1)
        hue = np.select(
            [most == red, most == green], [(green - blue) / safe % 6, (blue - red) / safe + 2], (red - green) / safe + 4
        )
        bins = (hue / 6 * _HUES + 0.5).astype(np.int8) % _HUES
        weights = spread / np.maximum(most, 0.1)
        weights = np.where(weights > 0.3, weights, 0)  # of a greyish pixel the hue is chance
        masses = np.stack([(weights * (bins == each)).mean(axis=0) for each in range(_HUES)], axis=-1)
        return self._pool(masses)

    def _pool(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Means (rows, columns, k) of values (height, width, k) over the cells."""
        cells = values.reshape(self.rows, self.cell, self.columns, self.cell, -1)
        return cells.mean(axis=(1, 3), dtype=np.float32)
