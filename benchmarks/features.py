"""What computing features costs: decoding, the networks, and how long the network waits in the pipeline.

    python -m benchmarks.features decoding FOLDER   frames a second of one core, by reader and picture
    python -m benchmarks.features networks          windows a second of each network, here
    python -m benchmarks.features pipeline FOLDER   windows a second of all, and the share of time that it waits

Weights are random: they change no time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from src.features.networks.c3d import C3D
from src.features.networks.extractors import (
    C3DExtractor,
    I3DExtractor,
    NetworkExtractor,
    Precision,
    SlowFastExtractor,
    VGGExtractor,
)
from src.features.networks.i3d import I3D
from src.features.networks.slowfast import SlowFast
from src.features.networks.vgg import VGG16
from src.features.pipeline import Clock, Extracted, Reading, Stream, extract
from src.videos.collection import collect
from src.videos.frames import READERS, Crop, Longest, View, read_views

I3D_CROP, CLIP_CROP, C3D_CROP = Crop(226, 224, "bilinear"), Crop(224, 224, "bicubic"), Crop(128, 112, "bilinear")


def extractors(device: str, precision: Precision) -> dict[str, tuple[NetworkExtractor, Crop, Callable[[], nn.Module]]]:
    """Each network with the crop it is given and what makes it."""
    common = ("", "", device, precision)
    return {
        "i3d_charades": (I3DExtractor(*common, frames=24, trained_on="charades"), I3D_CROP, lambda: I3D(157)),
        "i3d_kinetics": (I3DExtractor(*common, frames=16, trained_on="kinetics"), I3D_CROP, lambda: I3D(400)),
        "slowfast": (SlowFastExtractor(*common, seconds=2, sampling="released"), CLIP_CROP, SlowFast),
        "vgg_videos": (VGGExtractor(*common), CLIP_CROP, lambda: VGG16(1000)),
        "c3d_videos": (C3DExtractor(*common, projection=None, dim=4096), C3D_CROP, C3D),
    }


def made(name: str, device: str, precision: Precision) -> tuple[NetworkExtractor, Crop]:
    """An extractor with random weights."""
    extractor, crop, build = extractors(device, precision)[name]
    network = build().eval().requires_grad_(False).to(extractor.device, getattr(torch, precision))
    extractor.network = network
    extractor.missing = lambda: []  # type: ignore[method-assign]
    return extractor, crop


def decoding(folder: Path) -> None:
    """Frames a second of the whole way to this process, at 30 a second, of each reader and picture."""
    files = [item.path for item in collect(folder, None) if item.path is not None]
    print("| reader | picture | frames | frames a second |\n|---|---|---|---|")
    for reader in READERS:
        for picture in (CLIP_CROP, Longest(448)):
            start, frames = time.perf_counter(), 0
            for path in files:
                frames += sum(1 for _ in read_views(path, [View(1 / 30, "fps", picture)], reader))
            speed = frames / (time.perf_counter() - start)
            print(f"| {reader} | {type(picture).__name__.lower()} | {frames} | {speed:.0f} |", flush=True)


def networks(device: str, precision: Precision, batch_size: int, rounds: int) -> None:
    """Windows a second of each network on pictures that are at hand; the median of some rounds."""
    print("| network | windows a second | ms a window |\n|---|---|---|")
    for name in extractors(device, precision):
        extractor, crop = made(name, device, precision)
        picture = np.zeros((crop.side, crop.side, 3), np.uint8)
        window = np.stack(extractor.window([picture] * extractor.frames, 30.0))
        batch = np.stack([window] * batch_size)
        extractor(batch)
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            extractor(batch)
            seconds.append((time.perf_counter() - start) / batch_size)
        print(f"| {name} | {1 / median(seconds):.2f} | {1000 * median(seconds):.0f} |", flush=True)


def pipeline(folder: Path, name: str, device: str, precision: Precision, batch_size: int, workers: int) -> None:
    """The whole way from files to features."""
    extractor, crop = made(name, device, precision)
    items, clock = collect(folder, None), Clock()
    seconds = {"slowfast": 2.0, "vgg_videos": 1 / 6}.get(name, 1.0)
    stream = Stream(extractor, View(seconds / extractor.frames, "fps", crop), batch_size, one_size=True)
    outcomes = list(extract(items, [stream], Reading("pyav", 60.0, workers), clock))
    assert all(isinstance(outcome, Extracted) for outcome in outcomes), outcomes
    print(f"{name}, {len(outcomes)} videos, {workers} decoding, batches of {batch_size}, {precision}: {clock}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("decoding", "networks", "pipeline"))
    parser.add_argument("folder", type=Path, nargs="?", help="of videos")
    parser.add_argument("--network", default="i3d_charades", help="of the pipeline")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.what == "decoding":
        decoding(given.folder)
    elif given.what == "networks":
        networks(given.device, given.precision, given.batch_size, given.rounds)
    else:
        pipeline(given.folder, given.network, given.device, given.precision, given.batch_size, given.workers)


if __name__ == "__main__":
    main()
