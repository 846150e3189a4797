"""Multiruns that can be broken off and run again: what failed is recorded, and listed at the end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from src.arguments import quoted
from src.errors import UserError, reason
from src.runs.folder import is_busy, read_status, write_json, write_status

_log = logging.getLogger(__name__)

_REFUSED = "refused.txt"
_LONGEST = 200
"""Bytes of a folder's name: file systems take 255, and files beside it have longer names."""


def record_failure(folder: Path, error: Exception) -> None:
    """Say in a job's folder that it failed and why, and tell the user; of a defect of ours with its traceback.

    A finished run that the folder holds, of another configuration, stays finished, and one that is under way running.
    """
    _log.error("%s failed: %s", folder.name, reason(error), exc_info=None if isinstance(error, UserError) else error)
    status = read_status(folder)
    if status is not None and (status["state"] == "finished" or is_busy(folder)):
        (folder / _REFUSED).write_text(reason(error) + "\n")
    elif status is None or status["state"] != "failed":
        write_status(folder, "failed", started=time.time(), seconds=0.0, reason=reason(error))


class Summary(Callback):
    """Gives every job of a multirun a folder that is named by what tells it apart, and counts them all.

    A job's name has the keys that vary, those of the sweep's file, and the seed: what all jobs share is left out. After
    the multirun the jobs that are not finished are listed, with reasons; the command then ends with status 1.

    Args:
        record: Where each job notes its folder; set by the multirun for its jobs.
    """

    def __init__(self, record: str | None = None) -> None:
        self.record = Path(record) if record else None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        overrides = _of_multirun(config)
        if any(override.key_or_group == "ckpt_path" for override in overrides):
            print(
                "error: ckpt_path names one run, and a multirun has many: give its command again to continue them, or "
                "continue the one without -m",
                file=sys.stderr,
            )
            sys.exit(1)
        self.started = time.time()
        self.record = _records(Path(config.hydra.sweep.dir).absolute())
        of_jobs = config.hydra.overrides.hydra
        of_jobs.append(f"++hydra.callbacks.summary.record={quoted(str(self.record))}")
        left_out = ",".join(quoted(key) for key in sorted(_left_out(config, overrides)))
        of_jobs.append(f"hydra.job.config.override_dirname.exclude_keys=[{left_out}]")

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        self._note(config, ended=False)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        self._note(config, ended=True)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        assert self.record is not None
        files = sorted(self.record.glob("*.json"), key=lambda file: int(file.stem))
        notes = [json.loads(file.read_text()) for file in files]
        shutil.rmtree(self.record)
        with contextlib.suppress(OSError):  # another multirun is under way here
            self.record.parent.rmdir()
        place = Path(config.hydra.sweep.dir).absolute()
        unfinished = 0
        for note in notes:
            outcome = self._outcome(Path(note["folder"]), note["ended"])
            if outcome["state"] != "finished":
                unfinished += 1
                why = outcome.get("reason", "it was killed")
                print(f"{outcome['state']}: {os.path.relpath(note['folder'], place)}: {why}", file=sys.stderr)
        print(f"{len(notes) - unfinished} of {len(notes)} jobs finished: {config.hydra.sweep.dir}")
        if unfinished:
            sys.exit(1)

    def _note(self, config: DictConfig, ended: bool) -> None:
        if self.record is not None:
            folder = str(Path(config.hydra.runtime.output_dir).absolute())
            write_json(self.record / f"{config.hydra.job.num}.json", {"folder": folder, "ended": ended})

    def _outcome(self, folder: Path, ended: bool) -> dict[str, Any]:
        refused = folder / _REFUSED
        if refused.is_file() and refused.stat().st_mtime >= self.started:
            return {"state": "refused", "reason": refused.read_text().strip()}
        status = read_status(folder)
        if status is None:  # a command without a run folder
            return {"state": "finished" if ended else "running"}
        return status


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
        pid = left.name.rpartition("-")[2]
        if pid == str(os.getpid()) or not Path("/proc", pid).exists():
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
