"""Each recipe of another network trains on a small Charades-CD, restarts exactly and writes its predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from src.commands.prepare import make_stores
from src.commands.train import train
from src.data.tags import NltkTagger
from src.errors import UserError
from src.models.tea import TEA
from src.runs.checkpoints import LAST
from tests.compose import compose
from tests.synthetic import write_small

SIZES = {
    "vslnet": ["hidden=16", "heads=2"],
    "lgi": ["hidden=16", "attention=8"],
    "lgi_anet": ["hidden=16", "attention=8"],
    "drn": ["hidden=16", "words=8", "channels=8", "position=4", "pyramid=16"],
    "shuffling": ["hidden=16", "inputs=16", "words=8", "head=8", "match=8"],
    "tan_2d": ["hidden=16", "samples=16", "layers=2", "kernel=3"],
    "dcm": ["hidden=16", "samples=16"],
    "primitives": ["hidden=16", "scales=[8,4]", "kernels=[3]"],
}
"""Settings of the predictor that make it quick, by the recipe."""

NARRATED = {"primitives": ["merger=concat_mlp"]}
"""Recipes whose method reads narratives."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    overrides = write_small(tmp_path_factory.mktemp("small"), dim=8)
    return ["+experiment=charades_cd_i3d", *(each for each in overrides if not each.startswith("predictor."))]


class Tagger:
    """In the place of NLTK's, whose weights need not be there."""

    def tag(self, words: list[str]) -> list[tuple[str, str]]:
        return [(word, "DT" if word in ("a", "the") else "VBZ" if word.endswith("s") else "NN") for word in words]


@pytest.fixture(autouse=True)
def _tagged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NltkTagger, "_tagger", Tagger())


def words(small: list[str], recipe: str, *overrides: str) -> list[str]:
    sizes = [f"predictor.network.{size}" for size in SIZES[recipe.split("_")[0] if "drn" in recipe else recipe]]
    last = ["callbacks.last.every_n_steps=1", "loader.batch_size=8", "trainer.max_epochs=2"]
    return [*small, f"+recipe={recipe}", *NARRATED.get(recipe, ()), *sizes, *last, *overrides]


def trained(arguments: list[str], folder: Path) -> Path:
    train(compose(*arguments, f"folder={folder}", config="train"))
    return folder


def result(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    state = torch.load(folder / LAST, weights_only=True)
    return state["state_dict"], json.loads((folder / "metrics.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("recipe", SIZES)
def test_each_recipe_trains_restarts_exactly_and_writes_its_predictions(
    small: list[str], tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = words(small, recipe)
    make_stores(compose(*arguments, config="prepare"))
    whole = trained(arguments, tmp_path / "whole")
    for split in ("test_iid", "test_ood"):
        records = [json.loads(line) for line in (whole / "predictions" / f"{split}.jsonl").open()]
        assert len(records) == 24
        assert all(record["predictions"] for record in records)

    step = TEA.training_step

    def broken(self: TEA, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 4:
            raise UserError("the power fails")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(TEA, "training_step", broken)
        with pytest.raises(UserError, match="power"):
            trained(arguments, tmp_path / "broken")
    weights, metrics = result(trained(arguments, tmp_path / "broken"))
    expected, expected_metrics = result(whole)
    assert metrics == expected_metrics
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_a_stage_begins_with_the_weights_of_the_one_before(small: list[str], tmp_path: Path) -> None:
    make_stores(compose(*words(small, "drn"), config="prepare"))
    # Long enough that windows come near moments: the second stage learns of no others.
    longer = ["trainer.max_epochs=20", "optimizer.lr=0.01"]
    before = trained(words(small, "drn", *longer), tmp_path / "first")
    for stage in ("second", "third"):
        folder = trained(words(small, f"drn_{stage}", f"start_from={before}"), tmp_path / stage)
        one = torch.load(before / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        other = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        learned = {name for name in one if not torch.equal(one[name], other[name]) and "running" not in name}
        assert learned
        if stage == "second":
            assert all(name.startswith("network.predictor.windows.overlap.") for name in learned), learned
        before = folder
    with pytest.raises(UserError, match="weights of another network"):
        trained(words(small, "drn", f"start_from={before}", "predictor.network.words=4"), tmp_path / "other")
    with pytest.raises(UserError, match="no checkpoint at"):
        trained(words(small, "drn", f"start_from={tmp_path}/nowhere"), tmp_path / "none")
