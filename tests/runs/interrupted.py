"""Training in a process of its own that ends itself at a given point, and what a run folder holds, to compare."""

from __future__ import annotations

import csv
import json
import os
import runpy
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import lightning
import torch
import yaml
from lightning_utilities.core.rank_zero import rank_zero_only

from src.ending import Ended
from src.errors import UserError
from src.models.tea import TEA
from src.runs.callbacks import BestCheckpoint, LastCheckpoint, WholeCheckpoints
from src.runs.folder import RunFolder

POINTS: dict[str, tuple[type, str]] = {
    "step": (TEA, "training_step"),
    "validation step": (TEA, "validation_step"),
    "best": (BestCheckpoint, "on_validation_end"),
    "checkpoint": (WholeCheckpoints, "save_checkpoint"),
    "rename": (Path, "replace"),
    "epoch end": (LastCheckpoint, "on_train_epoch_end"),
    "fit": (lightning.Trainer, "fit"),
    "test step": (TEA, "test_step"),
    "metrics": (RunFolder, "metrics"),
}
"""What a run can be stopped before or after."""


def stopped(
    work: Callable[[], object], passed: Callable[[str], signal.Signals | None], log: Path = Path(os.devnull)
) -> int:
    """Do some work in a copy of this process; its exit status, or minus the signal that ended it.

    Args:
        work: What is done.
        passed: Gives the signal that the process sends itself at a point, or None: asked with "before NAME" and "after
            NAME" of each of POINTS that is met.
        log: Where it writes what it prints.
    """
    log.write_text("")
    child = os.fork()
    if child == 0:
        _work(work, passed, log)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _work(work: Callable[[], object], passed: Callable[[str], signal.Signals | None], log: Path) -> NoReturn:
    status = 1
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for name, (owner, attribute) in POINTS.items():
            _watch(owner, attribute, name, passed)
        work()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
        if isinstance(ended, Ended):
            print("error:", ended, file=sys.stderr)
    except UserError as error:
        print("error:", error, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


class Group:
    """Some work in copies of this process that are the processes of one run, as torchrun would have started them.

    Args:
        work: What each of them does.
        log: Where they write what they print.
        passed: As of `stopped`, for each process by its number.
    """

    def __init__(
        self,
        work: Callable[[], object],
        log: Path,
        processes: int = 2,
        passed: Callable[[int], Callable[[str], signal.Signals | None]] = lambda _: lambda _: None,
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.log = log
        self.ids: list[int] = []
        for rank in range(processes):
            child = os.fork()
            if child == 0:
                place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
                where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GROUP_RANK": 0, "TORCHELASTIC_RUN_ID": port}
                os.environ.update({name: str(value) for name, value in {**place, **where}.items()})
                rank_zero_only.rank = rank
                _work(work, passed(rank), log)
            self.ids.append(child)

    def send(self, how: signal.Signals, ranks: Sequence[int] | None = None) -> None:
        for rank, child in enumerate(self.ids):
            if ranks is None or rank in ranks:
                os.kill(child, how)

    def wait(self, seconds: float) -> list[int | None]:
        """The exit status of each, or minus the signal that ended it; None of one that had not ended, and is killed."""
        end, statuses = time.monotonic() + seconds, dict[int, int]()
        while len(statuses) < len(self.ids) and time.monotonic() < end:
            for child in self.ids:
                if child not in statuses and (found := os.waitpid(child, os.WNOHANG)) != (0, 0):
                    statuses[child] = os.waitstatus_to_exitcode(found[1])
            time.sleep(0.01)
        for child in self.ids:
            if child not in statuses:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        return [statuses.get(child) for child in self.ids]


def _watch(owner: type, attribute: str, name: str, passed: Callable[[str], signal.Signals | None]) -> None:
    original = getattr(owner, attribute)

    def watched(*arguments: Any, **named: Any) -> Any:
        _point(f"before {name}")
        value = original(*arguments, **named)
        _point(f"after {name}")
        return value

    def _point(point: str) -> None:
        if (how := passed(point)) is not None:
            os.kill(os.getpid(), how)

    setattr(owner, attribute, watched)


def at(point: str, how: signal.Signals, number: int = 1) -> Callable[[str], signal.Signals | None]:
    """Stops at the `number`th time that a point is met."""
    met = 0

    def passed(here: str) -> signal.Signals | None:
        nonlocal met
        met += here == point
        return how if here == point and met == number else None

    return passed


def command(*arguments: str, module: str = "src.train") -> Callable[[], object]:
    """`python -m MODULE` with these arguments."""

    def work() -> None:
        sys.argv[1:] = arguments
        runpy.run_module(module, run_name="__main__", alter_sys=True)

    return work


def contents(folder: Path) -> dict[str, Any]:
    """Every file of a run folder by its path, without what no two runs share: times, its own place, and the parts of
    metrics.csv in which a run that was continued has written it. previous.ckpt is of some earlier step."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        if not name.startswith(("metrics/", ".hydra/")) and path.suffix != ".log":
            found[name] = None if path.name == "previous.ckpt" else _content(path)
    found["metrics.csv"] = _rows(folder)
    return found


def _content(path: Path) -> Any:
    if path.suffix == ".ckpt":
        state = torch.load(path, weights_only=True)
        del state["configuration"]["resolved"]
        return _plain(state)
    if path.name == "config.yaml":
        return None
    if path.name == "composed.yaml":
        content = yaml.safe_load(path.read_text())
        return {key: value for key, value in content.items() if key not in ("folder", "ckpt_path")}
    if path.name == "status.json":
        return json.loads(path.read_text())["state"]
    if path.name == "environment.json":
        return sorted(json.loads(path.read_text()))
    return path.read_bytes()


def _plain(value: Any) -> Any:
    """Tensors as something that can be compared, to the last bit."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if key not in ("folder", "ckpt_path")}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _rows(folder: Path) -> dict[str, dict[str, str]]:
    """The losses of steps and the validation metrics by step, as a learning curve reads them: what is later counts."""
    rows: dict[str, dict[str, str]] = {}
    for path in sorted((folder / "metrics").glob("*/metrics.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                kept = {key: value for key, value in row.items() if key.startswith(("val/", "best/")) and value}
                rows.setdefault(row["step"], {}).update(kept)
    return {step: row for step, row in rows.items() if row}


def differences(folder: Path, other: Path) -> list[str]:
    """The files in which two run folders are not the same."""
    found, right = contents(folder), contents(other)
    return sorted(name for name in found.keys() | right.keys() if found.get(name) != right.get(name))
