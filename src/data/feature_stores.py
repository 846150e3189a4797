"""Video features, from the layout they are published in to a store."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from src.data.layouts import Layout
from src.data.store import Columns, Store, listing, open_if_made_by, write_store
from src.errors import UserError
from src.files import digest, whole
from src.moments import Pooling, pool
from src.progress import Progress

_log = logging.getLogger(__name__)


def feature_store(
    path: Path,
    layout: Layout,
    videos: Iterable[str],
    pooling: Pooling,
    max_snippets: int,
    source: str,
    partly: bool = False,
) -> Store:
    """The store of the features of `videos`, each pooled to at most `max_snippets`; converted if need be.

    A store that was made just so, of what is there now, is kept if it has every video. If it lacks some, because
    another data set of the same videos made it, it is made anew with those it has and those it lacks. A store whose
    source is gone, wholly or in part, is kept too.

    Args:
        path: The store's file.
        layout: The layout that reads the published features.
        videos: The ids of the videos; every one must have features.
        pooling: How longer videos are pooled: `max` or `mean`.
        max_snippets: The most snippets a video keeps.
        source: Where the features come from, for the message when they are missing.
        partly: Whether the store is made of the others where features of some videos cannot be computed.

    Raises:
        UserError: Videos without features (it counts and names them, and all reasons are in the failures file), or
            features that cannot be used; the store is then left as it was, or with `partly` made of the others.
    """
    wanted = set(videos)
    if path.is_file() and not any(place.exists() for place in layout.places):
        store = Store(path)
        if not wanted - set(store):
            return store
    settings = {"pooling": pooling, "max_snippets": max_snippets}
    kept = open_if_made_by(path, settings)
    if kept is not None and (why := _changed(kept, layout)):
        _log.info("making %s anew: %s", path, why)
    elif kept is not None:
        if not wanted - set(kept):
            failures_file(path).unlink(missing_ok=True)
            return kept
        _log.info("making %s anew: it lacks %d videos", path, len(wanted - set(kept)))
        wanted |= {video for video in kept if video in layout}

    if missing := layout.missing():
        raise UserError("; and ".join(missing))
    require_features(layout, wanted, source)

    failures = layout.compute(sorted(wanted))
    if failures and not (partly and failures.keys() < wanted):
        raise _failed(failures, len(wanted), path)
    wanted -= failures.keys()

    def rows() -> Iterator[tuple[str, Columns]]:
        for video in Progress(sorted(wanted), path.name, "video"):
            yield video, {"features": pool(torch.from_numpy(layout(video)), max_snippets, pooling).numpy()}

    made_of = digest(layout.sources(sorted(wanted)))
    write_store(path, rows(), {"features": layout.identity, **settings, "source": made_of})
    if failures:
        raise _failed(failures, len(wanted) + len(failures), path)
    failures_file(path).unlink(missing_ok=True)
    return Store(path)


def failures_file(store: Path) -> Path:
    """The file beside a store that says which videos have no features and why: JSON Lines of {"video", "reason"}."""
    return store.with_suffix(".failures.jsonl")


def _failed(failures: Mapping[str, str], total: int, store: Path) -> UserError:
    listed = failures_file(store)
    with whole(listed) as temporary:
        lines = [json.dumps({"video": video, "reason": why}, ensure_ascii=False) for video, why in failures.items()]
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    video, why = next(iter(failures.items()))
    return UserError(
        f"{len(failures)} of {total} videos have no features, such as {video}: {why}. The others are done. All "
        f"reasons: {listed}; run this again to try them again"
    )


def require_same_features(store: Store, layout: Layout, pooling: Pooling, max_snippets: int) -> None:
    """Raise a UserError if a store was made of other features than the layout's, or otherwise.

    Their place counts by its name alone: a store can be used where what it was made of lies elsewhere, or not at all.
    """
    asked = {"features": _named(layout.identity), "pooling": pooling, "max_snippets": max_snippets}
    for name, value in asked.items():
        there = _named(store.made_by.get(name, value))
        if not _agrees(there, value):
            raise UserError(
                f"{store.path} was made with {name} {there}, and the configuration has {value}: run python -m "
                "src.prepare with the options of this command, or give features.store another place"
            )


def _changed(store: Store, layout: Layout) -> str | None:
    """Why a store is not of what a layout reads now; None if it is, or that cannot be told."""
    if not _agrees(_named(store.made_by.get("features")), _named(layout.identity)):
        return "it was made of other features"
    if "source" not in store.made_by:
        return "it does not say what its features were made of"
    videos = sorted(store)
    if all(video in layout for video in videos) and digest(layout.sources(videos)) != store.made_by["source"]:
        return "the files it was made of have changed"
    return None


def _agrees(there: Any, asked: Any) -> bool:
    """Whether two identities are one. What cannot be told here, as the digest of weights elsewhere, is None."""
    if isinstance(there, dict) and isinstance(asked, dict):
        return there.keys() == asked.keys() and all(_agrees(there[key], asked[key]) for key in there)
    return asked is None or there == asked


def _named(identity: Any) -> Any:
    """An identity whose places are their names alone, as JSON gives it back."""
    if isinstance(identity, dict):
        return {key: Path(value).name if key == "place" else _named(value) for key, value in identity.items()}
    return [_named(value) for value in identity] if isinstance(identity, list | tuple) else identity


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
