"""Whether frames are the right ones, and how fast they are read.

    python -m benchmarks.reading cuts FOLDER    random stream copies of parts of its videos, against a full decode
    python -m benchmarks.reading speed FOLDER   both readers at one frame a second, and decord by itself

A cut without coding anew begins at a key frame before the cut, and hides what comes before it: where a container can
say so (MP4, MOV), a player does not show it, and decoders differ in what they count.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from benchmarks.paired import Step, compare
from src.errors import UserError
from src.videos.frames import Backend, Pixels, read_frames

READERS: tuple[Backend, ...] = ("pyav", "decord")
_ENDINGS = (".mp4", ".mov", ".mkv", ".ts")
# The mean difference of two pictures of one frame: the readers do not convert to RGB alike.
_SAME = {"pyav": 0.0, "decord": 4.0}


class Cut(NamedTuple):
    """A part of a video in seconds, the ending of its file, and by how much sound is late; None without sound."""

    source: Path
    begin: float
    end: float
    ending: str
    sound: float | None


def random_cut(videos: list[Path], chance: random.Random) -> Cut:
    source = chance.choice(videos)
    with av.open(str(source)) as container:
        length = (container.duration or 0) / av.time_base
    begin = chance.choice((0.0, chance.uniform(0, 0.8 * length)))
    end = min(length, begin + chance.uniform(0.3, length))
    return Cut(source, begin, end, chance.choice(_ENDINGS), chance.choice((None, 0.0, -1.5, 1.5)))


def write_cut(cut: Cut, path: Path) -> Path:
    """Copy the packets from the key frame before the cut on, so that 0 is where the cut begins."""
    with av.open(str(cut.source)) as source, av.open(str(path), "w") as target:
        video = source.streams.video[0]
        streams: dict[int, Any] = {video.index: target.add_stream_from_template(video)}
        if cut.sound is not None and source.streams.audio:
            sound = source.streams.audio[0]
            streams[sound.index] = target.add_stream_from_template(sound)
        source.seek(round(cut.begin * av.time_base))
        for packet in source.demux(*(source.streams[index] for index in streams)):
            if packet.dts is None or packet.pts is None:
                continue
            is_sound = packet.stream is not video
            late = (cut.sound or 0.0) * (1 if is_sound else -1)
            tick = float(packet.time_base)
            # By the time of decoding, so that nothing is lost that a frame which stays is made of.
            if packet.dts * tick >= cut.end or (is_sound and packet.pts * tick < cut.begin):
                continue
            shift = round((cut.begin - max(late, 0.0)) / tick)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
    return path


def full_decode(path: Path) -> tuple[list[float], list[Pixels]]:
    """Every frame that comes out of the decoder and its player's time: the plainest way there is."""
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in _decode(container)]
        sounds = [max(_start(each), 0.0) for each in container.streams.audio]
    begin = min([frames[0][0], *sounds])
    return [second - begin for second, _ in frames], [pixels for _, pixels in frames]


def _decode(container: Any) -> Iterator[Any]:
    yield from container.decode(video=0)


def _start(stream: Any) -> float:
    return float(stream.start_time * stream.time_base)


def differences(path: Path, interval: float, reader: Backend) -> list[str]:
    """In what the frames that are read differ from those of a full decode."""
    seconds, pictures = full_decode(path)
    times = np.array(seconds)
    try:
        frames = list(read_frames(path, interval, reader, 4096))
    except UserError as error:
        return [str(error)]
    found = []
    for before, after in pairwise(frames):
        if not np.isclose(after.time - before.time, interval):
            found.append(f"a gap between {before.time} and {after.time} s")
    shown = 1.5 * float(np.diff(times).max(initial=interval))
    if frames[0].time - times[0] > interval or times[-1] + shown < frames[-1].time:
        found.append(f"frames of {frames[0].time} to {frames[-1].time} s, shown {times[0]} to {times[-1]} s")
    if times[-1] - frames[-1].time > interval:
        found.append(f"the last frame is of {frames[-1].time} s, the last one shown of {times[-1]} s")
    for frame in frames:
        distance = np.abs(times - frame.time)
        index = int(distance.argmin())
        if abs(frame.shown - frame.time) > distance[index] + 2e-3:
            found.append(f"{frame.time} s: the frame of {frame.shown} s, but there is one of {times[index]} s")
            continue
        index = int(np.abs(times - frame.shown).argmin())
        unlike = float(np.abs(frame.pixels.astype(int) - pictures[index]).mean())
        if unlike > _SAME[reader]:
            found.append(f"{frame.time} s: not the picture of {times[index]} s (they differ by {unlike:.2f})")
    return found


def cuts(folder: Path, count: int, seed: int) -> int:
    """Compare `count` random cuts; return how many differ."""
    chance = random.Random(seed)
    videos = sorted(folder.glob("*.mp4"))
    tried: Counter[str] = Counter()
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        for number in range(count):
            cut = random_cut(videos, chance)
            interval = chance.choice((0.25, 0.5, 1.0, 2.0, 5.0))
            path = write_cut(cut, Path(place) / f"cut{cut.ending}")
            if not any(True for _ in full_decode(path)[0]):
                continue
            tried[cut.ending] += 1
            for reader in READERS:
                if found := differences(path, interval, reader):
                    wrong += 1
                    print(f"{number} {cut} every {interval} s, {reader}: {len(found)}, such as {found[0]}", flush=True)
    print(f"{sum(tried.values())} cuts ({dict(tried)}), two readers each: {wrong} differ")
    return wrong


def speed(folder: Path, rounds: int) -> None:
    """Read every video once a round with each reader."""
    videos = sorted(folder.glob("*.mp4"))

    def read(reader: Backend) -> Step:
        return lambda: [sum(1 for _ in read_frames(video, 1.0, reader, 1344)) for video in videos]

    rivals: dict[str, Step] = {"decord by itself": lambda: [_by_decord(video) for video in videos]}
    for name, timing in compare(rivals | {reader: read(reader) for reader in READERS}, rounds).items():
        print(f"{name:16} {timing}")


def _by_decord(video: Path) -> int:
    """The frames of every second in the plainest way, in this process, right or wrong."""
    import decord

    reader = decord.VideoReader(str(video), num_threads=1)
    starts = reader.get_frame_timestamp(range(len(reader)))[:, 0]
    wanted = [int(np.abs(starts - second).argmin()) for second in range(int(starts[-1]) + 1)]
    for first in range(0, len(wanted), 32):
        reader.get_batch(wanted[first : first + 32]).asnumpy()
    return len(wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cuts", "speed"))
    parser.add_argument("folder", type=Path, help="of MP4 files")
    parser.add_argument("--count", type=int, default=300, help="cuts")
    parser.add_argument("--seed", type=int, default=0, help="of the cuts")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    if arguments.what == "speed":
        speed(arguments.folder, arguments.rounds)
    elif cuts(arguments.folder, arguments.count, arguments.seed):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
