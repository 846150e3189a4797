"""Predictions in files: ours, ActivityNet's and QVHighlights' formats.

Ours is JSON Lines, one query a line, and enough to score and to report from alone: split, query_id, video, query,
duration, windows (annotated) and novel, then predictions, [start, end, score] best first, and saliency where there is.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from src.data.records import LONGEST, Moment
from src.errors import UserError
from src.files import is_number, parse_json, read_lines, read_text, shown, whole
from src.metrics.highlights import on_clips
from src.moments import RankedMoments

Scored = tuple[float, float, float]


class Prediction:
    """The answer to one query, 24 bytes a window: exact ties of decimal seconds need double precision.

    Args:
        query_id: The query's id.
        windows: (K, 3) start, end and score, seconds, best first; at least one.
        saliency: (L,) a score for each snippet, where the predictor has one.
    """

    __slots__ = ("query_id", "ranked", "saliency")

    def __init__(self, query_id: str, windows: ArrayLike, saliency: ArrayLike = ()) -> None:
        self.query_id = query_id
        self.ranked: NDArray[np.float64] = np.array(windows, np.float64)
        self.saliency: NDArray[np.float64] = np.array(saliency, np.float64)

    @property
    def windows(self) -> tuple[Scored, ...]:
        """(start, end, score) of each window."""
        return tuple((start, end, score) for start, end, score in self.ranked.tolist())

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Prediction)
            and self.query_id == other.query_id
            and np.array_equal(self.ranked, other.ranked)
            and np.array_equal(self.saliency, other.saliency)
        )

    __hash__ = None  # type: ignore[assignment]


def to_predictions(ranked: RankedMoments, moments: Sequence[Moment]) -> list[Prediction]:
    """The predictions of a batch, whose queries are `moments`."""
    rows = torch.cat((ranked.windows, ranked.scores[..., None]), dim=-1).double().cpu().numpy()
    saliency = ranked.saliency.double().cpu().numpy() if ranked.saliency is not None else None
    counts, lengths = ranked.counts.tolist(), ranked.lengths.tolist()
    return [
        Prediction(moment.query_id, rows[i, : counts[i]], saliency[i, : lengths[i]] if saliency is not None else ())
        for i, moment in enumerate(moments)
    ]


def to_ranked(predictions: Sequence[Prediction]) -> RankedMoments:
    """Predictions as metrics take them. One without saliency has `lengths` 0."""
    counts = torch.tensor([len(prediction.ranked) for prediction in predictions])
    lengths = torch.tensor([len(prediction.saliency) for prediction in predictions])
    ranked = _padded([prediction.ranked for prediction in predictions])
    absent = torch.arange(ranked.shape[1]) >= counts[:, None]
    return RankedMoments(
        windows=ranked[..., :2],
        scores=ranked[..., 2].masked_fill(absent, -torch.inf),
        counts=counts,
        saliency=_padded([prediction.saliency for prediction in predictions]) if lengths.any() else None,
        lengths=lengths,
    )


def _padded(rows: Sequence[NDArray[np.float64]]) -> Tensor:
    return pad_sequence([torch.from_numpy(each) for each in rows], batch_first=True)


def write_predictions(path: Path, predictions: Sequence[Prediction], moments: Sequence[Moment], split: str) -> None:
    """Write predictions beside the ground truth of their queries, in the order of `moments`, whole or not at all.

    Seconds have four decimals, scores six digits.
    """
    answers = {prediction.query_id: prediction for prediction in predictions}
    with whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for moment in moments:
            answer = answers[moment.query_id]
            record = {
                "split": split,
                "query_id": moment.query_id,
                "video": moment.video,
                "query": moment.query,
                "duration": moment.duration,
                "windows": moment.windows,
                "novel": moment.novel,
                "predictions": [
                    (round(start, 4), round(end, 4), _digits(score)) for start, end, score in answer.windows
                ],
            }
            if len(answer.saliency):
                record["saliency"] = [_digits(score) for score in answer.saliency.tolist()]
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def write_submission(path: Path, predictions: Sequence[Prediction], moments: Sequence[Moment]) -> None:
    """Write predictions as QVHighlights' server takes them, in the order of `moments`, whole or not at all.

    JSON Lines: qid (a number where it is one), query, vid, pred_relevant_windows of [start, end, score] with two
    decimals of a second, and where there is saliency pred_saliency_scores, one of each clip of the video (Lei et al.,
    NeurIPS 2021, `standalone_eval`).
    """
    answers = {prediction.query_id: prediction for prediction in predictions}
    with whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for moment in moments:
            answer = answers[moment.query_id]
            record: dict[str, Any] = {
                "qid": int(moment.query_id) if moment.query_id.isdecimal() else moment.query_id,
                "query": moment.query,
                "vid": moment.video,
                "pred_relevant_windows": [
                    (round(start, 2), round(end, 2), _digits(score)) for start, end, score in answer.windows
                ],
            }
            if len(answer.saliency):
                of_clips = on_clips(torch.from_numpy(answer.saliency), moment)
                record["pred_saliency_scores"] = [_digits(score) for score in of_clips.tolist()]
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def write_answers(
    folder: Path, predictions: Sequence[Prediction], moments: Sequence[Moment], split: str, submission: str | None
) -> None:
    """Write what a run keeps of its answers to a split.

    Args:
        folder: The run folder's predictions, `folder`/SPLIT.jsonl.
        predictions: The answers.
        moments: The queries.
        split: The split's name.
        submission: The name of a file in which a server takes them, with {split} for the split's; it is written in a
            folder `submission` beside. None where there is no server.
    """
    write_predictions(folder / f"{split}.jsonl", predictions, moments, split)
    if submission is not None:
        write_submission(folder.with_name("submission") / submission.format(split=split), predictions, moments)


def _digits(score: float) -> float:
    return float(f"{score:.6g}")


def read_predictions(path: Path, moments: Sequence[Moment]) -> list[Prediction]:
    """Read a predictions file in any of the three formats, in the order of `moments`.

    Our JSON Lines; QVHighlights' submission (JSON Lines with qid and pred_relevant_windows); ActivityNet's JSON
    (`results: {video: [{sentence, timestamp}, …]}`), whose entries are matched to a video's queries by their order.

    Raises:
        UserError: a malformed record, naming it; or queries without a prediction, or predictions without a query.
    """
    if not path.is_file():
        raise UserError(f"no predictions file at {path}")
    # JSON Lines may be large and are read a line at a time; ActivityNet's JSON is one object, over however many lines.
    found = _of_activitynet(path, moments) if _is_one_object(path) else _of_lines(path)
    answers: dict[str, Prediction] = {}
    for where, prediction in found:
        if prediction.query_id in answers:
            raise UserError(f"{where}: query {prediction.query_id} was already answered")
        answers[prediction.query_id] = prediction
    _require_same_queries(path, answers, moments)
    return [answers[moment.query_id] for moment in moments]


def require_all_or_no_saliency(path: Path, predictions: Sequence[Prediction]) -> None:
    """Raise a UserError if some predictions of a file have saliency and others none: it would be scored of a part."""
    without = [prediction.query_id for prediction in predictions if not len(prediction.saliency)]
    if 0 < len(without) < len(predictions):
        raise UserError(
            f"{path}: {len(without)} of {len(predictions)} queries have no saliency (such as {without[0]}), so that "
            "highlight detection would be scored on the others alone: give it for all of them or for none"
        )


def _require_same_queries(path: Path, answers: dict[str, Prediction], moments: Sequence[Moment]) -> None:
    asked = {moment.query_id for moment in moments}
    for what, ids in (("lacks a prediction for", asked - answers.keys()), ("answers unknown", answers.keys() - asked)):
        if ids:
            names = ", ".join(sorted(ids)[:3]) + (", …" if len(ids) > 3 else "")
            raise UserError(f"{path} {what} {len(ids)} queries ({names}): is it of this data set and split?")


def _of_lines(path: Path) -> Iterator[tuple[str, Prediction]]:
    for where, _, line in read_lines(path):
        if line.strip():
            yield where, _of_line(line, where)


def _of_line(line: bytes, where: str) -> Prediction:
    record = parse_json(line, where, "a JSON record")
    if not isinstance(record, dict):
        raise UserError(f"{where}: not a JSON record")
    if "qid" in record:
        windows, saliency = record.get("pred_relevant_windows"), record.get("pred_saliency_scores", [])
    elif "query_id" in record:
        windows, saliency = record.get("predictions"), record.get("saliency", [])
    else:
        raise UserError(f"{where}: a record needs query_id and predictions, or qid and pred_relevant_windows")
    query_id = record.get("qid", record.get("query_id"))
    if not isinstance(query_id, str) and type(query_id) is not int:
        raise UserError(f"{where}: the query's id is {shown(query_id)}, not text or a number")
    if not isinstance(saliency, list) or not all(map(is_number, saliency)):
        raise UserError(f"{where}, query {query_id}: its saliency is {shown(saliency)}, not a list of finite numbers")
    return Prediction(str(query_id), _windows(windows, where), saliency)


def _of_activitynet(path: Path, moments: Sequence[Moment]) -> Iterator[tuple[str, Prediction]]:
    queries: dict[str, list[Moment]] = defaultdict(list)
    for moment in moments:
        queries[moment.video].append(moment)
    results = parse_json(read_text(path), path)["results"]
    if not isinstance(results, dict):
        raise UserError(f"{path}: results is not {{video: [predictions]}}")
    for video, entries in results.items():
        where = f"{path}, video {video}"
        if not isinstance(entries, list) or len(entries) != len(queries[video]):
            count = len(entries) if isinstance(entries, list) else 0
            raise UserError(
                f"{where}: {count} predictions for {len(queries[video])} queries: is it of this data set and split?"
            )
        for moment, entry in zip(queries[video], entries, strict=True):
            if not isinstance(entry, dict) or "timestamp" not in entry:
                raise UserError(f"{where}: a prediction without timestamp")
            sentence = entry.get("sentence", moment.query)
            if _letters(str(sentence)) != _letters(moment.query):
                raise UserError(f"{where}: a prediction for {shown(sentence)} where the query is {moment.query!r}")
            timestamp = entry["timestamp"]
            several = isinstance(timestamp, list) and timestamp and isinstance(timestamp[0], list)
            windows = timestamp if several else [timestamp]
            yield where, Prediction(moment.query_id, _windows(windows, where), ())


def _windows(windows: Any, where: str) -> list[Scored]:
    """Check [[start, end] or [start, end, score], …]; what has no score is taken to be in order."""
    if not isinstance(windows, list) or not windows:
        raise UserError(f"{where}: no predicted windows")
    checked = []
    for rank, window in enumerate(windows):
        if not isinstance(window, list) or len(window) not in (2, 3) or not all(map(is_number, window)):
            raise UserError(f"{where}: window {shown(window)} is not [start, end] or [start, end, score] in numbers")
        if max(map(abs, window[:2])) > LONGEST:
            raise UserError(f"{where}: window {shown(window)} is not in seconds of any video")
        if window[0] > window[1]:
            raise UserError(f"{where}: window {shown(window)} ends before it starts")
        checked.append((float(window[0]), float(window[1]), float(window[2]) if len(window) == 3 else -float(rank)))
    return sorted(checked, key=lambda window: -window[2])


def _is_one_object(path: Path) -> bool:
    """Whether the whole text is one JSON object, of ActivityNet's kind."""
    _, _, first = next(read_lines(path), (None, None, b""))
    for text in (first, None):
        try:
            value = json.loads(read_text(path) if text is None else text)
        except (ValueError, RecursionError):
            continue  # the first line alone is none: an object over several
        return isinstance(value, dict) and "results" in value
    return False


def _letters(sentence: str) -> str:
    """A sentence without what its copies differ in: case, punctuation and spaces."""
    return "".join(character for character in sentence.lower() if character.isalnum())
