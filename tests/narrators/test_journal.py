"""Nothing that was written is lost, done twice, or mixed."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.data.narratives import read_narratives, to_line
from src.data.records import Narratives
from src.errors import UserError
from src.narrators.journal import Journal, failures_file
from src.narrators.narrator import Failure
from src.videos.collection import Item

WRITER: dict[str, Any] = {"narrator": "tiny", "model": "m", "prompt": "Describe.", "generation": {"max_new_tokens": 4}}


def _said(video: str, writer: dict[str, Any] | None = None) -> Narratives:
    return Narratives(video, (0.0, 1.0), (f"{video} begins – schön.", "It ends."), writer or WRITER)


def _write(path: Path, *videos: str) -> None:
    with Journal(path, WRITER, retry_failed=False) as journal:
        for video in videos:
            journal.append(_said(video))


def test_a_second_run_continues(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "n.jsonl"
    _write(path, "a", "b")
    with Journal(path, WRITER, retry_failed=False) as journal:
        assert journal.done == {"a", "b"}
        journal.append(_said("c"))
    assert [narratives.video for narratives in read_narratives(path)] == ["a", "b", "c"]


def test_an_outcome_is_on_the_disk_when_append_returns(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    with Journal(path, WRITER, retry_failed=False) as journal:
        journal.append(_said("a"))
        assert path.read_text(encoding="utf-8") == to_line(_said("a"))
        journal.append(Failure("b", "bad"))
        assert json.loads(failures_file(path).read_text()) == {"video": "b", "reason": "bad"}


def test_an_outcome_outlives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, int]] = []
    sync = os.fsync

    def noted(file: Any) -> None:
        number = file if isinstance(file, int) else file.fileno()
        synced.append((os.readlink(f"/proc/self/fd/{number}"), os.fstat(number).st_size))
        sync(number)

    monkeypatch.setattr(os, "fsync", noted)
    path = tmp_path / "n.jsonl"
    with Journal(path, WRITER, retry_failed=False) as journal:
        # The names of new files too.
        assert [name for name, _ in synced].count(str(tmp_path)) >= 2
        for outcome, file in ((_said("a"), path), (Failure("b", "bad"), failures_file(path))):
            journal.append(outcome)
            assert synced[-1] == (str(file), file.stat().st_size)
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"torn")
    synced.clear()
    with Journal(path, WRITER, retry_failed=False):
        assert (str(path), whole) in synced


@given(lost=st.integers(1, 10_000))
def test_a_torn_line_is_cut_off_and_reported(lost: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("torn") / "n.jsonl"
    whole = to_line(_said("a")).encode()
    last = to_line(_said("b")).encode()
    path.write_bytes(whole + last[: max(len(last) - lost, 0)])
    with Journal(path, WRITER, retry_failed=False) as journal:
        assert journal.done == {"a"}
        journal.append(_said("b"))
    assert path.read_bytes() == whole + last


def test_the_report_of_a_torn_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "n.jsonl"
    path.write_bytes(to_line(_said("a")).encode() + b'{"video": "b", "ti')
    with caplog.at_level(logging.WARNING), Journal(path, WRITER, retry_failed=False):
        pass
    assert "torn (18 bytes)" in caplog.text


def test_a_long_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    whole = to_line(_said("a")).encode()
    for torn in (b"x" * 2**16, b"x" * (2**16 - 1), b"x" * (3 * 2**16 + 5)):
        path.write_bytes(whole + torn)
        _write(path)
        assert path.read_bytes() == whole
        path.write_bytes(torn)
        _write(path)
        assert path.read_bytes() == b""


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"prompt": "Say more."}, "prompt 'Describe.' and 'Say more.'"),
        ({"model": "other"}, "model 'm' and 'other'"),
        ({"generation": {"max_new_tokens": 5}}, "generation"),
        ({"interval": 2.0}, "interval None and 2.0"),
    ],
)
def test_two_writers_never_share_a_file(tmp_path: Path, change: dict[str, Any], names: str) -> None:
    path = tmp_path / "n.jsonl"
    _write(path, "a")
    before = path.read_bytes()
    with pytest.raises(UserError, match="other settings") as caught:
        Journal(path, WRITER | change, retry_failed=False)
    assert names in str(caught.value)
    assert "output=FILE" in str(caught.value)
    assert path.read_bytes() == before


def test_two_runs_never_write_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    with Journal(path, WRITER, retry_failed=False), pytest.raises(UserError, match="another run is writing"):
        Journal(path, WRITER, retry_failed=False)
    Journal(path, WRITER, retry_failed=False).close()


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    path.write_text(to_line(_said("a")) + '{"video": "b", "ti\n' + to_line(_said("c")), encoding="utf-8")
    with pytest.raises(UserError, match="line 2"):
        Journal(path, WRITER, retry_failed=False)


def test_failures_are_kept_until_they_are_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    with Journal(path, WRITER, retry_failed=False) as journal:
        journal.append(Failure("a", "a is empty (0 bytes)"))
        journal.append(_said("b"))
    with Journal(path, WRITER, retry_failed=False) as journal:
        assert journal.failed == {"a": "a is empty (0 bytes)"}
    with Journal(path, WRITER, retry_failed=True) as journal:
        assert (journal.failed, journal.done) == ({}, {"b"})
        journal.append(_said("a"))
    assert failures_file(path).read_bytes() == b""


def test_a_torn_failure_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    failures_file(path).write_text('{"video": "a", "reason": "bad"}\n{"video": "b", "rea')
    with Journal(path, WRITER, retry_failed=False) as journal:
        assert journal.failed == {"a": "bad"}


def test_a_damaged_failures_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    failures_file(path).write_text('{"name": "a"}\n')
    with pytest.raises(UserError, match=r"failures\.jsonl, line 1"):
        Journal(path, WRITER, retry_failed=False)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        Journal(tmp_path / "file" / "n.jsonl", WRITER, retry_failed=False)


def _items(folder: Path, **contents: str) -> list[Item]:
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}.mp4").write_text(content)
    return [Item(name, folder / f"{name}.mp4") for name in contents]


def test_another_file_of_the_name_is_not_taken_for_the_same(tmp_path: Path) -> None:
    path, items = tmp_path / "n.jsonl", _items(tmp_path / "one", a="first", b="second")
    with Journal(path, WRITER, False, items) as journal:
        journal.append(_said("a"))
        journal.append(Failure("b", "b is empty"))
    with Journal(path, WRITER, False, items) as journal:
        assert (journal.done, journal.failed) == ({"a"}, {"b": "b is empty"})
    # A copy is the same, with another time and in another place; so is what is gone.
    shutil.copyfile(items[0].path or "", tmp_path / "a.mp4")
    os.utime(tmp_path / "a.mp4", (1, 1))
    with Journal(path, WRITER, False, [Item("a", tmp_path / "a.mp4"), Item("b", None)]) as journal:
        assert (journal.done, set(journal.failed)) == ({"a"}, {"b"})
    before = path.read_bytes()
    for content in ("other", "longer than before"):
        with pytest.raises(
            UserError, match=r"of 1 videos whose files are others now, such as .*a\.mp4: give output=FILE"
        ):
            Journal(path, WRITER, False, _items(tmp_path / "two", a=content))
    assert path.read_bytes() == before


def test_a_failed_video_whose_file_was_replaced_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    with Journal(path, WRITER, False, _items(tmp_path / "v", a="bad", b="bad")) as journal:
        journal.append(Failure("a", "a is cut off"))
        journal.append(Failure("b", "b is cut off"))
    with Journal(path, WRITER, False, _items(tmp_path / "v", a="good")) as journal:
        assert set(journal.failed) == {"b"}
        journal.append(_said("a"))
    with Journal(path, WRITER, False, _items(tmp_path / "v", a="good")) as journal:
        assert (journal.done, set(journal.failed)) == ({"a"}, {"b"})


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(
    tmp_path: Path, error: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def without(*arguments: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "flock", without)
    _write(tmp_path / "n.jsonl", "a")
    assert [one.video for one in read_narratives(tmp_path / "n.jsonl")] == ["a"]
    assert "see to it that no other run writes it" in caplog.text


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    _write(path, "a")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(path, WRITER, retry_failed=False) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, limits[1]))
        try:
            with pytest.raises(UserError, match=r"n\.jsonl cannot be written \(File too large\)"):
                journal.append(_said("b"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    _write(path, "b")
    assert [one.video for one in read_narratives(path)] == ["a", "b"]
