"""Baselines that ask a language model: what is sent, what is kept, and what becomes of answers that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate

from src.baselines.asked import Asked, VideoAsked, paragraph
from src.baselines.baseline import Question
from src.commands.evaluate import evaluate
from src.data.records import Moment, Narratives
from src.errors import UserError
from tests.compose import compose
from tests.narrators.servers import Server, body, say, serve, status
from tests.narrators.tiny import save_llava, save_qwen
from tests.narrators.videos import write_video
from tests.synthetic import write_small

TOLD = Narratives("v", (0.0, 2.0, 4.0, 6.0), ("a", "b {query}", "c", "d"))


def questions(*queries: str) -> list[Question]:
    return [Question(Moment(str(n), "v", query, ((0.0, 1.0),), 8.0), told=TOLD) for n, query in enumerate(queries)]


def asked(folder: Path, url: str, *overrides: str, baseline: str = "llm") -> Asked:
    where = [f"baseline.model.url={url}", "baseline.model.model=m", "baseline.name=m", "baseline.model.attempts=1"]
    if baseline == "video_llm":
        where.append(f"baseline.videos={folder}/videos")
    place = f"baseline.answers={folder}/answers.jsonl"
    cfg = compose(f"baseline={baseline}", *where, place, "folder=.", *overrides, config="evaluate")
    return instantiate(cfg.baseline, _convert_="all")


def prompts(server: Server) -> list[Any]:
    return [request["messages"][0]["content"] for request in server.requests]


def test_the_paragraph_and_the_query_are_asked_about(tmp_path: Path) -> None:
    completion = {
        "choices": [{"message": {"content": "2 - 4"}}],
        "usage": {"prompt_tokens": 30, "completion_tokens": 5},
    }
    with serve(body(completion)) as server:
        baseline = asked(tmp_path, server.url)
        first, second, third = baseline.predict(questions("he runs {x}", "he sits", "he runs {x}"), top=5)
    assert first.windows == second.windows == third.windows == ((2.0, 4.0, 0.0),)
    # The same question is asked once.
    assert len(server.requests) == 2
    said, _ = sorted(prompts(server), key=lambda each: "he runs {x}" not in each)  # they are asked side by side
    assert "0.0 s: a\n2.0 s: b {query}\n4.0 s: c\n6.0 s: d" in said
    assert "he runs {x}" in said
    assert "8 seconds" in said
    assert str(baseline.model.usage) == "2 requests, 60 tokens of prompts, 10 of answers"


def test_a_long_paragraph_is_told_evenly() -> None:
    assert paragraph(TOLD, 2) == "0.0 s: a\n6.0 s: d"
    assert paragraph(TOLD, 1) == "0.0 s: a"
    # The second of three is told at 1.5 of 0 to 3.
    assert paragraph(TOLD, 3) == "0.0 s: a\n4.0 s: c\n6.0 s: d"


def test_a_short_paragraph_is_told_whole() -> None:
    assert paragraph(TOLD, 4) == paragraph(TOLD, 9) == "0.0 s: a\n2.0 s: b {query}\n4.0 s: c\n6.0 s: d"
    assert paragraph(Narratives("v", (3.0,), ("a",)), 2) == "3.0 s: a"
    assert paragraph(Narratives("v", (), ()), 2) == ""


def test_an_answer_that_is_no_window_is_kept_and_counts_as_missed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(say("I cannot\ntell."), status(400, "too long")) as server:
        answers = asked(tmp_path, server.url, "baseline.model.requests=1").predict(questions("a", "b"), top=5)
    assert [answer.windows for answer in answers] == [((0.0, 0.0, 0.0),)] * 2
    assert "1 of 2 queries have an answer that is no window and count as missed, such as: I cannot tell." in caplog.text
    assert "1 of 2 queries have no answer and count as missed, such as" in caplog.text
    assert json.loads((tmp_path / "answers.jsonl").read_text())["answer"] == "I cannot tell."
    # What failed is asked again only where that is wanted.
    with serve(say("1 - 3")) as server:
        asked(tmp_path, server.url).predict(questions("a", "b"), top=5)
        assert not server.requests
        _, again = asked(tmp_path, server.url, "baseline.retry_failed=true").predict(questions("a", "b"), top=5)
    assert again.windows == ((1.0, 3.0, 0.0),)
    assert len(server.requests) == 1


def test_a_run_that_was_broken_off_asks_the_rest_and_another_prompt_is_asked_anew(tmp_path: Path) -> None:
    with serve(say("1 - 3"), status(401, "wrong key")) as server, pytest.raises(UserError, match="401"):
        asked(tmp_path, server.url, "baseline.model.requests=1").predict(questions("a", "b"), top=5)
    with serve(say("2 - 4")) as server:
        first, second = asked(tmp_path, server.url).predict(questions("a", "b"), top=5)
        assert (first.windows, second.windows) == (((1.0, 3.0, 0.0),), ((2.0, 4.0, 0.0),))
        assert len(server.requests) == 1
        asked(tmp_path, server.url, "baseline.most=2").predict(questions("a", "b"), top=5)
        assert len(server.requests) == 3


def test_the_command_evaluates_it(tmp_path: Path) -> None:
    small = [each for each in write_small(tmp_path, videos=2) if not each.startswith("features.")]
    chosen = [f"paths.data={tmp_path}", f"folder={tmp_path}/run", "split=test_iid", *small, "baseline=llm"]
    with serve(say("0 - 5")) as server:
        named = ["baseline.name=m", "baseline.model.model=m", f"baseline.model.url={server.url}"]
        values = evaluate(compose(*chosen, *named, config="evaluate"))
    assert 0 <= values["test/test_iid/mIoU"] <= 100
    (tmp_path / "stores" / "narratives" / "charades" / "llava_13b.jsonl").write_text("")
    with pytest.raises(UserError, match="has no narratives of 2 of 2 videos"):
        evaluate(compose(*chosen, *named, f"folder={tmp_path}/again", config="evaluate"))


def test_frames_are_shown_with_their_times(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "v.mp4", [n / 4 for n in range(32)])
    (tmp_path / "videos" / "bad.mp4").write_text("no video")
    unseen, unread = (Question(Moment(video, video, "a", ((0.0, 1.0),), 8.0)) for video in ("other", "bad"))
    with serve(say("2 - 4")) as server:
        baseline = asked(tmp_path, server.url, "baseline.frames=4", baseline="video_llm")
        missing, broken, found = baseline.predict([unseen, unread, *questions("a")], top=5)
    assert found.windows == ((2.0, 4.0, 0.0),)
    assert missing.windows == broken.windows == ((0.0, 0.0, 0.0),)
    assert "2 of 3 queries have no answer" in caplog.text
    assert "no file of other among" in caplog.text
    (content,) = prompts(server)
    assert [part["text"] for part in content[:-1] if part["type"] == "text"] == ["0.0 s:", "2.0 s:", "4.0 s:", "6.0 s:"]
    assert sum(part["type"] == "image_url" for part in content) == 4


@pytest.mark.slow
@pytest.mark.parametrize("save", [save_llava, save_qwen])
def test_a_model_of_transformers_is_shown_frames(save: Any, tmp_path: Path) -> None:
    model = save(tmp_path / "model")
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "v.mp4", [n / 4 for n in range(32)])
    named = ["baseline/model=hf_vision", f"baseline.model.model={model}", "baseline.name=m", "baseline.frames=2"]
    where = [f"baseline.videos={tmp_path}/videos", f"baseline.answers={tmp_path}/answers.jsonl", "folder=."]
    how = [
        "baseline.model.dtype=float32",
        "baseline.model.device_map=cpu",
        "baseline.model.generation.max_new_tokens=8",
    ]
    cfg = compose("baseline=video_llm", *named, *where, *how, config="evaluate")
    baseline = instantiate(cfg.baseline, _convert_="all")
    assert isinstance(baseline, VideoAsked)
    (answer,) = baseline.predict(questions("a"), top=5)
    assert len(answer.windows) >= 1
    assert baseline.model.usage.answer_tokens >= 1
