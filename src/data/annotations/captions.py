"""The JSON of ActivityNet-Captions (Krishna et al., 2017) and the data sets made after it.

`{video: {"duration": s, "timestamps": [[start, end], ...], "sentences": [...]}}`, seconds. ActivityNet-CD is the same;
Charades-CD (Yuan et al., 2021) calls the duration `video_duration`; the test files of Charades-CG and ActivityNet-CG
(Li et al., 2022) add, for each sentence, what is novel in it: `news`, {kind: [word, ...]}, or `novels`,
{kind: [[word, word], ...]}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.data.annotations.reading import Annotation, annotation, columns, field, number, parse_object, window
from src.errors import UserError
from src.files import read_text, shown


@dataclass(frozen=True)
class Captions:
    """Reads annotations in the form of ActivityNet Captions.

    Args:
        root: The folder of the files.
        files: The names of the files, read one after another; a video's queries are numbered through all of them.
        duration_key: The files' name for a video's duration in seconds; `duration` by default.
    """

    root: str
    files: list[str]
    duration_key: str = "duration"

    def __call__(self) -> Iterator[Annotation]:
        counts: Counter[str] = Counter()
        for path in (Path(self.root) / file for file in self.files):
            for video, record in parse_object(read_text(path), str(path)).items():
                here = f"{path}: video {video}"
                duration = number(field(record, self.duration_key, here), "the duration", here)
                novelty = next((key for key in ("news", "novels") if key in record), None)
                keys = ("sentences", "timestamps", *([novelty] if novelty else []))
                for index, (sentence, timestamp, *novel) in enumerate(columns(record, keys, here), start=1):
                    where = f"{here}, sentence {index}"
                    yield annotation(
                        where,
                        query_id=f"{video}/{counts[video]}",
                        video=video,
                        query=sentence,
                        windows=(window(timestamp, where),),
                        duration=duration,
                        novel=_novel(novel[0], where) if novel else (),
                    )
                    counts[video] += 1


def _novel(kinds: object, where: str) -> tuple[tuple[str, str], ...]:
    """{"NOUN": ["soup"]} to (("NOUN", "soup"),), {"v-n": [["take", "fridge"]]} to (("v-n", "take fridge"),)."""
    if not isinstance(kinds, dict) or not all(isinstance(texts, list) for texts in kinds.values()):
        raise UserError(f"{where}: what is novel must be lists by their kind, found {shown(kinds)}")
    return tuple((kind, _text(text, where)) for kind, texts in kinds.items() for text in texts)


def _text(value: Any, where: str) -> str:
    parts = value if isinstance(value, list) else [value]
    if not parts or not all(isinstance(part, str) for part in parts):
        raise UserError(f"{where}: a novel word or composition must be text, found {shown(value)}")
    return " ".join(parts)
