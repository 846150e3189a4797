"""Published checkpoints, in every format they come in, as networks of this project."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from src.errors import UserError
from src.models.mergers import VideoOnly
from src.models.network import Network
from src.models.releases import read_published
from tests.models.detr.golden import build


@pytest.fixture
def weights(shared: Path) -> dict[str, Tensor]:
    with np.load(shared / "parity" / "qd_detr.npz") as file:
        return {n.removeprefix("weight/"): torch.from_numpy(file[n]) for n in file.files if n.startswith("weight/")}


def write(path: Path, weights: dict[str, Tensor]) -> None:
    if path.suffix == ".npz":
        np.savez(path, **{name: weight.numpy() for name, weight in weights.items()})
    elif path.suffix == ".safetensors":
        save_file(weights, path)
    elif path.suffix == ".ckpt":
        unused = {"txt_position_embed.LayerNorm.bias": torch.zeros(4)}
        torch.save({"model": {**weights, **unused}, "epoch": 3, "opt": argparse.Namespace(lr=1e-4)}, path)
    else:
        torch.save(weights, path)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".safetensors", ".npz"])
def test_each_format_gives_the_same_network(weights: dict[str, Tensor], suffix: str, tmp_path: Path) -> None:
    write(tmp_path / f"best{suffix}", weights)
    published = read_published(tmp_path / f"best{suffix}")
    assert published.predictor == "qd_detr"
    assert published.settings["feed_forward"] == 128
    assert (published.video_dim, published.text_dim) == (46, 32)
    predictor = build("qd_detr", **published.settings)
    network = Network(predictor, VideoOnly(predictor.hidden), None, None, published.video_dim, published.text_dim)
    missing, unexpected = network.load_state_dict(published.weights, strict=False)
    assert (missing, unexpected) == (["unknown_word"], [])
    torch.testing.assert_close(network.predictor.queries.data, weights["query_embed.weight"].float())


class Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("open('harmed', 'w')",)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Harm()}, "best.ckpt")
    with pytest.raises(UserError, match="without running code"):
        read_published(Path("best.ckpt"))
    assert not Path("harmed").exists()


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "best.npz", a=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="without running code"):
        read_published(tmp_path / "best.npz")


def test_other_files_are_named(tmp_path: Path) -> None:
    torch.save({"linear.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
    (tmp_path / "noise.ckpt").write_bytes(b"noise")
    for name, message in (
        ("other.pt", "other.pt is no checkpoint of a network that is known here: those of .*QD-DETR"),
        ("noise.ckpt", "noise.ckpt cannot be read"),
        ("none.ckpt", "no checkpoint at .*none.ckpt"),
    ):
        with pytest.raises(UserError, match=message):
            read_published(tmp_path / name)
