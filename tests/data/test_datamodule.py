"""From annotated moments and stores to batches, on numbers that can be followed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from src.data.datamodule import MomentDataModule, MomentDataset, Snippets, Stores
from src.data.records import Moment
from src.data.store import Store, write_store
from src.errors import UserError

TWICE = Moment("twice", "a", "a person waves", ((0.0, 2.0), (6.0, 8.0)), 8.0)
ONCE = Moment("once", "b", "a door opens", ((2.0, 4.0),), 4.0)
SNIPPETS = Snippets(seconds=2.0, most=3, fill="nearest")


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """Videos of four and two snippets, told at 0 and 6 s, and at 3 s."""

    def store(name: str, rows: dict[str, dict[str, np.ndarray]]) -> Store:
        write_store(tmp_path / name, rows.items(), {})
        return Store(tmp_path / name)

    words = {moment.query: np.full((3, 2), number, np.float32) for number, moment in enumerate((TWICE, ONCE))}
    unknown = np.array([False, True, False])
    return Stores(
        query=store("q", {query: {"features": rows, "unknown": unknown} for query, rows in words.items()}),
        video=store(
            "v",
            {
                "a": {"features": np.arange(8, dtype=np.float32).reshape(4, 2)},
                "b": {"features": np.arange(4, dtype=np.float32).reshape(2, 2) + 20},
            },
        ),
        narrative=store(
            "n",
            {
                "a": {"features": np.array([[1.0, 1.0], [2.0, 2.0]], np.float32), "times": np.array([0.0, 6.0])},
                "b": {"features": np.array([[3.0, 3.0]], np.float32), "times": np.array([3.0])},
            },
        ),
    )


def module(stores: Stores, **settings: object) -> MomentDataModule:
    """Of three samples to train on, one a batch, and two queries in validation and test."""
    given = {"train": [TWICE, ONCE], "val": [TWICE, ONCE], "tests": {"ood": [ONCE, TWICE]}, "every_window": True}
    how = {"batch_size": 1, "eval_batch_size": 8, "workers": 0, "bucket": False, "seed": 0}
    return MomentDataModule(stores=stores, snippets=SNIPPETS, **{**given, **how, **settings})  # type: ignore[arg-type]


def test_a_query_is_learned_once_a_window_and_scored_once(stores: Stores) -> None:
    data = module(stores, batch_size=8)
    (learned,), (scored,), ((tested,),) = (
        list(data.train_dataloader()),
        list(data.val_dataloader()),
        [list(loader) for loader in data.test_dataloader()],
    )
    assert sorted(moment.query_id for moment in learned.truth.moments) == ["once", "twice", "twice"]
    assert sorted(learned.truth.target.tolist()) == [[0, 0], [1, 1], [3, 3]]
    assert [moment.query_id for moment in scored.truth.moments] == ["twice", "once"]
    assert [moment.query_id for moment in tested.truth.moments] == ["once", "twice"]
    # Scored against both of its windows.
    assert scored.truth.windows[0].tolist() == [[0, 2], [6, 8]]
    assert scored.truth.windows[1, 0].tolist() == [2, 4]
    assert scored.truth.windows[1, 1].isnan().all()


def test_training_goes_on_at_the_batch_of_the_epoch_where_it_was(stores: Stores) -> None:
    def learned(epoch: int, batches: int) -> list[list[int]]:
        data = module(stores)
        data.load_state_dict({"epoch": epoch, "batches": batches})
        return [batch.truth.target[0].tolist() for batch in data.train_dataloader()]

    whole = learned(epoch=1, batches=0)
    assert sorted(whole) == [[0, 0], [1, 1], [3, 3]]
    assert learned(epoch=1, batches=2) == whole[2:]
    # All batches done is an epoch that begins anew.
    assert learned(epoch=1, batches=3) == whole
    assert len({str(learned(epoch, 0)) for epoch in range(6)}) > 1


def test_a_split_that_processes_cannot_share_is_named(stores: Stores) -> None:
    data = module(stores, val=[TWICE], tests={"ood": [ONCE], "iid": [ONCE, TWICE]})
    data.require_shared(1, tests=True)
    data.require_shared(2, tests=False, fitted=False)
    with pytest.raises(UserError, match="the validation split has 1 queries, which 2 processes cannot share"):
        data.require_shared(2, tests=True)
    with pytest.raises(UserError, match="the ood split has 1 queries"):
        data.require_shared(2, tests=True, fitted=False)
    with pytest.raises(UserError, match="the training split has 3 queries, which 4 processes"):
        data.require_shared(4, tests=False)


def test_a_batch_holds_what_the_stores_have(stores: Stores) -> None:
    batch = MomentDataset([TWICE, ONCE], stores, SNIPPETS, every_window=False)[[0, 1]]
    inputs = batch.full().inputs
    assert inputs.sentences == ["a person waves", "a door opens"]
    assert inputs.duration.tolist() == [8, 4]
    assert inputs.snippet_mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert inputs.length.tolist() == [4, 2]
    assert inputs.video is not None
    assert inputs.video.tolist() == [[[0, 1], [2, 3], [4, 5], [6, 7]], [[20, 21], [22, 23], [0, 0], [0, 0]]]
    assert inputs.narrative is not None
    # Those of seconds 2 to 4 are nearer to the first narrative, of 4 to 6 to the second.
    assert inputs.narrative[..., 0].tolist() == [[1, 1, 2, 2], [3, 3, 0, 0]]
    assert inputs.query[..., 0].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert inputs.unknown.tolist() == [[False, True, False]] * 2
    assert batch.truth.target.tolist() == [[0, 0], [1, 1]]
    assert batch.truth.duration.tolist() == [8, 4]
    half = batch.inputs.video
    assert half is not None
    assert half.dtype == torch.float16


def test_without_a_video_its_length_makes_the_snippets(stores: Stores) -> None:
    dataset = MomentDataset([TWICE, ONCE], stores._replace(video=None), SNIPPETS, every_window=False)
    # Eight seconds would be four, of which there are three at most.
    assert dataset.lengths() == [3, 2]
    batch = dataset[[0]]
    assert batch.inputs.video is None
    assert batch.inputs.length.tolist() == [3]


@pytest.mark.parametrize(("duration", "count"), [(0.5, 1), (2.0, 1), (2.1, 2), (4.0, 2), (150.0, 3)])
def test_a_snippet_that_is_begun_counts(duration: float, count: int) -> None:
    assert SNIPPETS.count(duration) == count
    assert SNIPPETS._replace(most=75).count(150.0) == 75
