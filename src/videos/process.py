"""Video files are read by processes of their own: where a decoder hangs or dies, the file is bad and nothing else."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np

from src.errors import UserError

_GIVEN_SECONDS = 1.0  # for leaving off, or for being gone after hanging up


def answers(path: Path, patience: float, *request: Any) -> Iterator[tuple[Any, ...]]:
    """What src/videos/worker.py answers to `request` about the file at `path`.

    Args:
        path: The video file.
        patience: Seconds without a sign of life after which the process is ended.
        request: What is asked, and the settings.

    Raises:
        UserError: The file is bad, or its decoder hung or died.
    """
    worker = _living()
    unharmed = False
    try:
        worker.connection.send((str(path.absolute()), *request))
        while True:
            kind, *answer = worker.receive(patience)
            if kind in ("end", "bad"):
                unharmed = True
                if kind == "bad":
                    raise UserError(answer[0])
                return
            if kind == "answer":
                yield tuple(answer)
    except GeneratorExit:
        unharmed = worker.stop()
        raise
    except TimeoutError:
        raise UserError(f"{path} cannot be read: its decoder made no progress for {patience:g} s") from None
    except (EOFError, ConnectionError):
        raise UserError(f"{path} cannot be read: its decoder died ({worker.died_of()})") from None
    finally:
        if unharmed:
            _idle.append(worker)
        else:
            worker.end()


class _Worker:
    """A process that runs src/videos/worker.py; it ends when the connection is closed."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "src.videos.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # This project is found where it was found here, whatever folder this runs in.
                env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])},
            )

    def receive(self, patience: float) -> tuple[Any, ...]:
        if not self.connection.poll(patience):
            raise TimeoutError
        kind, *answer = self.connection.recv()
        if kind == "frame":
            *rest, shape = answer
            return "answer", *rest, np.frombuffer(self.connection.recv_bytes(), np.uint8).reshape(shape)
        return kind, *answer

    def lives(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> bool:
        """Let it leave off, and say whether it did at once."""
        try:
            self.connection.send(None)
            while self.receive(_GIVEN_SECONDS)[0] not in ("end", "bad"):
                pass
        except (TimeoutError, EOFError, ConnectionError):
            return False
        return True

    def died_of(self) -> str:
        status = self._process.wait(_GIVEN_SECONDS)
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self.connection.close()


def _living() -> _Worker:
    """One that waits, or a new one; not one that has died since, which would be laid to the next file."""
    while True:
        try:
            worker = _idle.pop()
        except IndexError:  # also where another thread was first
            return _Worker()
        if worker.lives():
            return worker
        worker.end()


def _end_idle() -> None:
    while _idle:
        _idle.pop().end()


_idle: list[_Worker] = []
atexit.register(_end_idle)
os.register_at_fork(after_in_child=_idle.clear)
