"""model=segments on QVHighlights val as one corpus, a network and weights for each fold that saw none of it.

python -m experiments.corpus_qvhighlights.segments [SETTING ...]   of python -m src.search

Reads the run folders of `python -m src.train -m +experiment=qvhighlights_segments data.fold=0,1,2,3,4`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.corpus_qvhighlights.measure import FOLDS, IOUS, TOPS, Seen, fitted, look, queries, weights
from src.build import compose
from src.data.annotations.qvhighlights import source
from src.data.batch import GroundTruth
from src.data.records import Moment
from src.data.rewordings import read_rewordings
from src.data.splits import load_split
from src.metrics.corpus import CorpusRecall, Placed
from src.places import Places
from src.retrieval import Collection
from src.retrieval.ranker import Found, best
from src.retrieval.segments import Segments
from src.retrieval.similarity import RUN, WINDOW, Similarity

WINDOWS = 100
"""Windows that the network looks at, more than the 40 of `conf/model/segments.yaml`, for recall among the first 100."""


def main(overrides: Sequence[str]) -> None:
    collection = Collection(
        overrides=["collection=qvhighlights", "narrator=minigpt_v2", "model=similarity", *overrides]
    )
    print(collection.update().searched, "videos")
    cfg = compose("train", "+experiment=qvhighlights_segments")
    reworded = {each.query: each.rewordings for each in read_rewordings(Places(cfg).rewordings)}
    similarity = collection.ranker
    assert isinstance(similarity, Similarity)
    moments = queries()
    for name, told in {"with rewordings": reworded, "the query alone": {}}.items():
        seen = look(collection, similarity, moments, told)
        tested, ranked = folded(collection, similarity, moments, seen, told)
        metric = CorpusRecall(TOPS, IOUS)
        metric.update([[Placed(*one[:3]) for one in found] for found in ranked], GroundTruth.of(tested))
        print(name, json.dumps({key: round(float(value), 1) for key, value in metric.compute().items()}), flush=True)


def folded(
    collection: Collection,
    similarity: Similarity,
    moments: Sequence[Moment],
    seen: Sequence[Sequence[Seen]],
    reworded: Mapping[str, Sequence[str]],
) -> tuple[list[Moment], list[list[Found]]]:
    """Every query, and what was found for it by what was learned from the other folds, whose videos alone were seen."""
    tested: list[Moment] = []
    ranked: list[list[Found]] = []
    for fold in range(FOLDS):
        cfg = compose("train", "+experiment=qvhighlights_segments", f"data.fold={fold}")
        asked = load_split(cfg.data, "test").moments
        hidden = {source(moment.video) for moment in asked}
        rest = [
            [each for each in candidates if source(each.video) not in hidden]
            for candidates, moment in zip(seen, moments, strict=True)
            if source(moment.video) not in hidden
        ]
        window, run = fitted(rest)
        chances = Similarity(
            similarity.lowered, similarity.runs, similarity.candidates, weights(window, WINDOW), weights(run, RUN)
        )
        folder = Path(cfg.paths.outputs) / "sweeps/qvhighlights_segments" / f"data.fold={fold}"
        ranker = Segments(str(folder), WINDOWS, moments=8, weight=2.0, device="cpu", similarity=chances)
        for start in range(0, len(asked), 64):
            some = asked[start : start + 64]
            questions = collection.questions(
                [each.query for each in some], [reworded.get(each.query, ()) for each in some]
            )
            every = collection.index.candidates(questions, WINDOWS)
            for question, candidates in zip(questions, every, strict=True):
                # The network and the weights do not ask for files.
                found = ranker(question, candidates, source=None)  # type: ignore[arg-type]
                ranked.append(best(found, len(found)))
            tested += some
    return tested, ranked


if __name__ == "__main__":
    main(sys.argv[1:])
