"""Table 1 of the paper, from the real files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from src.data.statistics import rows, table
from tests.compose import data_config


def test_charades_sta_is_as_in_the_paper(shared: Path) -> None:
    every, train, val, test = rows(data_config("charades_sta", shared / "data"))
    assert (every.videos, every.moments) == (6_672, 16_128)
    assert round(every.moment_seconds, 1) == 8.1
    assert round(every.video_seconds, 1) == 30.6
    assert round(every.query_words, 1) == 7.2
    assert round(every.vocabulary, -2) == 1_300
    assert [row.name for row in (every, train, val, test)] == ["all", "train", "val", "test"]
    assert train.moments + val.moments == 12_408
    assert test.moments == 3_720


@pytest.mark.slow
def test_activitynet_is_as_in_the_paper(shared: Path) -> None:
    every, *splits = rows(data_config("anet", shared / "data"))
    assert (every.videos, every.moments) == (14_926, 71_957)
    assert round(every.video_seconds, 1) == 117.6
    assert [row.moments for row in splits] == [37_421, 17_505, 17_031]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "tacos").mkdir()
    for name, sentences in {"train": ["He cuts.", "He cuts it."], "val": ["She eats."], "test": ["He\n eats."]}.items():
        record = {
            "fps": 10,
            "num_frames": 200,
            "timestamps": [[0, 20 * (index + 1)] for index in range(len(sentences))],
            "sentences": sentences,
        }
        (tmp_path / "tacos" / f"{name}.json").write_text(json.dumps({name: record}))
    return tmp_path


def test_rows_count_each_split_and_all(small: Path) -> None:
    every, train, val, test = rows(data_config("tacos", small))
    assert (every.videos, every.moments, every.vocabulary) == (3, 4, 6)
    assert every.moment_seconds == pytest.approx((2 + 4 + 2 + 2) / 4)
    assert every.query_words == pytest.approx((3 + 4 + 3 + 3) / 4)
    assert (train.videos, train.moments, train.moment_seconds, train.video_seconds) == (1, 2, 3, 20)
    assert (val.example, test.example) == ("She eats.", "He eats.")


def test_a_moment_counts_with_what_of_it_lies_in_its_video(small: Path) -> None:
    record = {"fps": 10, "num_frames": 200, "timestamps": [[0, 5], [198, 230], [300, 310]], "sentences": ["a"] * 3}
    (small / "tacos" / "test.json").write_text(json.dumps({"test": record}))
    *_, test = rows(data_config("tacos", small))
    assert test.moment_seconds == pytest.approx((0.5 + 0.2 + 0) / 3)


def test_the_table_is_plain_text_with_one_line_a_split(small: Path) -> None:
    lines = table(data_config("tacos", small)).splitlines()
    assert lines[0] == "TACoS"
    assert lines[1].split("  ")[0] == "split"
    assert [line.split(" ")[0] for line in lines[2:]] == ["all", "train", "val", "test"]
    assert lines[2].split()[1:7] == ["3", "4", "2.5", "20.0", "3.2", "6"]
    # Words begin where their header does, numbers end where it does.
    example = lines[1].index("query example")
    assert [line[example:] for line in lines[2:]] == ["He cuts.", "He cuts.", "She eats.", "He eats."]
    videos = lines[1].index("#video") + len("#video")
    assert [line[:videos].split()[-1] for line in lines[2:]] == ["3", "1", "1", "1"]
