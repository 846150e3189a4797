"""What was made of a video file, kept on the disk: made again for another file, or with other settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.data.narratives import read_narratives, write_narratives
from src.data.records import Narratives
from src.errors import UserError
from src.files import whole
from src.narrators.sources import Source


def kept_narratives(
    folder: Path, file: Path, writer: Mapping[str, Any], narrate: Callable[[], Narratives]
) -> Narratives:
    """The narratives of a video file by a writer, narrated if they are not in `folder` yet."""
    place = _place(folder, file, writer).with_suffix(".jsonl")
    if not place.is_file():
        write_narratives(place, [narrate()])
    return next(read_narratives(place))


def kept_features(
    folder: Path, file: Path, made_by: Mapping[str, Any], compute: Callable[[], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The features (n, dim) of a video file, computed if they are not in `folder` yet."""
    place = _place(folder, file, made_by).with_suffix(".npy")
    if not place.is_file():
        with whole(place) as temporary, temporary.open("wb") as opened:
            np.save(opened, compute(), allow_pickle=False)
    try:
        features: NDArray[np.float32] = np.load(place, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{place} is damaged: delete it, and it is made again") from error
    return features


def _place(folder: Path, file: Path, made_by: Mapping[str, Any]) -> Path:
    source = Source.of(file)
    if source is None:
        raise UserError(f"{file} cannot be read")
    # A copy of a video is the same video, but what is kept of it names it.
    said = json.dumps([file.stem, source.size, source.digest, made_by], sort_keys=True)
    return folder / hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:32]
