"""A network that comes with the project: by its name, as safetensors, without what is of the machine it was made on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from src.build import Parts
from src.commands.prepare import ship_network
from src.errors import UserError
from src.models.network import Network
from src.retrieval import Retriever
from src.runs import checkpoints
from src.runs.configuration import configuration
from tests.compose import compose

SMALL = ["+experiment=segments", "text=learned", "text.dim=8", "predictor.network.width=8", "folder=."]


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.setattr(checkpoints, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr("src.commands.prepare.WEIGHTS", tmp_path / "weights")
    cfg = compose(*SMALL, f"ship={tmp_path}/a.ckpt", "notice=for nobody", f"paths.data={tmp_path}", config="prepare")
    torch.manual_seed(0)
    network = Parts(cfg).network
    checkpoints.write_network(tmp_path / "a.ckpt", network, configuration(cfg))
    ship_network(cfg)
    return network


def test_it_is_loaded_by_its_name_and_says_what_it_has_to(
    shipped: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        retriever = Retriever.load("segments")
    assert "segments.safetensors: for nobody" in caplog.text
    for name, weight in shipped.state_dict().items():
        assert torch.equal(weight, retriever.network.state_dict()[name]), name


def test_nothing_of_the_machine_is_in_it(shipped: Network, tmp_path: Path) -> None:
    file = tmp_path / "weights" / "segments" / "segments.safetensors"
    with safe_open(file, "pt") as content:
        about = content.metadata()
    assert json.loads(about["configuration"])["composed"]["predictor"]["name"] == "segments"
    assert str(tmp_path) not in json.dumps({**about, "configuration": ""})


def test_a_damaged_one_is_refused(shipped: Network, tmp_path: Path) -> None:
    file = tmp_path / "weights" / "segments" / "segments.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        Retriever.load("segments")
    with pytest.raises(UserError, match="no checkpoint at unknown"):
        Retriever.load("unknown")
