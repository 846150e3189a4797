"""What a query costs in a collection: 10,000 made-up videos of 30 narratives, or as many as are asked for.

python -m benchmarks.search [--videos 10000] [--sentences 30] [--index exact] [--like COLLECTION NARRATOR]

With `--like`, narratives are those of a collection that can be searched already, each again and again with noise.
Recall is that of the index's vectors: the share of the narratives nearest to a question that it finds.
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
from src.data.splits import load_split
from src.retrieval import Collection
from src.retrieval.index import Entry, Index, Question, Vectors
from src.retrieval.lance import LanceIndex
from src.retrieval.ranker import Ranker, best

_DIM = 384
_QUESTIONS = 21
_WORDS = [
    *("a", "the", "man", "woman", "child", "dog", "cat", "bird", "opens", "closes", "door", "window", "red"),
    *("blue", "green", "kitchen", "street", "car", "runs", "jumps", "sits", "cooks", "eats", "holds", "puts"),
    *("takes", "table", "chair", "book", "lamp", "rain", "sun", "water", "hand", "head", "walks", "talks", "plays"),
    *("guitar", "ball", "box"),
]


class Made:
    """Narratives and questions, made up.

    Args:
        told: (n, dim) vectors of length one that narratives gather around.
        noise: How far, as a share of their length.
        asked: Questions of them.
    """

    def __init__(self, told: Vectors, noise: float, asked: list[Question]) -> None:
        self.told, self.noise, self.asked = told, noise, asked

    def entries(self, videos: int, sentences: int, nearest: Nearest) -> Iterator[Entry]:
        """Videos of `sentences` narratives, shown to `nearest` as they go by."""
        random = np.random.default_rng(0)
        for number in range(videos):
            near = self.told[random.integers(len(self.told), size=sentences)]
            strange = self.noise * unit(random.standard_normal((sentences, _DIM)))
            vectors = unit(near + strange)
            texts = [" ".join(random.choice(_WORDS, 12)) for _ in range(sentences)]
            name = f"v{number:07}"
            nearest.see(name, vectors)
            yield Entry(name, str(number), np.arange(sentences, dtype=np.float64), texts, vectors)


class Nearest:
    """The narratives nearest to each question, found by comparing every one.

    Args:
        asked: The questions.
        most: How many of each are kept.
    """

    def __init__(self, asked: list[Question], most: int) -> None:
        self.vectors, self.most = np.stack([each.vector for each in asked]), most
        self.videos: list[str] = []
        self._cosines: list[Vectors] = []

    def see(self, video: str, vectors: Vectors) -> None:
        self.videos.append(video)
        self._cosines.append(self.vectors @ vectors.T)

    def recall(self, question: int, found: set[tuple[str, int]]) -> float:
        """The share of the narratives nearest to a question that `found` has, by video and place in it."""
        cosines = np.stack([each[question] for each in self._cosines])
        order = np.argsort(-cosines, axis=None)[: self.most]
        right = {(self.videos[place // cosines.shape[1]], int(place % cosines.shape[1])) for place in order}
        return len(right & found) / len(right)


def unit(vectors: np.ndarray) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / lengths).astype(np.float32)


def made_up() -> Made:
    """Narratives around 300 directions, and questions of any direction."""
    random = np.random.default_rng(1)
    topics = unit(np.random.default_rng(0).standard_normal((300, _DIM)))
    return Made(topics, 1.0, [Question(words(random), unit(random.standard_normal(_DIM))) for _ in range(_QUESTIONS)])


def like(name: str, narrator: str) -> Made:
    """Narratives like those of a collection, and queries of the data set of its name."""
    collection = Collection(overrides=[f"collection={name}", f"narrator={narrator}"])
    collection.update()
    told = [collection.index.told(video) for video in collection.index.digests()]
    queries = load_split(compose("train", f"data={name}").data, "val").moments
    sentences = [moment.query for moment in queries[:: len(queries) // _QUESTIONS][:_QUESTIONS]]
    # Sentences that say the same in other words have cosines of 0.8 and more.
    return Made(np.concatenate([each.vectors for each in told if each]), 0.6, collection.questions(sentences))


def words(random: np.random.Generator) -> str:
    return " ".join(random.choice(_WORDS, 7))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--sentences", type=int, default=30)
    parser.add_argument("--index", default="exact")
    parser.add_argument("--like", nargs=2, metavar=("COLLECTION", "NARRATOR"))
    given = parser.parse_args()
    cfg = compose("search", f"index={given.index}")
    made = like(*given.like) if given.like else made_up()
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        index: Index = instantiate(cfg.index.engine)(folder=Path(folder) / "index", made_by={}, dim=_DIM)
        nearest = Nearest(made.asked, getattr(index, "rows", 0))
        index.add(made.entries(given.videos, given.sentences, nearest))
        print(f"build: {time.process_time() - started:.1f} s of processor time")
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        print(f"disk: {size / 1e6:.0f} MB")
        for name in ("similarity", "segments"):
            ranker = instantiate(compose("search", f"model={name}").model.ranker, _convert_="all")
            timed(index, ranker, made.asked, name)
        if isinstance(index, LanceIndex):
            found = [{(video, row) for video, _, row in index.nearest(each.vector)} for each in made.asked]
            shares = [nearest.recall(number, each) for number, each in enumerate(found)]
            print(f"recall of the nearest {index.rows}: {np.mean(shares):.3f}, at least {min(shares):.3f}")
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB, mapped pages among them")


def timed(index: Index, ranker: Ranker, asked: list[Question], name: str) -> None:
    """Print what a query costs with a model."""
    spent, taken = [], []
    for question in asked:
        begun, started = time.process_time(), time.perf_counter()
        (candidates,) = index.candidates([question], ranker.candidates)
        # Neither model asks for files.
        best(ranker(question, candidates, None), 10)  # type: ignore[arg-type]
        spent.append(time.process_time() - begun)
        taken.append(time.perf_counter() - started)
    print(f"model={name}: first query {spent[0]:.3f} s")
    print(
        f"model={name}: a query {np.median(spent[1:]):.3f} s of processor time, at most {max(spent[1:]):.3f} s; "
        f"{np.median(taken[1:]):.3f} s by the clock"
    )


if __name__ == "__main__":
    main()
