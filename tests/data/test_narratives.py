"""Narratives files and imported captions."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.data.caption_formats import read_captions
from src.data.narratives import parse, read_narratives, to_line, write_narratives
from src.data.records import Narratives
from src.errors import UserError

WRITER = {"narrator": "somebody"}


def error(path: Path, read: Any = read_narratives) -> str:
    with pytest.raises(UserError) as caught:
        list(read(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


seconds = st.floats(0, 1e6)
sentences = st.text(min_size=1).filter(str.strip)
settings = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()))


@st.composite
def narratives(draw: st.DrawFn) -> Narratives:
    times = sorted(draw(st.lists(seconds, min_size=1, max_size=5)))
    texts = draw(st.lists(sentences, min_size=len(times), max_size=len(times)))
    return Narratives(draw(sentences), tuple(times), tuple(texts), draw(settings))


@given(st.lists(narratives(), max_size=4, unique_by=lambda one: one.video))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, written: list[Narratives]) -> None:
    path = tmp_path_factory.mktemp("narratives") / "deep" / "n.jsonl"
    assert write_narratives(path, written) == len(written)
    assert list(read_narratives(path)) == written
    assert len(path.read_bytes().split(b"\n")) == len(written) + 1


def test_a_line_is_read_by_people_too_and_says_what_was_repeated() -> None:
    told = Narratives("v", (0.0, 2.0), ("“schön”", "a"), {})
    assert to_line(told) == '{"video": "v", "times": [0.0, 2.0], "texts": ["“schön”", "a"], "writer": {}}\n'
    again = replace(told, repeated=(2.0,))
    assert json.loads(to_line(again))["repeated"] == [2.0]
    assert parse(json.loads(to_line(again)), "here") == again
    assert parse({"video": "v", "times": [1], "texts": ["a"]}, "here") == Narratives("v", (1.0,), ("a",), {})


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    def failing() -> Any:
        yield Narratives("a", (0.0,), ("text",))
        raise RuntimeError("the narrator broke off")

    with pytest.raises(RuntimeError):
        write_narratives(tmp_path / "n.jsonl", failing())
    assert not list(tmp_path.iterdir())


def record(**changes: Any) -> dict[str, Any]:
    return {"video": "v", "times": [0, 1.5], "texts": ["a", "b"], "writer": WRITER} | changes


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        (record() | {"times": None}, "needs as many times as texts, both as lists"),
        (record(times=[0.0]), "needs as many times as texts"),
        (record(texts=["a"]), "needs as many times as texts"),
        (record(texts="ab"), "needs as many times as texts, both as lists"),
        (record(times=[2, 1]), "not ascending seconds from 0"),
        (record(times=[-1, 1]), "not ascending seconds from 0"),
        (record(times=[0, float("nan")]), "not ascending seconds from 0"),
        (record(times=[0, float("inf")]), "not ascending seconds from 0"),
        (record(times=[0, "1"]), "not ascending seconds from 0"),
        (record(times=[0, True]), "not ascending seconds from 0"),
        (record(texts=["a", " "]), "video v has an empty narrative"),
        (record(texts=["a", None]), "video v has an empty narrative"),
        (record(times=[], texts=[]), "video v has no narratives"),
        (record(video=""), "the video has no name"),
        (record(video=7), "the video has no name"),
        (record(repeated=1.5), "the repeated times of video v are not among its times"),
        (record(repeated=[1]), "the repeated times of video v are not among its times"),
        (record(repeated=[False]), "the repeated times of video v are not among its times"),
        (record(writer="me"), "the writer of video v is not an object"),
        ({"video": "v", "times": [0]}, "a record needs video, times and texts"),
        ([1], "a record needs video, times and texts"),
        (record(video="first"), "'first' was already given on line 1"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: Any, message: str) -> None:
    path = tmp_path / "n.jsonl"
    first = to_line(Narratives("first", (0.0,), ("text",)))
    path.write_text(first + (line if isinstance(line, str) else json.dumps(line)) + "\n")
    said = error(path)
    assert said.startswith(f"{path}, line 2: ")
    assert message in said


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    path.write_bytes(b'{"video": "\xff"}\n')
    assert error(path).startswith(f"{path}, line 1: not JSON")


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    said = error(tmp_path / "n.jsonl")
    assert f"no narratives at {tmp_path}/n.jsonl" in said
    assert "python -m src.narrate" in said
    assert "import_narratives=PATH narrator=imported narrator.name=NAME" in said


def captions(path: Path) -> list[Narratives]:
    return list(read_captions(path, 2.0, WRITER))


def clips(*lines: Any) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


TWO = clips({"moment": 3, "description": " later\u2028on "}, {"moment": 0, "description": "first"})
EXPECTED = Narratives("v_0_4", (1.0, 7.0), ("first", "later\u2028on"), WRITER)


def test_captions_by_clip_are_placed_in_the_middle_of_theirs(tmp_path: Path) -> None:
    folder = tmp_path / "captions" / "val"
    folder.mkdir(parents=True)
    (folder / "v_0_4.jsonl").write_text(TWO.replace("\\u2028", "\u2028") + "\n")
    assert captions(tmp_path / "captions") == [EXPECTED]
    (folder / "v_0_4.jsonl").write_text(clips({"moment": 10**9, "description": "as late as can be"}))
    assert captions(tmp_path / "captions")[0].times == (2e9 + 1,)
    with zipfile.ZipFile(tmp_path / "captions.zip", "w") as archive:
        archive.writestr("val/v_0_4.jsonl", TWO)
        archive.writestr("__MACOSX/val/._v_0_4.jsonl", "shadow")
        archive.writestr("val/README", "not captions")
    assert captions(tmp_path / "captions.zip") == [EXPECTED]


def test_captions_by_seconds(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps({"v_0_4": {"7": "later\u2028on", "1.0": "first"}}))
    (tmp_path / "c.csv").write_text("video,text,time\nv_0_4,later\u2028on,7\nv_0_4,first,1\n", encoding="utf-8-sig")
    assert captions(tmp_path / "c.json") == captions(tmp_path / "c.csv") == [EXPECTED]
    (tmp_path / "q.csv").write_text('video,time,text\nv,1,"one, two\nand three"\n')
    assert captions(tmp_path / "q.csv")[0].texts == ("one, two\nand three",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.jsonl", "{", "v.jsonl, line 1: not JSON"),
        ("v.jsonl", '\n{"moment": 1}', "v.jsonl, line 2: a caption needs moment and description"),
        ("v.jsonl", clips({"moment": -1, "description": "a"}), "line 1: moment is -1, not the number of a clip"),
        ("v.jsonl", clips({"moment": 10**9 + 1, "description": "a"}), "line 1: moment is 1000000001, not the number"),
        ("v.jsonl", clips({"moment": 1.5, "description": "a"}), "line 1: moment is 1.5, not the number of a clip"),
        ("v.jsonl", clips({"moment": 1, "description": " "}), "line 1: the caption is empty"),
        ("v.jsonl", clips({"moment": 1, "description": None}), "line 1: the caption is empty"),
        ("v.jsonl", clips(*[{"moment": 1, "description": "a"}] * 2), "line 2: a second caption of v at 3 s, as"),
        ("v.jsonl", "", "video v has no narratives"),
        ("v.txt", "a", "holds no captions"),
        ("c.json", "[1]", "not of the form {video: {seconds: text}}"),
        ("c.json", '{"v": {"soon": "a"}}', "c.json, v at soon: 'soon' is not a time in seconds"),
        ("c.json", '{"v": {"-1": "a"}}', "not ascending seconds from 0"),
        ("c.json", '{"v": {"nan": "a"}}', "not ascending seconds from 0"),
        ("c.json", "{", "not JSON"),
        ("c.csv", "video,seconds,text\n", "needs the columns video, time and text"),
        ("c.csv", "video,time,text\nv,1,a\nv,x,b\n", "line 3: 'x' is not a time in seconds"),
        ("c.csv", "video,time,text\nv,1\n", "line 2: the caption is empty"),
        ("c.csv", "video,time,text\n", "holds no captions"),
        ("c.zip", "text", "c.zip is not a zip file"),
    ],
)
def test_captions_that_cannot_be_used_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / "captions" / name
    path.parent.mkdir()
    path.write_text(content)
    said = error(path.parent if name.startswith("v.") else path, captions)
    assert message in said
    assert str(tmp_path) in said


def test_other_paths_are_no_captions(tmp_path: Path) -> None:
    assert error(tmp_path / "absent.zip", captions) == f"no captions at {tmp_path}/absent.zip"
    (tmp_path / "c.srt").touch()
    assert "a folder or .zip of .jsonl, a .json or a .csv" in error(tmp_path / "c.srt", captions)


def test_a_video_in_two_folders_is_an_error(tmp_path: Path) -> None:
    for part in ("val", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "v.jsonl").write_text(TWO)
    assert error(tmp_path, captions) == f"{tmp_path} holds captions of v twice"


def test_the_real_captions_of_qvhighlights(shared: Path) -> None:
    videos = captions(shared / "data" / "qvhighlights" / "minigpt_v2_val.zip")
    assert len(videos) == 1_519
    assert sum(len(video.texts) for video in videos) == 113_620
    for video in videos:
        assert video.times == tuple(2.0 * clip + 1 for clip in range(len(video.times)))
        assert 60 <= len(video.times) <= 75
