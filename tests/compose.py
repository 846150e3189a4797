"""Composes configs of conf/ the way a command does."""

from __future__ import annotations

from pathlib import Path

import hydra
from omegaconf import DictConfig

CONF = Path(__file__).parents[1] / "conf"


def compose(*overrides: str, config: str | None = None) -> DictConfig:
    """The config that these overrides give, of the command `config` or, without one, of nothing but them."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(config, list(overrides))


def data_config(name: str, root: Path, *overrides: str) -> DictConfig:
    """conf/data/NAME with its annotations under `root`."""
    return compose("+paths=default", f"paths.data='{root}'", f"+data={name}", *overrides).data
