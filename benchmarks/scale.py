"""What each command costs as the data grow: processor seconds, peak memory and disk at multiples of ActivityNet's size.

    python -m benchmarks.scale                    # 1, 3 and 10 times; the last takes 3 GB of disk
    python -m benchmarks.scale --times 0.3        # about Charades-CD's size
    python -m benchmarks.scale --times 1 --stages prepare start

The annotations are made up in ActivityNet-Captions' format and number: 37,421 queries of 10,009 training videos, 34,536
of 4,917 in the other splits, words as frequent as in English. So are 20 narratives a video, a GloVe file of 13,000
words, and features of few numbers, of which most videos share a file. Features are computed of 200 videos of half a
minute, 320 × 240 at 15 frames a second. Each command runs in a process of its own on the CPU. Its peak counts the pages
of files that it maps; its disk is what it adds to the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from src.data.narratives import write_narratives
from src.data.records import Narratives
from src.tables import pipes
from tests.narrators.videos import write_pictures

SPLITS = {"train": (10_009, 37_421), "val_1": (4_917, 17_505), "val_2": (4_917, 17_031)}
"""Videos and queries of each split; those of the last two are the same videos."""

VOCABULARY, WORDS, NARRATIVES, SNIPPETS, DIM, TEXT = 13_000, 13, 20, 16, 256, 300
FILES, SECONDS, RATE = 200, 30, 15
"""Video files whose features are computed, their length, and frames a second."""
STEPS = 20
"""Of training; then it validates once."""


class Cost(NamedTuple):
    """What a command took: processor seconds, and megabytes of memory at its peak and of disk."""

    seconds: float
    memory: float
    disk: float


class World:
    """Made-up data under `folder`, `times` as many as ActivityNet's."""

    def __init__(self, folder: Path, times: float) -> None:
        self.folder = folder
        self._random = np.random.default_rng(0)
        names = np.array([f"word{number}" for number in range(VOCABULARY)])
        frequency = 1 / (2.7 + np.arange(VOCABULARY))  # Zipf and Mandelbrot's law
        self._text = self._random.choice(names, 1_000_000, p=frequency / frequency.sum()).tolist()
        videos = []
        for split, (count, queries) in SPLITS.items():
            prefix = "t" if split == "train" else "v"
            ids = [f"v_{prefix}{number}" for number in range(round(times * count))]
            self._annotate(split, ids, round(times * queries))
            videos += ids if split != "val_2" else []
        self._narrate(videos)
        self._extract(videos)
        self._film(round(times * FILES))
        with self._new("data/glove/glove.840B.300d.txt").open("w") as file:
            numbers = self._random.standard_normal(TEXT + VOCABULARY).round(4).astype(str).tolist()
            file.writelines(f"{name} {' '.join(numbers[i : i + TEXT])}\n" for i, name in enumerate(names))

    @property
    def overrides(self) -> list[str]:
        """Where its data are, and their sizes."""
        places = [f"paths.{name}={self.folder}/{name}" for name in ("data", "features", "stores", "outputs")]
        return [*places, "paths.narratives=" + str(self.folder / "narratives")]

    def _new(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _sentences(self, count: int) -> list[str]:
        start = int(self._random.integers(len(self._text) - count * WORDS))
        return [f"A {' '.join(self._text[i : i + WORDS - 2])}." for i in range(start, start + count * WORDS, WORDS)]

    def _annotate(self, split: str, videos: list[str], queries: int) -> None:
        records = {}
        for number, video in enumerate(videos):
            duration = round(float(self._random.uniform(20, 200)), 2)
            count = (number + 1) * queries // len(videos) - number * queries // len(videos)
            starts = self._random.uniform(0, 0.5, count) * duration
            records[video] = {
                "duration": duration,
                "timestamps": [[round(start, 2), round(start + duration / 3, 2)] for start in starts.tolist()],
                "sentences": self._sentences(count),
            }
        self._new(f"data/activitynet/{split}.json").write_text(json.dumps(records))

    def _narrate(self, videos: list[str]) -> None:
        def narratives() -> Iterator[Narratives]:
            for video in tqdm(videos, desc="making narratives", delay=3, leave=False, mininterval=2):
                times = tuple(map(float, range(NARRATIVES)))
                yield Narratives(video, times, tuple(self._sentences(NARRATIVES)), {"narrator": "made up"})

        write_narratives(self._new("narratives/activitynet/llava_13b.jsonl"), narratives())

    def _extract(self, videos: list[str]) -> None:
        different = [self._new(f"features/different/{number}.npy") for number in range(50)]
        for path in different:
            np.save(path, self._random.standard_normal((SNIPPETS, DIM), dtype=np.float32))
        for number, video in enumerate(videos):
            self._new(f"features/activitynet/i3d/{video}.npy").symlink_to(different[number % len(different)])

    def _film(self, count: int) -> None:
        blocks = self._random.integers(0, 255, (SECONDS, 24, 32, 3), np.uint8).repeat(10, axis=1).repeat(10, axis=2)
        pictures = ((number / RATE, blocks[number // RATE]) for number in range(SECONDS * RATE))
        film = write_pictures(self._new("film.mp4"), pictures, 320, 240)
        for number in range(count):
            self._new(f"videos/{number}.mp4").symlink_to(film)


def stages(world: World) -> Mapping[str, list[str]]:
    """The commands, in the order in which each has what it needs."""
    outputs = world.folder / "outputs"
    experiment = ["+experiment=anet_i3d", f"features.dim={DIM}", *world.overrides]
    steps = [f"trainer.max_steps={STEPS}", f"+trainer.val_check_interval={STEPS}", "+trainer.limit_val_batches=2"]
    baselines = {name: outputs / "runs" / name for name in ("prior", "whole_video")}
    scored = {
        f"evaluate a baseline ({name})": ["src.evaluate", f"baseline={name}", "data=anet", f"hydra.run.dir={place}"]
        for name, place in baselines.items()
    }
    return {
        "compute features": ["src.features", f"videos={world.folder}/videos", "collection=films", *world.overrides],
        "prepare": ["src.prepare", *experiment],
        f"start training ({STEPS} steps)": [
            *("src.train", *experiment, "trainer=cpu", *steps, "test=false", f"hydra.run.dir={outputs}/train")
        ],
        "evaluate a network": [
            *("src.evaluate", f"checkpoint={outputs}/train", "split=val_1", "trainer=cpu"),
            *(f"hydra.run.dir={outputs}/tested", *world.overrides),
        ],
        **{name: [*command, *world.overrides] for name, command in scored.items()},
        "evaluate predictions": [
            *("src.evaluate", f"predictions={baselines['prior']}/predictions/val_2.jsonl", "data=anet"),
            *(f"hydra.run.dir={outputs}/scored", *world.overrides),
        ],
        "report two runs": ["src.report", f"runs=[{outputs}/runs]", f"paths.outputs={outputs}"],
    }


def cost(command: list[str], folder: Path) -> Cost:
    """Run `python -m` and tell what it took, itself and the processes it started."""
    before = _size(folder)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            last = said.read().decode().strip().splitlines()[-1:]
            raise SystemExit(f"this command failed: python -m {' '.join(command)}\n{''.join(last)}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3, (_size(folder) - before) / 1e6)


def _size(folder: Path) -> int:
    return sum(entry.lstat().st_size for entry in folder.rglob("*") if entry.is_file() and not entry.is_symlink())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=float, nargs="+", default=[1, 3, 10])
    parser.add_argument("--stages", nargs="*", default=[], help="those whose names begin so; all by default")
    parser.add_argument("--folder", type=Path, help="where the data are made; a temporary folder by default")
    arguments = parser.parse_args()
    costs: dict[str, list[Cost]] = {}
    for times in arguments.times:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            world = World(Path(folder), times)
            for name, command in stages(world).items():
                if not arguments.stages or name.startswith(tuple(arguments.stages)):
                    costs.setdefault(name, []).append(cost(command, Path(folder)))
                    print(f"x{times:g} {name}: {costs[name][-1]}", file=sys.stderr)
    head = [f"{what}, ×{times:g}" for what in ("s", "memory, MB", "disk, MB") for times in arguments.times]
    rows = [
        [name, *(f"{number:,.0f}" for row in zip(*each, strict=True) for number in row)] for name, each in costs.items()
    ]
    print(pipes([["", *head], *rows]))


if __name__ == "__main__":
    main()
