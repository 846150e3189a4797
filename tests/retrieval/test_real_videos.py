"""Real videos searched by the command, narrated by a model of random weights: mechanics, not quality."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.narrators import servers
from tests.narrators.tiny import save_llava
from tests.narrators.videos import write_video

PROJECT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten real videos, one of three frames, one of an hour, and one that is none."""
    place = tmp_path_factory.mktemp("collection") / "videos"
    place.mkdir()
    for video in (shared / "data" / "videos").glob("*.mp4"):
        (place / video.name).symlink_to(video)
    write_video(place / "short.mp4", [0.0, 0.4, 0.8])
    write_video(place / "hour.mp4", range(3600))
    (place / "broken.mp4").write_text("no video")
    return place


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.transformers_serve(tmp_path_factory.mktemp("serve")) as url:
        yield url


def _searched(folder: Path, *words: str) -> tuple[str, list[dict[str, object]]]:
    """What the command prints, and the moments that it writes."""
    stores = folder.parent
    output = stores / "found.jsonl"
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "src.search", f"videos={folder}", "query=a person opens the door", "top=20"),
            *(f"output={output}", f"paths.stores={stores}/stores", f"paths.outputs={stores}/outputs", "text=learned"),
            *("narrator.interval=5", *words),
        ],
        cwd=PROJECT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    moments: list[dict[str, object]] = json.loads(output.read_text())["moments"]
    return ended.stdout + ended.stderr, moments


@pytest.mark.parametrize("through", ["transformers", "a server"])
def test_a_folder_is_narrated_and_searched(
    folder: Path, llava: Path, through: str, request: pytest.FixtureRequest
) -> None:
    if through == "transformers":
        words = ["narrator=hf", "narrator.name=tiny", "narrator.generation.max_new_tokens=6", "narrator.dtype=float32"]
    else:
        words = ["narrator=endpoint", "narrator.name=served", f"narrator.url={request.getfixturevalue('served')}"]
        words += ["narrator.generation.max_tokens=6"]
    said, moments = _searched(folder, *words, f"narrator.model={llava}")
    assert "broken is left out" in said
    assert "12 videos" in said
    lengths = {"hour": 3600.0, "short": 5.0}
    for moment in moments:
        assert 0 <= float(str(moment["start"])) < float(str(moment["end"])) <= lengths.get(str(moment["video"]), 60.0)
        assert 0 <= float(str(moment["probability"])) <= 1

    for video in ("hour", "short"):
        _, own = _searched(folder, *words, f"narrator.model={llava}", f"video={video}", "narrate=false")
        assert {moment["video"] for moment in own} == {video}
