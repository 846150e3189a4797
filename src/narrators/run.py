"""What `src.narrate` does with a composed config."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

from src.build import narratives_file
from src.data.dataset import load_split, split_names
from src.errors import UserError
from src.narrators.collection import collect
from src.narrators.journal import Journal
from src.narrators.narrator import Failure, Item, Narrator, Outcome, Reading

_log = logging.getLogger(__name__)


def narrate(cfg: DictConfig) -> None:
    """Narrate what is not narrated yet.

    Raises:
        UserError: nothing can be narrated; or, once all the others are, some videos failed.
    """
    items = collection(cfg)
    narrator: Narrator = instantiate(cfg.narrator, _convert_="all")
    reading = Reading(**cfg.frames)
    with Journal(output_file(cfg), narrator.writer(reading), cfg.retry_failed) as journal:
        todo = [item for item in items if item.video not in journal.done and item.video not in journal.failed]
        if len(todo) < len(items):
            _log.info("%d of %d videos are done or have failed before", len(items) - len(todo), len(items))
        _write(narrator.outcomes(todo, reading), len(todo), journal)
        failed = {item.video: journal.failed[item.video] for item in items if item.video in journal.failed}
        _log.info("%s: narratives of %d videos", journal.path, len(journal.done))
        if failed:
            video, reason = next(iter(failed.items()))
            raise UserError(
                f"{len(failed)} of {len(items)} videos failed, such as {video}: {reason}. All reasons: "
                f"{journal.failures_path}; try them again with retry_failed=true"
            )


def collection(cfg: DictConfig) -> list[Item]:
    """The videos that the config names."""
    if cfg.videos is None:
        raise UserError("say where the videos are: videos=FOLDER, a video file, or a .txt with a path a line")
    wanted = None
    if cfg.get("data") is not None:
        wanted = {moment.video for split in split_names(cfg.data) for moment in load_split(cfg.data, split).moments}
    return collect(Path(cfg.videos), wanted)


def output_file(cfg: DictConfig) -> Path:
    """Where the narratives go: `output`, else a place named after the data set's videos or the folder of videos."""
    if cfg.output is not None:
        return Path(cfg.output)
    if cfg.get("data") is not None:
        return narratives_file(cfg)
    return Path(cfg.paths.narratives) / Path(cfg.videos).resolve().stem / f"{cfg.narrator.name}.jsonl"


def _write(outcomes: Iterable[Outcome], total: int, journal: Journal) -> None:
    captions, start = 0, time.monotonic()
    with tqdm(total=total, unit="video", desc="narrating", mininterval=1) as progress:
        for outcome in outcomes:
            journal.append(outcome)
            if isinstance(outcome, Failure):
                progress.write(f"failed: {outcome.video}: {outcome.reason}")
            else:
                captions += len(outcome.texts)
            speed = captions / (time.monotonic() - start)
            progress.set_postfix_str(f"{captions} captions, {speed:.2f} captions/s", refresh=False)
            progress.update()
