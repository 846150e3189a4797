"""The published networks whose checkpoints become checkpoints of this project."""

from __future__ import annotations

from pathlib import Path

from src.errors import UserError
from src.models.detr import published as detr
from src.models.points import published as points
from src.models.proposals import published as maps
from src.models.published import Published, Release, read_weights
from src.models.regression import published as regression
from src.models.span import published as span

RELEASES: tuple[Release, ...] = (
    *detr.RELEASES,
    points.UNIVTG,
    points.FLASH_VTG,
    *span.RELEASES,
    *regression.RELEASES,
    *maps.RELEASES,
)


def read_published(path: Path) -> Published:
    """The published network whose checkpoint is at `path`.

    Raises:
        UserError: there is no such file, it cannot be read safely, or it is of none of these networks.
    """
    weights = read_weights(path)
    for release in RELEASES:
        if all(mark in weights for mark in release.marks):
            return release.read(weights)
    networks = ", ".join(release.network for release in RELEASES)
    raise UserError(f"{path} is no checkpoint of a network that is known here: those of {networks} are")
