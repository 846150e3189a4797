"""Moments in videos that no annotation names, from a run folder of the Playroom; and the same answers as the test's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from src.commands.narrate import narrate
from src.commands.prepare import make_stores
from src.commands.train import train
from src.errors import UserError
from src.playroom.generation import generate
from src.playroom.narrator import PlayroomNarrator
from src.retrieval import Collection, Retriever
from tests.compose import compose
from tests.playroom.sizes import SMALL as TINY

SMALL = ["text=learned", "text.dim=32", "predictor.network.hidden=16", "predictor.network.heads=2"]


class Trained(NamedTuple):
    """A run folder, and the folder of the data that it was trained on."""

    run: Path
    data: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    place = tmp_path_factory.mktemp("playroom")
    data, run = place / "data", place / "run"
    paths = [f"paths.data={data}", f"paths.stores={data}/stores", f"paths.outputs={place}"]
    generate(data / "playroom", TINY, seed=0, workers=2)
    videos = f"videos={data}/playroom/videos"
    narrate(compose("data=playroom", "narrator=playroom", videos, *paths, config="narrate"))
    chosen = ["+experiment=playroom", *SMALL, *paths]
    make_stores(compose(*chosen, config="prepare"))
    quick = ["trainer=cpu", "trainer.max_epochs=1", "+trainer.enable_progress_bar=false", f"folder={run}"]
    train(compose(*chosen, *quick, config="train"))
    return Trained(run, data)


@pytest.fixture(scope="module")
def retriever(trained: Trained) -> Retriever:
    elsewhere = [f"paths.data={trained.data}", f"paths.stores={trained.data}/stores"]
    return Retriever.load(trained.run, overrides=elsewhere)


def answered(trained: Trained, split: str) -> list[dict[str, Any]]:
    lines = (trained.run / "predictions" / f"{split}.jsonl").read_text().split("\n")
    return [json.loads(line) for line in lines if line]


def test_a_video_that_no_annotation_names_is_narrated_and_searched(
    trained: Trained, retriever: Retriever, tmp_path: Path
) -> None:
    video = tmp_path / "holiday.mp4"
    shutil.copy(next((trained.data / "playroom" / "videos").glob("*.mp4")), video)
    encoded = retriever.encode(video)
    assert encoded.video == "holiday"
    assert encoded.features is not None
    assert len(encoded.features) == encoded.length
    answers = retriever.retrieve(encoded, ["the red cat jumps", "a dog walks to the door"], top=3)
    assert [answer.sentence for answer in answers] == ["the red cat jumps", "a dog walks to the door"]
    for answer in answers:
        assert 1 <= len(answer.moments) <= 3
        scores = [moment.score for moment in answer.moments]
        assert scores == sorted(scores, reverse=True)
        for moment in answer.moments:
            assert 0 <= moment.start < moment.end <= encoded.duration
            assert all(moment.start <= told.time <= moment.end and told.text for told in moment.narratives)
    widest = max((moment for answer in answers for moment in answer.moments), key=lambda m: m.end - m.start)
    assert widest.narratives


def test_a_video_is_narrated_once_and_by_whom_is_said(
    trained: Trained, retriever: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = tmp_path / "once.mp4"
    shutil.copy(next((trained.data / "playroom" / "videos").glob("*.mp4")), video)
    first = retriever.encode(video)
    monkeypatch.setattr(PlayroomNarrator, "narrate", None)
    again = retriever.encode(video)
    assert again.told == first.told
    assert first.features is not None
    assert again.features is not None
    torch.testing.assert_close(again.features, first.features)
    captions = tmp_path / "captions.json"
    captions.write_text('{"once": {"1": "a red ball"}}')
    told = ["narrator=imported", "narrator.name=told", f"narrator.captions={captions}"]
    other = retriever.encode(video, narrator=told).told
    assert other is not None
    assert other.texts == ("a red ball",)


def test_a_collection_is_searched_with_a_run(trained: Trained, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for video in sorted((trained.data / "playroom" / "videos").glob("*.mp4"))[:2]:
        shutil.copy(video, videos)
    places = [f"paths.stores={tmp_path}/stores", f"paths.outputs={tmp_path}", f"paths.data={trained.data}"]
    model = ["model=run", f"model.ranker.folder={trained.run}", "model.ranker.moments=2"]
    collection = Collection(videos, ["narrator=playroom", "text=learned", *model, *places])
    hits = collection.search("somebody jumps in the air", top=9)
    assert {hit.video for hit in hits} == {video.stem for video in videos.iterdir()}
    assert 2 <= len(hits) <= 4
    for hit in hits:
        assert 0 <= hit.start < hit.end
        assert 0 < hit.probability < 1
        assert hit.narratives
    assert list((tmp_path / "stores" / "encoded").glob("*.npy"))


def test_a_search_with_a_run_gives_the_answers_of_the_test(trained: Trained, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    records = answered(trained, "test_iid")
    for video in {record["video"] for record in records}:
        shutil.copy(trained.data / "playroom" / "videos" / f"{video}.mp4", videos)
    places = [f"paths.stores={tmp_path}/stores", f"paths.outputs={tmp_path}", f"paths.data={trained.data}"]
    model = ["model=run", f"model.ranker.folder={trained.run}"]
    collection = Collection(videos, ["narrator=playroom", "text=learned", *model, *places])
    for record in records:
        (hit,) = collection.search(record["query"], top=1, video=record["video"])
        assert (hit.start, hit.end) == pytest.approx(record["predictions"][0][:2], abs=1e-3)


def test_a_video_that_is_damaged_since_it_was_narrated_hinders_no_other(trained: Trained, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for video in sorted((trained.data / "playroom" / "videos").glob("*.mp4"))[:2]:
        shutil.copy(video, videos)
    damaged, other = sorted(videos.iterdir())
    places = [f"paths.stores={tmp_path}/stores", f"paths.outputs={tmp_path}", f"paths.data={trained.data}"]
    model = ["model=run", f"model.ranker.folder={trained.run}"]
    collection = Collection(videos, ["narrator=playroom", "text=learned", *model, *places])
    collection.update()
    damaged.write_text("no video")
    assert {hit.video for hit in collection.search("somebody jumps in the air")} == {other.stem}
    with pytest.raises(UserError, match=damaged.stem):
        collection.search("somebody jumps in the air", video=damaged.stem)


def test_a_file_and_the_stores_give_the_answers_of_the_test(trained: Trained, retriever: Retriever) -> None:
    record = answered(trained, "test_iid")[0]
    file = trained.data / "playroom" / "videos" / f"{record['video']}.mp4"
    for video in (file, record["video"]):
        encoded = retriever.encode(video, duration=record["duration"])
        (answer,) = retriever.retrieve(encoded, [record["query"]], top=10)
        found = torch.tensor([[moment.start, moment.end, moment.score] for moment in answer.moments])
        torch.testing.assert_close(found, torch.tensor(record["predictions"]), atol=1e-4, rtol=1e-4)


def test_answers_do_not_depend_on_what_else_is_asked(trained: Trained, retriever: Retriever) -> None:
    record = answered(trained, "test_iid")[0]
    encoded = retriever.encode(record["video"], duration=record["duration"])
    sentences = [record["query"], "somebody waves", record["query"]]
    together = retriever.retrieve(encoded, sentences)
    (alone,) = retriever.retrieve(encoded, [record["query"]])
    for answer in (together[0], together[2]):
        for one, other in zip(answer.moments, alone.moments, strict=True):
            assert one.start == pytest.approx(other.start, abs=1e-4)
            assert one.score == pytest.approx(other.score, abs=1e-4)


def test_what_cannot_be_looked_at_is_said_in_one_line(retriever: Retriever, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="say how many seconds it lasts"):
        retriever.encode("nowhere.mp4")
    with pytest.raises(UserError, match="has nothing for 'nowhere'"):
        retriever.encode("nowhere", duration=10.0)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(UserError, match="cannot be read as a video"):
        retriever.encode(broken)
    with pytest.raises(UserError, match="no checkpoint at"):
        Retriever.load(tmp_path / "nothing")


def test_nothing_is_asked(trained: Trained, retriever: Retriever) -> None:
    record = answered(trained, "test_iid")[0]
    encoded = retriever.encode(record["video"], duration=record["duration"])
    for sentences in ([], ["  "]):
        with pytest.raises(UserError, match="at least one sentence"):
            retriever.retrieve(encoded, sentences)
