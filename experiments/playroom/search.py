"""R@1 of src.search over the Playroom's test queries, each asked of its own video, beside src.evaluate of the same run.

python -m experiments.playroom.search RUN_FOLDER [SETTING ...]   of python -m src.search
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from hydra.utils import instantiate

from src.arguments import quoted
from src.build import compose
from src.data.batch import GroundTruth
from src.data.records import Moment
from src.data.splits import load_split
from src.metrics.corpus import CorpusRecall, Placed
from src.retrieval import Collection

IOUS = [0.3, 0.5, 0.7]


def main(folder: str, overrides: Sequence[str]) -> None:
    run = ["model=run", f"model.ranker.folder={quoted(folder)}"]
    cfg = compose("train", "data=playroom")
    videos = Path(cfg.data.root) / "videos"
    collection = Collection(videos, ["collection=playroom", "narrator=playroom", *run, *overrides])
    print(collection.update().searched, "videos")
    evaluated = json.loads((Path(folder) / "metrics.json").read_text())
    rankers = {"run": collection.ranker}
    for name in ("similarity", "segments"):
        rankers[name] = instantiate(compose("search", f"model={name}").model.ranker, _convert_="all")
    for split in cfg.data.tests:
        moments = load_split(cfg.data, split).moments
        print(f"{split}, {len(moments)} queries")
        print("  src.evaluate", {f"R1@{m}": round(evaluated[f"test/{split}/R1@{m}"], 1) for m in IOUS})
        for name, ranker in rankers.items():
            metric = CorpusRecall([1], IOUS)
            for asked in by_video(moments):
                hits = collection.search_all([each.query for each in asked], 1, asked[0].video, ranker)
                answers = [[Placed(hit.video, hit.start, hit.end) for hit in found] for found in hits]
                metric.update(answers, GroundTruth.of(asked))
            found = {key: round(float(value), 1) for key, value in metric.compute().items() if key != "VR1"}
            print(f"  model={name}", found, flush=True)


def by_video(moments: Sequence[Moment]) -> list[list[Moment]]:
    """The queries of each video."""
    grouped = defaultdict(list)
    for moment in moments:
        grouped[moment.video].append(moment)
    return list(grouped.values())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
