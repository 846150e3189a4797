"""What `src.narrate` does with a composed config."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.data.records import Narratives
from src.data.splits import load_split, split_names
from src.errors import UserError, printable
from src.files import parse_json, whole
from src.narrators.build import build_narrator
from src.narrators.cluster import cluster_outcomes
from src.narrators.journal import Journal, failures_file
from src.narrators.narrator import Failure, Narrator, Outcome, Reading
from src.narrators.shards import merge
from src.places import Places
from src.progress import Progress
from src.videos.collection import Item, collect
from src.videos.shards import parse_shard

# Videos in a row with which a narrator fails before the run ends: before the first one that it narrates, and after.
_FIRST_FAILURES, _FAILURES = 3, 20
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
    write_narratives_of(
        items, output, narrator, reading, lambda todo: _outcomes(cfg, narrator, todo, reading), cfg.retry_failed
    )


def write_narratives_of(
    items: Sequence[Item],
    output: Path,
    narrator: Narrator,
    reading: Reading,
    outcomes: Callable[[list[Item]], Iterable[Outcome]],
    retry_failed: bool = False,
) -> None:
    """Narrate the videos that the file at `output` lacks.

    Args:
        items: The videos.
        output: The narratives file.
        narrator: Who narrates.
        reading: How files are read.
        outcomes: What becomes of videos.
        retry_failed: Whether the failures of earlier runs are forgotten.

    Raises:
        UserError: nothing can be narrated; or, once all the others are, some videos failed.
    """
    with Journal(output, narrator.writer(reading), retry_failed, items) as journal:
        todo = [item for item in items if item.video not in journal.done and item.video not in journal.failed]
        if len(todo) < len(items):
            _log.info("%d of %d videos are done or have failed before", len(items) - len(todo), len(items))
        _write(_unless_all_fail(outcomes(todo)), len(todo), journal)
        failed = {item.video: journal.failed[item.video] for item in items if item.video in journal.failed}
        _log.info("%s: narratives of %d videos", journal.path, len(journal.done))
    _raise_if_any(failed, len(items), output)


def _assess(cfg: DictConfig) -> None:
    """Report on the narratives file, against the queries of the data set if there is one."""
    from src.narrators.assessment import Queries, assess  # takes seconds, and narrating needs none of it

    file, queries = output_file(cfg), None
    if cfg.get("data") is not None:
        splits = {split: load_split(cfg.data, split).moments for split in split_names(cfg.data)}
        store = Places(cfg).narrative_store_of(file.stem)
        queries = Queries(cfg.data.name, splits, instantiate(cfg.text.encoder), cfg.text.name, store)
    assess(file, queries)


def _outcomes(cfg: DictConfig, narrator: Narrator, items: list[Item], reading: Reading) -> Iterable[Outcome]:
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
    _raise_if_any(failed, len(videos), output)


def _raise_if_any(failed: dict[str, str], total: int, output: Path) -> None:
    if failed:
        video, reason = next(iter(failed.items()))
        raise UserError(
            f"{len(failed)} of {total} videos failed, such as {video}: {reason}. All reasons: "
            f"{failures_file(output)}; try them again with retry_failed=true"
        )


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
    output = Places(cfg).narratives_of(videos.name if videos.is_dir() else videos.stem)
    _claim(output.parent / "collection.json", videos)
    return output


def _claim(claim: Path, videos: Path) -> None:
    """Keep which videos a folder of narratives is of, so that others of that name are told apart.

    Raises:
        UserError: It is of others.
    """
    if claim.is_file():
        there = parse_json(claim.read_bytes(), claim)
        if there != {"videos": printable(str(videos))}:
            raise UserError(
                f"{claim.parent} has the narratives of {there.get('videos') if isinstance(there, dict) else there}, "
                f"not of {videos}: give output=FILE for these"
            )
        return
    with whole(claim) as temporary:
        temporary.write_text(
            json.dumps({"videos": printable(str(videos))}, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def _unless_all_fail(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """The outcomes, but none of many failures in a row: what the narrator cannot do with any video is a mistake of the
    settings or a trouble of its own, and no reason to give up every video.

    Raises:
        UserError: The first videos have all failed, or many in a row, because of the narrator.
    """
    failures: list[Failure] = []
    limit = _FIRST_FAILURES
    for outcome in outcomes:
        if isinstance(outcome, Failure) and not outcome.of_file:
            failures.append(outcome)
            if len(failures) == limit:
                raise UserError(
                    f"the narrator failed with {limit} videos in a row, such as {outcome.video}: {outcome.reason}. "
                    "They do not count as failed: run this again once that is mended"
                )
            continue
        if isinstance(outcome, Narratives):
            limit = _FAILURES
            yield from failures
            failures.clear()
        yield outcome
    yield from failures


def _write(outcomes: Iterable[Outcome], total: int, journal: Journal) -> None:
    captions, repeated, start = 0, 0, time.monotonic()
    with Progress(None, "narrating", "video", total) as progress:
        for outcome in outcomes:
            journal.append(outcome)
            if isinstance(outcome, Failure):
                progress.write(f"failed: {outcome.video}: {outcome.reason}")
            else:
                captions += len(outcome.texts) - len(outcome.repeated)
                repeated += len(outcome.repeated)
            speed = captions / (time.monotonic() - start)
            progress.set_postfix_str(f"{captions} captions, {speed:.2f} captions/s", refresh=False)
            progress.update()
    if repeated:
        _log.info("%d frames showed what the one before showed and took its narrative; %d narrated", repeated, captions)
