"""The errors a user can cause, and how a command reports them: one line, exit status 1."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """Bad input. The message is one line: what is wrong, where, and what to do about it."""


def run(command: Callable[[], object]) -> None:
    """Run a Hydra entry point; turn a user's mistake into one line on stderr and exit status 1.

    Anything that is not a user's mistake keeps its traceback: it is a defect of ours.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    # Hydra otherwise prints a shortened traceback of its own and hides the exception from us.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        command()
    except (UserError, HydraException, OmegaConfBaseException) as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)
