"""Multiruns that can be broken off and run again: what failed is recorded, and listed at the end."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from src.errors import UserError, reason
from src.runs.folder import STATUS, read_status, write_status

_log = logging.getLogger(__name__)

_REFUSED = "refused.txt"
# Hydra writes it each time a job begins in its folder.
_JOB = ".hydra/config.yaml"


def record_failure(folder: Path, error: Exception) -> None:
    """Say in a job's folder that it failed and why, and tell the user; of a defect of ours with its traceback.

    A finished run that the folder holds, of another configuration, stays finished.
    """
    _log.error("%s failed: %s", folder.name, reason(error), exc_info=None if isinstance(error, UserError) else error)
    status = read_status(folder)
    if status is not None and status["state"] == "finished":
        (folder / _REFUSED).write_text(reason(error) + "\n")
    elif status is None or status["state"] != "failed":
        write_status(folder, "failed", started=time.time(), seconds=0.0, reason=reason(error))


class Summary(Callback):
    """After a multirun, lists its jobs that are not finished, with reasons; the command then ends with status 1."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        self.started = time.time()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        place = Path(config.hydra.sweep.dir)
        # A job's name is a path where it overrides one.
        folders = [path.parent for path in place.rglob(STATUS)]
        ours = {folder: self._outcome(folder) for folder in folders if _time(folder / _JOB) >= self.started}
        failed = {folder: state for folder, state in sorted(ours.items()) if state["state"] != "finished"}
        for folder, state in failed.items():
            why = state.get("reason", "it was killed")
            print(f"{state['state']}: {folder.relative_to(place)}: {why}", file=sys.stderr)
        print(f"{len(ours) - len(failed)} of {len(ours)} jobs finished: {place}")
        if failed:
            sys.exit(1)

    def _outcome(self, folder: Path) -> dict[str, Any]:
        refused = folder / _REFUSED
        if _time(refused) >= self.started:
            return {"state": "refused", "reason": refused.read_text().strip()}
        return read_status(folder) or {}


def _time(file: Path) -> float:
    """When a file was last written; 0 if there is none."""
    return file.stat().st_mtime if file.is_file() else 0.0
