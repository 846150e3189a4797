"""The arguments of a command line as they are meant, before Hydra reads and writes them down."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from src.errors import UserError

# Settings that are paths or named after one. Whatever their text is, it is no number, list or choice of Hydra's.
_PATHS = frozenset(
    (
        *("videos", "features.videos", "collection", "output", "folder", "predictions", "checkpoint", "ckpt_path"),
        *("start_from", "import_narratives", "convert_checkpoint", "narrator.captions", "text.encoder.path"),
        *(
            "queries",
            "video",
            "index.engine.place",
            "model.ranker.folder",
            "model.ranker.network",
            "compare.ranker.folder",
            "uploads",
        ),
    )
)
# Those that may be a list of paths too.
_LISTS = frozenset({"merge", "runs"})
_SECRET_NAMES = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
_SECRET_LENGTH = 16  # shorter values stand in anything by chance


def as_meant(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> list[str]:
    """The arguments, with paths in the quotes that Hydra needs.

    Raises:
        UserError: One of them holds a secret. Arguments are written to the run folder.
    """
    for argument in arguments:
        _refuse_secret(argument, environment)
    multirun = any(argument in ("-m", "--multirun") for argument in arguments)
    return [_quoted(argument, multirun) for argument in arguments]


def _refuse_secret(argument: str, environment: Mapping[str, str]) -> None:
    key, _, value = argument.partition("=")
    for name, secret in environment.items():
        if _SECRET_NAMES.search(name.upper()) and len(secret.strip()) >= _SECRET_LENGTH and secret.strip() in argument:
            raise UserError(f"{key} holds the value of the environment variable {name}, which would be written down")
    if re.search(r"://[^/\s]*@", value):
        raise UserError(f"{key} is an address with a user or a password in it, which would be written down")
    if key.lstrip("+") == "narrator.key" and not re.fullmatch(r"[\w'\"]*", value):
        raise UserError("narrator.key is no name: give the name of the environment variable that holds the key")
    if key.lstrip("+") == "narrator.url" and "?" in value:
        raise UserError("narrator.url holds more than an address: the key goes into an environment variable")


def _quoted(argument: str, multirun: bool) -> str:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, _, value = argument.partition("=")
    name = key.lstrip("+")
    named = name in _PATHS | _LISTS or name.startswith("paths.")
    # The folders of a sweep's jobs are named after settings.
    if not value or not (named or (re.search(r"[,=(){}\[\]\s]", value) and os.path.exists(value))):
        return argument
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        pass
    else:
        if override.is_sweep_override():
            if multirun:
                return argument
        else:
            meant = override.value()
            if meant is None or isinstance(meant, str) or (isinstance(meant, list) and name in _LISTS):
                return argument
    return f"{key}={quoted(value)}"


def quoted(value: str) -> str:
    """A value as Hydra's override grammar takes it literally."""
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), value)
    return f"'{escaped}'"
