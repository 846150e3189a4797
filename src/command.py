"""How a command runs and ends: Hydra's entry points, whose mistakes of the user are one line and exit status 1.

`python -m src.NAME`, installed also as `tea-NAME`, is src/NAME.py, or src/NAME/__main__.py where a room has that name.
It composes conf/NAME.yaml and hands the config to the function NAME of src/commands/NAME.py, which it imports only
then: so `--help` answers at once.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from src.arguments import as_meant
from src.ending import Ended
from src.errors import NoRoomError, UserError
from src.files import why_full, writing
from src.help import details, overview, unknown_setting
from src.places import CONF


def command(name: str) -> Callable[[Callable[[Any], Any]], Callable[[], None]]:
    """Make a function of a composed conf/`name`.yaml a program, whose arguments are those of the command line.

    The module's docstring is its `--help`, before what conf/ says.
    """

    def program(task: Callable[[Any], Any]) -> Callable[[], None]:
        import hydra

        main = hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(_reporting(task))
        about = sys.modules[task.__module__].__doc__ or ""

        @functools.wraps(task)
        def started() -> None:
            run(main, about, name)

        return started

    return program


def _reporting(task: Callable[[Any], Any]) -> Callable[[Any], Any]:
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
                from src.runs.folder import drop_attempt

                if not isinstance(error, NoRoomError):
                    drop_attempt(Path(HydraConfig.get().runtime.output_dir))
                # Hydra lets an exit pass, where it would print lines of its own about an exception.
                _exit(error)
        from src.runs.jobs import is_run_apart, run_apart
        from src.runs.sweeps import record_failure

        hydra: Any = HydraConfig.get()
        try:
            return run_apart(hydra) if is_run_apart(cfg, hydra) else checked()
        except Exception as error:
            record_failure(hydra, error)
            return None

    return reporting


def run(main: Callable[[], object], about: str, name: str | None = None) -> None:
    """Run a program; a mistake of the user, in the config too, ends it with one line and exit status 1.

    Anything that is not a user's mistake keeps its traceback: it is a defect of ours.

    Args:
        main: The program, a Hydra entry point where it has a config.
        about: What it does, in a line, and how it is called.
        name: The name of its config in conf/; None if it has none.
    """
    if {"--help", "-h"} & {*sys.argv[1:]}:
        print(overview(about, name, sys.argv[1:]))
        return
    for argument in sys.argv[1:]:
        if name is not None and argument.startswith("help="):
            _told(argument.removeprefix("help="), name)
            return
    from hydra.errors import ConfigCompositionException, HydraException, OverrideParseException
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
    except ConfigCompositionException as error:
        _exit(unknown_setting(error, name, sys.argv[1:]) or error)
    except (UserError, HydraException, OmegaConfBaseException) as error:
        _exit(error)
    except Exception as error:
        if (sweeps := sys.modules.get("src.runs.sweeps")) is not None and sweeps.is_listed(error):
            sys.exit(1)
        if str(error).startswith("Config group override must be"):
            _exit(UserError(f"{_numbered(sys.argv[1:])}: a choice of conf/ goes by its name; help=GROUP lists them"))
        if not isinstance(error, OSError):
            raise
        # Hydra's own files are written before the task begins.
        if (why := why_full(error)) is None:
            raise
        _exit(
            UserError(f"{error.filename or 'the run folder'} cannot be written ({why}): make room, then run it again")
        )


def _numbered(arguments: list[str]) -> str:
    """The argument that gives a group of conf/ something that Hydra reads as a number or a truth value."""
    for argument in arguments:
        key, _, value = argument.partition("=")
        if (CONF / key.lstrip("+")).is_dir() and not re.match(r"(?!(true|false)$)[a-z]", value, re.IGNORECASE):
            return argument
    return " ".join(arguments)


def _told(what: str, name: str) -> None:
    try:
        print(details(what, name, sys.argv[1:]))
    except UserError as error:
        _exit(error)


def _exit(error: BaseException) -> NoReturn:
    # A name out of a file may hold what a terminal obeys.
    words = " ".join(str(error).split())
    print("error: " + "".join(each if each.isprintable() else ascii(each)[1:-1] for each in words), file=sys.stderr)
    sys.exit(1)
