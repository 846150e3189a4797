"""QVHighlights val as one corpus: recall of videos and of moments in them, and the calibration of the score.

python -m experiments.corpus_qvhighlights.measure [SETTING ...]   of python -m src.search
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from src.build import compose
from src.data.annotations.qvhighlights import source
from src.data.batch import GroundTruth
from src.data.records import Moment
from src.data.splits import load_split
from src.metrics.corpus import CorpusRecall, Placed
from src.moments import iou
from src.retrieval import Collection
from src.retrieval.ranker import Found, best
from src.retrieval.similarity import RUN, WINDOW, Similarity, sigmoid, window_numbers

FOLDS, TOPS, IOUS = 5, [1, 5, 10, 100], [0.5, 0.7]
CANDIDATES, DECAY = 200, 1e-4
HIT = 0.5
"""The IoU from which on a moment is the one that is asked for."""


class Seen(NamedTuple):
    """A candidate window of a query: its numbers, and its runs with theirs."""

    video: str
    right: bool
    numbers: NDArray[np.float64]
    runs: list[tuple[tuple[float, float], NDArray[np.float64], bool]]


def main(overrides: Sequence[str]) -> None:
    collection = Collection(
        overrides=["collection=qvhighlights", "narrator=minigpt_v2", "model=similarity", *overrides]
    )
    print(collection.update().searched, "videos")
    moments = queries()
    similarity = collection.ranker
    assert isinstance(similarity, Similarity)
    seen = look(collection, similarity, moments, {})
    results, chances = {}, []
    for name, ranked in {
        "videos by best 5 and BM25, one moment each": [plain(each) for each in seen],
        "logistic, folds by source video": folded(seen, moments, chances),
    }.items():
        metric = CorpusRecall(TOPS, IOUS)
        metric.update([[Placed(*one[:3]) for one in found] for found in ranked], GroundTruth.of(moments))
        results[name] = {key: round(float(value), 1) for key, value in metric.compute().items()}
        print(name, json.dumps(results[name]))
    calibrated(chances)
    window, run = fitted(seen)
    print("window:", weights(window, WINDOW))
    print("run:", weights(run, RUN))


def queries() -> list[Moment]:
    """Every query of val: the folds of conf/data/qvhighlights_folds, put together."""
    data = compose("train", "data=qvhighlights_folds").data
    return [moment for split in ("train", "val", "test") for moment in load_split(data, split).moments]


def look(
    collection: Collection, similarity: Similarity, moments: Sequence[Moment], reworded: Mapping[str, Sequence[str]]
) -> list[list[Seen]]:
    """The candidate windows of each query, by itself and its rewordings."""
    seen = []
    for start in range(0, len(moments), 64):
        some = moments[start : start + 64]
        questions = collection.questions(
            [moment.query for moment in some], [reworded.get(moment.query, ()) for moment in some]
        )
        every = collection.index.candidates(questions, CANDIDATES)
        for moment, candidates in zip(some, every, strict=True):
            windows = torch.tensor(moment.windows, dtype=torch.float64)
            rows = []
            for each, numbers in zip(candidates, window_numbers(candidates), strict=True):
                right = each.video == moment.video
                runs = [
                    (span, numbers, right and float(iou(torch.tensor(span, dtype=torch.float64), windows).max()) >= HIT)
                    for span, numbers in similarity.moments(each)
                ]
                rows.append(Seen(each.video, right, numbers, runs))
            seen.append(rows)
    return seen


def plain(candidates: Sequence[Seen]) -> list[Found]:
    """Without any weights: candidates in the index's order, the best run of each."""
    return [Found(each.video, *each.runs[0][0], 1 - place / CANDIDATES) for place, each in enumerate(candidates)]


def fitted(seen: Sequence[Sequence[Seen]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The weights of both logistic regressions."""
    runs = [run for candidates in seen for each in candidates if each.right for run in each.runs]
    run = logistic(np.array([run[1] for run in runs]), np.array([run[2] for run in runs]))
    return fitted_window(seen), run


def fitted_window(seen: Sequence[Sequence[Seen]]) -> NDArray[np.float64]:
    """The weights of a window in the log-odds that it is of the right video."""
    numbers = [np.array([each.numbers for each in some]) for some in seen if some]
    return within(numbers, [np.array([each.right for each in some]) for some in seen if some])


def within(numbers: Sequence[NDArray[np.float64]], labels: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """The weights of a logistic regression, the bias first, whose direction is learned within queries.

    There it only has to rank; then its sums are scaled and shifted to probabilities.

    Args:
        numbers: (n, k) of each query's n candidates.
        labels: (n,) which are right; of several the first is learned from.
    """
    asked = [(rows, int(right.argmax())) for rows, right in zip(numbers, labels, strict=True) if right.any()]
    direction = choice([rows for rows, _ in asked], [place for _, place in asked])
    bias, scale = logistic((np.concatenate(numbers) @ direction)[:, None], np.concatenate(labels))
    return np.array([bias, *(scale * direction)])


def choice(numbers: Sequence[NDArray[np.float64]], chosen: Sequence[int]) -> NDArray[np.float64]:
    """The weights of a conditional logit: of each query's rows the chosen one has the highest sum."""

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total, slope = DECAY * weights @ weights, 2 * DECAY * weights
        for rows, place in zip(numbers, chosen, strict=True):
            scores = rows @ weights
            chances = np.exp(scores - scores.max())
            total += (np.log(chances.sum()) + scores.max() - scores[place]) / len(numbers)
            slope = slope + (chances / chances.sum() @ rows - rows[place]) / len(numbers)
        return float(total), slope

    found: NDArray[np.float64] = minimize(loss, np.zeros(numbers[0].shape[1]), jac=True).x
    return found


def folded(
    seen: Sequence[Sequence[Seen]], moments: Sequence[Moment], chances: list[tuple[float, bool]]
) -> list[list[Found]]:
    """Each query ranked by weights of the other folds, whose videos alone were seen, as wrong ones too."""
    sources = sorted({source(moment.video) for moment in moments})
    order = np.random.default_rng(0).permutation(len(sources))
    fold = {sources[place]: number % FOLDS for number, place in enumerate(order)}
    found: list[list[Found]] = [[] for _ in moments]
    for test in range(FOLDS):
        rest = [
            [each for each in candidates if fold.get(source(each.video)) != test]
            for candidates, moment in zip(seen, moments, strict=True)
            if fold[source(moment.video)] != test
        ]
        window, run = fitted(rest)
        for place, moment in enumerate(moments):
            if fold[source(moment.video)] != test:
                continue
            ranked = []
            for each in seen[place]:
                right = sigmoid(window, each.numbers)
                for span, numbers, hit in each.runs:
                    ranked.append(Found(each.video, *span, right * sigmoid(run, numbers)))
                    chances.append((ranked[-1].probability, hit))
            found[place] = best(ranked, len(ranked))
    return found


def logistic(numbers: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights, the bias first, by Newton's method, with a little decay."""
    rows = np.column_stack((np.ones(len(numbers)), numbers))
    weights = np.zeros(rows.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (chance - labels) + DECAY * len(rows) * weights * (np.arange(len(weights)) > 0) / len(rows)
        curve = (rows * (chance * (1 - chance))[:, None]).T @ rows + DECAY * np.eye(len(weights))
        step = np.linalg.solve(curve, slope)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def calibrated(chances: Sequence[tuple[float, bool]]) -> None:
    """Print what was predicted beside what was true, in bins."""
    predicted, true = np.array([each[0] for each in chances]), np.array([each[1] for each in chances])
    for low, high in ((0, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.6), (0.6, 1)):
        inside = (predicted >= low) & (predicted < high)
        if inside.any():
            means = f"{predicted[inside].mean():.3f} predicted, {true[inside].mean():.3f} true"
            print(f"{low} to {high}: {means}, {inside.sum()} moments")


def weights(values: NDArray[np.float64], names: Sequence[str]) -> dict[str, float]:
    return {name: round(float(value), 3) for name, value in zip(("bias", *names), values, strict=True)}


if __name__ == "__main__":
    main(sys.argv[1:])
