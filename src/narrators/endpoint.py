"""A model behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, transformers serve, or a hosted one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from src.language.chat import Chat, picture, text
from src.language.model import NoAnswerError
from src.narrators.narrator import NarrationError
from src.narrators.pipeline import FrameNarrator
from src.videos.frames import Pixels


class EndpointNarrator(FrameNarrator):
    """Captions frames with one request each, several of them in flight.

    Args:
        name, interval: The same as `FrameNarrator` has.
        url: The base of the API, such as http://localhost:8000/v1.
        model: The model's name at the server.
        prompt: P of Eq. 1, after the image; None for none.
        generation: The further fields of a request, such as max_tokens and temperature.
        key: The name of the environment variable that holds the server's key; without it, none is sent.
        requests: The requests in flight at once.
        timeout: The seconds to wait for an answer.
        attempts: The attempts at a request when the server is busy, in trouble or too slow, before its video fails.
        backoff: The seconds before the second attempt; doubled before each other, up to a minute, or as the server
            asks.

    Raises:
        UserError: A setting is out of its range, the key stands in `url` or cannot be sent, or so for the proxy of the
            environment.
    """

    def __init__(
        self,
        name: str,
        interval: float,
        url: str,
        model: str,
        prompt: str | None,
        generation: Mapping[str, Any],
        key: str,
        requests: int,
        timeout: float,
        attempts: int,
        backoff: float,
    ) -> None:
        super().__init__(name, interval, batch_size=1, under_way=requests)
        self.prompt = prompt
        self.chat = Chat(
            "narrator", url, model, generation, key, requests, timeout, attempts, backoff, wanted="caption"
        )

    @property
    def identity(self) -> dict[str, Any]:
        return {"model": self.chat.model, "prompt": self.prompt, "generation": self.chat.generation}

    def narrate(self, frames: Sequence[Pixels]) -> list[str]:
        return [self._caption(frame) for frame in frames]

    def _caption(self, frame: Pixels) -> str:
        try:
            return self.chat.ask([picture(frame), *([text(self.prompt)] if self.prompt is not None else [])])
        except NoAnswerError as error:
            raise NarrationError(str(error)) from error
