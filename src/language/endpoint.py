"""A language model behind an OpenAI-compatible server."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from src.language.chat import Chat, picture, text
from src.language.model import Answer, NoAnswerError, Prompt, Usage
from src.language.speech import spoken


class EndpointModel:
    """Asks one request a prompt, several of them in flight. The arguments are those of `Chat`.

    Args:
        requests: The requests in flight at once.
    """

    def __init__(
        self,
        url: str,
        model: str,
        generation: Mapping[str, Any],
        key: str,
        requests: int,
        timeout: float,
        attempts: int,
        backoff: float,
    ) -> None:
        self.requests = requests
        self.chat = Chat("model", url, model, generation, key, requests, timeout, attempts, backoff)

    @property
    def usage(self) -> Usage:
        return self.chat.usage

    @property
    def identity(self) -> dict[str, Any]:
        return {"model": self.chat.model, "generation": self.chat.generation}

    def answers(self, prompts: Iterable[Prompt]) -> Iterator[Answer]:
        pool = ThreadPoolExecutor(self.requests, "language")
        pending: deque[Future[Answer]] = deque()
        try:
            for prompt in prompts:
                pending.append(pool.submit(self._answer, prompt))
                # A slow answer does not leave the others idle.
                if len(pending) >= 2 * self.requests:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _answer(self, prompt: Prompt) -> Answer:
        shown = [part for words, frame in prompt.pictures for part in (text(words), picture(frame))]
        try:
            return spoken(self.chat.ask([*shown, text(prompt.text)] if shown else prompt.text))
        except NoAnswerError as error:
            return error
