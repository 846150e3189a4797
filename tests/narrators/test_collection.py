"""Which videos are narrated, and under which ids."""

from __future__ import annotations

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
