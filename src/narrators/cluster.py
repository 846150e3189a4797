"""The same narrator on the workers of a Ray cluster, each with a network of its own."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from src.data.narratives import parse, to_line
from src.data.records import Narratives
from src.errors import UserError, reason
from src.narrators.build import build_narrator
from src.narrators.narrator import Failure, Narrator, Outcome, Reading
from src.videos.collection import Item

_DEATHS = 3
"""Workers that a video may cost."""

_ANSWERS = 10.0
"""Seconds in which a cluster answers."""


def cluster_outcomes(
    narrator: dict[str, Any], items: Sequence[Item], reading: Reading, workers: int, gpus: float
) -> Iterator[Outcome]:
    """What becomes of each item, as it is done, in whatever order that is.

    A cluster that runs is joined (RAY_ADDRESS); without one, a cluster of this machine is started. Its machines need
    this project, the model and the videos at the same paths.

    Args:
        narrator: The narrator's config.
        items: The videos to narrate.
        reading: How their files are read.
        workers: The workers at once.
        gpus: The GPUs of each worker; a share of one lets workers share it.

    Raises:
        UserError: Ray is not installed, no cluster answers or it is lost on the way, it has too few GPUs, or nothing at
            all can be narrated.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError("Ray is not installed: pip install 'tea-vmr[ray]', or set ray.workers=0") from error

    _require_answer(os.environ.get("RAY_ADDRESS", ""))
    ray.init(ignore_reinit_error=True, include_dashboard=False, logging_level=logging.WARNING)
    there = ray.cluster_resources().get("GPU", 0)
    if workers * gpus > there:
        raise UserError(
            f"{workers} workers with {gpus:g} GPUs each, but the cluster has {there:g}: see ray.workers and ray.gpus"
        )
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"video": video, "path": path and str(path.absolute())} for video, path in items]
    deaths = ray.remote(num_cpus=0)(_Attempts).remote()
    outcomes = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _Worker,
        fn_constructor_args=(narrator, reading, deaths),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_gpus=gpus,
    )
    try:
        for row in outcomes.iter_rows():
            yield _from_line(row["outcome"])
    except ray.exceptions.RayError as error:
        raise UserError(
            f"the Ray cluster failed ({reason(error)}): what is narrated is kept, and the same command goes on"
        ) from error


def _require_answer(address: str) -> None:
    """Raise a UserError where nothing listens at the address of a cluster, for which Ray would wait many minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdecimal():  # none, or one that Ray finds by itself
        return
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWERS).close()
    except OSError as error:
        raise UserError(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({reason(error)}): start it, or unset RAY_ADDRESS to use "
            "this machine"
        ) from error


class _Attempts:
    """An actor that knows which videos were begun and not done, because their worker died."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, video: str) -> int:
        """How often this video has been begun, now included."""
        self._begun[video] += 1
        return self._begun[video]

    def done(self, video: str) -> None:
        """The worker has outlived it."""
        del self._begun[video]


class _Worker:
    """An actor of Ray Data, which puts another in its place if it dies, and gives that the same video.

    The network is loaded with the first video and kept.
    """

    def __init__(self, narrator: dict[str, Any], reading: Reading, attempts: Any) -> None:
        self.narrator: Narrator = build_narrator(narrator)
        self.reading = reading
        self.attempts = attempts

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        import ray

        (video,) = map(str, batch["video"])
        if ray.get(self.attempts.begin.remote(video)) > _DEATHS:
            why = f"its worker died {_DEATHS} times, perhaps for want of memory"
            return {"outcome": [_to_line(Failure(video, why))]}
        outcomes = self._outcomes(batch)
        ray.get(self.attempts.done.remote(video))
        return outcomes

    def _outcomes(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        items = [
            Item(str(video), None if path is None else Path(path))
            for video, path in zip(batch["video"], batch["path"], strict=True)
        ]
        try:
            return {"outcome": [_to_line(outcome) for outcome in self.narrator.outcomes(items, self.reading)]}
        except UserError as error:  # Ray would pass on its text among much else, and not what it is
            return {"outcome": [json.dumps({"error": str(error)})]}


def _to_line(outcome: Outcome) -> str:
    return to_line(outcome) if isinstance(outcome, Narratives) else json.dumps(outcome._asdict())


def _from_line(line: str) -> Outcome:
    record = json.loads(line)
    if "error" in record:
        raise UserError(record["error"])
    return Failure(**record) if "reason" in record else parse(record, record["video"])
