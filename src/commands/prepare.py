"""What `python -m src.prepare` does: captions in, stores out; published checkpoints in, ours out."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from src.build import Parts
from src.data.caption_formats import read_captions
from src.data.narratives import write_narratives
from src.data.statistics import table
from src.errors import UserError
from src.models.detr.published import Published, read_published
from src.narrators.journal import alone
from src.places import Places
from src.runs.checkpoints import (
    MODELS,
    best_checkpoint,
    load_network,
    read_checkpoint,
    ship,
    write_network,
)
from src.runs.configuration import configuration

_log = logging.getLogger(__name__)


def prepare(cfg: DictConfig) -> None:
    """Do the one of its tasks that a composed conf/prepare.yaml asks for."""
    if cfg.stats:
        print(table(cfg.data))
    elif cfg.convert_checkpoint is not None:
        convert_checkpoint(cfg)
    elif cfg.ship is not None:
        ship_network(cfg)
    else:
        if cfg.import_narratives is not None:
            import_captions(cfg)
        make_stores(cfg)


def import_captions(cfg: DictConfig) -> None:
    """Turn the captions at `import_narratives` into the narratives file of the configured narrator."""
    source = Path(cfg.import_narratives)
    writer = {"narrator": cfg.narrator.name, "imported": source.name}
    file = Places(cfg).narratives
    with alone(file):
        count = write_narratives(file, read_captions(source, cfg.narrator.interval, writer))
    _log.info("%s: narratives of %d videos", file, count)


def make_stores(cfg: DictConfig) -> None:
    """Make every store that training with this config reads; those that are up to date are left alone.

    Raises:
        UserError: what they are made of is missing (all of it is named), or cannot be used.
    """
    for store in Parts(cfg).make_stores():
        sizes = store.made_by["sizes"]
        _log.info("%s: %d entries, %d vectors of size %d", store.path, sizes["keys"], sizes["rows"], sizes["dim"])


def convert_checkpoint(cfg: DictConfig) -> Path:
    """Write the published network at `convert_checkpoint` as a checkpoint of the configured network.

    Returns:
        Where it was written: the folder of converted checkpoints, under its source's name.

    Raises:
        UserError: the file cannot be read, or is of another network than the configured one; says how to configure it.
    """
    source, parts = Path(cfg.convert_checkpoint), Parts(cfg)
    published = read_published(source)
    if overrides := _overrides(published, cfg):
        raise UserError(f"{source} is of another network than the configured one: add {' '.join(overrides)}")
    network = parts.network
    # Published networks know no unknown words.
    torch.nn.init.zeros_(network.unknown_word)
    network.load_state_dict({"unknown_word": network.unknown_word.detach(), **published.weights})
    target = parts.places.converted / f"{source.stem}.ckpt"
    write_network(target, network, configuration(cfg))
    count = sum(weight.numel() for weight in network.state_dict().values())
    _log.info("%s: %s, %d weights", target, published.predictor, count)
    return target


def ship_network(cfg: DictConfig) -> Path:
    """Write the network at `ship` as the model of this project that is named `name`, with its `notice`.

    Raises:
        UserError: there is no such checkpoint, or it is of another network than the configured one.
    """
    source, parts = best_checkpoint(Path(cfg.ship)), Parts(cfg)
    checkpoint = read_checkpoint(source)
    load_network(parts.network, checkpoint, source)
    target = MODELS / cfg.name / f"{cfg.name}.safetensors"
    ship(target, parts.network, configuration(cfg), cfg.notice)
    _log.info("%s: %d bytes", target, target.stat().st_size)
    return target


def _overrides(published: Published, cfg: DictConfig) -> list[str]:
    """The command line's words that would bring the config nearer to the published network; none if it is that."""
    groups = {"predictor": published.predictor, "merger": "none", "paragraph": "none", "match": "none"}
    if others := [f"{group}={name}" for group, name in groups.items() if cfg[group].name != name]:
        return others
    values = {f"predictor.network.{name}": size for name, size in published.sizes.items()}
    values |= {"features.dim": published.video_dim, "text.dim": published.text_dim}
    return [f"{key}={value}" for key, value in values.items() if OmegaConf.select(cfg, key) != value]
