"""Models of transformers, from a folder or the hub.

The hub is asked once whether it is there, where the libraries would ask again for each file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from src.errors import UserError, reason

_log = logging.getLogger(__name__)
_PATIENCE = 10.0
"""Seconds until a hub that says nothing counts as absent."""


@contextmanager
def hub(model: str) -> Iterator[None]:
    """Load a model of this name in the block: without the hub only what is kept of it on this machine is looked for.

    Args:
        model: A name on the hub, or a local path, for which the hub is not asked at all.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    if not before and not Path(model).exists() and not _answers(constants.ENDPOINT):
        _log.warning("%s does not answer: only models that are on this machine can be loaded", constants.ENDPOINT)
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def loading(kind: str, model: str, setting: str) -> Iterator[None]:
    """Load a model in the block, of the hub or a local path, and say in one line why it cannot be loaded.

    Args:
        kind: What the model is, for the message.
        model: Its name or path.
        setting: The setting that names it.

    Raises:
        UserError: it cannot be loaded, or needs a package that is not installed.
    """
    try:
        with hub(model):
            yield
    except ImportError as error:  # some processors need a package of their own, such as torchvision
        raise UserError(f"{kind} {model} needs a package that is not installed ({reason(error)})") from error
    except Exception as error:  # a damaged file can make the libraries beneath raise anything
        raise UserError(f"{kind} {model} cannot be loaded ({reason(error)}): set {setting} to a local path") from error


def require_weights(kind: str, model: str, missing: Iterable[str], hint: str = "") -> None:
    """Raise a UserError for weights that a checkpoint lacks: they would be drawn at random, unseen."""
    if lacking := sorted(missing):
        raise UserError(f"{kind} {model} has no weights for {lacking[0]} and {len(lacking) - 1} more{hint}")


@lru_cache
def _answers(endpoint: str) -> bool:
    """Whether there is a hub, whatever it answers."""
    import httpx

    try:
        httpx.head(endpoint, timeout=_PATIENCE)
    except httpx.HTTPError:
        return False
    return True
