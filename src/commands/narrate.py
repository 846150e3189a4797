"""What `src.narrate` does with a composed config."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.data.splits import load_split, split_names
from src.errors import UserError
from src.narrators.build import build_narrator
from src.narrators.cluster import cluster_outcomes
from src.narrators.narrator import Narrator, Outcome, Reading
from src.narrators.shards import merge
from src.narrators.writing import claimed, name_of, narrate_missing, require_narrated
from src.places import Places
from src.videos.collection import Item, collect
from src.videos.shards import parse_shard

_log = logging.getLogger(__name__)


def narrate(cfg: DictConfig) -> None:
    """Narrate what is not narrated yet, join the files of shards, or report on a file.

    Raises:
        UserError: nothing can be narrated; or, once all the others are, some videos failed.
    """
    if cfg.merge is not None:
        _merge(cfg)
        return
    if cfg.report:
        _assess(cfg)
        return
    narrator = build_narrator(cfg.narrator)
    items, output = collection(cfg, narrator), output_file(cfg)
    if cfg.shard is not None:
        shard = parse_shard(cfg.shard, cfg.shards)
        items, output = shard.items(items), shard.file(output)
    reading = Reading(**cfg.frames)
    writer = narrator.writer(reading)
    outcomes = partial(_outcomes, cfg, narrator, reading)
    failed = narrate_missing(items, output, writer, cfg.retry_failed, outcomes, part=cfg.shard is not None)
    require_narrated(failed, len(items), output)


def _assess(cfg: DictConfig) -> None:
    """Report on the narratives file, against the queries of the data set if there is one."""
    from src.narrators.assessment import Queries, assess  # takes seconds, and narrating needs none of it

    file, queries = output_file(cfg), None
    if cfg.get("data") is not None:
        splits = {split: load_split(cfg.data, split).moments for split in split_names(cfg.data)}
        store = Places(cfg).narrative_store_of(file.stem)
        queries = Queries(cfg.data.name, splits, instantiate(cfg.text.encoder), cfg.text.name, store)
    assess(file, queries)


def _outcomes(cfg: DictConfig, narrator: Narrator, reading: Reading, items: list[Item]) -> Iterable[Outcome]:
    """What becomes of `items`: here, or on a cluster."""
    if not cfg.ray.workers or not items:
        return narrator.outcomes(items, reading)
    config: Any = OmegaConf.to_container(cfg.narrator, resolve=True)
    return cluster_outcomes(config, items, reading, cfg.ray.workers, cfg.ray.gpus)


def _merge(cfg: DictConfig) -> None:
    patterns = [cfg.merge] if isinstance(cfg.merge, str) else list(cfg.merge)
    videos = _data_videos(cfg) or {item.video for item in collect(_place(cfg), None, cfg.ids)}
    output = output_file(cfg)
    failed = merge(patterns, output, videos)
    _log.info("%s: narratives of %d videos", output, len(videos) - len(failed))
    require_narrated(failed, len(videos), output)


def collection(cfg: DictConfig, narrator: Narrator) -> list[Item]:
    """The videos that the config names, in order of their ids."""
    wanted = _data_videos(cfg)
    if narrator.videos is None:
        return collect(_place(cfg), wanted, cfg.ids)
    return [Item(video, None) for video in sorted(wanted or narrator.videos)]


def _place(cfg: DictConfig) -> Path:
    if cfg.videos is None:
        raise UserError("say where the videos are: videos=FOLDER, a video file, or a .txt with a path a line")
    return Path(str(cfg.videos))


def _data_videos(cfg: DictConfig) -> set[str] | None:
    """The ids of the data set's videos; None without a data set."""
    if cfg.get("data") is None:
        return None
    return {moment.video for split in split_names(cfg.data) for moment in load_split(cfg.data, split).moments}


def output_file(cfg: DictConfig) -> Path:
    """Where the narratives go: `output`, else a place named after the data set's videos or the folder of videos."""
    if cfg.output is not None:
        return Path(str(cfg.output))
    if cfg.get("data") is not None:
        return Places(cfg).narratives
    if cfg.videos is None:
        raise UserError("say where to write: output=FILE, or data=NAME for the place of that data set's narratives")
    videos = Path(str(cfg.videos)).resolve()
    return claimed(Places(cfg).narratives_of(name_of(videos)), videos)
