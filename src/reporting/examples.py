"""Queries on which two variants differ most, with what the narrator said and what the frames show (Figure 5)."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src.data.narratives import read_narratives
from src.data.records import Narratives
from src.errors import UserError
from src.places import Places
from src.runs.reading import Answers, Run
from src.videos.collection import collect
from src.videos.frames import from_start, read_frames

FRAMES = 8
"""Frames of an example."""


@dataclass(frozen=True)
class Bar:
    """Moments on the time axis: where from and how wide, in percent of the video, and what is said of them."""

    label: str
    spans: list[tuple[float, float]]
    seconds: str
    kind: str  # truth, baseline or ours


@dataclass(frozen=True)
class Example:
    """A query as the page shows it."""

    title: str
    query: str
    video: str
    bars: list[Bar]
    narratives: list[tuple[str, str, bool]]  # time, text, whether it falls in the annotated moment
    frames: list[str]  # JPEG pictures in base64, evenly over the video


def choose(ours: NDArray[np.float64], theirs: NDArray[np.float64], count: int) -> list[int]:
    """The queries with the greatest gains and the greatest losses in IoU, in turn."""
    order = np.argsort(theirs - ours, kind="stable")
    chosen: list[int] = []
    for gain, loss in zip(order, order[::-1], strict=True):
        chosen += [int(index) for index in (gain, loss) if int(index) not in chosen]
        if len(chosen) >= count:
            break
    return chosen[:count]


def narratives_of(run: Run, videos: Iterable[str]) -> dict[str, Narratives]:
    """The narratives that a run read of some videos; none where their file is gone."""
    file = Places(run.config).narratives
    wanted = set(videos)
    if not file.is_file():
        return {}
    return {narratives.video: narratives for narratives in read_narratives(file) if narratives.video in wanted}


def pictures(videos: Path | None, wanted: Sequence[tuple[str, float]]) -> dict[str, list[str]]:
    """Frames of (video, duration) pairs, evenly over each, where there is a file of it under `videos`."""
    if videos is None:
        return {}
    found: dict[str, list[str]] = {}
    for item in collect(videos, {video for video, _ in wanted}):
        if item.path is None:
            continue
        interval = dict(wanted)[item.video] / FRAMES
        shown = from_start(read_frames(item.path, interval, "pyav", longest=160), interval)
        found[item.video] = [_jpeg(pixels) for pixels in shown][:FRAMES]
    return found


def _jpeg(image: NDArray[np.uint8]) -> str:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=80)
    return base64.b64encode(content.getvalue()).decode()


def example(
    index: int,
    record: Mapping[str, Any],
    answers: Mapping[str, Answers],
    baseline: str,
    narratives: Mapping[str, Narratives],
    frames: Mapping[str, list[str]],
) -> Example:
    """One query, by its index and its line of the predictions file, with the first moment of each variant."""
    duration = float(record["duration"])
    bars = [_bar("ground truth", record["windows"], duration, "", "truth")]
    for variant, answer in answers.items():
        kind = "baseline" if variant == baseline else "ours"
        said = f", IoU {answer.ious[index]:.2f}"
        bars.append(_bar(variant, [answer.first[index].tolist()], duration, said, kind))
    video = record["video"]
    differences = [answer.ious[index] - answers[baseline].ious[index] for answer in answers.values()]
    most = max(differences, key=abs)
    title = f"{'gain' if most >= 0 else 'loss'} of {abs(most):.2f} in IoU"
    told = narratives.get(video)
    lines = [] if told is None else _around(told, record["windows"])
    return Example(title, record["query"], video, bars, lines, frames.get(video, []))


def _bar(label: str, windows: Sequence[Sequence[float]], duration: float, more: str, kind: str) -> Bar:
    spans = []
    for window in windows:
        left, right = (100 * min(max(x / duration, 0.0), 1.0) for x in window)
        spans.append((left, max(right - left, 0.5)))
    return Bar(label, spans, ", ".join(f"{start:.1f}–{end:.1f} s" for start, end in windows) + more, kind)


def _around(told: Narratives, windows: Sequence[Sequence[float]], most: int = 9) -> list[tuple[str, str, bool]]:
    """At most `most` narratives: those within the moments first, then the nearest to them, in order of time."""
    distance = [min(max(start - time, time - end, 0.0) for start, end in windows) for time in told.times]
    chosen = sorted(sorted(range(len(told.times)), key=lambda i: distance[i])[:most])
    return [(f"{told.times[i]:.0f} s", told.texts[i], distance[i] == 0) for i in chosen]


def require_same_queries(ours: Answers, theirs: Answers, split: str) -> None:
    """Raise a UserError where two runs answered different queries, which cannot be paired."""
    if ours.ids != theirs.ids:
        raise UserError(
            f"{split}: {ours.path} and {theirs.path} answer different queries, so no run is compared by query"
        )
