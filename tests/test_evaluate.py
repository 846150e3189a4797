"""Scoring predictions and baselines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from src.build import Parts
from src.commands.evaluate import evaluate, score
from src.data.records import Moment
from src.data.splits import load_split
from src.errors import UserError
from src.runs.predictions import Prediction
from tests.compose import compose
from tests.memory import peak_memory
from tests.synthetic import write_charades_cd, write_small


def evaluated(data: Path, folder: Path, *overrides: str) -> dict[str, float]:
    return evaluate(compose(f"paths.data={data}", f"folder={folder}", *overrides, config="evaluate"))


def test_published_predictions_get_their_published_numbers(shared: Path, tmp_path: Path) -> None:
    file = shared / "data" / "predictions" / "shuffling_charades_cd_test_ood.json"
    values = evaluated(shared / "data", tmp_path, f"predictions={file}", "data=charades_cd", "split=test_ood")
    named = {name.removeprefix("test/test_ood/"): round(value, 2) for name, value in values.items()}
    assert (named["R1@0.5"], named["R1@0.7"], named["mIoU"]) == (47.44, 27.85, 44.28)
    # What was read is kept in our own format, and scores the same.
    ours = tmp_path / "predictions" / "test_ood.jsonl"
    again = evaluated(shared / "data", tmp_path / "again", f"predictions={ours}", "split=test_ood")
    assert again == values


def test_a_strict_comparison_is_lower(shared: Path, tmp_path: Path) -> None:
    file = shared / "data" / "predictions" / "shuffling_charades_cd_test_ood.json"
    values = evaluated(shared / "data", tmp_path, f"predictions={file}", "split=test_ood", "metrics.strict=true")
    # As the authors' own log has them: of ties, which it does not count, none is counted.
    found = [round(values[f"test/test_ood/{name}"], 2) for name in ("R1@0.3", "R1@0.5", "R1@0.7", "mIoU")]
    assert found == [63.85, 46.84, 27.47, 44.28]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_charades_cd(tmp_path / "charades_cd", videos=30)
    return tmp_path


@pytest.mark.parametrize("baseline", ["whole_video", "prior"])
def test_baselines_need_nothing_but_annotations(data: Path, baseline: str) -> None:
    values = evaluated(data, data / "run", f"baseline={baseline}")
    assert 0 < values["test/test_iid/mIoU"] < 100
    assert (data / "run" / "predictions" / "test_ood.jsonl").is_file()
    assert json.loads((data / "run" / "status.json").read_text())["state"] == "finished"


@pytest.mark.parametrize("choice", [[], ["+experiment=charades_cd_i3d"], ["merger=none", "paragraph=none"]], ids=str)
def test_the_scorer_reads_narratives_whatever_the_network_reads(tmp_path: Path, choice: list[str]) -> None:
    overrides = write_small(tmp_path)
    shutil.rmtree(tmp_path / "features")
    kept = [each for each in overrides if not each.startswith("features.")]
    values = evaluated(tmp_path, tmp_path / "run", *choice, *kept, "baseline=similarity", "split=test_iid")
    assert 0 <= values["test/test_iid/R1@0.5"] <= 100
    assert not any("test_ood" in name for name in values)


def error(data: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        evaluated(data, data / "run", *overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_to_score_must_be_said_once(data: Path) -> None:
    assert "nothing given" in error(data)
    assert "predictions and baseline given" in error(data, "predictions=x", "baseline=prior")
    assert "split=val|test_iid|test_ood" in error(data, "predictions=x")
    assert "no predictions file at x" in error(data, "predictions=x", "split=val")
    assert "has no split 'test'" in error(data, "baseline=prior", "split=test")


@pytest.mark.slow
def test_windows_take_little_memory(tmp_path: Path) -> None:
    queries = 4000
    records = {
        f"V{i}": {"sentences": ["a person sits"], "timestamps": [[1.0, 5.5]], "video_duration": 30.0}
        for i in range(queries)
    }
    (tmp_path / "charades_cd").mkdir()
    (tmp_path / "charades_cd" / "charades_test_ood.json").write_text(json.dumps(records))
    cfg = compose(f"paths.data={tmp_path}", "data=charades_cd", config="evaluate")
    ids = [moment.query_id for moment in load_split(cfg.data, "test_ood").moments]
    peaks, sizes = [], []
    for count in (10, 100):  # average precision takes the first ten
        starts, scores = np.random.default_rng(0).uniform(0, 15, (2, queries, count)).tolist()
        file = tmp_path / f"{count}.jsonl"
        with file.open("w") as lines:
            for query_id, *row in zip(ids, starts, scores, strict=True):
                windows = [[start, start + 7.5, score] for start, score in zip(*row, strict=True)]
                lines.write(line(query_id, windows) + "\n")
        del starts, scores
        given = (f"predictions={file}", "split=test_ood")
        peaks.append(peak_memory(lambda: evaluated(tmp_path, tmp_path / "run", *given)))  # noqa: B023
        sizes.append(file.stat().st_size)
    assert peaks[1] - peaks[0] < (sizes[1] - sizes[0]) / 2


def test_a_score_does_not_depend_on_how_many_are_scored_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    moments = [Moment(str(i), "v", "q", ((3.0, 3.5 + i % 9),), 30.0) for i in range(60)]
    answers = [
        Prediction(str(i), [(start, start + 4, 1 / (1 + rank)) for rank, start in enumerate(random.uniform(0, 9, 8))])
        for i in range(60)
    ]
    parts = Parts(compose("data=charades_cd", config="evaluate"))
    found = []
    for at_once in (7, 1000):
        monkeypatch.setattr("src.commands.evaluate._SCORED", at_once)
        found.append(score(moments, answers, parts.metrics("test", moments)))
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def line(query_id: str, windows: object) -> str:
    return json.dumps({"query_id": query_id, "predictions": windows})


def test_novel_words_are_scored_by_part_of_speech(shared: Path) -> None:
    cfg = compose(f"paths.data={shared}/data", "data=charades_cg", config="evaluate")
    moments = load_split(cfg.data, "novel_word").moments
    perfect = [Prediction(moment.query_id, ((*moment.windows[0], 1.0),)) for moment in moments]
    values = score(moments, perfect, Parts(cfg).metrics("novel_word", moments))
    assert values["novel_word/R1@0.7"] == 100
    assert {"novel_word:NOUN/R1@0.7", "novel_word:VERB/R1@0.7"} <= values.keys()


def test_saliency_of_some_queries_only_is_not_scored(data: Path) -> None:
    moments = load_split(compose(f"paths.data={data}", config="train").data, "test_ood").moments
    file = data / "some.jsonl"
    file.write_text("".join(line(moment.query_id, [[0, 1, 1]]) + "\n" for moment in moments))
    text = file.read_text().replace("}", ', "saliency": [1.0]}', 1)
    evaluated(data, data / "none", f"predictions={file}", "split=test_ood")
    file.write_text(text)
    said = error(data, f"predictions={file}", "split=test_ood")
    assert f"{len(moments) - 1} of {len(moments)} queries have no saliency" in said
