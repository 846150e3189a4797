"""A job of a multirun in a process of its own, which can fail, hang or be killed without the others."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from src import ending
from src.arguments import quoted
from src.ending import PATIENCE
from src.errors import UserError
from src.runs.folder import read_json

_PERIOD = 0.2
_REASON = "error: "
_PR_SET_PDEATHSIG = 1


def is_run_apart(cfg: Mapping[str, Any], hydra: DictConfig) -> bool:
    """Whether a job has a process of its own.

    It has one beside others on this machine (joblib, submitit's local jobs), as workers of theirs outlive the multirun,
    and joblib gives up with one that is killed; and where it starts processes itself, of which one that fails could
    leave this one waiting for it.
    """
    if started_by_others():
        return False
    trainer = cfg.get("trainer") or {}
    several = str(trainer.get("devices", 1)) not in ("1", "[0]") or trainer.get("num_nodes", 1) != 1
    return several or is_beside_others(hydra)


def is_beside_others(hydra: DictConfig) -> bool:
    """Whether a launcher runs the jobs of a multirun at once on this machine, each by a worker of its own."""
    return any(launcher in hydra.launcher._target_ for launcher in ("joblib", "submitit_launcher.LocalLauncher"))


def process_of(record: Path) -> int:
    """The process of the multirun that keeps a record of its jobs, a folder named HOST-PROCESS."""
    return int(record.name.rpartition("-")[2])


def is_running(process: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def started_by_others() -> bool:
    """Whether this is one of several processes that torchrun or SLURM has started."""
    return "TORCHELASTIC_RUN_ID" in os.environ or int(os.environ.get("SLURM_NTASKS", 1)) > 1


def run_apart(hydra: DictConfig) -> float | None:
    """Run a job as a command of its own, in the job's folder; return the value that a search looks at, if it has one.

    Raises:
        UserError: it failed; the message is its reason.
        Ended: this process was asked to end; so was the job.

    Where the multirun is gone, the job is asked to end and this process, a worker of it, ends.
    """
    folder = Path(hydra.runtime.output_dir)
    places = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    command = [sys.executable, "-m", f"src.{hydra.job.config_name}", *(f"--config-dir={place}" for place in places)]
    command += [*hydra.overrides.task, f"hydra.run.dir={quoted(str(folder))}"]
    multirun = process_of(Path(hydra.callbacks.summary.record)) if is_beside_others(hydra) else None
    with ending.bounded(lambda: None, lambda _: None):
        process = subprocess.Popen(
            command,
            cwd=hydra.runtime.cwd,
            preexec_fn=_ends_with_its_parent,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        reasons: list[str] = []
        relay = threading.Thread(target=_relay, args=(process, reasons), daemon=True)
        relay.start()
        try:
            while process.poll() is None:
                if multirun is not None and not is_running(multirun):
                    _end(process)
                    os._exit(1)  # as a worker, it would wait minutes for another job
                time.sleep(_PERIOD)
        finally:
            _end(process)
            relay.join(2)  # it ends with the job
    if process.returncode < 0:
        raise UserError(f"it was killed ({signal.Signals(-process.returncode).name})")
    if process.returncode > 0:
        raise UserError(reasons[-1] if reasons else f"it ended with status {process.returncode}: see what it said")
    metrics = read_json(folder / "metrics.json") if (folder / "metrics.json").is_file() else {}
    return next((value for name, value in metrics.items() if name.startswith("best/")), None)


def _relay(process: subprocess.Popen[str], reasons: list[str]) -> None:
    """Pass on what a job says, and pick out why it failed."""
    assert process.stderr is not None
    for line in process.stderr:
        sys.stderr.write(line)
        if line.startswith(_REASON):
            reasons.append(line.removeprefix(_REASON).strip())


def _ends_with_its_parent() -> None:
    """Ask this process to end when its parent is gone; Linux alone can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE - 1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
