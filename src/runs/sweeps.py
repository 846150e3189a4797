"""Multiruns that can be broken off and run again: what failed is recorded, and listed at the end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from src.arguments import quoted
from src.errors import UserError, reason
from src.runs.folder import is_busy, read_status, write_json, write_status
from src.runs.jobs import is_running, process_of, started_by_others

_log = logging.getLogger(__name__)

_LONGEST = 200
"""Bytes of a folder's name: file systems take 255, and files beside it have longer names."""


def record_failure(hydra: DictConfig, error: Exception) -> None:
    """Note that a job failed and why, and tell the user; of a defect of ours with its traceback.

    The folder of a job that would have had a run says so too, unless a run is in it: a finished one of another
    configuration stays finished, and one that is under way running.

    Args:
        hydra: Hydra's part of the job's config.
        error: What the job ended with.
    """
    folder = Path(hydra.runtime.output_dir)
    _log.error("%s failed: %s", folder.name, reason(error), exc_info=None if isinstance(error, UserError) else error)
    status = read_status(folder)
    kept = status is not None and (status["state"] == "finished" or is_busy(folder))
    summary = Summary(OmegaConf.select(hydra, "callbacks.summary.record"))
    summary.note(folder, hydra.job.num, "refused" if kept else "failed", reason(error))
    if hydra.job.config_name == "train" and not kept and (status is None or status["state"] != "failed"):
        write_status(folder, "failed", started=time.time(), seconds=0.0, reason=reason(error))


_under_way: list[Summary] = []


def is_listed(error: Exception) -> bool:
    """Whether a multirun that its launcher gave up by an exception could list what has become of its jobs."""
    if not _under_way:
        return False
    print(f"the launcher gave up: {reason(error)}", file=sys.stderr)
    _under_way.pop().close(given_up=True)
    return True


class Summary(Callback):
    """Gives every job of a multirun a folder that is named by what tells it apart, and counts them all.

    A job's name has the keys that vary, those of the sweep's file, and the seed: what all jobs share is left out. After
    the multirun the jobs that are not finished are listed, with reasons; the command then ends with status 1.

    Args:
        record: Where each job notes its folder; set by the multirun for its jobs.
    """

    def __init__(self, record: str | None = None) -> None:
        self.record = Path(record) if record else None
        self.place = Path()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        overrides = _of_multirun(config)
        if any(override.key_or_group == "ckpt_path" for override in overrides):
            _refuse(
                "ckpt_path names one run, and a multirun has many: give its command again to continue them, or "
                "continue the one without -m"
            )
        if started_by_others():
            _refuse(
                "a multirun starts the processes of its jobs itself: run it without torchrun or srun, with trainer=ddp"
            )
        self.place = Path(config.hydra.sweep.dir).absolute()
        self.record = _records(self.place)
        _under_way.append(self)
        of_jobs = config.hydra.overrides.hydra
        of_jobs.append(f"++hydra.callbacks.summary.record={quoted(str(self.record))}")
        if threads := _threads(config, overrides):
            of_jobs.append(f"++hydra.job.env_set.OMP_NUM_THREADS='{threads}'")
        left_out = ",".join(quoted(key) for key in sorted(_left_out(config, overrides)))
        of_jobs.append(f"hydra.job.config.override_dirname.exclude_keys=[{left_out}]")

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if self.record is not None:  # without a multirun a job has no number
            self.note(Path(config.hydra.runtime.output_dir), config.hydra.job.num, "unfinished", "it was killed")

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if self.record is not None and _read(self.record / f"{config.hydra.job.num}.json")["state"] == "unfinished":
            self.note(Path(config.hydra.runtime.output_dir), config.hydra.job.num, "finished")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        _under_way.remove(self)
        if not self.close():
            sys.exit(1)

    def note(self, folder: Path, number: int, state: str, why: str = "") -> None:
        """Note the state of a job, for the list of all of them at the end."""
        if self.record is not None:
            write_json(
                self.record / f"{number}.json", {"folder": str(folder.absolute()), "state": state, "reason": why}
            )

    def close(self, given_up: bool = False) -> bool:
        """Count the jobs and list those that have not finished; whether all have.

        Args:
            given_up: Whether the launcher has given up: then there may be jobs that it has not begun.
        """
        assert self.record is not None
        notes = [_read(file) for file in sorted(self.record.glob("*.json"), key=lambda file: int(file.stem))]
        shutil.rmtree(self.record)
        with contextlib.suppress(OSError):  # another multirun is under way here
            self.record.parent.rmdir()
        unfinished = [note for note in notes if note["state"] != "finished"]
        for note in unfinished:
            print(f"{note['state']}: {os.path.relpath(note['folder'], self.place)}: {note['reason']}", file=sys.stderr)
        if given_up:
            print("jobs that were not begun are not listed: the same command runs them", file=sys.stderr)
        print(f"{len(notes) - len(unfinished)} of {len(notes)} jobs finished: {self.place}")
        return not unfinished


def _read(file: Path) -> dict[str, Any]:
    note: dict[str, Any] = json.loads(file.read_text())
    return note


def _refuse(problem: str) -> NoReturn:
    print(f"error: {problem}", file=sys.stderr)
    sys.exit(1)


def _threads(config: DictConfig, overrides: Sequence[Override]) -> int | None:
    """The threads of each job where all are begun at once on this machine; None where a launcher shares them out."""
    if "submitit_launcher.LocalLauncher" not in config.hydra.launcher._target_ or "OMP_NUM_THREADS" in os.environ:
        return None
    jobs = math.prod(len(list(each.sweep_string_iterator())) for each in overrides if each.is_sweep_override())
    return max(1, len(os.sched_getaffinity(0)) // jobs)


def _of_multirun(config: DictConfig) -> list[Override]:
    """What the command line and the sweep's file override."""
    params = config.hydra.sweeper.get("params") or {}
    given = [*(f"{key!s}={value}" for key, value in params.items()), *config.hydra.overrides.task]
    return OverridesParser.create().parse_overrides(given)


def _left_out(config: DictConfig, overrides: Sequence[Override]) -> set[str]:
    """The keys that do not stand in the names of jobs."""
    of_file = {str(key).lstrip("+") for key in config.hydra.sweeper.get("params") or {}}
    varied = {override.key_or_group for override in overrides if override.is_sweep_override()}
    left_out = {override.key_or_group for override in overrides} - varied - of_file - {"seed"}
    # Of what varies an experiment shows in the path by its name.
    by_name = {"experiment", "name"} if "${name}" in str(OmegaConf.to_container(config.hydra.sweep)) else set()
    return left_out | by_name | (set(config.hydra.job.config.override_dirname.exclude_keys) - varied)


def _records(place: Path) -> Path:
    """A new folder for the notes of this multirun's jobs; those of others that were killed on this machine go."""
    records, host = place / ".jobs", socket.gethostname()
    for left in records.glob(f"{host}-*"):
        process = process_of(left)
        if process == os.getpid() or not is_running(process):
            shutil.rmtree(left, ignore_errors=True)
    record = records / f"{host}-{os.getpid()}"
    record.mkdir(parents=True)
    return record


def short_name(name: str) -> str:
    """A job's name whose parts file systems take: a long one is cut, and ends with a digest of the whole."""
    parts = name.split("/")
    return "/".join(part if len(part.encode()) <= _LONGEST else _cut(part) for part in parts)


def _cut(part: str) -> str:
    digest = hashlib.sha256(part.encode()).hexdigest()[:12]
    return f"{part.encode()[: _LONGEST - 13].decode(errors='ignore')}-{digest}"


_SWAPPED = ("recipe", "predictor", "merger", "paragraph", "match", "method")


def swapped(overrides: Sequence[str]) -> str:
    """What a run's command line puts in the place of its experiment's parts, for the name of its folder."""
    chosen = [override.lstrip("+") for override in overrides if override.lstrip("+").split("=")[0] in _SWAPPED]
    return short_name("".join(f"_{each}" for each in chosen).replace("/", "-"))


OmegaConf.register_new_resolver("swapped", swapped, replace=True)
OmegaConf.register_new_resolver("short_name", short_name, replace=True)
