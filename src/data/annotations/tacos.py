"""TACoS (Regneri et al., 2013) in the layout of 2D-TAN: moments in frames.

`{video: {"fps": f, "num_frames": n, "timestamps": [[first, last], ...], "sentences": [...]}}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from src.data.annotations.reading import Annotation, annotation, columns, field, number, parse_object, window
from src.errors import UserError
from src.files import read_text


@dataclass(frozen=True)
class Tacos:
    """Reads the annotations of TACoS.

    Args:
        file: The annotation file. Seconds are frames / fps, as 2D-TAN computes them.
    """

    file: str

    def __call__(self) -> Iterator[Annotation]:
        for video, record in parse_object(read_text(Path(self.file)), self.file).items():
            here = f"{self.file}: video {video}"
            fps = number(field(record, "fps", here), "fps", here)
            if fps <= 0:
                raise UserError(f"{here}: fps is {fps:g}, which must be above 0")
            duration = number(field(record, "num_frames", here), "num_frames", here) / fps
            for index, (sentence, frames) in enumerate(columns(record, ("sentences", "timestamps"), here)):
                where = f"{here}, sentence {index + 1}"
                first, last = window(frames, where)
                yield annotation(where, f"{video}/{index}", video, sentence, ((first / fps, last / fps),), duration)
