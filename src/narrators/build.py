"""A narrator from its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from src.errors import UserError
from src.narrators.narrator import Narrator


def build_narrator(config: DictConfig | Mapping[str, Any]) -> Narrator:
    """The narrator of a config of conf/narrator; nothing is loaded yet.

    Raises:
        UserError: A setting is out of its range.
    """
    try:
        return instantiate(config, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from error
        raise
