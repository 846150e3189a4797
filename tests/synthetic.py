"""Random video features and narratives in the published layouts, for the videos of a real data set or of a small one.

python -m tests.synthetic charades_cd FOLDER   writes FOLDER/features/charades/i3d/*.npy and
FOLDER/narratives/charades/llava_13b.jsonl for every video of Charades-CD.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from src.data.narratives import write_narratives
from src.data.records import Narratives

WORDS = [
    *("a", "person", "man", "woman", "opens", "closes", "the", "door", "bag", "book"),
    *("sits", "stands", "on", "table", "laughs", "holds", "cup", "phone", "near", "window"),
]


def write_features(folder: Path, durations: Mapping[str, float], dim: int, per_second: float = 1.0) -> None:
    """VIDEO.npy of shape (snippets, dim) for each video."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (video, duration) in enumerate(durations.items()):
        shape = (max(1, round(duration * per_second)), dim)
        np.save(folder / f"{video}.npy", np.random.default_rng(number).standard_normal(shape, dtype=np.float32))


def narrate(video: str, duration: float) -> Narratives:
    """A sentence a second."""
    chance = random.Random(video)
    times = tuple(float(second) for second in range(int(duration) + 1))
    return Narratives(video, times, tuple(" ".join(chance.choices(WORDS, k=8)) for _ in times), {"narrator": "random"})


def write_random_narratives(file: Path, durations: Mapping[str, float]) -> None:
    write_narratives(file, (narrate(video, duration) for video, duration in durations.items()))


def write_glove(file: Path, words: list[str] = WORDS, dim: int = 300) -> None:
    """Random vectors in GloVe's layout."""
    file.parent.mkdir(parents=True, exist_ok=True)
    numbers = np.random.default_rng(0).standard_normal((len(words), dim))
    lines = (f"{word} {' '.join(f'{x:.5f}' for x in row)}" for word, row in zip(words, numbers, strict=True))
    file.write_text("\n".join(lines) + "\n")


def write_charades_cd(folder: Path, videos: int = 8, queries: int = 3) -> dict[str, float]:
    """A Charades-CD of a few videos a split, in its authors' format; returns the videos' durations."""
    folder.mkdir(parents=True, exist_ok=True)
    chance, durations = random.Random(0), {}
    for split in ("train", "val", "test_iid", "test_ood"):
        records = {}
        for i in range(videos):
            video, duration = f"{split[:2]}{split[-1]}{i:02d}".upper(), round(chance.uniform(8, 40), 2)
            durations[video] = duration
            starts = [round(chance.uniform(0, duration / 2), 1) for _ in range(queries)]
            records[video] = {
                "sentences": [" ".join(chance.choices(WORDS, k=5)) for _ in starts],
                "timestamps": [[start, round(min(duration, start + duration / 3), 1)] for start in starts],
                "video_duration": duration,
            }
        (folder / f"charades_{split}.json").write_text(json.dumps(records))
    return durations


def write_small(folder: Path, videos: int = 8, queries: int = 3, dim: int = 1024) -> list[str]:
    """All that training on a small Charades-CD needs; the overrides that make it quick."""
    durations = write_charades_cd(folder / "charades_cd", videos, queries)
    write_features(folder / "features" / "charades" / "i3d", durations, dim)
    write_random_narratives(folder / "stores" / "narratives" / "charades" / "llava_13b.jsonl", durations)
    write_glove(folder / "glove" / "glove.840B.300d.txt", WORDS[:-2])
    places = [f"paths.{name}={folder}/{name}" for name in ("features", "stores", "outputs")]
    sizes = [f"features.dim={dim}", "predictor.network.hidden=16", "predictor.network.heads=2", "loader.workers=0"]
    run = ["trainer=cpu", "trainer.max_epochs=2", "+trainer.enable_progress_bar=false", "loader.batch_size=8"]
    return [f"paths.data={folder}", *places, *sizes, *run]


def write_qvhighlights(folder: Path, queries: int = 12, features: Mapping[str, int] | None = None) -> list[str]:
    """All that training on a small QVHighlights needs, in its official form and with features as published.

    Videos of 20 to 30 s, each with one query of one or two windows; the answers of test are kept back. A clip of a
    window differs from others in its features.

    Args:
        folder: Where it is written.
        queries: Of the training split; val and test have half as many.
        features: The folders of features and their sizes; those of SlowFast and CLIP by default.

    Returns:
        The overrides that select it and make training quick.
    """
    chance, noise, durations = random.Random(0), np.random.default_rng(0), {}
    sizes = dict(features if features is not None else {"slowfast_features": 2304, "clip_features": 512})
    places = {name: folder / "features" / "qvhighlights" / name for name in sizes}
    for place in (folder / "qvhighlights", *places.values()):
        place.mkdir(parents=True, exist_ok=True)
    for number, split in enumerate(("train", "val", "test")):
        lines = []
        for index in range(queries if split == "train" else queries // 2):
            clips = chance.randint(10, 15)
            video = f"{split}{index}_0.0_{2 * clips}.0"
            durations[video] = 2.0 * clips
            first = chance.randint(0, clips - 6)
            inside = [first, first + 1, *([first + 4] if index % 2 else [])]
            record = {"qid": 100 * number + index, "query": " ".join(chance.choices(WORDS, k=5)), "vid": video}
            record |= {"duration": 2 * clips}
            if split != "test":
                windows = [[2 * first, 2 * first + 4], *([[2 * first + 8, 2 * first + 10]] if index % 2 else [])]
                scores = [[chance.randint(1, 4) for _ in range(3)] for _ in inside]
                record |= {"relevant_windows": windows, "relevant_clip_ids": inside, "saliency_scores": scores}
            lines.append(json.dumps(record))
            for name, dim in sizes.items():
                values = noise.standard_normal((clips, dim)).astype(np.float32)
                values[inside] += 2.0
                np.savez(places[name] / f"{video}.npz", features=values)
        (folder / "qvhighlights" / f"highlight_{split}_release.jsonl").write_text("\n".join(lines) + "\n")
    write_random_narratives(folder / "stores" / "narratives" / "qvhighlights" / "llava_13b.jsonl", durations)
    write_glove(folder / "glove" / "glove.840B.300d.txt", WORDS[:-2])
    paths = [f"paths.{name}={folder}/{name}" for name in ("features", "stores", "outputs")]
    run = ["trainer=cpu", "trainer.max_epochs=2", "+trainer.enable_progress_bar=false", "loader.batch_size=4"]
    return [f"paths.data={folder}", *paths, "text=glove", "loader.workers=0", *run]


def main() -> None:
    from src.data.splits import load_split, split_names
    from tests.compose import compose

    name, folder = sys.argv[1], Path(sys.argv[2])
    cfg = compose(f"data={name}", config="train")
    moments = [moment for split in split_names(cfg.data) for moment in load_split(cfg.data, split).moments]
    durations = {moment.video: moment.duration for moment in moments}
    write_features(folder / "features" / cfg.data.videos / "i3d", durations, 1024)
    write_random_narratives(folder / "narratives" / cfg.data.videos / "llava_13b.jsonl", durations)


if __name__ == "__main__":
    main()
