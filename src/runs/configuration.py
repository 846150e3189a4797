"""The configuration of a run: kept as composed, so that it moves, beside as resolved, so that it can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from src.errors import UserError, reason
from src.runs.trust import models_named, models_of, require_known

COMPOSED, RESOLVED = "composed", "resolved"
"""The two forms, as a checkpoint holds them."""

ELSEWHERE = ("paths", "loader", "trainer", "callbacks", "metrics")
"""How a network is run, which is not the network's: where things lie, on what, and what is measured."""

NETWORK = ("features.dim", "text.dim", "merger.", "paragraph.", "match.", "predictor.", "method.")
"""The parts of a config that decide the shape of a network and the meaning of its weights."""

DECODING = ("predictor.network.choice", "predictor.network.most_overlap")
"""Settings of a network by which the same weights answer in another way."""

# What names files that are written.
_NAMES = (
    *("data.name", "data.videos", "data.train", "data.val", "data.tests"),
    *("text.name", "narrator.name", "reworder.name"),
)

LENGTH = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time")
"""What says how long a run trains."""

# What does not decide a run's numbers: where things lie, names, on what it runs, how it is watched and kept.
_NOT_OF_A_RUN = (
    *("paths", "folder", "logger", "ckpt_path", "name", "recipe", "test", "keep_state"),
    *("loader.workers", "loader.eval_batch_size", "callbacks.last", "callbacks.predictions", "callbacks.lines"),
    *("trainer.accelerator", "trainer.deterministic", "trainer.benchmark", "trainer.detect_anomaly"),
    *("trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.log_every_n_steps", "trainer.profiler"),
)


def configuration(cfg: DictConfig) -> dict[str, Any]:
    """Both forms of a composed config, as plain containers.

    Raises:
        UserError: a setting cannot be resolved, as one that only a running command has.
    """
    try:
        resolved = OmegaConf.to_container(cfg, resolve=True)
    except InterpolationResolutionError as error:
        raise UserError(
            f"{reason(error)}: in a script compose with src.build.compose, or give folder=FOLDER"
        ) from error
    return {COMPOSED: OmegaConf.to_container(cfg, resolve=False), RESOLVED: resolved}


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings in which two configurations are different runs, with both values, by dotted name.

    What is written alike is alike, so that a run is the same wherever its files lie; so is what has the same value.

    Args:
        before, now: As `configuration` makes them.
    """
    written, valued = ((_flat(before[form]), _flat(now[form])) for form in (COMPOSED, RESOLVED))
    return {
        key: (valued[0].get(key), valued[1].get(key))
        for key in sorted(written[0].keys() | written[1].keys())
        if not _is_part(key, _NOT_OF_A_RUN)
        and written[0].get(key) != written[1].get(key)
        and valued[0].get(key) != valued[1].get(key)
    }


def _is_part(key: str, groups: Sequence[str]) -> bool:
    return any(key == group or key.startswith(f"{group}.") for group in groups)


def said(changes: Mapping[str, tuple[Any, Any]]) -> str:
    """Changed settings in words."""
    return "; ".join(f"{key} is {there} there and {here} here" for key, (there, here) in changes.items())


def network_differences(before: Any, now: Any) -> list[str]:
    """What makes two resolved configs different networks, setting by setting."""
    there, here = _flat(before), _flat(now)
    return [
        said({key: (there.get(key), here.get(key))})
        for key in sorted(here.keys() | there.keys())
        if key.startswith(NETWORK) and key not in DECODING and here.get(key) != there.get(key)
    ]


def moved_here(
    composed: Mapping[str, Any], where: Path, cfg: DictConfig, overrides: Sequence[str], folders: Sequence[Path]
) -> DictConfig:
    """The config of a checkpoint, to be used with the places and the machine of this command.

    Args:
        composed: As the checkpoint holds it.
        where: The checkpoint, for messages.
        cfg: This command's composed config.
        overrides: What the user gave on the command line; of the checkpoint's settings only this is replaced.
        folders: The config folders that say what it may name.

    Raises:
        UserError: the config names what this installation's conf/ does not, or an override cannot apply to it.
    """
    require_known(composed, where, folders)
    content = dict(composed)
    models = {*models_named(OmegaConf.to_container(cfg, resolve=True)), *models_of(folders)}
    narrator = content.get("narrator")
    if isinstance(narrator, Mapping):
        # Whom to send video frames to, with which of this machine's keys, or what model to load is not a file's to say.
        # Narratives that are there can be read all the same.
        left_out = {"url", "key", *({"model"} if narrator.get("model") not in models else ())}
        content["narrator"] = {key: "???" if key in left_out else value for key, value in narrator.items()}
    reworder = content.get("reworder")
    if isinstance(reworder, Mapping):
        # Nor is who is asked for rewordings; those that are there can be read.
        content["reworder"] = {"name": reworder.get("name")}
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
    if unknown := sorted({*models_named(after)} - models):
        model = ascii(unknown[0])[:200]
        raise UserError(
            f"{where} is not used: it would load the model {model}, which conf/ of this installation does not name: if "
            "you trust it, choose it on your own command line, such as text=hf text.encoder.model=…"
        )
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
                named = f"{key}={ascii(each)[1:-1][:200]}"
                raise UserError(f"{where} is not used: its configuration has {named}, which is a path, not a name")


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as {dotted key: value}."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    return {
        key: leaf for name, inner in value.items() for key, leaf in _flat(inner, f"{prefix}.{name}".lstrip(".")).items()
    }
