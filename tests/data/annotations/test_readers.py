"""Every format: what is written is what is read, and a malformed record is named."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.data.annotations.captions import Captions
from src.data.annotations.charades_sta import CharadesSta
from src.data.annotations.qvhighlights import QvHighlights, source
from src.data.annotations.reading import Reader, parse_json
from src.data.annotations.tacos import Tacos
from src.data.records import Moment
from src.errors import UserError

seconds = st.floats(min_value=0, max_value=1e4, allow_nan=False).map(lambda value: round(value, 2))
durations = st.floats(min_value=0.01, max_value=1e4).map(lambda value: round(value, 2) + 0.01)
windows = st.tuples(seconds, seconds)
video_ids = st.text("abcXYZ019-_", min_size=1, max_size=8)
# Any text that a line or a JSON string can hold, with something to see in it.
queries = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=30).map(lambda text: f"a{text}b")
annotated = st.dictionaries(
    video_ids, st.tuples(durations, st.lists(st.tuples(windows, queries), min_size=1, max_size=3)), max_size=4
)
Videos = dict[str, tuple[float, list[tuple[tuple[float, float], str]]]]


def moments(reader: Reader) -> list[Moment]:
    return [moment for _, moment in reader()]


def expected(videos: Videos) -> list[Moment]:
    return [
        Moment(f"{video}/{index}", video, query, (window,), duration)
        for video, (duration, items) in videos.items()
        for index, (window, query) in enumerate(items)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("annotations")


@given(annotated)
def test_charades_sta_reads_what_was_written(folder: Path, videos: Videos) -> None:
    (folder / "durations.json").write_text(json.dumps({video: {"duration": t} for video, (t, _) in videos.items()}))
    lines = [f"{video} {s} {e}##{query}" for video, (_, items) in videos.items() for (s, e), query in items]
    (folder / "train.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    assert moments(CharadesSta(str(folder / "train.txt"), str(folder / "durations.json"))) == expected(videos)


@given(annotated, st.sampled_from(["duration", "video_duration"]))
def test_captions_reads_what_was_written(folder: Path, videos: Videos, key: str) -> None:
    records = {
        video: {key: t, "timestamps": [window for window, _ in items], "sentences": [query for _, query in items]}
        for video, (t, items) in videos.items()
    }
    (folder / "captions.json").write_text(json.dumps(records))
    assert moments(Captions(str(folder), ["captions.json"], key)) == expected(videos)


def test_captions_numbers_a_video_through_all_files(tmp_path: Path) -> None:
    for name, sentences in (("one.json", ["a", "b"]), ("two.json", ["c"])):
        record = {"duration": 9, "timestamps": [[0, 1]] * len(sentences), "sentences": sentences}
        (tmp_path / name).write_text(json.dumps({"v": record}))
    read = moments(Captions(str(tmp_path), ["one.json", "two.json"]))
    assert [(moment.query_id, moment.query) for moment in read] == [("v/0", "a"), ("v/1", "b"), ("v/2", "c")]


def test_captions_gives_what_is_novel(tmp_path: Path) -> None:
    base = {"duration": 9, "timestamps": [[0, 1]], "sentences": ["take the soup from the fridge"]}
    composition = [{"v-n": [["take", "soup"], ["take", "fridge"]], "p-n": [["from", "fridge"]]}]
    records = {"word": base | {"news": [{"NOUN": ["soup"]}]}, "composition": base | {"novels": composition}}
    (tmp_path / "novel.json").write_text(json.dumps(records))
    word, pairs = moments(Captions(str(tmp_path), ["novel.json"]))
    assert word.novel == (("NOUN", "soup"),)
    assert pairs.novel == (("v-n", "take soup"), ("v-n", "take fridge"), ("p-n", "from fridge"))


@given(fps=st.floats(min_value=1, max_value=60), frames=st.tuples(*[st.integers(0, 10_000)] * 3))
def test_tacos_turns_frames_into_seconds(folder: Path, fps: float, frames: tuple[int, int, int]) -> None:
    first, last, count = frames
    record = {"fps": fps, "num_frames": count + 1, "timestamps": [[first, last]], "sentences": ["He cuts."]}
    (folder / "tacos.json").write_text(json.dumps({"s1-d1.avi": record}))
    (moment,) = moments(Tacos(str(folder / "tacos.json")))
    assert moment.duration * fps == pytest.approx(count + 1)
    assert [second * fps for second in moment.windows[0]] == pytest.approx([first, last])


@given(
    st.lists(windows, min_size=1, max_size=4),
    st.dictionaries(st.integers(0, 74), st.lists(st.integers(0, 4), min_size=3, max_size=3), max_size=5),
    queries,
)
def test_qvhighlights_reads_what_was_written(
    folder: Path, spans: list[tuple[float, float]], clips: dict[int, list[int]], query: str
) -> None:
    record = {
        "qid": 7,
        "query": query,
        "duration": 150,
        "vid": "a_b-c_60.0_210.0",
        "relevant_windows": spans,
        "relevant_clip_ids": list(clips),
        "saliency_scores": list(clips.values()),
    }
    (folder / "val.jsonl").write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    (moment,) = moments(QvHighlights(str(folder / "val.jsonl")))
    assert (moment.query_id, moment.query, moment.windows) == ("7", query, tuple(spans))
    assert moment.relevant_clips == tuple(clips)
    assert moment.saliency == tuple(tuple(scores) for scores in clips.values())
    assert source(moment.video) == "a_b-c"


def test_a_query_whose_answer_is_kept_back_has_none(tmp_path: Path) -> None:
    record = {"qid": 3158, "query": "A boat", "duration": 150, "vid": "_6hnl_BrFvs_360.0_510.0"}
    (tmp_path / "test.jsonl").write_text(json.dumps(record))
    (moment,) = moments(QvHighlights(str(tmp_path / "test.jsonl"), clip_seconds=1.0))
    assert (moment.query_id, moment.windows, moment.saliency, moment.clip_seconds) == ("3158", (), (), 1.0)


def test_a_name_as_long_as_a_file_may_have_and_an_id_of_text_are_read(tmp_path: Path) -> None:
    name = f"{'x' * 190}_0.0_150.0"
    ((*_, moment),) = [moments(qvhighlights(tmp_path, vid=name, qid="q7"))]
    assert (moment.video, moment.query_id) == (name, "q7")


CAPTIONS = {"duration": 9.0, "timestamps": [[0, 1], [1, 2]], "sentences": ["a", "b"]}
TACOS = {"fps": 10, "num_frames": 90, "timestamps": [[0, 10]], "sentences": ["a"]}
QVHIGHLIGHTS = {
    "qid": 1,
    "query": "a",
    "duration": 150,
    "vid": "x_0.0_150.0",
    "relevant_windows": [[0, 2]],
    "relevant_clip_ids": [0],
    "saliency_scores": [[1, 2, 3]],
}


def captions(folder: Path, **changes: Any) -> Reader:
    (folder / "f.json").write_text(json.dumps({"vid": CAPTIONS | changes}))
    return Captions(str(folder), ["f.json"])


def tacos(folder: Path, **changes: Any) -> Reader:
    (folder / "f.json").write_text(json.dumps({"vid": TACOS | changes}))
    return Tacos(str(folder / "f.json"))


def qvhighlights(folder: Path, **changes: Any) -> Reader:
    changed = {key: value for key, value in (QVHIGHLIGHTS | changes).items() if value is not ...}
    (folder / "f.json").write_text(json.dumps(QVHIGHLIGHTS) + "\n" + json.dumps(changed))
    return QvHighlights(str(folder / "f.json"))


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (captions, {"duration": 0}, "f.json: video vid, sentence 1: video vid lasts 0 s"),
        (captions, {"duration": "long"}, "f.json: video vid: the duration is no finite number ('long')"),
        (captions, {"duration": float("nan")}, "the duration is no finite number (nan)"),
        (captions, {"sentences": ["a"]}, "sentences, timestamps must be lists of one length"),
        (captions, {"sentences": None}, "sentences, timestamps must be lists of one length"),
        (captions, {"sentences": ["a", " \n"]}, "f.json: video vid, sentence 2: the query is empty"),
        (captions, {"sentences": [3, "b"]}, "f.json: video vid, sentence 1: the query is empty or no text (3)"),
        (captions, {"timestamps": [[0, 1], [2]]}, "sentence 2: a moment must be a [start, end] pair, found [2]"),
        (captions, {"timestamps": [[0, 1], [1, True]]}, "sentence 2: the end is no finite number (True)"),
        (captions, {"news": [{"NOUN": ["a"]}]}, "sentences, timestamps, news must be lists of one length"),
        (captions, {"news": [{"NOUN": "a"}, {}]}, "sentence 1: what is novel must be lists by their kind"),
        (captions, {"novels": [{"v-n": [[1, 2]]}, {}]}, "sentence 1: a novel word or composition must be text"),
        (tacos, {"fps": 0}, "f.json: video vid: fps is 0"),
        (tacos, {"timestamps": [["x", 1]]}, "f.json: video vid, sentence 1: the start is no finite number ('x')"),
        (qvhighlights, {"vid": "x"}, "f.json:2: vid must read YOUTUBE-ID_START_END, found 'x'"),
        (qvhighlights, {"vid": "x_0.0"}, "f.json:2: vid must read YOUTUBE-ID_START_END, found 'x_0.0'"),
        (qvhighlights, {"vid": "../x_0.0_150.0"}, "f.json:2: '../x_0.0_150.0' is no video's name"),
        (qvhighlights, {"vid": "/x_0.0_150.0"}, "f.json:2: '/x_0.0_150.0' is no video's name"),
        (qvhighlights, {"vid": f"{'x' * 191}_0.0_150.0"}, "is no video's name"),  # of 201 bytes
        (qvhighlights, {"qid": 1.5}, "f.json:2: qid must be a number or text, found 1.5"),
        (qvhighlights, {"qid": None}, "f.json:2: qid must be a number or text, found None"),
        (qvhighlights, {"qid": True}, "f.json:2: qid must be a number or text, found True"),
        (qvhighlights, {"query": ""}, "f.json:2: the query is empty"),
        (qvhighlights, {"relevant_windows": []}, "f.json:2: the query has no moment"),
        (qvhighlights, {"relevant_windows": ...}, "f.json:2: no 'relevant_windows' here"),
        (qvhighlights, {"relevant_windows": 3}, "f.json:2: relevant_windows must be a list"),
        (qvhighlights, {"duration": 1e9 + 64}, "f.json:2: video x_0.0_150.0 lasts 1e+09 s, which must be above 0 and"),
        (qvhighlights, {"relevant_windows": [[0, 2e9]]}, "f.json:2: the moment lies at (0.0, 2000000000.0), which"),
        (qvhighlights, {"relevant_clip_ids": [True]}, "f.json:2: clip True is not one of"),
        (qvhighlights, {"relevant_clip_ids": [-1]}, "f.json:2: clip -1 is not one of"),
        (qvhighlights, {"relevant_clip_ids": [75]}, "f.json:2: clip 75 is not one of the 150 s video's 2 s clips"),
        (qvhighlights, {"duration": 21, "relevant_clip_ids": [10]}, "f.json:2: clip 10 is not one of the 21 s video's"),
        (qvhighlights, {"relevant_clip_ids": []}, "relevant_clip_ids, saliency_scores must be lists of one length"),
        (qvhighlights, {"saliency_scores": [[1, 2, 3, 4]]}, "f.json:2: saliency_scores must hold each clip's three"),
        (qvhighlights, {"saliency_scores": [[]]}, "f.json:2: saliency_scores must hold each clip's three scores"),
    ],
)
def test_a_malformed_record_is_named(
    tmp_path: Path, make: Callable[..., Reader], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        moments(make(tmp_path, **changes))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("AO8RW 0.0##no end", "train.txt:2: expected `VIDEO START END##sentence`"),
        ("AO8RW 0.0 6.9 no marks", "train.txt:2: expected `VIDEO START END##sentence`"),
        ("", "train.txt:2: expected `VIDEO START END##sentence`"),
        ("AO8RW zero 6.9##x", "train.txt:2: the start is no finite number ('zero')"),
        ("AO8RW 0 inf##x", "train.txt:2: the end is no finite number ('inf')"),
        ("AO8RW 0.0 6.9## ", "train.txt:2: the query is empty"),
        ("NOONE 0.0 6.9##x", "train.txt:2: unknown video NOONE"),
        ("EMPTY 0.0 6.9##x", "train.txt:2: video EMPTY lasts 0 s"),
        ("BLANK 0.0 6.9##x", "durations.json: video BLANK: no 'duration' here"),
    ],
)
def test_a_malformed_line_of_charades_sta_is_named(tmp_path: Path, line: str, message: str) -> None:
    durations = {"AO8RW": {"duration": 33.7}, "EMPTY": {"duration": 0}, "BLANK": {}}
    (tmp_path / "durations.json").write_text(json.dumps(durations))
    (tmp_path / "train.txt").write_text(f"AO8RW 0.0 6.9##fine.\n{line}\nAO8RW 0.0 6.9##fine.\n")
    with pytest.raises(UserError) as error:
        moments(CharadesSta(str(tmp_path / "train.txt"), str(tmp_path / "durations.json")))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": ', "not JSON"),
        (b"[1, 2]", "expected a JSON object, found list"),
        (b'{"a": 1}', "video a: no 'duration' here"),
        (b'{"a": {}, "b": {}, "a": {}}', "key 'a' stands twice"),
        (b"\xff\xfe", "not UTF-8 text"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "f.json").write_bytes(content)
    with pytest.raises(UserError) as error:
        moments(Captions(str(tmp_path), ["f.json"]))
    assert message in str(error.value)
    assert "f.json" in str(error.value)


def test_a_key_given_twice_is_found_in_time_that_grows_with_the_file() -> None:
    def cost(videos: int) -> float:
        text = "{" + ", ".join(f'"v{i}": 1' for i in [*range(videos), videos - 1]) + "}"
        started = time.process_time()
        with pytest.raises(UserError, match=f"f.json: key 'v{videos - 1}' stands twice in one object"):
            parse_json(text, "f.json")
        return time.process_time() - started

    # Ten times as long in ten times the time, and not in a hundred times.
    short, long = (min(cost(videos) for _ in range(3)) for videos in (3_000, 30_000))
    assert long < 30 * short
