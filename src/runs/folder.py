"""The run folder: everything a report needs to know of a run, and whether it finished."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.ending import Ended
from src.errors import UserError, reason
from src.files import parse_json, read_text, whole
from src.runs.configuration import COMPOSED as AS_COMPOSED
from src.runs.configuration import LENGTH, changed_settings, said
from src.runs.configuration import RESOLVED as AS_RESOLVED
from src.runs.provenance import code, environment

STATUS = "status.json"
"""The file by which a folder is known to be a run folder."""

CONFIG, COMPOSED = "config.yaml", "composed.yaml"
"""The configuration as resolved, and as composed."""

CHANGES = "changes.patch"
"""What had changed in the code since its commit, where something had."""

_BEFORE_WORK = {CONFIG, COMPOSED, CHANGES, STATUS, "environment.json", "data.json"}
"""What a run folder holds before anything is trained or scored."""

_FORMS = {AS_COMPOSED: COMPOSED, AS_RESOLVED: CONFIG}
_ELSEWHERE = "Give another folder, or delete it; to train it for longer, name it with ckpt_path"


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path: Path, content: str) -> None:
    """Write text whole or not at all."""
    with whole(path) as temporary:
        # A patch may hold bytes that are no text.
        temporary.write_text(content, encoding="utf-8", errors="surrogateescape")


class RunFolder:
    """Records a run while it is under way: its configuration as resolved (config.yaml) and as composed (composed.yaml),
    environment.json with changes.patch, data.json, status.json, metrics.json.

    Used as a context manager. status.json says `running`, then `finished`, or `failed` with the reason; a run that was
    killed still says `running`. Of several processes only the first writes, and no other command does meanwhile.
    """

    def __init__(self, path: Path, config: DictConfig) -> None:
        self.path = path
        self.config = config
        self.started = time.time()

    def __enter__(self) -> RunFolder:
        if is_first():
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.path)
        # Before the rest: a finished run that is trained on is finished no more.
        self._status("running")
        if is_first():
            try:
                write_text(self.path / CONFIG, OmegaConf.to_yaml(self.config, resolve=True))
                write_text(self.path / COMPOSED, OmegaConf.to_yaml(self.config, resolve=False))
                commit = code()
                write_json(self.path / "environment.json", {**environment(), **commit.said})
                (self.path / CHANGES).unlink(missing_ok=True)
                if commit.patch:
                    write_text(self.path / CHANGES, commit.patch)
            except UserError as error:
                self._status("failed", reason=str(error))
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._status("finished")
            else:
                self.failed(why(error))
        finally:
            if is_first():
                os.close(self._lock)

    def read(self, digests: dict[str, Any]) -> None:
        """Write what the run's numbers rest on, as `src.runs.provenance` makes it."""
        if is_first():
            write_json(self.path / "data.json", digests)

    def metrics(self, values: dict[str, float]) -> None:
        """Write the run's final metrics, named as they are logged."""
        if is_first():
            write_json(self.path / "metrics.json", values)

    def failed(self, reason: str) -> None:
        """Record that the run has failed."""
        self._status("failed", reason=reason)

    def _status(self, state: str, **more: str) -> None:
        seconds = round(time.time() - self.started, 1)
        if is_first():
            write_status(self.path, state, started=self.started, seconds=seconds, **more)


def _locked(folder: Path) -> int:
    """The open folder, which no other command writes to until it is closed or this process ends."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(opened)
        raise UserError(f"another command is writing to {folder}: wait for it, or give another folder") from error
    return opened


def is_busy(folder: Path) -> bool:
    """Whether a command is writing to a run folder now."""
    try:
        os.close(_locked(folder))
    except UserError:
        return True
    return False


def drop_attempt(folder: Path) -> None:
    """Remove the folder of a command that failed before its work began, unless it holds anything else."""
    if not folder.is_dir() or is_busy(folder):
        return
    files = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    if all(path.name in _BEFORE_WORK or path.suffix == ".log" or path.parts[0] == ".hydra" for path in files):
        shutil.rmtree(folder, ignore_errors=True)


def is_first() -> bool:
    """Whether this is the first process of a run, which is the one that writes."""
    from lightning.pytorch.utilities import rank_zero_only

    return getattr(rank_zero_only, "rank", 0) == 0


def why(error: BaseException) -> str:
    """The reason of a run that failed by an exception."""
    if isinstance(error, UserError | Ended):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted (Ctrl-C)"
    return f"{type(error).__name__}: {error}"


def finished_value(path: Path, config: DictConfig, longer: bool) -> float | None:
    """The best validation value of a run that finished in this folder; None where none did, or it is to go on.

    Args:
        path: The run folder.
        config: This command's.
        longer: Whether a finished run of another length is to go on, which would else be an error.

    Raises:
        UserError: the finished run had another configuration, which would be overwritten.
    """
    status = read_status(path)
    if status is None or status["state"] != "finished":
        return None
    if not (path / COMPOSED).is_file():
        raise UserError(f"{path} holds a finished run of an earlier version: give another folder, or delete it")
    try:
        before: Any = {
            form: OmegaConf.to_container(OmegaConf.create(require_plain_yaml(path / file)))
            for form, file in _FORMS.items()
        }
        best = read_json(path / "metrics.json").get(f"best/{config.callbacks.best.monitor}")
        tested = before[AS_RESOLVED]["test"]
        if not isinstance(best, int | float):
            raise UserError("a metric is missing")
    except (UserError, ValueError, KeyError, TypeError, RecursionError, OmegaConfBaseException) as error:
        raise UserError(
            f"{path} holds a damaged finished run ({reason(error)}): give another folder, or delete it"
        ) from error
    # As the files would give it back.
    now: Any = {
        form: OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(config, resolve=form == AS_RESOLVED)))
        for form in _FORMS
    }
    changes = changed_settings(before, now)
    if longer and changes and changes.keys() <= set(LENGTH):
        return None
    if changes:
        raise UserError(f"{path} holds a finished run of another configuration: {said(changes)}. {_ELSEWHERE}")
    if config.test and not tested:
        return None
    return float(best)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file of a run folder.

    Raises:
        UserError: there is none, or it is damaged.
    """
    try:
        content = parse_json(read_text(path), path)
    except OSError as error:
        raise UserError(f"{path} is not there") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged: it holds no settings by name")
    return content


def require_plain_yaml(path: Path) -> str:
    """The text of a YAML file without aliases, by which a few lines can stand for more than any memory holds.

    Raises:
        UserError: there is none, or it is damaged.
    """
    try:
        text = read_text(path)
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise UserError(f"{path} is no configuration: it has aliases")
    except OSError as error:
        raise UserError(f"{path} is not there") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({reason(error)})") from error
    return text


def read_status(folder: Path) -> dict[str, Any] | None:
    """The status of the run in a folder: its `state`, and the `reason` where it failed; None where there is no run.

    Raises:
        UserError: the status cannot be read.
    """
    path = folder / STATUS
    if not path.is_file():
        return None
    status = read_json(path)
    if not isinstance(status.get("state"), str):
        raise UserError(f"{path} is damaged: its state is no word")
    return status


def write_status(folder: Path, state: str, **more: Any) -> None:
    """Write the status of the run in a folder."""
    path, content = folder / STATUS, {"state": state, **more}
    try:
        write_json(path, content)
    except UserError:
        if state == "running" or not path.is_file():
            raise
        # The disk is full, and what was there fills a block that can be written again.
        with path.open("r+") as file:
            file.write(json.dumps({"state": state, "reason": str(more.get("reason", ""))[:1000]}) + "\n")
            file.truncate()
