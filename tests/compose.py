"""Composes configs of conf/ the way a command does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig

CONF = Path(__file__).parents[1] / "conf"


def compose(*overrides: str, config: str | None = None) -> DictConfig:
    """The config that these overrides give, of the command `config` or, without one, of nothing but them."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(config, list(overrides))


def data_config(name: str, root: Path, *overrides: str) -> DictConfig:
    """conf/data/NAME with its annotations under `root`."""
    return compose("+paths=default", f"paths.data='{root}'", f"+data={name}", *overrides).data


def jobs(words: list[str]) -> list[list[str]]:
    """Overrides of jobs of a multirun with these words, its `+sweep=NAME` included: few, but every value of a key.

    What is drawn from an interval is taken at the ends of it.
    """
    parser = OverridesParser.create()
    given, standing = parser.parse_overrides(words), []
    for override in given:
        if override.key_or_group == "sweep":
            file = CONF / "sweep" / f"{override.value()}.yaml"
            params = yaml.safe_load(file.read_text())["hydra"]["sweeper"]["params"]
            standing = parser.parse_overrides([f"{key}={values}" for key, values in params.items()])
    varied = {override.get_key_element(): _values(override) for override in (*standing, *given)}
    count = max(map(len, varied.values()))
    return [[values[job % len(values)] for values in varied.values()] for job in range(count)]


def _values(override: Override) -> list[str]:
    value = override.value()
    if isinstance(value, IntervalSweep):
        values: list[Any] = [value.start, value.end]
    elif override.is_sweep_override():
        values = list(override.sweep_string_iterator())
    else:
        return [str(override.input_line)]
    return [f"{override.get_key_element()}={value}" for value in values]
