"""What `python -m src.features` does: a folder of videos in, a store of features out."""

from __future__ import annotations

import logging
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from src.data.feature_stores import feature_store
from src.errors import UserError
from src.features.computed import Computed

_log = logging.getLogger(__name__)


def features(cfg: DictConfig) -> None:
    """Make the store of the features of every video that `videos` names; one that is up to date is kept.

    Raises:
        UserError: no videos, one that cannot be read, or features that are not computed from frames.
    """
    of = cfg.features
    layout = instantiate(of.layout) if "layout" in of else None
    if not isinstance(layout, Computed):
        raise UserError(f"features={of.name} are not computed from frames: choose features=pixels or features=hf")
    store = feature_store(Path(of.store), layout, layout.files, of.pooling, of.max_snippets, of.source)
    _log.info("%s: %d videos, vectors of size %d", store.path, len(layout.files), store.dim)
