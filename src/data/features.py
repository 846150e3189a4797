"""Video features, from the layout they are published in to a store."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from src.data.layouts import Layout
from src.data.store import Columns, Store, write_store
from src.errors import UserError
from src.moments import Pooling, pool

_log = logging.getLogger(__name__)


def feature_store(
    path: Path, layout: Layout, videos: Sequence[str], pooling: Pooling, max_snippets: int, source: str
) -> Store:
    """Convert the features of `videos`, each pooled to at most `max_snippets`.

    Args:
        path: of the store to make.
        layout: where they are now.
        videos: ids; every one must have features.
        pooling: how longer videos are pooled.
        max_snippets: the most snippets a video keeps.
        source: where the features come from, for the message when they are missing.

    Raises:
        UserError: videos without features, or features that cannot be used; no store is made then.
    """
    if not layout.place.exists():
        raise UserError(f"no video features at {layout.place}: get them from {source} and put them there")

    missing: list[str] = []

    def rows() -> Iterator[tuple[str, Columns]]:
        for video in tqdm(sorted(videos), desc=f"features to {path.name}", unit="video", delay=3):
            features = layout(video)
            if features is None:
                missing.append(video)
            elif not missing:
                yield video, {"features": pool(torch.from_numpy(features), max_snippets, pooling).numpy()}
        if missing:
            names = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
            raise UserError(
                f"{layout.place} has no features for {len(missing)} of {len(videos)} videos ({names}): "
                f"get them from {source}"
            )

    made_by = {"place": str(layout.place), "pooling": pooling, "max_snippets": max_snippets, "videos": len(videos)}
    write_store(path, rows(), made_by)
    _log.info("made %s: %d videos", path, len(videos))
    return Store(path)
