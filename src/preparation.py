"""What `src.prepare` does: captions in, stores out."""

from __future__ import annotations

import logging
from pathlib import Path

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from src.build import build_stores, narratives_file
from src.data.caption_formats import read_captions
from src.data.dataset import load_split, split_names
from src.data.features import feature_store
from src.data.narratives import write_narratives
from src.models.mergers import Merger

_log = logging.getLogger(__name__)


def import_captions(cfg: DictConfig) -> None:
    """Turn the captions at `import_narratives` into the narratives file of the configured narrator."""
    source = Path(cfg.import_narratives)
    writer = {"narrator": cfg.narrator.name, "imported": source.name}
    file = narratives_file(cfg)
    count = write_narratives(file, read_captions(source, cfg.narrator.interval, writer))
    _log.info("%s: narratives of %d videos", file, count)


def make_stores(cfg: DictConfig) -> None:
    """Make every store that training with this config reads; those that are up to date are left alone."""
    moments = [moment for split in split_names(cfg.data) for moment in load_split(cfg.data, split).moments]
    merger: type[Merger] = get_class(cfg.merger.network._target_)
    if merger.uses_video and not Path(cfg.features.store).is_file():
        feature_store(
            Path(cfg.features.store),
            instantiate(cfg.features.layout),
            sorted({moment.video for moment in moments}),
            cfg.features.pooling,
            cfg.features.max_snippets,
            cfg.features.source,
        )
    for store in build_stores(cfg, moments):
        if store is not None:
            _log.info("%s: %d entries of size %d", store.path, len(store), store.dim)
