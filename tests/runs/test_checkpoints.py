"""Checkpoints: which is taken, and what is refused, on small files."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from src.errors import UserError
from src.runs.checkpoints import (
    BEST,
    LAST,
    PREVIOUS,
    best_checkpoint,
    has_state,
    leave_states,
    load_network,
    newest_run,
    newest_state,
    read_checkpoint,
    read_state,
    write_network,
)

BOTH: dict[str, Any] = {"composed": {}, "resolved": {}}


def state(step: int, **changes: Any) -> dict[str, Any]:
    """What Lightning keeps of a training, without weights."""
    kept = {"state_dict": {}, "configuration": BOTH, "callbacks": {}, "epoch": 0, "global_step": step, "loops": {}}
    return {**kept, "lr_schedulers": [], "optimizer_states": [], "pytorch-lightning_version": "2.6", **changes}


def save(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def test_the_newest_state_that_can_be_read_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not has_state(tmp_path)
    with pytest.raises(UserError, match=r"no checkpoint at .*last\.ckpt"):
        newest_state(tmp_path)
    save(tmp_path / PREVIOUS, state(1))
    assert has_state(tmp_path)
    path, found = newest_state(tmp_path)  # killed between two renames
    assert (path, found["global_step"]) == (tmp_path / PREVIOUS, 1)
    assert caplog.text == ""
    save(tmp_path / LAST, state(2))
    path, found = newest_state(tmp_path)
    assert (path, found["global_step"]) == (tmp_path / LAST, 2)
    (tmp_path / LAST).write_bytes(b"torn")
    with caplog.at_level(logging.WARNING):
        assert newest_state(tmp_path)[1]["global_step"] == 1
    assert f"continuing from {tmp_path / PREVIOUS}" in caplog.text
    (tmp_path / PREVIOUS).unlink()
    with pytest.raises(UserError, match=r"last\.ckpt cannot be read"):
        newest_state(tmp_path)


def test_a_finished_run_leaves_the_state_that_is_wanted(tmp_path: Path) -> None:
    save(tmp_path / PREVIOUS, state(1))
    save(tmp_path / LAST, state(2))
    leave_states(tmp_path, newest=True)
    assert [place.is_file() for place in (tmp_path / PREVIOUS, tmp_path / LAST)] == [False, True]
    leave_states(tmp_path, newest=False)
    assert not has_state(tmp_path)
    leave_states(tmp_path, newest=False)  # as often as one likes


def test_the_newest_run_is_the_last_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run under"):
        newest_run(tmp_path)
    save(tmp_path / "2026-01-02" / LAST, state(1))
    save(tmp_path / "2026-01-03" / PREVIOUS, state(1))
    save(tmp_path / "2026-01-04" / BEST, state(1))  # nothing to continue from
    assert newest_run(tmp_path) == tmp_path / "2026-01-03"


def test_a_run_folder_stands_for_its_best_epoch(tmp_path: Path) -> None:
    assert best_checkpoint(tmp_path) == tmp_path / BEST
    assert best_checkpoint(tmp_path / "own.ckpt") == tmp_path / "own.ckpt"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1], "is not a checkpoint of this project"),
        ({"configuration": BOTH}, "is not a checkpoint of this project"),
        ({"state_dict": {}}, "carries no configuration"),
        ({"state_dict": {}, "configuration": [1]}, "its configuration is no mapping"),
        ({"state_dict": {}, "configuration": {"composed": {}}}, "its configuration is no mapping"),
        ({"state_dict": {}, "configuration": {"composed": {}, "resolved": 3}}, "its configuration is no mapping"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_checkpoint(save(tmp_path / "x.ckpt", content))


def saver(**changes: Any) -> dict[str, Any]:
    """The state of Lightning's own saver of checkpoints, which names files that it deletes."""
    kept = {"dirpath": "/run/c", "best_model_path": "/run/c/a.ckpt", "best_k_models": {"/run/c/b.ckpt": 1.0}}
    return {"saver": {**kept, "kth_best_model_path": "", "last_model_path": "/run/c/last.ckpt", **changes}}


def test_a_state_names_files_of_its_folder_only(tmp_path: Path) -> None:
    for fine in (saver(), saver(dirpath="/run/c/"), saver(best_k_models=None), {"other": {}}):
        assert read_state(save(tmp_path / "x.ckpt", state(1, callbacks=fine)))["callbacks"] == fine
    for changes in (
        {"best_model_path": "/run/a.ckpt"},
        {"kth_best_model_path": "/run/c/../a.ckpt"},
        {"last_model_path": "/run/c/notes.txt"},
        {"best_k_models": {"/run/c/b.ckpt": 1.0, "/b.ckpt": 2.0}},
        {"best_model_path": 3},
        {"dirpath": None},
    ):
        with pytest.raises(UserError, match="would delete files outside its folder"):
            read_state(save(tmp_path / "x.ckpt", state(1, callbacks=saver(**changes))))


def test_a_state_lacks_nothing_to_go_on_from(tmp_path: Path) -> None:
    for key in ("callbacks", "epoch", "loops", "optimizer_states"):
        content = state(1)
        del content[key]
        with pytest.raises(UserError, match=rf"no state of training to continue from \(it lacks {key}\)"):
            read_state(save(tmp_path / "x.ckpt", content))
    with pytest.raises(UserError, match=r"\(it lacks callbacks\)"):
        read_state(save(tmp_path / "x.ckpt", state(1, callbacks={"a": 3})))


class Weights(nn.Module):
    """Stands for a network: it has weights and knows its progress."""

    def __init__(self, value: float, progress: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((2,), value))
        self.progress = progress


def blank() -> Any:
    return Weights(0.0)


def test_a_network_comes_back_with_its_weights_and_progress(tmp_path: Path) -> None:
    path = tmp_path / "new" / "network.ckpt"
    write_network(path, Weights(3.0, progress=0.5), BOTH)  # type: ignore[arg-type]
    checkpoint = read_checkpoint(path)
    network = load_network(blank, checkpoint, path)
    assert (network.get_parameter("weight").tolist(), network.progress) == ([3.0, 3.0], 0.5)
    # What a training method learns beside the network is not the network's; one without a word of its progress is done.
    checkpoint["state_dict"]["method.weight"] = torch.ones(1)
    del checkpoint["progress"]
    assert load_network(blank, checkpoint, path).progress == 1


@pytest.mark.parametrize("progress", [-0.1, 1.1, "1", None])
def test_progress_is_a_share(progress: Any) -> None:
    content = {"state_dict": {"network.weight": torch.ones(2)}, "progress": progress}
    with pytest.raises(UserError, match="no number from 0 to 1"):
        load_network(blank, content, Path("x"))
    for fine in (0, 1):
        load_network(blank, {**content, "progress": fine}, Path("x"))


def test_weights_that_are_one_number_over_and_over_are_refused() -> None:
    content = {"state_dict": {"network.weight": torch.ones(1).expand(10**6)}, "progress": 1.0}
    with pytest.raises(UserError, match="do not hold numbers of their own"):
        load_network(blank, content, Path("x"))
