"""Captions from a server: a real one, and one that does all a server can do wrong."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from PIL import Image

from src.commands.narrate import narrate
from src.data.narratives import read_narratives
from src.data.records import Narratives
from src.errors import UserError
from src.language import chat
from src.narrators.endpoint import EndpointNarrator
from src.narrators.journal import failures_file
from src.narrators.narrator import Failure, NarrationError
from src.videos.collection import Item
from src.videos.frames import Pixels
from tests.compose import compose
from tests.narrators import servers
from tests.narrators.colours import READING
from tests.narrators.servers import cut_off, garbage, hang_up, say, serve, slow, status
from tests.narrators.videos import picture, write_video

_KEY = "sk-secret-0123456789"


def _narrator(url: str, **changes: Any) -> EndpointNarrator:
    settings: dict[str, Any] = {
        "name": "served",
        "interval": 1.0,
        "url": url,
        "model": "m",
        "prompt": "Describe.",
        "generation": {"max_tokens": 9, "temperature": 0},
        "key": "TEA_TEST_KEY",
        "requests": 4,
        "timeout": 5.0,
        "attempts": 4,
        "backoff": 0.01,
    }
    return EndpointNarrator(**(settings | changes))


def _frame(number: int = 5) -> Pixels:
    return np.asarray(picture(number, 96, 48))


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    return [Item(f"v{n}", write_video(tmp_path / f"v{n}.mp4", [i / 5 for i in range(5 * n)])) for n in range(1, 5)]


def test_a_request_holds_the_frame_and_the_prompt() -> None:
    with serve(say(" A red\n door. ")) as server:
        assert _narrator(server.url + "/").narrate([_frame()]) == [" A red\n door. "]
    request = server.requests[0]
    assert (request["model"], request["max_tokens"], request["temperature"]) == ("m", 9, 0)
    image, text = request["messages"][0]["content"]
    assert text == {"type": "text", "text": "Describe."}
    kind, _, content = image["image_url"]["url"].partition(",")
    assert kind == "data:image/jpeg;base64"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    assert np.abs(pixels.astype(int) - _frame()).mean() < 5


@pytest.mark.parametrize(
    "trouble",
    [status(429), status(500), status(503, Retry_After="0"), status(408), cut_off, hang_up, garbage],
)
def test_trouble_that_passes(trouble: servers.Behaviour) -> None:
    with serve(trouble, trouble, say("A door.")) as server:
        assert _narrator(server.url).narrate([_frame()]) == ["A door."]
    assert len(server.requests) == 3


def test_a_slow_answer_is_asked_for_again() -> None:
    with serve(slow(2, say("late")), say("A door.")) as server:
        assert _narrator(server.url, timeout=1.0).narrate([_frame()]) == ["A door."]


def test_the_wait_grows_and_the_server_may_ask_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(chat, "time", SimpleNamespace(sleep=waits.append))
    with serve(status(500), status(500), status(500), say("A door.")) as server:
        _narrator(server.url, backoff=0.2).narrate([_frame()])
    assert 0.1 <= waits[0] <= 0.2 <= waits[1] <= 0.4 <= waits[2] <= 0.8
    with serve(status(429, Retry_After="7"), say("A door.")) as server:
        _narrator(server.url, backoff=0.2).narrate([_frame()])
    assert waits[3:] == [7]


def test_trouble_that_does_not_pass_fails_one_video(items: list[Item]) -> None:
    with serve(say("one"), *[status(500, "overloaded")] * 4, say("more")) as server:
        outcomes = list(_narrator(server.url, requests=1).outcomes(items, READING))
    assert [isinstance(outcome, Failure) for outcome in outcomes] == [False, True, False, False]
    assert isinstance(outcomes[1], Failure)
    assert "gave no caption in 4 attempts: 500" in outcomes[1].reason
    assert "overloaded" in outcomes[1].reason


def test_a_frame_that_is_refused_fails_one_video() -> None:
    with serve(status(400, "image too large")) as server, pytest.raises(NarrationError, match="image too large"):
        _narrator(server.url).narrate([_frame()])
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [401, 403, 404])
def test_what_every_request_would_meet_stops_the_run(code: int) -> None:
    with serve(status(code, "no such model")) as server, pytest.raises(UserError, match="no such model"):
        _narrator(server.url).narrate([_frame()])
    assert len(server.requests) == 1


def test_no_server_stops_the_run() -> None:
    with serve(say("")) as server:
        pass
    with pytest.raises(UserError, match="no server at"):
        _narrator(server.url, attempts=2).narrate([_frame()])


@pytest.mark.parametrize("text", ["", None, "  \n"])
def test_an_empty_answer_fails_the_video(items: list[Item], text: str | None) -> None:
    with serve(say(text)) as server:
        outcomes = list(_narrator(server.url).outcomes(items[:1], READING))
    assert outcomes == [Failure("v1", "the narrator said nothing of the frame at 0 s")]


def test_requests_in_flight_are_many_and_bounded(items: list[Item]) -> None:
    with serve(slow(0.15, say("A door."))) as server:
        outcomes = list(_narrator(server.url, requests=3).outcomes(items, READING))
    assert server.most_at_once == 3
    assert [outcome.video for outcome in outcomes] == ["v1", "v2", "v3", "v4"]
    assert len(server.requests) == 1 + 2 + 3 + 4


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host/v1", f"http://user:{_KEY}@host/v1", f"http://host/v1?key={_KEY}"]
)
def test_bad_addresses(url: str) -> None:
    with pytest.raises(UserError, match=r"narrator\.url") as caught:
        _narrator(url)
    assert _KEY not in str(caught.value)


@pytest.mark.parametrize("changes", [{"timeout": 0}, {"attempts": 0}, {"backoff": -1}, {"requests": 0}])
def test_bad_settings(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        _narrator("http://localhost/v1", **changes)


def test_the_key_is_sent_and_never_shown(
    items: list[Item], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TEA_TEST_KEY", _KEY)
    repeated = status(500, f"Bearer {_KEY} is over its limit")
    with caplog.at_level(logging.DEBUG), serve(repeated) as server:
        narrator = _narrator(server.url)
        outcomes = list(narrator.outcomes(items[:1], READING))
    assert set(server.keys) == {f"Bearer {_KEY}"}
    assert "over its limit" in caplog.text
    for shown in (caplog.text, repr(outcomes), json.dumps(narrator.writer(READING))):
        assert _KEY not in shown


def test_no_trace_of_the_key_after_a_run_of_the_command(items: list[Item], tmp_path: Path) -> None:
    folder = items[0].path.parent  # type: ignore[union-attr]
    output = tmp_path / "out" / "n.jsonl"
    with serve(say("A door."), status(401, f"wrong key {_KEY}")) as server:
        run = subprocess.run(
            [
                *(sys.executable, "-m", "src.narrate", f"videos={folder}", "narrator=endpoint", "narrator.name=served"),
                *("narrator.model=m", f"narrator.url={server.url}", f"output={output}", "narrator.requests=1"),
                *(f"paths.outputs={tmp_path / 'out'}", "hydra.verbose=true"),
            ],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OPENAI_API_KEY": _KEY},
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 1
    assert "refuses every request: 401" in run.stderr
    assert [one.video for one in read_narratives(output)] == ["v1"]
    written = [path.read_text(errors="replace") for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) >= 3  # narratives and what lies beside them; the folder of what failed is gone
    assert not any(_KEY in text for text in (run.stdout, run.stderr, *written))


_REASONING = "The user wants a caption. I see a door."


@pytest.mark.parametrize(
    "content",
    [
        f"<think>{_REASONING}</think> A door.",
        f"{_REASONING}</think>\n\nA door.",
        f"<think>\n{_REASONING}\n</think>\n<answer>A door.</answer>",
        f"<Thinking>{_REASONING}</Thinking>A door.",
        f"◁think▷{_REASONING}◁/think▷A door.",
        f"[THINK]{_REASONING}[/THINK]A door.",
        f"<think>Hm.</think>Well.<think>{_REASONING}</think>A door.",
        f"<think></think>A door.<think>{_REASONING}",
        f"<|channel|>analysis<|message|>{_REASONING}<|end|><|start|>assistant<|channel|>final<|message|>A door.",
        f"<think>{_REASONING}</think><|begin_of_box|>A door.<|end_of_box|>",
        [{"type": "text", "text": "A "}, {"type": "text", "text": "door."}],
        [{"type": "thinking", "thinking": [{"type": "text", "text": _REASONING}]}, {"type": "text", "text": "A door."}],
        ["A door."],
        "A door.\u200b",
    ],
)
def test_only_the_answer_is_a_narrative(items: list[Item], content: Any) -> None:
    with serve(servers.answer(content=content, reasoning_content=_REASONING)) as server:
        (outcome,) = _narrator(server.url).outcomes(items[:1], READING)
    assert isinstance(outcome, Narratives), outcome
    assert outcome.texts == ("A door.",)


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        (servers.answer(content=f"<think>{_REASONING}"), "ends before the model's reasoning does"),
        (servers.answer("length", content=None, reasoning_content=_REASONING), "limit of tokens while the model"),
        (servers.answer("length", content="", reasoning=_REASONING), "limit of tokens while the model reasoned"),
        (servers.answer("length", content=""), "limit of tokens before the model said anything"),
        (servers.answer(content=None, refusal="I can't describe people."), "I can't describe people."),
        (servers.answer("content_filter", content=""), "content_filter"),
        (
            servers.body({"error": {"message": "image too large", "code": 400}}),
            "refuses the request: 400 image too large",
        ),
        (servers.body({"error": "out of memory"}), "gave no caption in 2 attempts: 500 out of memory"),
        (servers.body({"choices": [{"error": {"code": 502, "message": "upstream"}}]}), "2 attempts: 502 upstream"),
        (servers.body({"choices": []}), "2 attempts: an answer that is no chat completion"),
        (servers.body([]), "2 attempts: an answer that is no chat completion"),
        (servers.answer(content="\u200b"), "said nothing of the frame at 0 s"),
        (servers.answer(content="…"), "said nothing of the frame at 0 s"),
    ],
)
def test_why_there_is_no_caption_is_kept(items: list[Item], behaviour: servers.Behaviour, says: str) -> None:
    with serve(behaviour) as server:
        (outcome,) = _narrator(server.url, attempts=2).outcomes(items[:1], READING)
    assert isinstance(outcome, Failure)
    assert says in outcome.reason
    assert "\n" not in outcome.reason
    assert not outcome.of_file


def test_an_error_with_the_status_of_a_success_may_pass_or_be_final(items: list[Item]) -> None:
    busy = servers.body({"error": {"code": 429, "message": "busy"}})
    with serve(busy, say("A door.")) as server:
        assert _narrator(server.url).narrate([_frame()]) == ["A door."]
    final = servers.body({"error": {"code": 401, "message": "wrong key"}})
    with serve(final) as server, pytest.raises(UserError, match="refuses every request: 401 wrong key"):
        _narrator(server.url).narrate([_frame()])


def test_blanks_around_the_key_are_stripped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEA_TEST_KEY", f" {_KEY}\r\n")
    with serve(say("A door.")) as server:
        _narrator(server.url).narrate([_frame()])
    assert server.keys == [f"Bearer {_KEY}"]


@pytest.mark.parametrize("key", [f"{_KEY}\nx", f"{_KEY} x", f"{_KEY}ü", f"{_KEY}\x7f"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEA_TEST_KEY", key)
    with pytest.raises(UserError, match="TEA_TEST_KEY holds no key") as caught:
        _narrator("http://localhost/v1")
    assert _KEY not in str(caught.value)
    with pytest.raises(UserError, match=r"narrator\.key is no name") as caught:
        _narrator("http://localhost/v1", key=_KEY)
    assert _KEY not in str(caught.value)


def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """None leads to this machine; one that cannot be used is one line."""
    for proxy in ("socks5://localhost:1", "http://127.0.0.1:1", "nonsense://me:secret@host"):
        monkeypatch.setenv("ALL_PROXY", proxy)
        with serve(say("A door.")) as server:
            assert _narrator(server.url).narrate([_frame()]) == ["A door."]
            assert _narrator(server.url.replace("127.0.0.1", "localhost")).narrate([_frame()]) == ["A door."]
    with pytest.raises(UserError, match="through the proxy of the environment") as caught:
        _narrator("http://example.org/v1")
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("ALL_PROXY", "socks5://localhost:1")
    with pytest.raises(UserError, match="through the proxy of the environment"):
        _narrator("http://example.org/v1")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.transformers_serve(tmp_path_factory.mktemp("serve")) as url:
        yield url


@pytest.mark.slow
def test_a_real_server(served: str, llava: Path, items: list[Item], tmp_path: Path) -> None:
    """One that knows nothing of this project, with the other reader of frames."""
    folder = items[0].path.parent  # type: ignore[union-attr]
    (folder / "bad.mp4").write_text("no video")
    output = tmp_path / "n.jsonl"
    cfg = compose(
        *(f"videos={folder}", "narrator=endpoint", "narrator.name=served", f"narrator.model={llava}"),
        *(f"narrator.url={served}", "narrator.generation.max_tokens=8", f"output={output}"),
        *("narrator.requests=4", "frames.reader=pyav"),
        config="narrate",
    )
    with pytest.raises(UserError, match="1 of 5 videos failed, such as bad"):
        narrate(cfg)
    narratives = {one.video: one for one in read_narratives(output)}
    assert [len(narratives[f"v{n}"].texts) for n in range(1, 5)] == [1, 2, 3, 4]
    assert narratives["v1"].writer["model"] == str(llava)
    assert failures_file(output).exists()


@pytest.mark.slow
def test_the_real_server_knows_no_other_model(served: str) -> None:
    with pytest.raises((UserError, NarrationError)):
        _narrator(served, model="/nowhere", attempts=1).narrate([_frame()])


def test_both_prompts_are_the_papers() -> None:
    asked = compose("+narrator=endpoint", "narrator.name=a", "narrator.url=http://localhost/v1", "narrator.model=m")
    narrator = instantiate(asked.narrator, _convert_="all")
    assert isinstance(narrator, EndpointNarrator)
    assert narrator.prompt == compose("+narrator=llava_13b").narrator.prompt
    assert narrator.chat.generation["temperature"] == 0
