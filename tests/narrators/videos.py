"""Video files made with PyAV: each frame's number can be read off its picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream

_TICKS = 30_000  # a second, few enough for every codec
_BITS = 12  # squares that tell a frame's number, most significant first, from the left of the upper half


def picture(number: int, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8: the upper half spells `number` in black and white, the lower is red on the left."""
    image = np.full((height, width, 3), 128, np.uint8)
    edges = np.linspace(0, width, _BITS + 1).astype(int)
    for bit in range(_BITS):
        image[: height // 2, edges[bit] : edges[bit + 1]] = 255 * (number >> (_BITS - 1 - bit) & 1)
    image[height // 2 :, : width // 2] = (220, 20, 20)
    return image


def number_of(image: np.ndarray) -> int:
    """The number that `picture` spelled."""
    height, width, _ = image.shape
    edges = np.linspace(0, width, _BITS + 1).astype(int)
    centres = (edges[:-1] + edges[1:]) // 2
    bits = image[height // 4, centres].mean(axis=-1) > 128
    return int("".join(str(int(bit)) for bit in bits), 2)


def write_video(
    path: Path,
    seconds: Sequence[float],
    width: int = 192,
    height: int = 96,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    codec: str = "libx264",
    ticks: int = _TICKS,
    pixels: str = "yuv420p",
) -> Path:
    """Write a frame at each of `seconds` (ascending).

    Args:
        rotation: degrees that a player turns the picture counter-clockwise by.
        options: of the container, such as {"movflags": "faststart"}.
        ticks: a second, to which `seconds` are rounded.
        pixels: how the codec keeps them, as FFmpeg names it.
    """
    pictures = ((second, picture(number, width, height)) for number, second in enumerate(seconds))
    return write_pictures(path, pictures, width, height, rotation, options, codec, ticks, pixels)


def write_pictures(
    path: Path,
    pictures: Iterable[tuple[float, np.ndarray]],
    width: int,
    height: int,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    codec: str = "libx264",
    ticks: int = _TICKS,
    pixels: str = "yuv420p",
) -> Path:
    """Write pictures (height, width, 3) uint8, each with its second; the rest as in `write_video`."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=30))
        stream.width, stream.height, stream.pix_fmt = width, height, pixels if width % 2 == 0 else "yuv444p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, ticks)
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "bf": "2", "g": "48"}
        if rotation:
            stream.set_display_rotation(rotation)
        for second, shown in pictures:
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24")
            frame.pts, frame.time_base = round(second * ticks), Fraction(1, ticks)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """Write a file of sound without pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
