"""What `python -m src.features` does: a folder of videos in, a store of features out."""

from __future__ import annotations

import logging
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from src.data.feature_stores import feature_store
from src.errors import UserError
from src.features.computed import FromVideos
from src.videos.collection import Item
from src.videos.shards import parse_shard

_log = logging.getLogger(__name__)


def features(cfg: DictConfig) -> None:
    """Make the store of the features of every video that `videos` names; one that is up to date is kept. With a
    `shard`, compute those of its videos alone: a run without one then makes the store.

    Raises:
        UserError: no videos, or features that are not computed from frames; or, once all the others are done, videos
            that cannot be read.
    """
    of = cfg.features
    layout = instantiate(of.layout) if "layout" in of else None
    if not isinstance(layout, FromVideos):
        raise UserError(f"features={of.name} are not computed from frames: choose features=pixels or another that is")
    if cfg.shard is not None:
        shard = parse_shard(cfg.shard, cfg.shards)
        items = shard.items([Item(*each) for each in sorted(layout.files.items())])
        failures = layout.compute(item.video for item in items)
        _log.info("shard %d/%d: features of %d videos", shard.number, shard.of, len(items) - len(failures))
        if failures:
            video, why = next(iter(failures.items()))
            raise UserError(f"{len(failures)} of {len(items)} videos have no features, such as {video}: {why}")
        return
    store = feature_store(Path(of.store), layout, layout.files, of.pooling, of.max_snippets, of.source, partly=True)
    _log.info("%s: %d videos, vectors of size %d", store.path, len(layout.files), store.dim)
