"""What `python -m src.prepare` does: captions in, stores out."""

from __future__ import annotations

import logging
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from src.build import missing_texts, narratives_file, text_stores, uses_video
from src.data.caption_formats import read_captions
from src.data.feature_stores import feature_store, missing_places
from src.data.layouts import Layout
from src.data.narratives import write_narratives
from src.data.splits import load_split, split_names
from src.data.statistics import table
from src.data.store import Store
from src.errors import UserError
from src.runs.conversion import convert_checkpoint

_log = logging.getLogger(__name__)


def prepare(cfg: DictConfig) -> None:
    """Do the one of its tasks that a composed conf/prepare.yaml asks for."""
    if cfg.stats:
        print(table(cfg.data))
    elif cfg.convert_checkpoint is not None:
        convert_checkpoint(cfg)
    else:
        if cfg.import_narratives is not None:
            import_captions(cfg)
        make_stores(cfg)


def import_captions(cfg: DictConfig) -> None:
    """Turn the captions at `import_narratives` into the narratives file of the configured narrator."""
    source = Path(cfg.import_narratives)
    writer = {"narrator": cfg.narrator.name, "imported": source.name}
    file = narratives_file(cfg)
    count = write_narratives(file, read_captions(source, cfg.narrator.interval, writer))
    _log.info("%s: narratives of %d videos", file, count)


def make_stores(cfg: DictConfig) -> None:
    """Make every store that training with this config reads; those that are up to date are left alone.

    Raises:
        UserError: what they are made of is missing (all of it is named), or cannot be used.
    """
    moments = [moment for split in split_names(cfg.data) for moment in load_split(cfg.data, split).moments]
    wants_video = uses_video(cfg) and "layout" in cfg.features
    layout: Layout | None = instantiate(cfg.features.layout) if wants_video else None
    # Whatever is missing is said before the long work on anything begins.
    missing = missing_texts(cfg)
    if layout is not None and not Path(cfg.features.store).is_file():
        missing = [*missing_places(layout, cfg.features.source), *missing]
    if missing:
        raise UserError("; and ".join(missing))
    stores: list[Store | None] = []
    if layout is not None:
        videos = {moment.video for moment in moments}
        of = cfg.features
        stores.append(feature_store(Path(of.store), layout, videos, of.pooling, of.max_snippets, of.source))
    stores.extend(text_stores(cfg, moments))
    for store in stores:
        if store is not None:
            sizes = store.made_by["sizes"]
            _log.info("%s: %d entries, %d vectors of size %d", store.path, sizes["keys"], sizes["rows"], sizes["dim"])
