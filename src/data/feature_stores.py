"""Video features, from the layout they are published in to a store."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from src.data.layouts import Layout
from src.data.store import Columns, Store, listing, open_if_made_by, write_store
from src.errors import UserError
from src.moments import Pooling, pool

_log = logging.getLogger(__name__)


def feature_store(
    path: Path, layout: Layout, videos: Iterable[str], pooling: Pooling, max_snippets: int, source: str
) -> Store:
    """The store of the features of `videos`, each pooled to at most `max_snippets`; converted if need be.

    A store that was made just so is kept if it has every video. If it lacks some, because another data set of the same
    videos made it, it is made anew with those it has and those it lacks. A store whose source is gone is kept too.

    Args:
        path: The store's file.
        layout: The layout that reads the published features.
        videos: The ids of the videos; every one must have features.
        pooling: How longer videos are pooled: `max` or `mean`.
        max_snippets: The most snippets a video keeps.
        source: Where the features come from, for the message when they are missing.

    Raises:
        UserError: Videos without features (it counts and names them), or features that cannot be used; the store is
            then left as it was.
    """
    wanted = set(videos)
    if path.is_file() and not any(place.exists() for place in layout.places):
        store = Store(path)
        if not wanted - set(store):
            return store
    made_by = {"features": layout.identity, "pooling": pooling, "max_snippets": max_snippets}
    kept = open_if_made_by(path, made_by)
    if kept is not None:
        if not wanted - set(kept):
            return kept
        _log.info("making %s anew: it lacks %d videos", path, len(wanted - set(kept)))
        wanted |= {video for video in kept if video in layout}

    require_features(layout, wanted, source)

    def rows() -> Iterator[tuple[str, Columns]]:
        for video in tqdm(sorted(wanted), desc=path.name, unit="video", delay=3):
            yield video, {"features": pool(torch.from_numpy(layout(video)), max_snippets, pooling).numpy()}

    write_store(path, rows(), made_by)
    return Store(path)


def missing_places(layout: Layout, source: str) -> list[str]:
    """What to do about published features that are not where they are looked for; nothing if they are."""
    places = [str(place) for place in layout.places if not place.exists()]
    return [f"no video features at {' or '.join(places)}: get them from {source} and put them there"] if places else []


def require_features(layout: Layout, videos: Iterable[str], source: str) -> None:
    """Raise a UserError if there are no published features of some of `videos`."""
    if missing := missing_places(layout, source):
        raise UserError(missing[0])
    wanted = sorted(videos)
    lacking = [video for video in wanted if video not in layout]
    if lacking:
        places = " and ".join(str(place) for place in layout.places)
        count = f"{len(lacking)} of {len(wanted)} videos ({listing(lacking)})"
        raise UserError(f"{places}: no features of {count}; get them from {source}")
