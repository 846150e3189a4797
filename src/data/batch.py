"""What a network sees of a query, and what it is taught with: apart, padded to batches, always side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from src.data.records import Moment
from src.moments import iou, snippets_to_seconds


class Sample(NamedTuple):
    """A sentence about a video, with the features of both. L snippets, Q words, R rewordings."""

    sentence: str
    duration: float  # of the video, seconds
    video: Tensor | None  # (L, D_v), in half precision as stored; None where no video features are used
    narrative: Tensor | None  # (L, D_t); None where no narratives are used
    length: int  # L
    query: Tensor  # (Q, D_t)
    unknown: Tensor  # (Q,) bool: words that the vector table does not hold
    rewordings: Tensor | None = None  # (R, D_t), the query in other words; None where there are none


class Labelled(NamedTuple):
    """A sample and its answer."""

    sample: Sample
    moment: Moment
    target: tuple[int, int]  # inclusive first and last snippet of the window to learn


class _Tensors:
    """A dataclass whose tensors move together."""

    def _each(self, change: str, *arguments: object) -> Self:
        tensors = {
            field.name: getattr(value, change)(*arguments)
            for field in fields(self)  # type: ignore[arg-type]
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **tensors)  # type: ignore[type-var]

    def to(self, device: torch.device | str) -> Self:
        return self._each("to", device)

    def pin_memory(self) -> Self:
        return self._each("pin_memory")


@dataclass
class Inputs(_Tensors):
    """All that a forward pass and decoding need: B queries, L snippets, Q words, R rewordings.

    A mask is True where valid.

    There are inputs without ground truth: a query that somebody types.
    """

    video: Tensor | None  # (B, L, D_v), in half precision until the batch is where it is used: see `full`
    narrative: Tensor | None  # (B, L, D_t)
    snippet_mask: Tensor  # (B, L)
    query: Tensor  # (B, Q, D_t)
    query_mask: Tensor  # (B, Q)
    unknown: Tensor  # (B, Q) bool
    sentences: list[str]  # the queries as text, for networks that read letters or parts of speech
    duration: Tensor  # (B,) seconds
    rewordings: Tensor | None = None  # (B, R, D_t); None where no query has any
    reworded: Tensor | None = None  # (B, R), the mask of `rewordings`

    def __len__(self) -> int:
        return len(self.sentences)

    @property
    def length(self) -> Tensor:
        """(B,) number of valid snippets."""
        return self.snippet_mask.sum(dim=1)

    def full(self) -> Inputs:
        """The inputs in single precision."""
        return replace(self, video=self.video.float()) if self.video is not None else self


@dataclass
class GroundTruth(_Tensors):
    """What losses and metrics see, and no forward pass: B queries, W windows."""

    moments: list[Moment]  # the records, with their saliency and ids
    windows: Tensor  # (B, W, 2) seconds in double precision, NaN rows where a query has fewer
    target: Tensor  # (B, 2) long: inclusive first and last snippet of the window to learn
    duration: Tensor  # (B,) seconds

    @classmethod
    def of(cls, moments: Sequence[Moment], targets: Sequence[tuple[int, int]] | None = None) -> GroundTruth:
        """The ground truth of records; without `targets`, which only losses need, there is nothing to learn from it."""
        windows = [torch.tensor(moment.windows, dtype=torch.float64).view(-1, 2) for moment in moments]
        return cls(
            moments=list(moments),
            windows=pad_sequence(windows, batch_first=True, padding_value=torch.nan),
            target=torch.tensor(targets if targets is not None else [(0, 0)] * len(moments)),
            duration=torch.tensor([moment.duration for moment in moments]),
        )

    def __len__(self) -> int:
        return len(self.moments)

    def taught(self, length: Tensor) -> Tensor:
        """(B, 2) seconds in single precision: the window that `target` is of, of videos of `length` (B,) snippets."""
        target = snippets_to_seconds(self.target, length, self.duration)
        # A query with fewer windows than others has rows that are not numbers.
        overlap = iou(self.windows.float(), target[:, None]).nan_to_num(-1.0)
        return self.windows[torch.arange(len(self), device=overlap.device), overlap.argmax(dim=1)].float()

    def of_queries(self, members: Tensor) -> GroundTruth:
        """The ground truth of the queries that `members` (B,) bool says."""
        moments = [moment for moment, member in zip(self.moments, members.tolist(), strict=True) if member]
        return GroundTruth(moments, self.windows[members], self.target[members], self.duration[members])


@dataclass
class Batch:
    """Inputs and their ground truth, in the same order."""

    inputs: Inputs
    truth: GroundTruth

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device | str) -> Batch:
        return Batch(self.inputs.to(device), self.truth.to(device))

    def pin_memory(self) -> Batch:
        return Batch(self.inputs.pin_memory(), self.truth.pin_memory())

    def full(self) -> Batch:
        """The batch in single precision."""
        return replace(self, inputs=self.inputs.full())


def collate_inputs(samples: Sequence[Sample]) -> Inputs:
    """Pad samples to inputs. Padding is zero, and its mask False."""
    videos = [sample.video for sample in samples if sample.video is not None]
    narratives = [sample.narrative for sample in samples if sample.narrative is not None]
    rewordings = [sample.rewordings if sample.rewordings is not None else sample.query[:0] for sample in samples]
    reworded = any(len(each) for each in rewordings)
    return Inputs(
        video=pad_sequence(videos, batch_first=True) if videos else None,
        narrative=pad_sequence(narratives, batch_first=True) if narratives else None,
        snippet_mask=_mask([sample.length for sample in samples]),
        query=pad_sequence([sample.query for sample in samples], batch_first=True),
        query_mask=_mask([len(sample.query) for sample in samples]),
        unknown=pad_sequence([sample.unknown for sample in samples], batch_first=True),
        sentences=[sample.sentence for sample in samples],
        duration=torch.tensor([sample.duration for sample in samples]),
        rewordings=pad_sequence(rewordings, batch_first=True) if reworded else None,
        reworded=_mask([len(each) for each in rewordings]) if reworded else None,
    )


def collate(labelled: Sequence[Labelled]) -> Batch:
    """Pad samples and their answers to a batch."""
    truth = GroundTruth.of([each.moment for each in labelled], [each.target for each in labelled])
    return Batch(collate_inputs([each.sample for each in labelled]), truth)


def _mask(lengths: Sequence[int]) -> Tensor:
    counts = torch.tensor(lengths)
    return torch.arange(int(counts.max())) < counts[:, None]
