"""The way from a store to batches: samples a second, and the memory of the process.

    python -m benchmarks.data_path                  # Charades-STA's size: 12,408 queries of 5,338 videos
    python -m benchmarks.data_path --videos 14926   # ActivityNet's, 3.9 GB on disk

The stores hold random numbers in half precision, 1024 a snippet, up to 128 snippets a video. An epoch is drawn, loaded,
collated, and pinned where there is a GPU. Memory is what the process holds for itself (USS): the pages of a store are
in the page cache.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from src.data.datamodule import MomentDataModule, Snippets, Stores
from src.data.records import Moment
from src.data.store import Columns, Store, write_store

QUERIES, WORDS, SNIPPETS, VIDEO, TEXT = 12_408, 9, 128, 1024, 300


def write_stores(folder: Path, videos: int) -> Stores:
    random = np.random.default_rng(0)
    noise = random.standard_normal((2 * SNIPPETS, VIDEO)).astype(np.float16)
    lengths = random.integers(20, SNIPPETS, videos, endpoint=True)

    def features() -> Iterator[tuple[str, Columns]]:
        for video, length in enumerate(lengths):
            yield str(video), {"features": noise[video % SNIPPETS :][:length]}

    def queries() -> Iterator[tuple[str, Columns]]:
        words = random.standard_normal((WORDS, TEXT)).astype(np.float16)
        for query in range(QUERIES):
            yield f"query {query}", {"features": words, "unknown": np.zeros(WORDS, bool)}

    write_store(folder / "video.h5", features(), {})
    write_store(folder / "query.h5", queries(), {})
    return Stores(Store(folder / "query.h5"), Store(folder / "video.h5"), None)


def data_module(stores: Stores, videos: int, workers: int) -> MomentDataModule:
    moments = [Moment(str(i), str(i % videos), f"query {i}", ((1.0, 9.0),), 30.0) for i in range(QUERIES)]
    return MomentDataModule(
        train=moments,
        val=moments[:1],
        tests={},
        stores=stores,
        snippets=Snippets(1.0, SNIPPETS, "nearest"),
        every_window=False,
        batch_size=16,
        eval_batch_size=64,
        workers=workers,
        bucket=False,
        seed=0,
    )


def epoch(data: MomentDataModule) -> float:
    """Samples a second."""
    start = time.perf_counter()
    for _ in data.train_dataloader():
        pass
    return QUERIES / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=5338)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stores = write_stores(Path(folder), arguments.videos)
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e9
        print(f"{arguments.videos:,} videos, {QUERIES:,} queries, {size:.1f} GB on disk")
        for workers in arguments.workers:
            data = data_module(stores, arguments.videos, workers)
            epoch(data)  # brings the store into the page cache
            speed, memory = epoch(data), psutil.Process().memory_full_info().uss / 1e6
            print(f"{workers} workers: {speed:,.0f} samples/s, {memory:.0f} MB")


if __name__ == "__main__":
    main()
