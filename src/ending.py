"""How a process ends that is asked to (SIGTERM), or whose run has failed in another process: in bounded time.

A signal is only noted while work holds the end off, and obeyed where that work can stop. A call into a library, such as
one that waits for another process, takes no notice of signals: so a thread watches, and ends the process in the end.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

PATIENCE = 10.0
"""Seconds in which a process ends that is asked to, or whose run has failed."""

_PERIOD = 0.2


class Ended(SystemExit):
    """The process was asked to end, and does, with exit status 1. The reason says what was kept."""

    def __init__(self, reason: str) -> None:
        super().__init__(1)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class _Signals:
    """The signals that ask this process to end, and what was noted of them.

    Attributes:
        noted: the number of the first that came; None where none did.
        held: whether work holds the end off.
    """

    def __init__(self) -> None:
        self.noted: int | None = None
        self.held = False
        self.before: dict[int, Callable[[int, FrameType | None], object]] = {}

    def note(self, number: int, frame: FrameType | None) -> None:
        first, self.noted = self.noted is None, self.noted or number
        if first and not self.held:
            self.end()

    def end(self) -> NoReturn:
        number = self.noted or signal.SIGTERM
        word = signal.Signals(number).name
        before = self.before.get(number)
        try:
            if before is not None:
                before(number, None)
        except SystemExit:
            raise Ended(f"asked to end ({word}), queued again") from None
        raise Ended(f"asked to end ({word})")


_signals = _Signals()


def asked() -> bool:
    """Whether this process has been asked to end."""
    return _signals.noted is not None


def hold_off() -> None:
    """From here on the work itself looks at `asked` where it can stop, and calls `end` there."""
    _signals.held = True


def let_go() -> None:
    """From here on the process ends as soon as it is asked to, which may have been before.

    Raises:
        Ended: it was.
    """
    _signals.held = False
    if asked():
        end()


def end() -> NoReturn:
    """End the work here, as this process or another of its run was asked to.

    Raises:
        Ended: always.
    """
    _signals.held = False
    _signals.end()


@contextmanager
def bounded(failure: Callable[[], str | None], give_up: Callable[[str | None], str | None]) -> Iterator[None]:
    """See to it that the process ends in bounded time when it is asked to, or when its run has failed elsewhere.

    Signals are listened to in the main thread only: SIGTERM, SIGUSR1 in a job of SLURM, and SIGUSR2 where a launcher of
    such jobs has set a handler for it, which is called once the work has stopped.

    Args:
        failure: Why the run has failed in another process; None while it has not. Asked often, by another thread.
        give_up: Called by that thread before it ends the process, with the failure or None where it was only asked to
            end; returns what is said last, if anything.
    """
    global _signals
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    outer, _signals = _signals, _Signals()
    handlers = {number: signal.getsignal(number) for number in _asking()}
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(reading, over, set(handlers), failure, give_up), daemon=True)
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number, handler in handlers.items():
        if callable(handler):
            _signals.before[number] = handler
        signal.signal(number, _signals.note)
    watch.start()
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        over.set()
        watch.join()
        os.close(reading)
        os.close(writing)
        _signals = outer


def _asking() -> list[int]:
    numbers = [signal.SIGTERM]
    if "SLURM_JOB_ID" in os.environ:
        numbers.append(signal.SIGUSR1)
    if callable(signal.getsignal(signal.SIGUSR2)):
        numbers.append(signal.SIGUSR2)
    return [int(number) for number in numbers]


def _watch(
    reading: int,
    over: threading.Event,
    asking: set[int],
    failure: Callable[[], str | None],
    give_up: Callable[[str | None], str | None],
) -> None:
    """End the process where it does not end by itself."""
    deadline, why = float("inf"), None
    while not over.wait(_PERIOD):
        with suppress(BlockingIOError):
            # What the interpreter writes there of a signal when it comes, whatever the main thread is doing.
            if asking & {*os.read(reading, 512)}:
                deadline = min(deadline, time.monotonic() + PATIENCE)
        if why is None and (why := failure()) is not None:
            deadline = min(deadline, time.monotonic() + PATIENCE)
        if time.monotonic() > deadline:
            try:
                if (said := give_up(why)) is not None:
                    print(f"error: {said}", file=sys.stderr, flush=True)
            finally:  # whatever keeps it from being recorded: a full disk, a folder that is gone
                os._exit(1)
