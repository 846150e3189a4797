"""Checkpoints of published networks, as checkpoints of this project."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from src.build import build_network
from src.errors import UserError
from src.files import whole
from src.models.detr.published import Published, read_published

_log = logging.getLogger(__name__)


def convert_checkpoint(cfg: DictConfig) -> Path:
    """Write the published QD-DETR or Moment-DETR at `convert_checkpoint` as a checkpoint of the configured network.

    Returns:
        Where it was written: under `paths.outputs`/converted, named after its source.

    Raises:
        UserError: the file cannot be read, or is of another network than the configured one; says how to configure it.
    """
    source = Path(cfg.convert_checkpoint)
    published = read_published(source)
    if overrides := _overrides(published, cfg):
        raise UserError(f"{source} is of another network than the configured one: add {' '.join(overrides)}")
    network = build_network(cfg)
    # Published networks know no unknown words.
    torch.nn.init.zeros_(network.unknown_word)
    network.load_state_dict({"unknown_word": network.unknown_word.detach(), **published.weights})
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    target = Path(cfg.paths.outputs) / "converted" / f"{source.stem}.ckpt"
    state = {f"network.{name}": weight for name, weight in network.state_dict().items()}
    with whole(target) as temporary:
        torch.save({"state_dict": state, "config": config}, temporary)
    _log.info("%s: %s, %d weights", target, published.predictor, sum(weight.numel() for weight in state.values()))
    return target


def _overrides(published: Published, cfg: DictConfig) -> list[str]:
    """The command line's words that would bring the config nearer to the published network; none if it is that."""
    groups = {"predictor": published.predictor, "merger": "none", "paragraph": "none", "match": "none"}
    if others := [f"{group}={name}" for group, name in groups.items() if cfg[group].name != name]:
        return others
    values = {f"predictor.network.{name}": size for name, size in published.sizes.items()}
    values |= {"features.dim": published.video_dim, "text.dim": published.text_dim}
    return [f"{key}={value}" for key, value in values.items() if OmegaConf.select(cfg, key) != value]
