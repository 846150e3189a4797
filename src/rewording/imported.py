"""Rewordings that exist already, in the layouts they are published in.

JSON Lines of {"query", "rephrased_query": [texts]} (VTG-GPT's, of QVHighlights); one JSON file of {video:
{"sentences": [texts], "response": [one for each]}}, where a response's `query_json` holds {"sub_query_id",
"descriptions": [texts]} and number 0 is of the whole sentence (TFVTG's, of Charades-STA).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from src.data.rewordings import Rewordings
from src.errors import UserError
from src.files import parse_json, read_lines, read_text
from src.rewording.reworder import Failure, Outcome


class ImportedReworder:
    """Reads rewordings where others ask a language model.

    Args:
        name: The reworder's name, as its config has it.
        file: A .jsonl or .json in one of the layouts above.
    """

    def __init__(self, name: str, file: str) -> None:
        self.name = name
        self.file = Path(file)

    @property
    def writer(self) -> dict[str, Any]:
        return {"reworder": self.name, "imported": self.file.name}

    def outcomes(self, queries: Sequence[str]) -> Iterator[Outcome]:
        for query in queries:
            texts = self._texts.get(query)
            if texts:
                yield Rewordings(query, tuple(texts), self.writer)
            else:
                yield Failure(query, f"no rewordings of it in {self.file}")

    @cached_property
    def _texts(self) -> dict[str, list[str]]:
        """The rewordings of each sentence; those of one that is there again come first where they were first."""
        found: dict[str, list[str]] = {}
        try:
            for query, texts, where in _of_json(self.file) if self.file.suffix == ".json" else _of_lines(self.file):
                if not isinstance(query, str) or not isinstance(texts, list):
                    raise UserError(f"{where}: not a sentence and a list of rewordings")
                own = found.setdefault(query.strip(), [])
                for text in texts:
                    if not isinstance(text, str):
                        raise UserError(f"{where}: a rewording of {query!r} is no text")
                    # A rewording that says the very same, or nothing, says nothing new.
                    if text.strip() and text.strip() not in (query.strip(), *own):
                        own.append(text.strip())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UserError(f"no rewordings at {self.file}: say where they are with reworder.file=FILE") from error
        return found


Found = Iterator[tuple[Any, Any, str]]
"""A sentence, its rewordings, and where they stand."""


def _of_lines(path: Path) -> Found:
    for where, _, line in read_lines(path):
        record = parse_json(line, where)
        if not isinstance(record, dict) or not {"query", "rephrased_query"} <= record.keys():
            raise UserError(f"{where}: a record needs query and rephrased_query")
        yield record["query"], record["rephrased_query"], where


def _of_json(path: Path) -> Found:
    content = parse_json(read_text(path), path)
    for video, record in content.items() if isinstance(content, dict) else ():
        where = f"{path}, {video}"
        try:
            for sentence, response in zip(record["sentences"], record["response"], strict=True):
                whole = [each["descriptions"] for each in response["query_json"] if each["sub_query_id"] == 0]
                yield sentence, whole[0], where
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise UserError(f"{where}: not sentences with a response of rewordings for each") from error
