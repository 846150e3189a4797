"""How much memory something takes, for tests of growth."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

_STATUS = Path("/proc/self/status")


def peak_memory(task: Callable[[], object]) -> int:
    """The bytes by which a process of its own, with what is imported here, grows at most while it does `task`.

    Mapped pages of files count. Where there is no /proc to tell, the test is skipped.
    """
    if not _STATUS.exists():
        pytest.skip("reads /proc")
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(task, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        pytest.fail("what is measured failed: its traceback is above")
    finally:
        process.join()


def _measure(task: Callable[[], object], result: Connection) -> None:
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = _status("VmRSS")
    task()
    result.send(_status("VmHWM") - before)


def _status(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
