"""Small videos of which every frame is known."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray


def write_video(path: Path, frames: NDArray[np.uint8], rate: int) -> None:
    """H.264 of frames (n, height, width, 3)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A red second, a blue one, and a third in which black and white change places at each frame; and a short one."""
    folder = tmp_path / "videos"
    folder.mkdir()
    frames = np.zeros((24, 48, 64, 3), np.uint8)
    frames[:8, ..., 0] = 220
    frames[8:16, ..., 2] = 220
    frames[16::4] = frames[17::4] = 255
    write_video(folder / "three.mp4", frames, rate=8)
    write_video(folder / "short.mp4", frames[:3], rate=8)
    return folder
