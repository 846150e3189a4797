"""Each odd, damaged or oversized file is one line with the file and what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.data.splits import load_split
from src.errors import UserError
from tests.compose import data_config
from tests.odd_files import ODD
from tests.synthetic import write_charades_cd


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_is_one_line(tmp_path: Path, name: str) -> None:
    file, odd = ODD[name]
    odd.make(tmp_path / file)
    with pytest.raises(UserError) as caught:
        odd.read(tmp_path / file)
    message = str(caught.value)
    assert odd.said in message
    assert str(tmp_path) in message
    assert "\n" not in message
    assert len(message) < 600


@pytest.mark.parametrize("data", ["charades_cg", "charades_sta", "qvhighlights"])
def test_an_empty_training_file_is_told_as_that(tmp_path: Path, data: str) -> None:
    folder = tmp_path / data
    folder.mkdir()
    for name in ("charades_sta_train.txt", "highlight_train_release.jsonl"):
        (folder / name).write_text("")
    for name in ("train.json", "charades.json"):
        (folder / name).write_text("{}")
    with pytest.raises(UserError, match=f"{data}, split train: the annotation files hold no query"):
        load_split(data_config(data, tmp_path), "train")


def test_a_split_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    write_charades_cd(tmp_path / "charades_cd")
    with pytest.raises(UserError, match="has no split 'nosuch': it has train, val, test_iid, test_ood"):
        load_split(data_config("charades_cd", tmp_path, "data.tests=[nosuch]"), "nosuch")


def test_a_loop_of_links_among_annotations_is_one_line(tmp_path: Path) -> None:
    write_charades_cd(tmp_path / "charades_cd")
    file = tmp_path / "charades_cd" / "charades_val.json"
    file.unlink()
    file.symlink_to(file)
    with pytest.raises(UserError, match=str(file)):
        load_split(data_config("charades_cd", tmp_path), "val")
