"""The processes of one run, as each of them sees the others: they end together, and for one reason, said once."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import torch

from src import ending
from src.ending import PATIENCE, Ended
from src.errors import UserError, reason
from src.files import whole
from src.runs.folder import is_first, why
from src.runs.jobs import started_by_others

_log = logging.getLogger(__name__)

FAILED = ".failed"
"""The file of a run folder by which a process that fails tells the others why."""

_PERIOD = 0.1
_UNTIL_TOLD = 2.0
"""Seconds in which a process whose connection breaks may still be told why."""

T = TypeVar("T")


def gathered(mine: T) -> list[T]:
    """What every process has, in the first one; nothing in the others."""
    if not torch.distributed.is_initialized():
        return [mine]
    first = torch.distributed.get_rank() == 0
    every: list[Any] = [None] * torch.distributed.get_world_size() if first else []
    torch.distributed.gather_object(mine, every if first else None)
    return every


class Processes:
    """The other processes of a run.

    The first one starts the others, unless torchrun or SLURM has started them all. It records how the run ends, and
    ends last.

    Args:
        folder: The run folder, which all of them see.
        kept: Says what is kept of the run when it is asked to end, for the user to go on from.
    """

    def __init__(self, folder: Path, kept: Callable[[], str]) -> None:
        self._file = folder / FAILED
        # What the processes of a run before have left there until the first one of this run removes it.
        self._before = self._version()
        self._kept = kept
        self._parent = None if is_first() or started_by_others() else os.getppid()
        self._launcher: Any = None
        self._children: list[subprocess.Popen[bytes]] = []

    def launched_by(self, launcher: Any) -> None:
        """Watch the processes that Lightning's launcher will have started."""
        self._launcher = launcher

    @contextmanager
    def together(self, record: Callable[[str], None]) -> Iterator[None]:
        """See to it that all processes end if one does not come through the block, in bounded time.

        Args:
            record: Writes why the run has failed, where the process cannot leave the block by itself.

        Raises:
            UserError: another process has failed; the message is its reason.
            Ended: the process was asked to end.
        """

        def give_up(failure: str | None) -> str | None:
            said = failure or self._asked_to_end(f"asked to end ({signal.SIGTERM.name})")
            if is_first():
                record(said)
                self._end_children(0)
            return said if is_first() else None

        if is_first():
            self._file.unlink(missing_ok=True)
        with ending.bounded(self._failure, give_up):
            try:
                yield
            except Ended as asked:
                said = self._asked_to_end(asked.reason)
                self._tell(said)
                if not is_first():
                    raise SystemExit(1) from asked
                raise Ended(said) from asked
            except BaseException as error:
                # Lightning makes an exit of Ctrl-C.
                cause = error.__context__ if isinstance(error, SystemExit) else None
                self._fail(cause if isinstance(cause, KeyboardInterrupt) else error)
                raise
            finally:
                self._leave()

    def _asked_to_end(self, asked: str) -> str:
        return f"{asked}: {self._kept()}"

    def _fail(self, error: BaseException) -> None:
        """Tell the others, or say what one of them has told."""
        known = isinstance(error, UserError | KeyboardInterrupt)
        told = None if self._is_alone() else self._told(0 if known else _UNTIL_TOLD)
        if told is None and is_broken_connection(error):
            told = "a process of the run is gone without a word: it was killed, or see what it printed"
        if told is None:
            self._tell(why(error))
        if not is_first():
            if told is None and not known:
                _log.error("process %d of the run failed", _rank(), exc_info=error)
            raise SystemExit(1) from error
        if told is not None and not isinstance(error, UserError):
            raise UserError(told) from error
        if isinstance(error, KeyboardInterrupt):
            raise error

    def _tell(self, failure: str) -> None:
        if not self._is_alone():
            with suppress(UserError), whole(self._file) as temporary:
                temporary.write_text(failure)

    def _told(self, seconds: float) -> str | None:
        """Why another process has failed, if it says so within some seconds."""
        end = time.monotonic() + seconds
        while (failure := self._failure()) is None and time.monotonic() < end:
            time.sleep(_PERIOD)
        return failure

    def _failure(self) -> str | None:
        if self._version() not in (None, self._before):
            with suppress(OSError):
                return self._file.read_text()
        if self._parent is not None and os.getppid() != self._parent:
            return "the first process of the run is gone"
        self._adopt()
        for number, child in enumerate(self._children, 1):
            if child.poll():
                return _how_it_ended(number, child.returncode)
        return None

    def _version(self) -> tuple[int, int] | None:
        """Which file of a failure there is."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _adopt(self) -> None:
        """Take the children over from the launcher, which would kill this process as soon as one of them has failed."""
        started = getattr(self._launcher, "procs", None)
        if started:
            self._children += started
            started.clear()

    def _is_alone(self) -> bool:
        self._adopt()
        several = torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1
        return is_first() and not self._children and not several

    def _leave(self) -> None:
        """Leave no process behind: the others end before the first one, which they would else be ended by."""
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        if is_first():
            self._adopt()
            self._end_children(PATIENCE)

    def _end_children(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for child in self._children:
            try:
                child.wait(max(end - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else int(os.environ.get("LOCAL_RANK", 0))


def is_broken_connection(error: BaseException) -> bool:
    """Whether an exception is about a connection to another process of a run, which has ended."""
    return isinstance(error, torch.distributed.DistError) or "/gloo/" in str(error)


def _how_it_ended(number: int, status: int) -> str:
    if status < 0:
        return f"process {number} of the run was killed ({signal.Signals(-status).name})"
    return f"process {number} of the run ended with status {status}: see what it said"


def requeue() -> str | None:
    """Queue this job of SLURM again, unless its launcher does; what became of that, or None outside of a job."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or "SUBMITIT_EXECUTOR" in os.environ:
        return None
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    except OSError as error:
        return f"job {job} not queued again ({reason(error)})"
    return "queued again" if done.returncode == 0 else f"job {job} not queued again ({done.stderr.strip()})"
