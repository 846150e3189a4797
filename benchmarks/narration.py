"""What narrating costs beside the network itself: one frame at a time or many, waiting for frames, and memory.

    python -m benchmarks.narration batching VIDEO   captions a second by batch size
    python -m benchmarks.narration waiting VIDEO    how long captioning waits for frames
    python -m benchmarks.narration memory FOLDER    peak memory for a video of a minute and of an hour, made in FOLDER
    python -m benchmarks.narration similar FOLDER   captions saved by frames.skip_similar

The network is a LLaVA of a few hundred thousand random weights, loaded as a real one is. It is far quicker than a real
one: what is measured here weighs less where it is used.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from src.data.records import Narratives
from src.narrators.huggingface import HuggingFaceNarrator
from src.narrators.narrator import Reading
from src.videos.collection import Item, collect
from src.videos.frames import Backend, Pixels, read_frames
from src.videos.similarity import thumbnail, without_similar
from tests.narrators.tiny import save_llava
from tests.narrators.videos import write_pictures

READERS: tuple[Backend, ...] = ("decord", "pyav")


class _Call(NamedTuple):
    start: float
    end: float
    frames: int


class _Timed(HuggingFaceNarrator):
    """Keeps when each call began and ended."""

    def narrate(self, frames: Sequence[Pixels]) -> list[str]:
        start = time.perf_counter()
        captions = super().narrate(frames)
        self.calls: list[_Call] = [*getattr(self, "calls", []), _Call(start, time.perf_counter(), len(frames))]
        return captions


def narrator(model: Path, batch_size: int, tokens: int) -> _Timed:
    # Every caption has its full length, so that all batches do the same work.
    generation = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
    made = _Timed("tiny", 1.0, str(model), "Describe this frame.", generation, "none", "float32", "cpu", batch_size)
    made.narrate([np.zeros((480, 854, 3), np.uint8)])  # loads it
    made.calls = []
    return made


def batching(model: Path, video: Path, tokens: int, repeats: int) -> None:
    """Captions a second through the same network, with all frames at hand; the median of rounds in turns."""
    frames = [frame.pixels for frame in read_frames(video, 1.0, "decord", 1344)]
    narrators = {size: narrator(model, size, tokens) for size in (1, 2, 4, 8, 16, 32)}
    seconds: dict[int, list[float]] = {size: [] for size in narrators}
    for _ in range(repeats):
        for size, each in narrators.items():
            start = time.perf_counter()
            for first in range(0, len(frames), size):
                each.narrate(frames[first : first + size])
            seconds[size].append(time.perf_counter() - start)
    print(f"{len(frames)} frames of {video.name}, {tokens} tokens a caption, {repeats} rounds\n")
    print("| frames at a time | captions a second | times as fast |\n| --- | --- | --- |")
    for size, rounds in seconds.items():
        speed = len(frames) / median(rounds)
        print(f"| {size} | {speed:.1f} | {median(a / b for a, b in zip(seconds[1], rounds, strict=True)):.2f} |")


def waiting(model: Path, video: Path, tokens: int, repeats: int) -> None:
    """How long the network stands idle between batches, when `repeats` copies of the video are narrated in one run."""
    print("| reader | captions | seconds | before the first batch | captioning | waiting between batches | share |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for reader in READERS:
        each = narrator(model, 8, tokens)
        start = time.perf_counter()
        items = [Item(f"{video.stem}-{copy}", video) for copy in range(repeats)]
        outcomes = list(each.outcomes(items, Reading(reader, 1344, 4)))
        assert all(isinstance(outcome, Narratives) for outcome in outcomes)
        calls = each.calls
        busy = sum(call.end - call.start for call in calls)
        first, total = calls[0].start - start, calls[-1].end - start
        idle = total - first - busy
        captions = sum(call.frames for call in calls)
        print(f"| {reader} | {captions} | {total:.2f} | {first:.2f} | {busy:.2f} | {idle:.3f} | {idle / total:.2%} |")


def memory(model: Path, folder: Path, tokens: int) -> None:
    """Peak memory of a process that narrates one video of 854 × 480 at 15 frames a second."""
    print("| reader | a minute | an hour | more |\n| --- | --- | --- | --- |")
    videos = [_made(folder / f"{minutes}min.mp4", minutes) for minutes in (1, 60)]
    for reader in READERS:
        minute, hour = (_peak(model, video, reader, tokens) for video in videos)
        print(f"| {reader} | {minute:.0f} MB | {hour:.0f} MB | {hour - minute:.0f} MB |", flush=True)


def similar(folder: Path) -> None:
    """The share of frames that are not narrated at several thresholds, of every video of a folder, one a second."""
    left_out: dict[float, list[float]] = {most: [] for most in (1, 2, 3, 5, 8, 12)}
    counts: list[int] = []
    for _, path in collect(folder, None):
        assert path is not None
        frames = [frame._replace(pixels=_small(frame.pixels)) for frame in read_frames(path, 1.0, "pyav", 1344)]
        counts.append(len(frames))
        for most, shares in left_out.items():
            shares.append(1 - sum(1 for _ in without_similar(frames, most)) / len(frames))
    print(f"{sum(counts)} frames of {len(counts)} videos\n")
    print("| frames.skip_similar | left out | of a video, from … to | captions saved an hour of video |")
    print("| --- | --- | --- | --- |")
    for most, shares in left_out.items():
        share = float(np.average(shares, weights=counts))
        print(f"| {most} | {share:.1%} | {min(shares):.0%} … {max(shares):.0%} | {3600 * share:.0f} |")


def _small(pixels: Pixels) -> Pixels:
    """A picture in grey at the size that is compared, as colours again."""
    return np.repeat(np.asarray(thumbnail(pixels), np.uint8)[..., None], 3, axis=2)


def _peak(model: Path, video: Path, reader: str, tokens: int) -> float:
    """MB that a new process takes at most."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_narrate_alone, args=(model, video, reader, tokens, theirs))
    process.start()
    peak = ours.recv()
    process.join()
    return float(peak)


def _narrate_alone(model: Path, video: Path, reader: Any, tokens: int, pipe: Any) -> None:
    (outcome,) = narrator(model, 16, tokens).outcomes([Item(video.stem, video)], Reading(reader, 1344, 4))
    assert isinstance(outcome, Narratives), outcome
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _made(path: Path, minutes: int) -> Path:
    if not path.exists():
        noise = np.random.default_rng(0)
        blocks = noise.integers(0, 255, (15, 48, 61, 3), np.uint8)
        pictures = blocks.repeat(10, axis=1).repeat(14, axis=2)

        def frames() -> Iterator[tuple[float, Pixels]]:
            for number in range(minutes * 60 * 15):
                yield number / 15, pictures[number // 15 % len(pictures)]

        write_pictures(path.with_suffix(".part.mp4"), frames(), 854, 480).rename(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("batching", "waiting", "memory", "similar"))
    parser.add_argument("place", type=Path, help="a video, or for memory and similar a folder")
    parser.add_argument("--tokens", type=int, default=60, help="of each caption")
    parser.add_argument("--repeats", type=int, default=5, help="rounds, or copies of the video")
    arguments = parser.parse_args()
    if arguments.what == "similar":
        similar(arguments.place)
        return
    with tempfile.TemporaryDirectory() as folder:
        model = save_llava(Path(folder) / "llava")
        if arguments.what == "batching":
            batching(model, arguments.place, arguments.tokens, arguments.repeats)
        elif arguments.what == "waiting":
            waiting(model, arguments.place, arguments.tokens, arguments.repeats)
        else:
            arguments.place.mkdir(parents=True, exist_ok=True)
            memory(model, arguments.place, arguments.tokens)


if __name__ == "__main__":
    main()
