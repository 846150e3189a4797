"""How a command runs and ends: Hydra's entry points, whose mistakes of the user are one line and exit status 1.

`python -m src.NAME` is src/NAME.py, or src/NAME/__main__.py where a room has that name. It composes conf/NAME.yaml and
hands the config to the function NAME of src/commands/NAME.py, which it imports only then: so `--help` answers at once.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from src.arguments import as_meant
from src.errors import UserError


def command(task: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A Hydra task whose UserErrors end the program with their one line.

    In a multirun no exception stops the other jobs: the job's folder says that it failed and why, and it has no
    value (Optuna takes None for a failed trial, but no NaN). src.runs.sweeps.Summary lists such jobs at the end.
    """

    @functools.wraps(task)
    def reporting(cfg: Any) -> Any:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        if HydraConfig.get().mode != RunMode.MULTIRUN:
            try:
                return task(cfg)
            except UserError as error:
                # Hydra lets an exit pass, where it would print lines of its own about an exception.
                _exit(error)
        with _asked_to_end():
            try:
                return task(cfg)
            except Exception as error:
                from src.runs.sweeps import record_failure

                record_failure(Path(HydraConfig.get().runtime.output_dir), error)
                return None

    return reporting


@contextmanager
def _asked_to_end() -> Iterator[None]:
    """End the multirun with a job that is asked to end (SIGTERM), which keeps its state first, and begin no other."""
    asked = False

    def note(*_: object) -> None:
        nonlocal asked
        asked = True
        # Lightning, where it trains, puts a handler of its own before this one and ends the job itself.
        if signal.getsignal(signal.SIGTERM) is note:
            sys.exit(128 + signal.SIGTERM)

    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, note)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if asked:
        print("asked to end (SIGTERM): the same command goes on from here", file=sys.stderr)
        sys.exit(1)


def run(main: Callable[[], object]) -> None:
    """Run a Hydra entry point; a mistake in the config too ends it with one line and exit status 1.

    Anything that is not a user's mistake keeps its traceback: it is a defect of ours.
    """
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    # Hydra otherwise prints a shortened traceback of its own and hides the exception from us.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        sys.argv[1:] = as_meant(sys.argv[1:])
        main()
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        sys.exit(130)
    except OverrideParseException as error:
        _exit(
            UserError(
                f"{error.override} cannot be understood: a value with any of ( ) , = [ ] {{ }} : ' in it needs quotes "
                "within quotes, as in \"name='a (b)'\""
            )
        )
    except (UserError, HydraException, OmegaConfBaseException) as error:
        _exit(error)


def _exit(error: Exception) -> NoReturn:
    print("error: " + " ".join(str(error).split()), file=sys.stderr)
    sys.exit(1)
