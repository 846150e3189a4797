"""How far long work has come: a bar at a terminal, and otherwise (nohup, SLURM, CI) a line a minute in the log."""

from __future__ import annotations

import io
import logging
import re
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from tqdm import tqdm

_log = logging.getLogger(__name__)
# Of its own because conf/hydra/default.yaml gives it the log file and no terminal: what it is told is printed already.
_printed = logging.getLogger("printed")

MINUTE = 60.0
"""Seconds between two lines."""

_DELAY = 3.0
"""Seconds of work that no bar is drawn for."""


class Progress(tqdm):
    """tqdm, where there is a terminal; elsewhere its display is a line of the log.

    Nothing is shown of work that is over before it is worth a bar or a line.

    Args:
        of: The items to go through; None where `update` counts them.
        name: What is done.
        unit: What is counted, in the singular; `B` for bytes.
        total: How many there are, where `of` does not know.
        part: Whether others are at work beside it: bars would be written over each other.
    """

    def __init__(
        self, of: Iterable[Any] | None, name: str, unit: str, total: int | None = None, part: bool = False
    ) -> None:
        self.lines = part or not at_terminal()
        sparse = {"file": io.StringIO(), "delay": MINUTE, "mininterval": MINUTE, "miniters": 1} if self.lines else {}
        shown: dict[str, Any] = {"delay": _DELAY, "unit_scale": unit == "B", **sparse}
        super().__init__(of, desc=name, unit=unit, total=total, **shown)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        if not self.lines:
            super().display(msg, pos)
            return
        elapsed = self.format_dict["elapsed"]
        spent = self.format_interval(elapsed)
        if self.total is None:
            how = f"{spent} so far"
        elif self.n < self.total:
            how = left(self.n / self.total, elapsed)
        else:
            how = f"took {spent}"
        _log.info("%s, %s%s", self._counted(), how, f", {self.postfix}" if self.postfix else "")

    def _counted(self) -> str:
        """So many of so many."""
        if self.unit == "B":
            done, total = (None if n is None else f"{self.format_sizeof(n)}B" for n in (self.n, self.total))
            return f"{self.desc}: {done}" + (f" of {total}" if total else "")
        units = re.sub("y$", "ie", re.sub("(?<=ch)$", "e", self.unit)) + "s"
        return f"{self.desc}: {self.n:,}" + (f" of {self.total:,} {units}" if self.total else f" {units}")


def at_terminal() -> bool:
    """Whether somebody may be watching: bars are drawn on the standard error."""
    return sys.stderr.isatty()


def left(share: float, elapsed: float) -> str:
    """How long work will still take, and until when, after `elapsed` seconds for a `share` of it, from 0 to 1."""
    if share <= 0:
        return "end unknown"
    seconds = elapsed * (1 - share) / share
    end = time.localtime(time.time() + seconds)
    day = "" if end[:3] == time.localtime()[:3] else f"{time.strftime('%Y-%m-%d', end)} "
    return f"{tqdm.format_interval(seconds)} left, until {day}{time.strftime('%H:%M', end)}"


def show(result: str, printing: Callable[[str], object] = print) -> None:
    """Print what a command found, and keep it in its log."""
    printing(result)
    _printed.info("\n%s" if "\n" in result else "%s", result)
