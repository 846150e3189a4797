"""The configuration of a run: kept as composed, so that it moves, beside as resolved, so that it can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.errors import UserError, reason
from src.runs.trust import conf_folders, require_known

COMPOSED, RESOLVED = "composed", "resolved"
"""The two forms, as a checkpoint holds them."""

ELSEWHERE = ("paths", "loader", "trainer", "callbacks", "metrics")
"""How a network is run, which is not the network's: where things lie, on what, and what is measured."""

NETWORK = ("features.dim", "text.dim", "merger.", "paragraph.", "match.", "predictor.", "method.")
"""The parts of a config that decide the shape of a network and the meaning of its weights."""

# What names files that are written.
_NAMES = ("data.name", "data.videos", "data.train", "data.val", "data.tests", "text.name", "narrator.name")

# What does not decide a run's numbers: where things lie, and how it is logged.
_NOT_OF_A_RUN = ("paths", "folder", "logger", "ckpt_path")


def configuration(cfg: DictConfig) -> dict[str, Any]:
    """Both forms of a composed config, as plain containers."""
    return {
        COMPOSED: OmegaConf.to_container(cfg, resolve=False),
        RESOLVED: OmegaConf.to_container(cfg, resolve=True),
    }


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The top-level settings in which two composed configs are different runs.

    A path below `paths` is written as such in both, so that a run is the same wherever its files lie.
    """
    keys = sorted((before.keys() | now.keys()) - set(_NOT_OF_A_RUN))
    return [key for key in keys if before.get(key) != now.get(key)]


def network_differences(before: Any, now: Any) -> list[str]:
    """What makes two resolved configs different networks, setting by setting."""
    there, here = _flat(before), _flat(now)
    return [
        f"{key} is {there.get(key)} there and {here.get(key)} here"
        for key in sorted(here.keys() | there.keys())
        if key.startswith(NETWORK) and here.get(key) != there.get(key)
    ]


def moved_here(composed: Mapping[str, Any], where: Path, cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The config of a checkpoint, to be used with the places and the machine of this command.

    Args:
        composed: As the checkpoint holds it.
        where: The checkpoint, for messages.
        cfg: This command's composed config.
        overrides: What the user gave on the command line; of the checkpoint's settings only this is replaced.

    Raises:
        UserError: the config names what this installation's conf/ does not, or an override cannot apply to it.
    """
    folders = conf_folders()
    require_known(composed, where, folders)
    content = dict(composed)
    narrator = content.get("narrator")
    if isinstance(narrator, Mapping) and "url" in narrator:
        # Whom to send video frames to, with which of this machine's keys, is not a file's to say.
        content["narrator"] = {**narrator, "url": "???", "key": "???"}
    saved = OmegaConf.create(content)
    saved.folder, saved.logger, saved.ckpt_path = cfg.folder, {}, None
    for group in ELSEWHERE:
        saved[group] = cfg[group]
    before = _resolved(saved, where)
    # A reference may carry a part from one group into another.
    require_known(before, where, folders)
    _require_names(before, where)
    here = OmegaConf.to_container(cfg, resolve=False)
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.key_or_group
        top = key.split(".")[0]
        if top in ELSEWHERE or (top in cfg and top not in saved):
            continue  # it is of this command, which has taken it already
        if override.is_add() or override.is_delete() or top not in saved:
            raise UserError(
                f"{override.input_line} cannot apply: {where} has its own configuration, of which only settings that "
                "are there can be replaced"
            )
        # As composed here, interpolations and all; a choice of a group is replaced whole.
        value: Any = here
        for name in key.split("."):
            value = value[name]
        OmegaConf.update(saved, key, value, merge=False)
    after = _resolved(saved, where)
    if differences := network_differences(before, after):
        raise UserError(f"{where} holds the weights of another network: {'; '.join(differences)}")
    return saved


def _resolved(saved: DictConfig, where: Path) -> Any:
    try:
        return OmegaConf.to_container(saved, resolve=True)
    except (OmegaConfBaseException, RecursionError) as error:
        raise UserError(f"{where} is not used: its configuration cannot be resolved ({reason(error)})") from error


def _require_names(resolved: Mapping[str, Any], where: Path) -> None:
    """A file that a name leads to lies below the folder that the user chose."""
    for key in _NAMES:
        group, name = key.split(".")
        given = content.get(name) if isinstance(content := resolved.get(group), Mapping) else None
        for each in given if isinstance(given, list) else [given]:
            if isinstance(each, str) and (Path(each).is_absolute() or ".." in Path(each).parts):
                said = each.encode("unicode_escape").decode()[:200]
                raise UserError(f"{where} is not used: its configuration has {key}={said}, which is a path, not a name")


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as {dotted key: value}."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    return {
        key: leaf for name, inner in value.items() for key, leaf in _flat(inner, f"{prefix}.{name}".lstrip(".")).items()
    }
