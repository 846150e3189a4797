"""python -m src.narrate, from a folder of videos to the file that training reads."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.commands.narrate import narrate
from src.data.narratives import read_narratives
from src.errors import UserError
from src.narrators.journal import failures_file, read_failures
from src.places import Places
from tests.compose import compose
from tests.narrators.servers import Behaviour, say, serve, status
from tests.narrators.videos import write_video
from tests.synthetic import write_charades_cd

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Four videos that can be narrated, of 1 to 4 seconds, and three that cannot."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(1, 5):
        write_video(folder / f"v{number}.mp4", [n / 5 for n in range(5 * number)])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("no video")
    cut = write_video(folder / "cut.mp4", [n / 10 for n in range(100)])
    cut.write_bytes(cut.read_bytes()[:2000])
    return folder


@pytest.fixture
def settings(llava: Path, videos: Path, tmp_path: Path) -> list[str]:
    return [
        *("narrator=hf", "narrator.name=tiny", f"narrator.model={llava}", "narrator.dtype=float32"),
        *("narrator.generation.max_new_tokens=6", f"videos={videos}"),
        *(f"paths.stores={tmp_path / 'stores'}", f"paths.outputs={tmp_path / 'outputs'}"),
    ]


def _narrate(*overrides: str) -> None:
    narrate(compose(*overrides, config="narrate"))


def _run(*overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "src.narrate", *overrides],
        cwd=_ROOT,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_good_video_is_narrated_and_every_bad_one_reported(
    settings: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "stores" / "narratives" / "videos" / "tiny.jsonl"
    with pytest.raises(UserError, match="3 of 7 videos failed") as caught:
        _narrate(*settings)
    assert "retry_failed=true" in str(caught.value)
    narratives = {one.video: one for one in read_narratives(output)}
    assert {video: one.times for video, one in narratives.items()} == {
        "v1": (0.0,),
        "v2": (0.0, 1.0),
        "v3": (0.0, 1.0, 2.0),
        "v4": (0.0, 1.0, 2.0, 3.0),
    }
    assert narratives["v1"].writer["prompt"].startswith("This is one image frame")
    assert set(read_failures(failures_file(output))) == {"cut", "empty", "text"}

    before = output.read_bytes()
    with caplog.at_level(logging.INFO), pytest.raises(UserError, match="3 of 7 videos failed"):
        _narrate(*settings)
    assert "7 of 7 videos are done or have failed before" in caplog.text
    assert output.read_bytes() == before


def test_failed_videos_are_tried_again(settings: list[str], videos: Path, tmp_path: Path) -> None:
    output = tmp_path / "n.jsonl"
    with pytest.raises(UserError):
        _narrate(*settings, f"output={output}")
    for name in ("cut", "empty"):
        write_video(videos / f"{name}.mp4", [0.0, 0.5])
    with pytest.raises(UserError, match="1 of 7 videos failed, such as text"):
        _narrate(*settings, f"output={output}", "retry_failed=true")
    assert len(list(read_narratives(output))) == 6


def test_another_prompt_needs_another_file(settings: list[str], videos: Path, tmp_path: Path) -> None:
    for name in ("cut", "empty", "text"):
        (videos / f"{name}.mp4").unlink()
    _narrate(*settings, f"output={tmp_path / 'n.jsonl'}")
    with pytest.raises(UserError, match=r"written with other settings \(prompt"):
        _narrate(*settings, f"output={tmp_path / 'n.jsonl'}", "narrator.prompt=Say more.")


@pytest.mark.slow
def test_shards_on_one_machine_join_to_one_run(settings: list[str], tmp_path: Path) -> None:
    """The real command, its shards in processes of their own at once."""
    whole, output = tmp_path / "whole.jsonl", tmp_path / "shards" / "n.jsonl"
    with pytest.raises(UserError):
        _narrate(*settings, f"output={whole}")
    shards = ["shard=range(2)", "shards=2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    run = _run("-m", *settings, f"output={output}", *shards)
    assert run.returncode == 1
    assert "videos failed" in run.stderr
    assert sorted(path.name for path in output.parent.glob("*-of-2.jsonl")) == ["n.0-of-2.jsonl", "n.1-of-2.jsonl"]
    with pytest.raises(UserError, match="3 of 7 videos failed"):
        _narrate(*settings, f"output={output}", f"merge='{output.parent}/n.*-of-2.jsonl'")
    assert output.read_bytes() == whole.read_bytes()
    assert failures_file(output).read_bytes() == failures_file(whole).read_bytes()


def test_a_data_set_names_its_videos(settings: list[str], videos: Path, tmp_path: Path) -> None:
    lengths = write_charades_cd(tmp_path / "data" / "charades_cd", videos=2, queries=1)
    first, *missing = sorted(lengths)
    write_video(videos / f"{first}.mp4", [0.0, 0.5])
    cfg = compose("data=charades_cd", f"paths.data={tmp_path / 'data'}", *settings, config="narrate")
    with pytest.raises(UserError, match=f"{len(missing)} of {len(lengths)} videos failed, such as {missing[0]}"):
        narrate(cfg)
    assert [one.video for one in read_narratives(Places(cfg).narratives)] == [first]


def test_what_a_user_forgets_is_said_at_once(tmp_path: Path) -> None:
    run = _run("--help")
    assert run.returncode == 0
    assert "retry_failed" in run.stdout
    run = _run(f"paths.outputs={tmp_path}")
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1].startswith("error: say where the videos are: videos=FOLDER")
    assert "Traceback" not in run.stderr
    run = _run("narrator=nobody")
    assert run.returncode == 1
    assert "nobody" in run.stderr
    assert "llava_13b" in run.stderr


def _served(folder: Path, tmp_path: Path, url: str, *overrides: str) -> None:
    """Narrate `folder` by a server."""
    _narrate(
        *("narrator=endpoint", "narrator.name=served", "narrator.model=m", f"narrator.url={url}"),
        *("narrator.attempts=1", "narrator.requests=1", f"videos={folder}", f"paths.stores={tmp_path / 'stores'}"),
        *overrides,
    )


def _seconds(folder: Path, *names: str) -> Path:
    """Videos of a second each."""
    folder.mkdir(parents=True)
    for name in names:
        write_video(folder / name, [n / 5 for n in range(5)])
    return folder


_UNSUPPORTED = status(400, "Unsupported parameter: max_tokens")


def test_what_the_server_refuses_of_every_video_ends_the_run_early_and_files_nothing(tmp_path: Path) -> None:
    folder = _seconds(tmp_path / "videos", *(f"v{number}.mp4" for number in range(6)))
    (folder / "a.mp4").write_text("no video")
    output = tmp_path / "n.jsonl"
    with (
        serve(_UNSUPPORTED) as server,
        pytest.raises(UserError, match=r"3 videos in a row, such as .*Unsupported") as caught,
    ):
        _served(folder, tmp_path, server.url, f"output={output}")
    assert "\n" not in str(caught.value)
    assert len(server.requests) < 6
    assert set(read_failures(failures_file(output))) == {"a"}
    with serve(say("A door.")) as server, pytest.raises(UserError, match="1 of 7 videos failed, such as a"):
        _served(folder, tmp_path, server.url, f"output={output}")
    assert len(list(read_narratives(output))) == 6


@pytest.mark.parametrize(
    ("answers", "failed"),
    [
        ([_UNSUPPORTED, _UNSUPPORTED, say("A door.")], {"v0", "v1"}),
        ([say("A door."), *[_UNSUPPORTED] * 4, say("A door.")], {"v1", "v2", "v3", "v4"}),
    ],
)
def test_some_videos_that_fail_are_filed(tmp_path: Path, answers: list[Behaviour], failed: set[str]) -> None:
    folder = _seconds(tmp_path / "videos", *(f"v{number}.mp4" for number in range(6)))
    with serve(*answers) as server, pytest.raises(UserError, match=f"{len(failed)} of 6 videos failed"):
        _served(folder, tmp_path, server.url, f"output={tmp_path / 'n.jsonl'}")
    assert set(read_failures(tmp_path / "n.failures.jsonl")) == failed


def test_folders_of_one_name_never_share_a_file(tmp_path: Path) -> None:
    ours, theirs = (
        _seconds(tmp_path / "A" / "videos", "001.mp4"),
        _seconds(tmp_path / "B" / "videos", "001.mp4", "2.mp4"),
    )
    dotted = [_seconds(tmp_path / name, "001.mp4") for name in ("clips.v1", "clips.v2")]
    places = tmp_path / "stores" / "narratives"
    with serve(say("A door.")) as server:
        _served(ours, tmp_path, server.url)
        before = (places / "videos" / "served.jsonl").read_bytes()
        _served(ours, tmp_path, server.url)
        with pytest.raises(UserError, match=f"has the narratives of {ours}, not of {theirs}: give output=FILE"):
            _served(theirs, tmp_path, server.url)
        _served(theirs, tmp_path, server.url, f"output={tmp_path / 'theirs.jsonl'}")
        for folder in dotted:
            _served(folder, tmp_path, server.url)
    assert (places / "videos" / "served.jsonl").read_bytes() == before
    assert sorted(path.name for path in places.iterdir()) == ["clips.v1", "clips.v2", "videos"]


def test_any_file_name_and_two_videos_of_one_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = _seconds(tmp_path / "videos", "good.mp4")
    _seconds(folder / "deep", "good.mp4")
    odd = os.fsencode(folder) + b"/caf\xe9.mp4"
    os.link(folder / "good.mp4", odd)
    Path(os.fsdecode(os.fsencode(folder) + b"/b\xe9d.mp4")).write_text("no video")
    output = tmp_path / "n.jsonl"
    with serve(say("A door.")) as server:
        for _ in range(2):
            with pytest.raises(UserError, match=r"1 of 4 videos failed, such as b\\xe9d\.mp4"):
                _served(folder, tmp_path, server.url, f"output={output}", "ids=path")
    assert {one.video for one in read_narratives(output)} == {r"caf\xe9.mp4", "good.mp4", "deep/good.mp4"}
    assert r"b\xe9d.mp4 cannot be read" in capfd.readouterr().out


def test_paths_that_look_like_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _seconds(tmp_path / "2024", "001.mp4")
    with serve(say("A door.")) as server:
        _served(Path("2024"), tmp_path, server.url, "output=7")
    assert len(list(read_narratives(tmp_path / "7"))) == 1
