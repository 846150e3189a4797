"""The run folder: everything a report needs to know of a run, and whether it finished."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.errors import UserError

PACKAGES = ("torch", "lightning", "torchmetrics", "transformers", "hydra-core", "h5py", "numpy")


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    temporary.replace(path)


class RunFolder:
    """Records a run while it is under way: config.yaml, environment.json, status.json, metrics.json.

    Used as a context manager. status.json says `running`, then `finished`, or `failed` with the reason; a run that was
    killed still says `running`. Of several processes only the first writes.
    """

    def __init__(self, path: Path, config: DictConfig) -> None:
        self.path = path
        self.started = time.time()
        if _is_first():
            path.mkdir(parents=True, exist_ok=True)
            (path / "config.yaml").write_text(OmegaConf.to_yaml(config, resolve=True))
            write_json(path / "environment.json", environment())

    def __enter__(self) -> RunFolder:
        self._status("running")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._status("finished")
        else:
            self._status(
                "failed", reason=str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            )

    def metrics(self, values: dict[str, float]) -> None:
        """Write the run's final metrics, named as they are logged."""
        if _is_first():
            write_json(self.path / "metrics.json", values)

    def _status(self, state: str, **more: str) -> None:
        seconds = round(time.time() - self.started, 1)
        if _is_first():
            write_json(self.path / "status.json", {"state": state, "started": self.started, "seconds": seconds, **more})


def _is_first() -> bool:
    from lightning.pytorch.utilities import rank_zero_only

    return getattr(rank_zero_only, "rank", 0) == 0


def finished_value(path: Path, config: DictConfig) -> float | None:
    """The best validation value of a run that finished in this folder; None where none did.

    Raises:
        UserError: the finished run had another configuration, which would be overwritten.
    """
    status = path / "status.json"
    if not status.is_file() or json.loads(status.read_text())["state"] != "finished":
        return None
    before = _of_run(OmegaConf.load(path / "config.yaml"))
    now = _of_run(OmegaConf.create(OmegaConf.to_yaml(config, resolve=True)))
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if changed:
        raise UserError(
            f"{path} holds a finished run of another {', '.join(changed)}: give another folder, or delete it"
        )
    metrics = json.loads((path / "metrics.json").read_text())
    return float(metrics[f"best/{config.callbacks.best.monitor}"])


def _of_run(config: Any) -> dict[str, Any]:
    """What decides a run's numbers: not where things lie, nor how it is logged.

    A run folder that was moved, or is reached by another path, holds the same run.
    """
    settings: dict[str, Any] = OmegaConf.to_container(config)  # type: ignore[assignment]
    kept = {key: value for key, value in settings.items() if key not in ("paths", "folder", "logger", "ckpt_path")}
    return _inside(kept, settings["folder"])


def _inside(value: Any, folder: str) -> Any:
    """The value with every path into the folder made relative to it."""
    if isinstance(value, dict):
        return {key: _inside(each, folder) for key, each in value.items()}
    if isinstance(value, list):
        return [_inside(each, folder) for each in value]
    return value.removeprefix(f"{folder}/") if isinstance(value, str) else value


def environment() -> dict[str, Any]:
    """What the run ran on: command, commit, versions and machine."""
    import torch

    return {
        "command": sys.argv,
        "commit": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        },
    }


def _git(*arguments: str) -> str | None:
    place = Path(__file__).parent
    try:
        done = subprocess.run(["git", *arguments], cwd=place, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
