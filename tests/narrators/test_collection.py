"""Which videos are narrated, and under which ids."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from src.errors import UserError
from src.videos.collection import Item, collect


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a.MKV", "deep/c.webm", "notes.txt", "deep/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_a_folder(folder: Path) -> None:
    items = [Item("a", folder / "a.MKV"), Item("b", folder / "b.mp4"), Item("c", folder / "deep" / "c.webm")]
    assert collect(folder, None) == items


def test_one_file(folder: Path) -> None:
    assert collect(folder / "b.mp4", None) == [Item("b", folder / "b.mp4")]


def test_a_list(folder: Path) -> None:
    (folder / "list.txt").write_text(f"deep/c.webm\n\n{folder / 'b.mp4'}\ndeep/c.webm\ngone.mp4\n")
    assert collect(folder / "list.txt", None) == [
        Item("b", folder / "b.mp4"),
        Item("c", folder / "deep" / "c.webm"),
        Item("gone", folder / "gone.mp4"),
    ]


def test_the_videos_of_a_data_set_with_or_without_an_ending(folder: Path) -> None:
    assert collect(folder, ["c", "a.MKV", "z", "c"]) == [
        Item("a.MKV", folder / "a.MKV"),
        Item("c", folder / "deep" / "c.webm"),
        Item("z", None),
    ]


def test_bad_places(folder: Path) -> None:
    with pytest.raises(UserError, match="no videos at"):
        collect(folder / "nowhere", None)
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="no videos in"):
        collect(folder / "empty", None)
    (folder / "deep" / "b.avi").write_bytes(b"")
    with pytest.raises(UserError, match="two videos are called b"):
        collect(folder, None)


def test_links_are_followed_and_loops_end(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "far").mkdir()
    (elsewhere / "far" / "e.mp4").write_bytes(b"")
    (elsewhere / "back").symlink_to(folder)
    (folder / "linked").symlink_to(elsewhere)
    (folder / "again").symlink_to(folder / "deep")
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "f.mp4").symlink_to(elsewhere / "gone.mp4")
    (folder / "g.mp4").symlink_to(folder / "b.mp4")
    found = {item.video: item.path for item in collect(folder, None)}
    # What only a link leads to is there; what a folder has is there once, under its own path.
    assert set(found) == {"a", "b", "c", "e", "f", "g"}
    assert found["c"] == folder / "deep" / "c.webm"
    assert found["e"] == folder / "linked" / "far" / "e.mp4"


def test_what_is_left_out_is_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("._b.mp4", "deep/._c.webm", "x.jpg", ".trash/old.mp4", "dir.mp4/inside.mp4", "none"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    with caplog.at_level(logging.INFO):
        assert [item.video for item in collect(folder, None)] == ["a", "b", "c", "inside"]
    assert "7 files left out because of their names: 3 hidden, 2 .jpg, 1 .txt, 1 without ending" in caplog.text
    (folder / "nothing").mkdir()
    (folder / "nothing" / "a.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"no videos in .*nothing \(what is there: 1 .jpg\)"):
        collect(folder / "nothing", None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_a_folder_that_cannot_be_looked_into_is_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "deep").chmod(0)
    assert [item.video for item in collect(folder, None)] == ["a", "b"]
    assert "deep cannot be looked into" in caplog.text
    (folder / "deep").chmod(0o755)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_list_that_windows_wrote(folder: Path, mark: str, ends: str) -> None:
    (folder / "list.TXT").write_bytes(f"{mark}b.mp4{ends}deep/c.webm{ends}".encode())
    assert collect(folder / "list.TXT", None) == [Item("b", folder / "b.mp4"), Item("c", folder / "deep" / "c.webm")]
    (folder / "list.TXT").write_bytes("b.mp4".encode("utf-16"))
    with pytest.raises(UserError, match="no list of paths in UTF-8"):
        collect(folder / "list.TXT", None)


def test_names_that_are_no_text(folder: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.mp4"))
    odd.write_bytes(b"")
    (folder / "two\nlines.mp4").write_bytes(b"")
    (folder / "list.txt").write_bytes(b"caf\xe9.mp4\n")
    assert Item(r"caf\xe9", odd) in collect(folder, None)
    assert Item("two lines", folder / "two\nlines.mp4") in collect(folder, None)
    assert collect(folder / "list.txt", None) == [Item(r"caf\xe9", odd)]


def test_paths_tell_videos_of_one_name_apart(folder: Path) -> None:
    (folder / "deep" / "b.mp4").write_bytes(b"")
    with pytest.raises(UserError, match=r"two videos are called b: .*ids=path"):
        collect(folder, None)
    found = collect(folder, None, "path")
    assert [item.video for item in found] == ["a.MKV", "b.mp4", "deep/b.mp4", "deep/c.webm"]
    assert collect(folder, ["deep/b", "b.mp4"], "path") == [found[1], Item("deep/b", folder / "deep" / "b.mp4")]
    with pytest.raises(UserError, match="ids=number: give name or path"):
        collect(folder, None, "number")  # type: ignore[arg-type]
