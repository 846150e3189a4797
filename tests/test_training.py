"""Training and testing on a small Charades-CD with random features, through the parts that the command uses."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from src.commands.evaluate import evaluate
from src.commands.prepare import make_stores
from src.commands.train import train
from src.errors import UserError
from src.retrieval import Retriever
from tests.compose import compose
from tests.memory import peak_memory
from tests.synthetic import write_small

PROJECT = Path(__file__).parents[1]
SPLITS = ("test_iid", "test_ood")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A small data set with its stores made; the overrides that select it."""
    overrides = ["+experiment=charades_cd_i3d", *write_small(tmp_path_factory.mktemp("small"))]
    make_stores(compose(*overrides, config="prepare"))
    return overrides


def config(small: list[str], folder: Path, *overrides: str, command: str = "train") -> DictConfig:
    return compose(*small, f"folder={folder}", *overrides, config=command)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def trained(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(config(small, folder))
    return folder


def test_a_run_leaves_everything_that_a_report_needs(trained: Path) -> None:
    assert read(trained / "status.json")["state"] == "finished"
    assert {"command", "commit", "packages", "machine"} <= read(trained / "environment.json").keys()
    data = read(trained / "data.json")
    assert data["annotations"].keys() == {"train", "val", *SPLITS}
    assert {"narratives", "sizes"} <= data["stores"]["narrative"].keys()
    assert "source" in data["stores"]["video"]
    assert "concat_mlp" in (trained / "config.yaml").read_text()
    metrics = read(trained / "metrics.json")
    for split in SPLITS:
        assert {
            f"test/{split}/{name}" for name in ("R1@0.3", "R1@0.5", "R1@0.7", "R5@0.5", "dR1@0.5", "mIoU", "mAP")
        } <= (metrics.keys())
        records = [json.loads(line) for line in (trained / "predictions" / f"{split}.jsonl").open()]
        assert len(records) == 24
        for record in records:
            starts, ends, scores = zip(*record["predictions"], strict=True)
            assert all(0 <= start <= end <= record["duration"] + 1e-4 for start, end in zip(starts, ends, strict=True))
            assert list(scores) == sorted(scores, reverse=True)
    assert metrics["best/val/mIoU"] >= metrics["val/mIoU"]


def test_the_logged_metrics_are_those_of_the_predictions(small: list[str], trained: Path, tmp_path: Path) -> None:
    file = trained / "predictions" / "test_ood.jsonl"
    values = evaluate(config(small, tmp_path, f"predictions={file}", "split=test_ood", command="evaluate"))
    logged = read(trained / "metrics.json")
    assert values == pytest.approx({name: logged[name] for name in values}, abs=1e-3)


def test_a_checkpoint_alone_gives_its_metrics_again(small: list[str], trained: Path, tmp_path: Path) -> None:
    before = (trained / "predictions" / "test_iid.jsonl").read_bytes()
    # The command is told of another merger by its defaults, and of none by the user: the checkpoint's is taken.
    cfg = config(small, tmp_path, f"checkpoint={trained}", "merger=add", "split=test_iid", command="evaluate")
    values = evaluate(cfg, [f"checkpoint={trained}", "split=test_iid"])
    logged = read(trained / "metrics.json")
    assert values == {name: value for name, value in logged.items() if name.startswith("test/test_iid/")}
    assert (tmp_path / "predictions" / "test_iid.jsonl").read_bytes() == before
    assert read(tmp_path / "metrics.json") == values


def test_the_same_seed_gives_the_same_numbers(small: list[str], trained: Path, tmp_path: Path) -> None:
    train(config(small, tmp_path, "loader.workers=1"))
    assert read(tmp_path / "metrics.json") == read(trained / "metrics.json")


@pytest.mark.parametrize(
    "choice",
    [
        ["merger=none", "paragraph=none"],
        ["merger=add"],
        ["merger=attention", "match=cosine"],
        ["merger=narrative_only", "paragraph=none", "features=none"],
        ["predictor.network.supervise=both", "paragraph.network.alpha=1.0"],
        ["+recipe=emb"],
        ["predictor=qd_detr", "paragraph=none"],
        ["loader.bucket=true", "trainer.gradient_clip_val=null"],
    ],
    ids=" ".join,
)
def test_each_part_can_be_swapped(small: list[str], tmp_path: Path, choice: list[str]) -> None:
    kept = small
    if "features=none" in choice:
        kept = [each for each in small if not each.startswith("features.")]
    if "+recipe=emb" in choice:
        make_stores(compose(*kept, *choice, config="prepare"))
    best = train(config(kept, tmp_path, *choice, "+trainer.limit_train_batches=2"))
    assert 0 <= best <= 100
    assert math.isfinite(read(tmp_path / "metrics.json")["test/test_ood/mIoU"])


def test_many_test_splits_are_tested_after_one_training(trained: Path) -> None:
    values = read(trained / "metrics.json")
    assert {name.split("/")[1] for name in values if name.startswith("test/")} == set(SPLITS)


def test_the_best_epoch_is_chosen_on_validation(trained: Path) -> None:
    saved = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    saver = next(state for name, state in saved["callbacks"].items() if name.startswith("BestCheckpoint"))
    assert saver["monitor"] == "val/mIoU"
    assert float(saver["score"]) == pytest.approx(read(trained / "metrics.json")["best/val/mIoU"])


def test_the_kept_weights_score_again_what_they_were_kept_for(small: list[str], trained: Path, tmp_path: Path) -> None:
    words = [f"checkpoint={trained}", "split=val"]
    values = evaluate(config(small, tmp_path, *words, command="evaluate"), words)
    assert values["test/val/mIoU"] == pytest.approx(read(trained / "metrics.json")["best/val/mIoU"], abs=1e-4)


def test_the_learning_rate_falls_to_zero_over_the_steps(trained: Path) -> None:
    state = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    (schedule,) = state["lr_schedulers"]
    assert schedule["last_epoch"] == state["global_step"] == 6
    assert schedule["_last_lr"] == [0.0, 0.0]


def error(cfg: DictConfig) -> str:
    with pytest.raises(UserError) as caught:
        train(cfg)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_checkpoint_of_another_configuration_is_refused(small: list[str], trained: Path, tmp_path: Path) -> None:
    cfg = config(small, tmp_path / "new", f"ckpt_path={trained}/checkpoints/last.ckpt", "merger=add", "text.dim=200")
    message = error(cfg)
    assert "checkpoint of another configuration" in message
    assert "merger.name is concat_mlp there and add here" in message
    assert "text.dim is 300 there and 200 here" in message
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_damaged_checkpoint_is_refused(small: list[str], tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.ckpt"
    path.write_bytes(content)
    assert f"{path} cannot be read as a checkpoint" in error(config(small, tmp_path / "new", f"ckpt_path={path}"))
    assert "no checkpoint at" in error(config(small, tmp_path / "new", f"ckpt_path={tmp_path}/none.ckpt"))


def altered(trained: Path, path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The last state of a run, altered."""
    state = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    change(state)
    torch.save(state, path)
    return path


def saver_of(state: dict[str, Any]) -> dict[str, Any]:
    """The state of Lightning's own saver, which somebody may have among their callbacks."""
    kept: dict[str, Any] = {"dirpath": "/run/checkpoints", "best_model_path": "/run/checkpoints/best.ckpt"}
    saver: dict[str, Any] = state["callbacks"].setdefault("ModelCheckpoint{}", kept)
    return saver


STATES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no callbacks": lambda state: state.pop("callbacks"),
    "callbacks that are a list": lambda state: state.update(callbacks=[]),
    "a callback that is a number": lambda state: state.update(callbacks={"LastCheckpoint": 3}),
    "no version": lambda state: state.pop("pytorch-lightning_version"),
    "no loops": lambda state: state.pop("loops"),
    "no optimizer": lambda state: state.pop("optimizer_states"),
    "an epoch that is text": lambda state: state.update(epoch="one"),
    "files elsewhere that are deleted": lambda state: saver_of(state).update(best_model_path="/tmp/thesis.ckpt"),
    "other files that are deleted": lambda state: saver_of(state).update(best_k_models={"/tmp/thesis.odt": 1.0}),
    "a folder above that is deleted": lambda state: saver_of(state).update(
        kth_best_model_path=saver_of(state)["dirpath"] + "/../x.ckpt"
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_a_state_that_cannot_be_continued_is_refused_before_any_work(
    small: list[str], trained: Path, tmp_path: Path, name: str
) -> None:
    path = altered(trained, tmp_path / "own.ckpt", STATES[name])
    message = error(config(small, tmp_path / "new", f"ckpt_path={path}"))
    assert message.startswith(f"{path} ")
    assert ("delete" in message) == ("deleted" in name)
    assert not (tmp_path / "new").exists()


def test_a_state_whose_inside_is_damaged_is_refused(small: list[str], trained: Path, tmp_path: Path) -> None:
    path = altered(trained, tmp_path / "own.ckpt", lambda state: state.update(optimizer_states=[{"state": 3}]))
    message = error(config(small, tmp_path / "new", f"ckpt_path={path}", "trainer.max_epochs=3"))
    assert f"{path} cannot be continued from" in message
    assert read(tmp_path / "new" / "status.json")["state"] == "failed"


WEIGHTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "empty": (lambda state: state["state_dict"].clear(), "weights of another network"),
    "foreign": (lambda state: state.update(state_dict={"layer.weight": torch.zeros(3)}), "weights of another network"),
    "a list": (lambda state: state.update(state_dict=[1]), "no weights by name"),
    "without names": (lambda state: state.update(state_dict={1: torch.zeros(3)}), "no weights by name"),
    "no tensors": (lambda state: state["state_dict"].update({"network.unknown_word": 3}), "another network"),
    "another shape": (
        lambda state: state["state_dict"].update({"network.unknown_word": torch.zeros(3)}),
        "unknown_word",
    ),
    "one number for all": (
        lambda state: state["state_dict"].update({"network.unknown_word": torch.zeros(1).expand(2**16, 2**16)}),
        "numbers of their own",
    ),
    "a shape alone": (
        lambda state: state["state_dict"].update({"network.unknown_word": torch.empty(2**16, 2**16, device="meta")}),
        "no tensor of numbers",
    ),
    "a sparse tensor": (
        lambda state: state["state_dict"].update(
            {"network.unknown_word": torch.sparse_coo_tensor([[0], [0]], [0.0], (2**16, 2**16))}
        ),
        "no tensor of numbers",
    ),
    "not finite": (lambda state: state["state_dict"]["network.unknown_word"].fill_(math.nan), "not finite"),
    "no progress": (lambda state: state.update(progress="half"), "share of its training"),
    "no configuration": (lambda state: state.pop("configuration"), "no configuration"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_checkpoint_with_damaged_weights_is_refused(trained: Path, tmp_path: Path, name: str) -> None:
    change, said = WEIGHTS[name]
    path = altered(trained, tmp_path / "own.ckpt", change)
    with pytest.raises(UserError, match=said) as caught:
        Retriever.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sizes", [{"hidden": 65536}, {"hidden": 65536, "ranking_layers": 64}], ids=["wide", "deep"])
def test_sizes_that_a_checkpoint_only_claims_take_no_memory(
    trained: Path, tmp_path: Path, sizes: dict[str, int]
) -> None:
    def claim(state: dict[str, Any]) -> None:
        for form in state["configuration"].values():
            form["predictor"]["network"].update(sizes)

    path = altered(trained, tmp_path / "own.ckpt", claim)

    def load() -> None:
        with pytest.raises(UserError, match=r"is of shape \(.*\) where its configuration makes it \(.*65536"):
            Retriever.load(path)

    assert peak_memory(load) < 50e6


def test_a_checkpoint_that_unpacks_to_more_than_it_holds_is_refused(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.ckpt"
    with (
        zipfile.ZipFile(trained / "checkpoints" / "best.ckpt") as whole,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in whole.namelist():
            packed.writestr(member, whole.read(member))
        packed.writestr("archive/data/bomb", bytes(10**8))
    with pytest.raises(UserError, match=r"own\.ckpt is no checkpoint of this project: it would unpack to"):
        Retriever.load(path)


def test_the_best_epoch_can_only_be_chosen_by_what_validation_gives(small: list[str], tmp_path: Path) -> None:
    message = error(config(small, tmp_path, "callbacks.best.monitor=val/loss"))
    assert message.startswith("callbacks.best.monitor=val/loss: give one of ")
    assert "val/mIoU" in message
    assert not (tmp_path / "checkpoints").exists()


def test_a_split_that_is_not_to_be_answered_is_told(small: list[str], trained: Path, tmp_path: Path) -> None:
    for split in ("train", "nosuch"):
        for what in (f"checkpoint={trained}", "baseline=prior"):
            with pytest.raises(UserError, match=f"no split '{split}' to evaluate: give val or test_iid or test_ood"):
                evaluate(config(small, tmp_path, what, f"split={split}", command="evaluate"))


@pytest.mark.parametrize("override", ["predictor.network.hidden=32", "text=minilm"])
def test_another_network_than_the_checkpoints_is_told(
    small: list[str], trained: Path, tmp_path: Path, override: str
) -> None:
    given = [f"checkpoint={trained}", override]
    with pytest.raises(UserError, match="weights of another network"):
        evaluate(config(small, tmp_path, *given, command="evaluate"), given)


def test_a_checkpoints_own_settings_are_within_their_ranges(trained: Path, tmp_path: Path) -> None:
    path = altered(trained, tmp_path / "own.ckpt", lambda state: state["configuration"]["composed"].update(top=-1))
    with pytest.raises(UserError, match=r"own\.ckpt: top=-1: give a whole number, 1 or more"):
        Retriever.load(path)


def test_features_of_the_wrong_size_are_refused(small: list[str], tmp_path: Path) -> None:
    message = error(config(small, tmp_path, "features.dim=500"))
    assert "features.i3d.max128.h5 holds vectors of size 1024, but features.dim is 500" in message
    assert read(tmp_path / "status.json")["state"] == "failed"


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_queries(small: list[str], tmp_path: Path) -> None:
    message = error(config(small, tmp_path, "optimizer.lr=1e30", "trainer.gradient_clip_val=null"))
    assert "the loss is not finite in epoch" in message
    assert "queries: " in message
    status = read(tmp_path / "status.json")
    assert status["state"] == "failed"
    assert "not finite" in status["reason"]


def test_a_damaged_row_of_a_video_is_named_and_nothing_is_answered(
    small: list[str], trained: Path, tmp_path: Path
) -> None:
    stores = next(Path(each.split("=", 1)[1]) for each in small if each.startswith("paths.stores="))
    shutil.copytree(stores, tmp_path / "stores")
    for path in (tmp_path / "stores").rglob("*i3d*.h5"):
        with h5py.File(path, "r+") as file:
            file["features"][::3] = np.nan
    place = f"paths.stores={tmp_path}/stores"
    with pytest.raises(
        UserError, match=r"features of (video \w+ \(query .*\) hold numbers that are|'\w+' is) not finite"
    ):
        evaluate(config(small, tmp_path / "run", f"checkpoint={trained}", place, command="evaluate"), [place])
    assert not list((tmp_path / "run").rglob("*.jsonl"))


def test_narratives_alone_do_not_go_with_features(small: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="features=i3d does not say how a video is cut that the network does not read"):
        train(config(small, tmp_path, "merger=narrative_only", "paragraph=none"))


@pytest.fixture
def fresh(tmp_path: Path) -> list[str]:
    """A data set whose stores are not made."""
    return ["+experiment=charades_cd_i3d", *write_small(tmp_path, videos=2, queries=1)]


def test_all_that_is_missing_is_named_at_once(tmp_path: Path, fresh: list[str]) -> None:
    for path in (tmp_path / "glove", tmp_path / "stores" / "narratives"):
        for file in path.rglob("*.*"):
            file.unlink()
    message = error(config(fresh, tmp_path / "run"))
    for part in (
        "no store of i3d features",
        "python -m src.prepare",
        "VSLNet",
        "llava_13b.jsonl",
        "glove.840B.300d.txt",
    ):
        assert part in message


def damaged(fresh: list[str], *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        make_stores(compose(*fresh, *overrides, config="prepare"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_values_that_are_not_numbers_are_refused(tmp_path: Path, fresh: list[str]) -> None:
    file = sorted((tmp_path / "features/charades/i3d").glob("TRN*.npy"))[0]
    features = np.load(file)
    features[3, 5] = np.nan
    np.save(file, features)
    message = damaged(fresh)
    assert file.name in message
    assert "nan" in message.lower() or "finite" in message
    assert not list((tmp_path / "stores" / "charades").glob("features*"))


def test_a_video_without_features_or_narratives_is_named(tmp_path: Path, fresh: list[str]) -> None:
    file = sorted((tmp_path / "features/charades/i3d").glob("TRN*.npy"))[0]
    file.unlink()
    assert file.stem in damaged(fresh)
    narratives = tmp_path / "stores/narratives/charades/llava_13b.jsonl"
    lines = narratives.read_text().splitlines(keepends=True)
    narratives.write_text("".join(line for line in lines if file.stem not in line))
    assert file.stem in damaged(fresh, "merger=narrative_only", "paragraph=none")


def test_an_empty_query_and_a_video_without_length_are_named(tmp_path: Path, fresh: list[str]) -> None:
    file = tmp_path / "charades_cd" / "charades_train.json"
    records = read(file)
    video = next(iter(records))
    file.write_text(json.dumps(records | {video: records[video] | {"sentences": ["  "]}}))
    assert video in error(config(fresh, tmp_path / "run"))
    file.write_text(json.dumps(records | {video: records[video] | {"video_duration": 0}}))
    assert video in error(config(fresh, tmp_path / "run"))


def command(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["merger=nothing"], "merger/nothing"),
        (["merger=3"], "merger=3: a choice of conf/ goes by its name"),
        (["merger.size=3"], "size"),
        (["+experiment=anet_i3d"], "no annotation file"),
    ],
)
def test_mistakes_end_the_command_with_one_line(tmp_path: Path, arguments: list[str], expected: str) -> None:
    done = command("src.train", f"paths.data={tmp_path}", f"paths.outputs={tmp_path}/outputs", *arguments)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert expected in lines[0]
    assert "Traceback" not in done.stderr


def test_the_command_prints_the_table(small: list[str], tmp_path: Path) -> None:
    done = command("src.train", *small, f"paths.outputs={tmp_path}", "trainer.max_epochs=1")
    assert done.returncode == 0, done.stderr
    assert "R1@0.5" in done.stdout
    assert all(split in done.stdout for split in SPLITS)
