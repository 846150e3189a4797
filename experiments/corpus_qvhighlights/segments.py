"""model=segments on QVHighlights val as one corpus, networks and weights for each fold that saw none of it.

python -m experiments.corpus_qvhighlights.segments [SETTING ...]   of python -m src.search

Reads the run folders of `python -m src.train -m +experiment=qvhighlights_segments data.fold=0,1,2,3,4`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.corpus_qvhighlights.measure import (
    FOLDS,
    HIT,
    IOUS,
    TOPS,
    Seen,
    calibrated,
    fitted_window,
    weights,
    within,
)
from src.build import compose
from src.data.annotations.qvhighlights import source
from src.data.batch import GroundTruth
from src.data.records import Moment
from src.data.rewordings import read_rewordings
from src.data.splits import load_split
from src.metrics.corpus import CorpusRecall, Placed
from src.moments import iou
from src.places import Places
from src.retrieval import Collection
from src.retrieval.ranker import Found, best
from src.retrieval.segments import MOMENT, Segments, moment_numbers
from src.retrieval.similarity import WINDOW, sigmoid, window_numbers

WINDOWS = 100
"""Windows that the network looks at, more than the 40 of `conf/model/segments.yaml`, for recall among the first 100."""

Asked = tuple[int, Moment, list[Seen]]
"""A query, the fold that tests it, and its candidate windows, whose runs are the network's moments with their IoU."""


def main(overrides: Sequence[str]) -> None:
    collection = Collection(overrides=["collection=qvhighlights", "narrator=minigpt_v2", *overrides])
    print(collection.update().searched, "videos")
    cfg = compose("train", "+experiment=qvhighlights_segments")
    reworded = {each.query: each.rewordings for each in read_rewordings(Places(cfg).rewordings)}
    for name, told in {"with rewordings": reworded, "the query alone": {}}.items():
        report(name, [each for fold in range(FOLDS) for each in look(collection, fold, told)])


def look(collection: Collection, fold: int, reworded: Mapping[str, Sequence[str]]) -> list[Asked]:
    """The queries that a fold tests, and what the network of its training folds finds in the candidate windows."""
    cfg = compose("train", "+experiment=qvhighlights_segments", f"data.fold={fold}")
    asked = load_split(cfg.data, "test").moments
    folder = Path(cfg.paths.outputs) / "sweeps/qvhighlights_segments" / f"data.fold={fold}"
    ranker = collection.ranker
    assert isinstance(ranker, Segments)
    network = Segments(str(folder), WINDOWS, ranker.moments, ranker.moment, ranker.device, ranker.similarity)
    found = []
    for start in range(0, len(asked), 64):
        some = asked[start : start + 64]
        questions = collection.questions([each.query for each in some], [reworded.get(each.query, ()) for each in some])
        every = collection.index.candidates(questions, WINDOWS)
        for moment, question, candidates in zip(some, questions, every, strict=True):
            windows = torch.tensor(moment.windows, dtype=torch.float64)
            seen = []
            for each, numbers, spans in zip(
                candidates, window_numbers(candidates), network.expected(question, candidates), strict=True
            ):
                right = each.video == moment.video
                runs = [
                    (
                        (start, end),
                        np.array([expected]),
                        right and float(iou(torch.tensor((start, end), dtype=torch.float64), windows).max()) >= HIT,
                    )
                    for start, end, expected in spans
                ]
                seen.append(Seen(each.video, right, numbers, runs))
            found.append((fold, moment, seen))
    return found


def report(name: str, asked: Sequence[Asked]) -> None:
    """Print recall, how the probabilities are calibrated, and the weights of a moment by every query.

    Videos are ranked by their best moment, and by their own probability too.
    """
    metric, videos, chances = CorpusRecall(TOPS, IOUS), CorpusRecall(TOPS, IOUS), []
    for fold in range(FOLDS):
        tested = [(moment, seen) for each, moment, seen in asked if each == fold]
        hidden = {source(moment.video) for moment, _ in tested}
        rest = [
            [each for each in seen if source(each.video) not in hidden]
            for _, moment, seen in asked
            if source(moment.video) not in hidden
        ]
        window, moment_weights = fitted(rest)
        for moment, seen in tested:
            ranked = []
            for span, video, numbers, hit in moments_of(seen, window):
                ranked.append(Found(video, *span, sigmoid(moment_weights, numbers)))
                chances.append((ranked[-1].probability, hit))
            placed = [Placed(*one[:3]) for one in best(ranked, len(ranked))]
            metric.update([placed], GroundTruth.of([moment]))
            likely = sorted(seen, key=lambda each: -sigmoid(window, each.numbers))
            videos.update([[Placed(each.video, *each.runs[0][0]) for each in likely]], GroundTruth.of([moment]))
    found = {key: round(float(value), 1) for key, value in metric.compute().items()}
    print(name, json.dumps(found), flush=True)
    alone = {key: round(float(value), 1) for key, value in videos.compute().items() if key.startswith("VR")}
    print("videos by their own probability", json.dumps(alone), flush=True)
    calibrated(chances)
    window, moment_weights = fitted([seen for _, _, seen in asked])
    print("window:", weights(window, WINDOW))
    print("moment:", weights(moment_weights, MOMENT))


def fitted(seen: Sequence[Sequence[Seen]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The weights of a window, as without a network, and those of its moments, learned in the same way."""
    window = fitted_window(seen)
    every = [moments_of(candidates, window) for candidates in seen]
    numbers = [np.array([each[2] for each in some]) for some in every if some]
    return window, within(numbers, [np.array([each[3] for each in some]) for some in every if some])


def moments_of(
    seen: Sequence[Seen], window: NDArray[np.float64]
) -> list[tuple[tuple[float, float], str, NDArray[np.float64], bool]]:
    """Each moment of a query's candidates: its span, its video, its numbers, and whether it is the one asked for."""
    return [
        (span, each.video, numbers, hit)
        for each in seen
        for (span, _, hit), numbers in zip(
            each.runs,
            moment_numbers(sigmoid(window, each.numbers), [float(expected[0]) for _, expected, _ in each.runs]),
            strict=True,
        )
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
