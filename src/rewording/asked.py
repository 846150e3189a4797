"""A language model as reworder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from src.data.rewordings import Rewordings
from src.language.model import LanguageModel, NoAnswerError, Prompt, filled
from src.rewording.reworder import Failure, Outcome

_MARK = re.compile(r"^\s*(?:\d{1,3}\s*[.):]|[-*•–])\s*")
_QUOTES = "\"'“”‘’`* "


class ModelReworder:
    """Asks a model for rewordings of each sentence, one a line.

    Args:
        name: The reworder's name, as its config has it.
        model: Who is asked.
        prompt: The question, in which {query} and {count} are filled in.
        count: The rewordings of a sentence, at most.
    """

    def __init__(self, name: str, model: LanguageModel, prompt: str, count: int) -> None:
        self.name = name
        self.model = model
        self.prompt = prompt
        self.count = count

    @property
    def writer(self) -> dict[str, Any]:
        return {"reworder": self.name, "prompt": self.prompt, "count": self.count, **self.model.identity}

    def outcomes(self, queries: Sequence[str]) -> Iterator[Outcome]:
        prompts = (Prompt(filled(self.prompt, count=str(self.count), query=query)) for query in queries)
        for query, answer in zip(queries, self.model.answers(prompts), strict=True):
            if isinstance(answer, NoAnswerError):
                yield Failure(query, str(answer))
            elif texts := rewordings_in(answer, query)[: self.count]:
                yield Rewordings(query, tuple(texts), self.writer)
            else:
                yield Failure(query, f"the answer is no rewording: {' '.join(answer.split())[:120]}")


def rewordings_in(answer: str, query: str) -> list[str]:
    """The different sentences that an answer has, one a line, without numbers, bullets and quotes; the query itself and
    lines that announce others (with a colon at the end) are left out.

    >>> rewordings_in("Here are two:\\n1. A man runs.\\n2. 'Someone is running.'", "A person runs.")
    ['A man runs.', 'Someone is running.']
    """
    lines = [_MARK.sub("", line).strip(_QUOTES) for line in answer.splitlines()]
    said = [line for line in lines if any(letter.isalnum() for letter in line) and not line.endswith(":")]
    return [line for line in dict.fromkeys(said) if line.casefold() != query.strip().casefold()]
