"""Rewordings files: JSON Lines, one sentence a line with what it was reworded to: {"query", "rewordings", "writer"}."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from src.errors import UserError
from src.files import read_records


@dataclass(frozen=True, slots=True)
class Rewordings:
    """A sentence in other words.

    Attributes:
        query: The sentence, as the annotations have it.
        rewordings: One or more, none empty.
        writer: What reworded it: the reworder's name and settings.
    """

    query: str
    rewordings: tuple[str, ...]
    writer: dict[str, Any] = field(default_factory=dict)


def read_rewordings(path: Path) -> Iterator[Rewordings]:
    """Read a rewordings file, a sentence at a time.

    Raises:
        UserError: no such file; or, with file and line, a record that breaks the rules of `Rewordings`, or a sentence
            that was there before.
    """
    if missing := missing_rewordings(path):
        raise UserError(missing[0])
    yield from read_records(path, parse, lambda one: one.query)


def missing_rewordings(path: Path) -> list[str]:
    """What to do about a rewordings file that does not exist; nothing if it does."""
    if path.is_file():
        return []
    return [f"no rewordings at {path}: write them with python -m src.reword and the same data and reworder"]


def parse(record: Any, where: str) -> Rewordings:
    """Check one record and make it `Rewordings`. `where` names it in a UserError."""
    if not isinstance(record, dict) or not {"query", "rewordings"} <= record.keys():
        raise UserError(f"{where}: a record needs query and rewordings")
    query, texts, writer = record["query"], record["rewordings"], record.get("writer", {})
    if not isinstance(query, str) or not query.strip():
        raise UserError(f"{where}: the query is no sentence")
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise UserError(f"{where}: the rewordings of {query!r} are not one or more sentences, none empty")
    if not isinstance(writer, dict):
        raise UserError(f"{where}: the writer of {query!r} is not an object of settings")
    return Rewordings(query, tuple(texts), writer)


def to_line(rewordings: Rewordings) -> str:
    """One line of a rewordings file, with its line end."""
    return json.dumps(asdict(rewordings), ensure_ascii=False) + "\n"
