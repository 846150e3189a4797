"""Every file of conf/ composes, names what there is with settings that it takes, and may stand in a checkpoint."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import hydra
import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from src.build import Parts
from src.narrators.build import build_narrator
from src.rewording.build import build_reworder
from src.runs.trust import conf_folders, require_known
from src.settings import leaves, require_valid
from tests.compose import CONF

GROUPS = sorted(place.name for place in CONF.iterdir() if place.is_dir())
COMMANDS = sorted(
    file.stem
    for file in CONF.glob("*.yaml")
    if file.stem not in ("own_data", "similarity_ranker") and not file.stem.endswith("_features")
)
# What a choice leaves to the user.
LEFT = {
    "features": ["collection=a", "videos=b"],
    "narrator=endpoint": ["narrator.name=a", "narrator.model=b", "narrator.url=http://localhost"],
    "narrator=hf": ["narrator.name=a", "narrator.model=b"],
    "narrator=imported": ["narrator.name=a", "narrator.captions=b"],
    "model=run": ["model.ranker.folder=a"],
    "features=npy": ["features.name=a", "features.dim=3"],
    "features=hf": ["features.name=a", "features.model=b", "features.dim=3"],
    "reworder=endpoint": ["reworder.name=a", "reworder.model.model=b", "reworder.model.url=http://localhost"],
    "reworder=hf": ["reworder.name=a", "reworder.model.model=b"],
    "reworder=imported": ["reworder.name=a", "reworder.file=b"],
    "baseline=llm": ["baseline.name=a", "baseline.model.model=b", "baseline.model.url=http://localhost"],
    "baseline=video_llm": [
        *("baseline.name=a", "baseline.videos=c", "baseline.model.model=b", "baseline.model.url=http://localhost")
    ],
    "text=hf": ["text.name=a", "text.encoder.model=b", "text.dim=3"],
}
# Of train's config these only add to what is there.
ADDED = ("experiment", "recipe", "sweep")
# Of which command a group is that training has not.
COMMAND_OF = {"baseline": "evaluate", "index": "search", "model": "search", "size": "playroom"}
# These name what another package brings.
LAUNCHERS = [f"hydra/launcher={file.stem}" for file in sorted((CONF / "hydra" / "launcher").glob("*.yaml"))]


def choices(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


CHOICES = [f"{'+' if group in ADDED else ''}{group}={choice}" for group in GROUPS for choice in choices(group)]


def composed(config: str, *overrides: str) -> DictConfig:
    """A command's config as Hydra hands it to the command, Hydra's own part included."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose(config, list(overrides), return_hydra_config=True)
    cfg.hydra.runtime.output_dir = "outputs"
    HydraConfig.instance().set_config(cfg)
    return cfg


def of_choice(choice: str) -> DictConfig:
    group = choice.removeprefix("+").split("=")[0]
    cfg = composed(COMMAND_OF.get(group, "train"), choice, *LEFT.get(choice, []))
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    return cfg


def parts_of(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node with a `_target_`."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from parts_of(value, f"{path}.{key}".lstrip("."))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from parts_of(value, f"{path}[{number}]")


def build_experiment(cfg: DictConfig) -> None:
    optimizer = instantiate(cfg.optimizer)(Parts(cfg).network.parameters())
    instantiate(cfg.scheduler)(optimizer, total_iters=10)


def build_trainer(cfg: DictConfig) -> None:
    # What decides the device needs the device.
    instantiate(cfg.trainer, accelerator="cpu", devices=1, logger=False)


def build_each(cfg: DictConfig) -> None:
    for each in cfg.values():
        assert instantiate(each) is not None


BUILD: dict[str, Callable[[DictConfig], Any]] = {
    "baseline": lambda cfg: instantiate(cfg.baseline),
    "callbacks": lambda cfg: build_each(cfg.callbacks),
    "experiment": build_experiment,
    "features": lambda cfg: Parts(cfg).layout,
    "logger": lambda cfg: build_each(cfg.logger),
    "method": lambda cfg: instantiate(cfg.method.network),
    "metrics": lambda cfg: build_each(cfg.metrics.of),
    "narrator": lambda cfg: build_narrator(cfg.narrator),
    "optimizer": build_experiment,
    "recipe": build_experiment,
    "reworder": lambda cfg: "_target_" not in cfg.reworder or build_reworder(cfg.reworder),
    "scheduler": build_experiment,
    "text": lambda cfg: Parts(cfg).encoder,
    "trainer": build_trainer,
}
"""How a choice of a group is built, beside the networks, which the suite of their contract builds."""


@pytest.mark.parametrize("choice", CHOICES)
def test_a_choice_is_built_and_may_come_from_a_checkpoint(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    cfg = of_choice(choice)
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    for path, node in parts_of(resolved):
        settings = {key: value for key, value in node.items() if not key.startswith("_")}
        # A partial one, and those that src.build completes, lack what is not a setting.
        try:
            inspect.signature(get_object(node["_target_"])).bind_partial(**settings)
        except TypeError as error:
            pytest.fail(f"{path}: {error}")
    require_valid(resolved)
    undeclared = {key for key, value, kind in leaves(resolved) if kind is None and value not in ({}, None)}
    assert not undeclared, "declare them in src/settings/"
    of_search = COMMAND_OF.get(choice.split("=")[0]) == "search"  # which no checkpoint holds
    for form in () if of_search else (OmegaConf.to_container(cfg, resolve=False), resolved):
        require_known(form, choice, conf_folders())
    BUILD.get(choice.removeprefix("+").split("=")[0], lambda cfg: None)(cfg)


@pytest.mark.parametrize("config", COMMANDS)
def test_a_command_has_all_that_it_asks_for(config: str) -> None:
    cfg = composed(config, *LEFT.get(config, []))
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    assert OmegaConf.to_container(cfg, resolve=True)


@pytest.mark.parametrize("choice", LAUNCHERS)
def test_a_launcher_composes(choice: str) -> None:
    cfg = composed("train", choice)
    get_object(cfg.hydra.launcher._target_)
