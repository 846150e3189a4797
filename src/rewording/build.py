"""A reworder from its config."""

from __future__ import annotations

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from src.errors import UserError
from src.rewording.reworder import Reworder


def build_reworder(config: DictConfig) -> Reworder:
    """The reworder of a config of conf/reworder; nothing is loaded yet.

    Raises:
        UserError: It is none, or a setting is out of its range.
    """
    if "_target_" not in config:
        raise UserError(f"reworder={config.name} rewords nothing: choose another, such as reworder=vtg_gpt")
    try:
        return instantiate(config, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from error
        raise
