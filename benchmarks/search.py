"""What a query costs in a collection: 10,000 made-up videos of 30 narratives, or as many as are asked for.

python -m benchmarks.search [--videos 10000] [--sentences 30] [--index exact]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hydra.utils import instantiate

from src.build import compose
from src.retrieval.index import Entry, Question, Vectors
from src.retrieval.ranker import best

_DIM = 384
_WORDS = [
    *("a", "the", "man", "woman", "child", "dog", "cat", "bird", "opens", "closes", "door", "window", "red"),
    *("blue", "green", "kitchen", "street", "car", "runs", "jumps", "sits", "cooks", "eats", "holds", "puts"),
    *("takes", "table", "chair", "book", "lamp", "rain", "sun", "water", "hand", "head", "walks", "talks", "plays"),
    *("guitar", "ball", "box"),
]


def entries(videos: int, sentences: int, seed: int = 0) -> Iterator[Entry]:
    """Videos whose vectors gather around a few hundred directions, as those of real captions do."""
    random = np.random.default_rng(seed)
    topics = random.standard_normal((300, _DIM))
    for number in range(videos):
        near = topics[random.integers(len(topics), size=sentences)]
        vectors = near + random.standard_normal((sentences, _DIM))
        texts = [" ".join(random.choice(_WORDS, 12)) for _ in range(sentences)]
        yield Entry(f"v{number:07}", str(number), np.arange(sentences, dtype=np.float64), texts, unit(vectors))


def unit(vectors: np.ndarray) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / lengths).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--sentences", type=int, default=30)
    parser.add_argument("--index", default="exact")
    given = parser.parse_args()
    cfg = compose("search", f"index={given.index}")
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        index = instantiate(cfg.index.engine)(folder=Path(folder) / "index", made_by={}, dim=_DIM)
        index.add(entries(given.videos, given.sentences))
        print(f"build: {time.process_time() - started:.1f} s")
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        print(f"disk: {size / 1e6:.0f} MB")
        ranker = instantiate(cfg.model.ranker, _convert_="all")
        random = np.random.default_rng(1)
        asked = [Question(" ".join(random.choice(_WORDS, 7)), unit(random.standard_normal(_DIM))) for _ in range(21)]
        taken = []
        for question in asked:
            started = time.process_time()
            (candidates,) = index.candidates([question], ranker.candidates)
            best(ranker(question, candidates, None), 10)
            taken.append(time.process_time() - started)
        print(f"load and first query: {taken[0]:.3f} s")
        print(f"a query: {np.median(taken[1:]):.3f} s, at most {max(taken[1:]):.3f} s of processor time")
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB, mapped pages among them")


if __name__ == "__main__":
    main()
