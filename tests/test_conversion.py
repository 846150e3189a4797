"""Published checkpoints become checkpoints of this project, from the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from src.build import Parts
from src.commands.prepare import convert_checkpoint
from src.errors import UserError
from src.models.releases import read_published
from src.runs.checkpoints import load_network, read_checkpoint
from tests.compose import compose
from tests.models.detr.golden import load

KINDS = ["qd_detr", "moment_detr"]


def sizes(shared: Path, kind: str) -> list[str]:
    published = read_published(shared / "parity" / f"{kind}.npz")
    of_features = [f"features.dim={published.video_dim}", f"text.dim={published.text_dim}"]
    return [*(f"predictor.network.{name}={size}" for name, size in published.settings.items()), *of_features]


def config(kind: str, shared: Path, outputs: Path, *overrides: str):  # type: ignore[no-untyped-def]
    common = ["+experiment=charades_cd_qd_detr", f"predictor={kind}", f"paths.outputs={outputs}"]
    source = f"convert_checkpoint={shared}/parity/{kind}.npz"
    return compose(*common, source, f"folder={outputs}", *overrides, config="prepare")


@pytest.mark.parametrize("kind", KINDS)
def test_the_converted_checkpoint_is_the_published_network(kind: str, shared: Path, tmp_path: Path) -> None:
    path = convert_checkpoint(config(kind, shared, tmp_path, "merger=none", *sizes(shared, kind)))
    assert path == tmp_path / "converted" / f"{kind}.ckpt"
    checkpoint = read_checkpoint(path)
    network = load_network(
        Parts(OmegaConf.create(checkpoint["configuration"]["resolved"])).new_network, checkpoint, path
    )
    golden = load(shared / "parity" / f"{kind}.npz")
    golden.network.load_state_dict(network.state_dict())
    golden.network.eval()
    torch.testing.assert_close(golden.run().spans[-1], golden["output/pred_spans"], atol=1e-4, rtol=0.0)


def test_another_configuration_is_refused_with_what_to_add(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"another network than the configured one: add merger=none$"):
        convert_checkpoint(config("qd_detr", shared, tmp_path))
    with pytest.raises(UserError, match=r"add predictor.network.feed_forward=128 features.dim=46 text.dim=32$"):
        convert_checkpoint(config("qd_detr", shared, tmp_path, "merger=none"))
    assert not (tmp_path / "converted").exists()


# QD-DETR and Moment-DETR are above.
@pytest.mark.parametrize(
    "file",
    [
        *("bm_detr", "cg_detr", "dcm", "drn", "eatr", "emb_small", "flash_vtg", "lgi", "mesm", "primitives"),
        *("shuffling", "tan_2d", "tan_2d_pool", "task_weave", "tr_detr", "univtg", "uvcom", "vslnet"),
        "vslnet_transformer",
    ],
)
def test_what_is_said_to_add_makes_it_the_published_network(shared: Path, tmp_path: Path, file: str) -> None:
    source = shared / "parity" / f"{file}.npz"
    words = ["+experiment=charades_cd_i3d", f"convert_checkpoint={source}", f"folder={tmp_path}"]
    if file.startswith("vslnet"):  # its weights do not say which letters they are of
        words += ["predictor=vslnet", "predictor.network.alphabet=abcdefghijklmnopqr"]
    for _ in range(2):  # the choices of groups are told first, then their settings
        with pytest.raises(UserError, match="add ") as caught:
            convert_checkpoint(compose(*words, f"paths.outputs={tmp_path}", config="prepare"))
        words += str(caught.value).split(": add ")[1].split(" ")
    path = convert_checkpoint(compose(*words, f"paths.outputs={tmp_path}", config="prepare"))
    kept = read_checkpoint(path)["state_dict"]
    for name, weight in read_published(source).weights.items():
        assert torch.equal(kept[f"network.{name}"], weight), name


def test_weights_of_another_shape_are_told(shared: Path, tmp_path: Path) -> None:
    golden = ["convert_checkpoint=" + str(shared / "parity" / "vslnet.npz"), "predictor=vslnet", "merger=none"]
    sizes = ["hidden=64", "places=40", "letters=12"]
    words = [
        *golden,
        "paragraph=none",
        "features.dim=48",
        "text.dim=32",
        *(f"predictor.network.{each}" for each in sizes),
    ]
    with pytest.raises(
        UserError, match=r"letters.vectors.weight is of shape \(20, 12\) where its configuration makes it \(43, 12\)"
    ):
        convert_checkpoint(compose(*words, f"folder={tmp_path}", config="prepare"))


def test_the_command_names_a_missing_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "src.prepare", "+experiment=charades_cd_qd_detr", "merger=none"]
    done = subprocess.run(
        [*command, "convert_checkpoint=nowhere.ckpt", f"paths.outputs={tmp_path}"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: no checkpoint at nowhere.ckpt")
