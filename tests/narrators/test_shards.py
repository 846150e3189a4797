"""Shards split a collection once, and their files join to what one run would have written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.commands.prepare import import_captions
from src.data.narratives import to_line
from src.data.records import Narratives
from src.errors import UserError
from src.narrators.journal import Journal, failures_file, read_failures
from src.narrators.narrator import Failure
from src.narrators.shards import merge
from src.places import Places
from src.videos.collection import Item
from src.videos.shards import Shard, parse_shard
from tests.compose import compose

WRITER: dict[str, Any] = {"narrator": "tiny", "model": "m", "prompt": "Describe."}
VIDEOS = [f"v{number}" for number in range(7)]


def _said(video: str, **changes: Any) -> Narratives:
    return Narratives(video, (0.0,), (f"{video} is schön.",), WRITER | changes)


def _write(path: Path, videos: list[str], failed: str = "") -> Path:
    with Journal(path, WRITER, retry_failed=False) as journal:
        for video in videos:
            journal.append(Failure(video, "bad") if video == failed else _said(video))
    return path


def _shards(folder: Path, of: int = 3, failed: str = "") -> str:
    for number in range(of):
        shard = Shard(number, of)
        items = shard.items([Item(video, None) for video in VIDEOS])
        _write(shard.file(folder / "tiny.jsonl"), [item.video for item in items], failed)
    return str(folder / f"tiny.*-of-{of}.jsonl")


@given(count=st.integers(0, 50), of=st.integers(1, 12))
def test_every_video_is_in_one_shard(count: int, of: int) -> None:
    items = [Item(f"v{number:02}", None) for number in range(count)]
    parts = [Shard(number, of).items(items) for number in range(of)]
    assert sorted(item for part in parts for item in part) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_shards_are_written_either_way() -> None:
    assert parse_shard("2/4", None) == parse_shard(2, 4) == parse_shard("2/4", 9) == Shard(2, 4)
    assert Shard(2, 4).file(Path("a/llava_13b.jsonl")) == Path("a/llava_13b.2-of-4.jsonl")


@pytest.mark.parametrize(("shard", "shards"), [("4/4", None), (-1, 4), ("1", None), ("a/b", None), ("1/0", None)])
def test_bad_shards(shard: str | int, shards: int | None) -> None:
    with pytest.raises(UserError, match="shard=i/n"):
        parse_shard(shard, shards)


def test_shards_join_to_what_one_run_writes(tmp_path: Path) -> None:
    whole = _write(tmp_path / "whole.jsonl", VIDEOS)
    output = tmp_path / "tiny.jsonl"
    pattern = _shards(tmp_path)
    assert merge([pattern], output, VIDEOS) == {}
    assert output.read_bytes() == whole.read_bytes()
    merge([pattern], output, VIDEOS)
    assert output.read_bytes() == whole.read_bytes()


def test_failures_are_joined_too(tmp_path: Path) -> None:
    output = tmp_path / "tiny.jsonl"
    assert merge([_shards(tmp_path, failed="v3")], output, VIDEOS) == {"v3": "bad"}
    assert read_failures(failures_file(output)) == {"v3": "bad"}
    assert "v3" not in output.read_text()
    # Narrated since, in a file of its own.
    again = _write(tmp_path / "again.jsonl", ["v3"])
    output.unlink()
    assert merge([str(tmp_path / "tiny.*-of-3.jsonl"), str(again)], output, VIDEOS) == {}
    assert "v3" in output.read_text()


def _twice(folder: Path) -> None:
    _write(folder / "tiny.9-of-3.jsonl", ["v1"])


def _foreign(folder: Path) -> None:
    _write(folder / "tiny.9-of-3.jsonl", ["w"])


def _lost(folder: Path) -> None:
    (folder / "tiny.1-of-3.jsonl").unlink()


def _torn(folder: Path) -> None:
    path = folder / "tiny.1-of-3.jsonl"
    path.write_bytes(path.read_bytes()[:-3])


def _other_prompt(folder: Path) -> None:
    path = folder / "tiny.1-of-3.jsonl"
    path.write_text("".join(to_line(_said(video, prompt="Say more.")) for video in ("v1", "v4")), encoding="utf-8")


def _all_lost(folder: Path) -> None:
    for path in folder.glob("tiny.*"):
        path.unlink()


def _other_there(folder: Path) -> None:
    _write(folder / "tiny.jsonl", ["v1", "older"])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_twice, "video v1 is in .*1-of-3.jsonl and again in .*9-of-3.jsonl"),
        (_foreign, "1 of 8 videos .* do not belong to the collection .such as w"),
        (_lost, "2 of 7 videos are in none of .* narrate all shards to their end first .such as v1"),
        (_torn, "line 2 is torn"),
        (_other_prompt, "prompt 'Say more.' and 'Describe.'"),
        (_all_lost, "no narratives files at"),
        (_other_there, "have other narratives there: give output=FILE"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, spoil: Any, says: str) -> None:
    pattern = _shards(tmp_path)
    spoil(tmp_path)
    output = tmp_path / "tiny.jsonl"
    before = output.read_bytes() if output.exists() else None
    with pytest.raises(UserError, match=says):
        merge([pattern], output, VIDEOS)
    assert (output.read_bytes() if output.exists() else None) == before


def test_what_files_the_narratives_are_of_is_joined_too(tmp_path: Path) -> None:
    """So that a run after the join knows a replaced file."""
    files = {video: tmp_path / f"{video}.mp4" for video in VIDEOS[:4]}
    for video, file in files.items():
        file.write_text(video)
    items = [Item(*each) for each in files.items()]
    for number in range(2):
        shard = Shard(number, 2)
        with Journal(shard.file(tmp_path / "tiny.jsonl"), WRITER, False, shard.items(items)) as journal:
            for item in shard.items(items):
                journal.append(_said(item.video))
    merge([str(tmp_path / "tiny.*-of-2.jsonl")], tmp_path / "tiny.jsonl", files)
    Journal(tmp_path / "tiny.jsonl", WRITER, False, items).close()
    files["v1"].write_text("other")
    with pytest.raises(UserError, match=r"of 1 videos whose files are others now, such as .*v1\.mp4"):
        Journal(tmp_path / "tiny.jsonl", WRITER, False, items)


def test_a_merge_takes_no_file_from_a_run_that_writes_it(tmp_path: Path) -> None:
    pattern, output = _shards(tmp_path), tmp_path / "tiny.jsonl"
    with Journal(output, WRITER, False, ()) as journal:
        journal.append(_said("v0"))
        with pytest.raises(UserError, match="another run is writing"):
            merge([pattern], output, VIDEOS)
        journal.append(_said("v1"))
    assert len(output.read_text().splitlines()) == 2
    merge([pattern], output, VIDEOS)
    assert len(output.read_text().splitlines()) == len(VIDEOS)
    with pytest.raises(UserError):
        merge([pattern], tmp_path / "other.jsonl", [*VIDEOS, "another"])
    assert not (tmp_path / "other.jsonl").exists()


def test_captions_are_not_imported_over_a_run_that_narrates(tmp_path: Path) -> None:
    captions = tmp_path / "captions.json"
    captions.write_text('{"v0": {"0.0": "a door"}}')
    cfg = compose(
        "data=charades_sta",
        f"paths.stores={tmp_path}",
        f"import_narratives={captions}",
        "narrator=minigpt_v2",
        config="prepare",
    )
    file = Places(cfg).narratives
    with Journal(file, WRITER, False, ()) as journal:
        journal.append(_said("v0"))
        with pytest.raises(UserError, match="another run is writing"):
            import_captions(cfg)
        assert file.stat().st_size > 0
