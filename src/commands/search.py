"""What `python -m src.search` does: narrate, index, search, print."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from src.errors import UserError, printable
from src.files import parse_json, read_text, whole
from src.retrieval import Collection, Hit
from src.retrieval.results import record
from src.tables import plain

_log = logging.getLogger(__name__)


def search(cfg: DictConfig) -> list[list[Hit]]:
    """Answer `query`, or each sentence of `queries`, from the videos; print a table of each, and write `output`.

    Raises:
        UserError: There is no sentence, or nothing to search.
    """
    sentences = _sentences(cfg)
    collection = Collection(cfg=cfg)
    update = collection.update()
    for problem in update.problems:
        _log.warning("%s", problem)
    answers = collection.search_all(sentences, cfg.top, _video(collection, cfg.video))
    for sentence, hits in zip(sentences, answers, strict=True):
        print(f"\n{printable(sentence)}\n{_table(hits)}")
    if cfg.output is not None:
        with whole(Path(cfg.output)) as temporary, temporary.open("w", encoding="utf-8") as file:
            for sentence, hits in zip(sentences, answers, strict=True):
                file.write(json.dumps(record(sentence, hits), ensure_ascii=False) + "\n")
        _log.info("%s: answers to %d sentences", cfg.output, len(sentences))
    return answers


def _sentences(cfg: DictConfig) -> list[str]:
    if (cfg.query is None) == (cfg.queries is None):
        raise UserError('give a sentence, query="a person opens the door", or a file of them, queries=FILE')
    sentences = [cfg.query] if cfg.query is not None else _read(Path(cfg.queries))
    if not all(sentence.strip() for sentence in sentences):
        raise UserError('the sentence is empty: say what is to be seen, query="a person opens the door"')
    return sentences


def _read(file: Path) -> list[str]:
    """The sentences of a file: one a line, or JSON Lines with a "query" each. Empty lines are none."""
    try:
        lines = read_text(file).splitlines()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"no file of sentences at {file}: give queries=FILE") from error
    sentences = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if file.suffix == ".jsonl":
            said = parse_json(line, where := f"{file}, line {number}")
            if not isinstance(said, dict) or not isinstance(said.get("query"), str) or not said["query"].strip():
                raise UserError(f"{where}: a line needs a query that is not empty")
            sentences.append(said["query"])
        else:
            sentences.append(line.strip())
    if not sentences:
        raise UserError(f"{file} holds no sentence")
    return sentences


def _video(collection: Collection, video: str | None) -> str | None:
    """The id of a video that is named by it, or by its file."""
    if video is None:
        return None
    path = Path(video).resolve()
    return next((name for name, file in collection.files().items() if file.resolve() == path), video)


def _table(hits: Sequence[Hit]) -> str:
    lines = [["video", "start", "end", "probability", "narrative"]]
    for hit in hits:
        place = [f"{hit.start:.1f}", f"{hit.end:.1f}", f"{hit.probability:.3f}"]
        lines.append([printable(hit.video), *place, printable(hit.because.text)])
    return plain(lines, left=(0, 4))
