"""Without a hub there is one attempt and one line, whatever wanted a model of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from huggingface_hub import constants

from src.errors import UserError
from src.features.huggingface import HuggingFaceVision
from src.hub import _answers
from src.narrators.huggingface import HuggingFaceNarrator
from src.text.huggingface import HuggingFaceText


class Refusal:
    """A server that hangs up on whoever comes, and counts them."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.visits = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                visitor, _ = self.socket.accept()
            except OSError:
                return
            self.visits += 1
            visitor.close()


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Refusal]:
    """A hub that does not answer."""
    server = Refusal()
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "*")
    _answers.cache_clear()
    yield server
    server.socket.close()


def narrates() -> None:
    generation = {"max_new_tokens": 4}
    HuggingFaceNarrator("a", 1.0, "nobody/nothing", None, generation, "none", "float32", "cpu", 1).prepare()


def encodes() -> None:
    list(HuggingFaceText("nobody/nothing", "mean", True, None, 2, "cpu").sentences(["a cat"]))


def sees() -> None:
    HuggingFaceVision("nobody/nothing", 1, "cpu")(np.zeros((1, 1, 32, 32, 3), np.uint8))


@pytest.mark.parametrize("wants", [narrates, encodes, sees])
def test_one_attempt_and_one_line(refusal: Refusal, wants: Callable[[], None]) -> None:
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            wants()
        assert "nobody/nothing cannot be loaded" in str(caught.value)
        assert "local path" in str(caught.value)
    assert refusal.visits == 1
    assert not constants.HF_HUB_OFFLINE
