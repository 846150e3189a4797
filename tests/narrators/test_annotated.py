"""Sentences with intervals become narratives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from src.commands.narrate import narrate
from src.data.annotations.captions import Captions
from src.data.datamodule import Snippets
from src.data.narratives import read_narratives
from src.data.records import Narratives
from src.errors import UserError
from src.moments import align_narratives
from src.narrators.annotated import AnnotatedNarrator
from src.narrators.narrator import Failure, Outcome, Reading
from src.videos.collection import Item
from tests.compose import compose

READING = Reading("pyav", 64, 1)


def told(
    folder: Path, duration: float, sentences: dict[str, list[float]], interval: float = 2.0, parts: int = 0
) -> Outcome:
    record = {"duration": duration, "timestamps": [*sentences.values()], "sentences": [*sentences]}
    (folder / "val_1.json").write_text(json.dumps({"v": record}))
    narrator = AnnotatedNarrator("human", interval, parts, Captions(str(folder), ["val_1.json"]))
    return next(iter(narrator.outcomes([Item("v", None)], READING)))


def test_a_sentence_is_told_throughout_its_interval_and_overlapping_ones_beside_each_other(tmp_path: Path) -> None:
    found = told(tmp_path, 10.0, {"He sits.": [0.0, 4.0], "It rains.": [2.0, 6.0]})
    assert isinstance(found, Narratives)
    assert list(zip(found.times, found.texts, strict=True)) == [
        *((1.0, "He sits."), (3.0, "He sits."), (3.0, "It rains."), (5.0, "It rains.")),
    ]


def test_parts_widen_an_interval_to_their_borders(tmp_path: Path) -> None:
    found = told(tmp_path, 16.0, {"He sits.": [5.0, 6.0]}, parts=4)
    assert isinstance(found, Narratives)
    assert found.times == (5.0, 7.0)


def test_an_empty_interval_is_left_out_and_a_video_of_such_alone_fails(tmp_path: Path) -> None:
    found = told(tmp_path, 10.0, {"He sits.": [3.0, 3.0], "It rains.": [2.0, 6.0]})
    assert isinstance(found, Narratives)
    assert set(found.texts) == {"It rains."}
    failed = told(tmp_path, 10.0, {"He sits.": [3.0, 3.0]})
    assert isinstance(failed, Failure)
    assert "empty interval" in failed.reason


@given(
    duration=st.floats(1, 300),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda ends: ends[0] != ends[1]),
    interval=st.sampled_from([0.5, 1.0, 2.0]),
)
def test_snippets_of_the_same_length_are_told_of_where_the_sentence_covers_their_middle(
    tmp_path_factory: pytest.TempPathFactory, duration: float, ends: tuple[float, float], interval: float
) -> None:
    start, end = sorted(share * duration for share in ends)
    found = told(tmp_path_factory.getbasetemp(), duration, {"He sits.": [start, end]}, interval)
    if isinstance(found, Narratives):  # shares may be too close to differ in seconds
        length = Snippets(interval, 10_000, "zero").count(duration)
        vectors = torch.ones(len(found.times), 1)
        aligned = align_narratives(torch.tensor(found.times, dtype=torch.float64), vectors, length, duration, "zero")
        middles = (torch.arange(length, dtype=torch.float64) + 0.5) * duration / length
        covered = (start <= middles) & (middles < end)
        assert aligned.sum() == max(1, int(covered.sum()))


def test_a_setting_out_of_range_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"parts \(-1\)"):
        told(tmp_path, 10.0, {"He sits.": [0.0, 4.0]}, parts=-1)


def test_the_command_tells_what_one_person_wrote_of_the_videos_that_another_asks_about(tmp_path: Path) -> None:
    folder = tmp_path / "activitynet"
    folder.mkdir()
    record = {"duration": 8.0, "timestamps": [[0.0, 4.0]], "sentences": ["He sits."]}
    (folder / "val_1.json").write_text(json.dumps({f"v{number}": record for number in range(12)}))
    (folder / "val_2.json").write_text(json.dumps({f"v{number}": record for number in range(2, 14)}))
    output = tmp_path / "n.jsonl"
    settings = ("data=anet_human", "narrator=human", f"paths.data={tmp_path}", f"output={output}")
    narrate(compose(*settings, config="narrate"))
    assert {one.video for one in read_narratives(output)} == {f"v{number}" for number in range(2, 12)}
