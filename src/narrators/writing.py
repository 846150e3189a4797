"""Narrating a collection: what is not in its narratives file yet is added to it, a video at a time."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from src.data.records import Narratives
from src.errors import UserError, printable
from src.files import parse_json, whole
from src.narrators.journal import Journal, failures_file
from src.narrators.narrator import Failure, Outcome
from src.progress import Progress
from src.videos.collection import Item

# Videos in a row with which a narrator fails before the run ends: before the first one that it narrates, and after.
_FIRST_FAILURES, _FAILURES = 3, 20
_log = logging.getLogger(__name__)

Report = Callable[[int, int], None]
"""Is told how many videos are done, and of how many."""


def narrate_missing(
    items: Sequence[Item],
    output: Path,
    writer: dict[str, Any],
    retry_failed: bool,
    outcomes: Callable[[list[Item]], Iterable[Outcome]],
    report: Report | None = None,
    part: bool = False,
) -> dict[str, str]:
    """Narrate the videos that are not in the narratives file, and have not failed before.

    Args:
        items: The videos of the collection.
        output: The narratives file.
        writer: What writes its records.
        retry_failed: Whether those that failed before are tried again.
        outcomes: Narrates some of the items.
        report: Is told after each video.
        part: Whether others narrate the rest of the collection at the same time.

    Returns:
        Those of the items that have failed, now or before, and why.

    Raises:
        UserError: Nothing can be narrated, or written. What was done is kept.
    """
    with Journal(output, writer, retry_failed, items) as journal:
        todo = [item for item in items if item.video not in journal.done and item.video not in journal.failed]
        if len(todo) < len(items):
            _log.info("%d of %d videos are done or have failed before", len(items) - len(todo), len(items))
        if todo:
            _write(_unless_all_fail(outcomes(todo)), len(todo), journal, report, part)
        _log.info("%s: narratives of %d videos", journal.path, len(journal.done))
        return {item.video: journal.failed[item.video] for item in items if item.video in journal.failed}


def require_narrated(failed: dict[str, str], total: int, output: Path) -> None:
    """Raise if videos have failed.

    Args:
        failed: They, and why.
        total: How many were to be narrated.
        output: The narratives file.

    Raises:
        UserError: Some have.
    """
    if failed:
        video, reason = next(iter(failed.items()))
        raise UserError(
            f"{len(failed)} of {total} videos failed, such as {video}: {reason}. All reasons: "
            f"{failures_file(output)}; try them again with retry_failed=true"
        )


def name_of(videos: Path) -> str:
    """What a folder or file of videos is called where things are named after it."""
    return videos.name if videos.is_dir() else videos.stem


def claimed(file: Path, videos: Path) -> Path:
    """A narratives file in a folder that is kept for the videos of one place.

    Raises:
        UserError: The folder is kept for those of another place of the same name.
    """
    _claim(file.parent / "collection.json", videos)
    return file


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


def _write(outcomes: Iterable[Outcome], total: int, journal: Journal, report: Report | None, part: bool) -> None:
    name = journal.path.stem
    captions, repeated, start = 0, 0, time.monotonic()
    with Progress(None, f"narrating {name}", "video", total, part) as progress:
        for outcome in outcomes:
            journal.append(outcome)
            if isinstance(outcome, Failure):
                progress.write(f"{name}: failed: {outcome.video}: {outcome.reason}")
            else:
                captions += len(outcome.texts) - len(outcome.repeated)
                repeated += len(outcome.repeated)
            speed = captions / (time.monotonic() - start)
            progress.set_postfix_str(f"{captions} captions, {speed:.2f} captions/s", refresh=False)
            progress.update()
            if report is not None:
                report(int(progress.n), total)
    if repeated:
        _log.info("%d frames showed what the one before showed and took its narrative; %d narrated", repeated, captions)
