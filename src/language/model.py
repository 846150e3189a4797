"""The contract of a language model: prompts to answers."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from src.errors import OneLineError
from src.videos.frames import Pixels


class NoAnswerError(OneLineError):
    """One prompt has no answer; the message, one line, says why. Others may have."""


class Prompt(NamedTuple):
    """What a model is asked: pictures, each after a line of text of its own, and then text."""

    text: str
    pictures: tuple[tuple[str, Pixels], ...] = ()


def filled(template: str, **values: str) -> str:
    """A template with each {name} in it replaced, but none that a value brings along.

    >>> filled("{query}?", query="What is {query}")
    'What is {query}?'
    """
    names = "|".join(values)
    return re.sub(rf"\{{({names})\}}", lambda found: values[found[1]], template)


Answer = str | NoAnswerError


@dataclass
class Usage:
    """What answers have cost: requests, and tokens where the model counts them."""

    requests: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, counted: Any) -> None:
        """Count a request, with its `usage` as OpenAI-compatible servers give it."""
        tokens = counted if isinstance(counted, dict) else {}
        with self._lock:
            self.requests += 1
            self.prompt_tokens += _count(tokens.get("prompt_tokens"))
            self.answer_tokens += _count(tokens.get("completion_tokens"))

    def __str__(self) -> str:
        return (
            f"{self.requests:,} requests, {self.prompt_tokens:,} tokens of prompts, {self.answer_tokens:,} of answers"
        )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


class LanguageModel(Protocol):
    """Something that answers prompts. Built from a config without loading anything."""

    usage: Usage

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its answers, as JSON can say it: model and settings, never a key."""
        ...

    def answers(self, prompts: Iterable[Prompt]) -> Iterator[Answer]:
        """What it answers to each prompt, or why nothing, in their order; only a few are taken ahead.

        Raises:
            UserError: It can answer none.
        """
        ...
