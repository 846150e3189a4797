"""How a command runs and ends: Hydra's entry points, whose mistakes of the user are one line and exit status 1.

`python -m src.NAME` is src/NAME.py, or src/NAME/__main__.py where a room has that name. It composes conf/NAME.yaml and
hands the config to the function NAME of src/commands/NAME.py, which it imports only then: so `--help` answers at once.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from src.arguments import as_meant
from src.ending import Ended
from src.errors import UserError
from src.files import why_full, writing


def command(task: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A Hydra task whose UserErrors end the program with their one line.

    In a multirun no exception stops the other jobs: the job's folder says that it failed and why, and it has no
    value (Optuna takes None for a failed trial, but no NaN). src.runs.sweeps.Summary lists such jobs at the end.
    """

    @functools.wraps(task)
    def reporting(cfg: Any) -> Any:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode
        from omegaconf import OmegaConf

        from src.settings import require_valid

        def checked() -> Any:
            require_valid(OmegaConf.to_container(cfg, resolve=True))
            with writing(Path(HydraConfig.get().runtime.output_dir)):
                return task(cfg)

        if HydraConfig.get().mode != RunMode.MULTIRUN:
            try:
                return checked()
            except UserError as error:
                # Hydra lets an exit pass, where it would print lines of its own about an exception.
                _exit(error)
        from src.runs.jobs import is_run_apart, run_apart
        from src.runs.sweeps import record_failure

        hydra = HydraConfig.get()
        try:
            return run_apart(hydra) if is_run_apart(cfg, hydra) else checked()
        except Exception as error:
            record_failure(hydra, error)
            return None

    return reporting


def run(main: Callable[[], object]) -> None:
    """Run a Hydra entry point; a mistake in the config too ends it with one line and exit status 1.

    Anything that is not a user's mistake keeps its traceback: it is a defect of ours.
    """
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    # Hydra otherwise prints a shortened traceback of its own and hides the exception from us.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    # A log that cannot be written is no reason to print a traceback a line: the run ends of its own files.
    logging.raiseExceptions = False
    try:
        sys.argv[1:] = as_meant(sys.argv[1:])
        main()
    except Ended as asked:
        _exit(asked)
    except SystemExit:
        if {"--help", "-h"} & {*sys.argv}:
            from src.settings import ranges

            print(ranges())
        raise
    except KeyboardInterrupt:
        print("interrupted (Ctrl-C)", file=sys.stderr)
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
    except Exception as error:
        if (sweeps := sys.modules.get("src.runs.sweeps")) is not None and sweeps.is_listed(error):
            sys.exit(1)
        if not isinstance(error, OSError):
            raise
        # Hydra's own files are written before the task begins.
        if (why := why_full(error)) is None:
            raise
        _exit(
            UserError(f"{error.filename or 'the run folder'} cannot be written ({why}): make room, then run it again")
        )


def _exit(error: BaseException) -> NoReturn:
    # A name out of a file may hold what a terminal obeys.
    words = " ".join(str(error).split())
    print("error: " + "".join(each if each.isprintable() else ascii(each)[1:-1] for each in words), file=sys.stderr)
    sys.exit(1)
