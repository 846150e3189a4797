"""Captions that exist already become narratives through the same command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from src.commands.narrate import narrate
from src.data.narratives import read_narratives
from src.errors import UserError
from tests.compose import compose
from tests.synthetic import write_charades_cd


def _import(captions: Path, output: Path | str, *overrides: str) -> None:
    settings = ("narrator=imported", "narrator.name=taken", f"narrator.captions={captions}", f"output={output}")
    narrate(compose(*settings, *overrides, config="narrate"))


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "captions"
    folder.mkdir()
    lines = [{"moment": 1, "description": "It closes."}, {"moment": 0, "description": "A door opens."}]
    (folder / "b.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "a.jsonl").write_text('{"moment": 0, "description": "A person sits."}\n')
    return folder


def _json(tmp_path: Path) -> Path:
    path = tmp_path / "captions.json"
    path.write_text(json.dumps({"b": {"3": "It closes.", "1.0": "A door opens."}, "a": {"1": "A person sits."}}))
    return path


def _csv(tmp_path: Path) -> Path:
    path = tmp_path / "captions.csv"
    path.write_text("video,time,text\nb,3,It closes.\na,1,A person sits.\nb,1,A door opens.\n")
    return path


@pytest.mark.parametrize("make", [_folder, _json, _csv])
def test_every_layout(tmp_path: Path, make: object) -> None:
    output = tmp_path / "n.jsonl"
    _import(make(tmp_path), output, "narrator.interval=2.0")  # type: ignore[operator]
    a, b = read_narratives(output)
    assert (a.video, a.times, a.texts) == ("a", (1.0,), ("A person sits.",))
    assert (b.video, b.times, b.texts) == ("b", (1.0, 3.0), ("A door opens.", "It closes."))
    assert a.writer["narrator"] == "taken"
    assert a.writer["imported"].startswith("captions")


def test_videos_of_the_data_set_without_captions_are_reported(tmp_path: Path) -> None:
    first, *missing = sorted(write_charades_cd(tmp_path / "data" / "charades_cd", videos=2, queries=1))
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({first: {"0": "A person sits."}, "other": {"0": "Of no use."}}))
    output = tmp_path / "n.jsonl"
    with pytest.raises(UserError, match=f"{len(missing)} of 6 videos failed, such as {missing[0]}: no captions of"):
        _import(captions, output, "data=charades_cd", f"paths.data={tmp_path / 'data'}")
    assert [one.video for one in read_narratives(output)] == [first]


def test_bad_captions(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no captions at"):
        _import(tmp_path / "none.json", tmp_path / "n.jsonl")
    with pytest.raises(UserError, match="interval"):
        _import(_json(tmp_path), tmp_path / "n.jsonl", "narrator.interval=0")
    with pytest.raises(UserError, match="say where to write"):
        narrate(
            compose("narrator=imported", "narrator.name=a", f"narrator.captions={_csv(tmp_path)}", config="narrate")
        )


def test_the_published_captions_of_qvhighlights(shared: Path, tmp_path: Path) -> None:
    output = tmp_path / "n.jsonl"
    settings = ("data=qvhighlights_folds", "narrator=minigpt_v2", f"paths.data={shared / 'data'}", f"output={output}")
    narrate(compose(*settings, config="narrate"))
    narratives = list(read_narratives(output))
    assert len(narratives) == 1519
    assert sum(len(one.texts) for one in narratives) == 113_620
    assert narratives[0].times[:3] == (1.0, 3.0, 5.0)
