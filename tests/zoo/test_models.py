"""Every choice of a predictor and a training method is listed, with what holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from src.build import Parts
from src.zoo import Model, Score, list_models, list_papers
from src.zoo.page import METRICS
from tests.compose import CONF, compose

PROJECT = CONF.parent
MODELS = list_models()
# Of what no method is made, and of networks that make features.
NO_METHOD, EXTRACTORS = "none", {"i3d", "slowfast"}


def choices(group: str) -> set[str]:
    return {file.stem for file in (CONF / group).glob("*.yaml")}


def of(name: str, group: str = "predictor") -> Model:
    (model,) = (model for model in MODELS if (model.name, model.group) == (name, group))
    return model


@pytest.mark.parametrize("group", ["predictor", "method"])
def test_every_choice_has_its_entry(group: str) -> None:
    listed = [model.name for model in MODELS if model.group == group]
    assert sorted(listed) == sorted(choices(group) - {NO_METHOD}), "write it into a file of src/zoo/papers/"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.group}={model.name}")
def test_sizes_are_of_the_network_that_its_first_words_build(model: Model) -> None:
    cfg = compose(*model.train[0].split(), "folder=.", config="train")
    assert cfg[model.group].name == model.name
    assert cfg.paragraph.name == "none"
    with torch.device("meta"):
        learned = nn.ModuleList([Parts(cfg).network, instantiate(cfg.method.network)])
    parameters = sum(weight.numel() for weight in learned.parameters() if weight.requires_grad)
    assert (model.parameters, model.video, model.text) == (parameters, cfg.features.dim, cfg.text.dim)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.group}={model.name}")
def test_what_it_names_exists(model: Model) -> None:
    for words in model.train:
        for group, choice in (word.lstrip("+").split("=") for word in words.split()):
            assert choice in choices(group) or not (CONF / group).is_dir(), words
    assert bool(model.golden) == (model.test is not None)
    if model.test is not None:
        text = (PROJECT / model.test).read_text()
        for name in model.golden:
            assert re.search(rf"\b{name}\b", text), f"{model.test} does not read {name}"
    for score in model.published:
        require_known(score)
    assert {measured.data for measured in model.ours} <= choices("data")


def require_known(score: Score) -> None:
    assert score.data in choices("data"), score
    assert score.scores, score
    assert score.scores.keys() <= set(METRICS), score
    assert all(0 < value < 100 for value in score.scores.values()), score
    assert score.source, score


def test_every_golden_file_of_a_network_is_of_a_model(shared: Path) -> None:
    files = {file.stem for file in (shared / "parity").glob("*.npz")} - EXTRACTORS
    assert {name for model in MODELS for name in model.golden} == files


def test_scores_of_one_config_are_of_a_config_of_that_paper() -> None:
    for paper in list_papers():
        named = {score.of for score in paper.published} - {None}
        assert named <= {model.name for model in paper.models}


def test_numbers_of_the_papers_tables_are_those_of_experiments() -> None:
    table = {score.split: score for score in of("emb").published if score.source == "TEA, Table 2"}
    assert table["test_ood"].scores == {"R1@0.5": 51.97, "R1@0.7": 31.08, "mIoU": 48.51}
    assert (table["test_ood"].data, table["test_ood"].features) == ("charades_cd", "I3D")
    assert set(table) == {"test_ood", "novel_word", "novel_composition"}
    # A dash of the table is no number.
    assert {score.data for score in of("drn").published if score.source == "TEA, Table 2"} == {"charades_cd"}


def test_ours_are_means_over_seeds_and_over_the_queries_of_folds() -> None:
    ours = {(measured.data, measured.split): measured for measured in of("qd_detr").ours}
    seeds = ours["playroom", "test_iid"]
    assert (seeds.runs, round(seeds.scores["R1@0.5"], 1), round(seeds.scores["mIoU"], 1)) == (3, 9.9, 13.0)
    folds = ours["qvhighlights_folds", "test"]
    assert (folds.runs, round(folds.scores["R1@0.5"], 1), round(folds.scores["mAP"], 1)) == (5, 45.5, 22.7)


def test_a_config_has_its_own_numbers_first_and_none_of_its_siblings() -> None:
    first = of("tan_2d_pool").published[0]
    assert (first.of, first.scores["R1@0.5"]) == ("tan_2d_pool", 40.94)
    assert {score.of for score in of("tan_2d_pool").published} == {"tan_2d_pool", None}
