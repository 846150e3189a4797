"""What `src.reword` does with a composed config."""

from __future__ import annotations

import logging
from pathlib import Path

from omegaconf import DictConfig

from src.data.splits import load_split, split_names
from src.errors import UserError
from src.growing import Journal
from src.places import Places
from src.progress import Progress
from src.rewording.build import build_reworder
from src.rewording.reworder import Failure

_log = logging.getLogger(__name__)


def reword(cfg: DictConfig) -> Path:
    """Reword the queries of the data set that are not reworded yet.

    Returns:
        The rewordings file.

    Raises:
        UserError: nothing can be reworded; or, once all the others are, some queries could not be.
    """
    reworder = build_reworder(cfg.reworder)
    queries = {moment.query for split in split_names(cfg.data) for moment in load_split(cfg.data, split).moments}
    with Journal(Places(cfg).rewordings, "query", reworder.writer, cfg.retry_failed) as journal:
        todo = sorted(queries - journal.done.keys() - journal.failed.keys())
        if len(todo) < len(queries):
            _log.info("%d of %d queries are done or have failed before", len(queries) - len(todo), len(queries))
        for outcome in Progress(reworder.outcomes(todo), "rewording", "query", len(todo)):
            if isinstance(outcome, Failure):
                journal.fail(outcome.query, outcome.reason)
            else:
                journal.append(outcome.query, rewordings=outcome.rewordings)
        _log.info("%s: rewordings of %d queries", journal.path, len(journal.done))
        failed = {query: journal.failed[query] for query in sorted(queries & journal.failed.keys())}
    if failed:
        query, reason = next(iter(failed.items()))
        raise UserError(
            f"{len(failed)} of {len(queries)} queries have no rewordings, such as {query!r}: {reason}. All reasons: "
            f"{journal.failures_path}; try them again with retry_failed=true"
        )
    return journal.path
