"""The hub that models come from: asked once whether it is there, where the libraries would ask again for each file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

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


@lru_cache
def _answers(endpoint: str) -> bool:
    """Whether there is a hub, whatever it answers."""
    import httpx

    try:
        httpx.head(endpoint, timeout=_PATIENCE)
    except httpx.HTTPError:
        return False
    return True
