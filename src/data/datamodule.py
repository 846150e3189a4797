"""Annotated moments and the stores of their features, as batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import lightning
from torch import Tensor
from torch.utils.data import Dataset

from src.data.batch import Batch, Labelled, Sample, collate
from src.data.loader import Loader
from src.data.records import Moment, Window
from src.data.sampler import BatchSampler
from src.data.store import Store
from src.errors import UserError
from src.moments import align_narratives, seconds_to_snippets


class Stores(NamedTuple):
    """Where the features of moments are read from. `video` and `narrative` are None where the network reads none."""

    query: Store  # words of each query sentence, with `unknown` flags
    video: Store | None  # snippets of each video
    narrative: Store | None  # sentences of each video, with their `times`
    rewording: Store | None = None  # rewordings of query sentences, which some may lack


class Snippets(NamedTuple):
    """How a video is cut into snippets where there are no video features to say so, and how narratives fall in them."""

    seconds: float  # length of one snippet
    most: int  # a longer video is cut into this many instead
    fill: Literal["nearest", "zero"]  # what a snippet without a narrative takes

    def count(self, duration: float) -> int:
        """How many snippets a video of `duration` seconds is cut into where no video features say so."""
        # Rounded first: 150 s in snippets of 2 s are 75, also where the division says 75.00000000000001.
        return max(1, min(self.most, math.ceil(round(duration / self.seconds, 6))))


class MomentDataset(Dataset[Batch]):
    """Batches of one split, by lists of sample indices.

    Args:
        moments: The split's queries.
        stores: The stores of their features.
        snippets: How videos are cut; see `Snippets`.
        every_window: make a sample of each window of a query, for training; otherwise one sample a query.
    """

    def __init__(self, moments: Sequence[Moment], stores: Stores, snippets: Snippets, every_window: bool) -> None:
        self.moments = moments
        self.samples: list[tuple[Moment, Window]] = [
            (moment, window)
            for moment in moments
            # Of a query without answers nothing is learned, whatever its window.
            for window in (moment.windows if every_window else moment.windows[:1] or ((0.0, moment.duration),))
        ]
        self.stores = stores
        self.snippets = snippets

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, indices: list[int]) -> Batch:
        return collate([self._labelled(*self.samples[index]) for index in indices])

    def lengths(self) -> list[int]:
        """Number of snippets of each sample."""
        of_video = {moment.video: self._length(moment) for moment, _ in self.samples}
        return [of_video[moment.video] for moment, _ in self.samples]

    def check(self) -> None:
        """Raise a UserError if a store lacks a video or a query of this split."""
        for store, keys in (
            (self.stores.video, {moment.video for moment, _ in self.samples}),
            (self.stores.narrative, {moment.video for moment, _ in self.samples}),
            (self.stores.query, {moment.query for moment, _ in self.samples}),
        ):
            if store is not None:
                store.require(keys)

    def _length(self, moment: Moment) -> int:
        video = self.stores.video
        return video.count(moment.video) if video is not None else self.snippets.count(moment.duration)

    def _labelled(self, moment: Moment, window: Window) -> Labelled:
        length = self._length(moment)
        words = self.stores.query[moment.query]
        sample = Sample(
            sentence=moment.query,
            duration=moment.duration,
            video=self.stores.video[moment.video]["features"] if self.stores.video is not None else None,
            narrative=self._narrative(moment, length),
            length=length,
            query=words["features"].float(),
            unknown=words["unknown"],
            rewordings=self._rewordings(moment),
        )
        return Labelled(sample, moment, seconds_to_snippets(window, length, moment.duration))

    def _rewordings(self, moment: Moment) -> Tensor | None:
        store = self.stores.rewording
        return store[moment.query]["features"].float() if store is not None and moment.query in store else None

    def _narrative(self, moment: Moment, length: int) -> Tensor | None:
        if self.stores.narrative is None:
            return None
        rows = self.stores.narrative[moment.video]
        vectors = rows["features"].float()
        return align_narratives(rows["times"], vectors, length, moment.duration, self.snippets.fill)


class MomentDataModule(lightning.LightningDataModule):
    """The training, validation and test batches of a data set.

    Args:
        train, val: moments.
        tests: moments of each test split, by name.
        stores, snippets: As for `MomentDataset`.
        every_window: As for `MomentDataset`, for the training split alone.
        batch_size, eval_batch_size: queries a batch of one process.
        workers: threads that load batches ahead; 0 loads each when it is asked for.
        bucket: Batch training samples of similar length; see `BatchSampler`.
        seed: The seed of the training samples' order.
    """

    def __init__(
        self,
        train: Sequence[Moment],
        val: Sequence[Moment],
        tests: dict[str, Sequence[Moment]],
        stores: Stores,
        snippets: Snippets,
        every_window: bool,
        batch_size: int,
        eval_batch_size: int,
        workers: int,
        bucket: bool,
        seed: int,
    ) -> None:
        super().__init__()
        self.train = MomentDataset(train, stores, snippets, every_window)
        self.val = MomentDataset(val, stores, snippets, every_window=False)
        self.tests = {
            name: MomentDataset(moments, stores, snippets, every_window=False) for name, moments in tests.items()
        }
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.workers = workers
        self.bucket = bucket
        self.seed = seed
        self._position = {"epoch": 0, "batches": 0}
        for dataset in (self.train, self.val, *self.tests.values()):
            dataset.check()

    def require_shared(self, processes: int, tests: bool, fitted: bool = True) -> None:
        """Raise a UserError for a split of which not every process gets a query.

        Args:
            processes: How many share each split.
            tests: Whether the test splits are used.
            fitted: Whether the training and the validation split are.
        """
        used = {"training": self.train, "validation": self.val} if fitted else {}
        for name, dataset in {**used, **(self.tests if tests else {})}.items():
            if len(dataset) < processes:
                raise UserError(
                    f"the {name} split has {len(dataset)} queries, which {processes} processes cannot share: use fewer "
                    "devices"
                )

    def state_dict(self) -> dict[str, Any]:
        """How far training has come, for a checkpoint: the epoch, and its batches that are done."""
        assert self.trainer is not None
        loop = self.trainer.fit_loop
        # As Lightning counts them for itself; what it counts with has no public type.
        epochs = loop.epoch_progress.state_dict()["current"]
        batches = loop.epoch_loop.batch_progress.state_dict()["current"]["processed"]
        # An epoch that is over, also one of fewer batches than there are, leaves none to skip in the next.
        return {"epoch": epochs["processed"], "batches": 0 if epochs["processed"] > epochs["completed"] else batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._position = state_dict

    def train_dataloader(self) -> Loader:
        loader = self._loader(self.train, self.batch_size, shuffle=not self._overfits)
        # Lightning fetches the first batch before it tells the sampler its epoch.
        loader.batches.set_epoch(self._position["epoch"])
        loader.batches.skip = self._position["batches"] % len(loader)
        return loader

    def val_dataloader(self) -> Loader:
        if self._overfits:
            return self._loader(self.train, self.batch_size, shuffle=False)
        return self._loader(self.val, self.eval_batch_size, shuffle=False)

    def test_dataloader(self) -> list[Loader]:
        return [self._loader(dataset, self.eval_batch_size, shuffle=False) for dataset in self.tests.values()]

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        return batch.full()

    @property
    def _overfits(self) -> bool:
        """Whether the Trainer learns a few batches by heart, which are the same each epoch and validated on."""
        return self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]

    def _loader(self, dataset: MomentDataset, size: int, shuffle: bool) -> Loader:
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        sampler = BatchSampler(dataset.lengths(), size, shuffle, self.bucket and shuffle, self.seed, rank, world)
        return Loader(dataset, sampler, self.workers)
