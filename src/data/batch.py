"""What the network sees of a query: one sample, and a padded batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from src.data.records import Moment


class Sample(NamedTuple):
    """One query with its features. L snippets, Q words, W windows."""

    moment: Moment
    video: Tensor | None  # (L, D_v), in half precision as stored; None where no video features are used
    narrative: Tensor | None  # (L, D_t); None where no narratives are used
    length: int  # L
    query: Tensor  # (Q, D_q)
    unknown: Tensor  # (Q,) bool: words that the vector table does not hold
    target: tuple[int, int]  # inclusive first and last snippet of the window to learn


@dataclass
class Batch:
    """A padded batch: B queries, L snippets, Q words, W windows. A mask is True where valid.

    `moments` rides along so that predictions can be written with their query.
    """

    moments: list[Moment]
    video: Tensor | None  # (B, L, D_v), in half precision until the batch is where it is used: see `full`
    narrative: Tensor | None  # (B, L, D_t)
    snippet_mask: Tensor  # (B, L)
    query: Tensor  # (B, Q, D_q)
    query_mask: Tensor  # (B, Q)
    unknown: Tensor  # (B, Q) bool
    target: Tensor  # (B, 2) long: inclusive first and last snippet
    windows: Tensor  # (B, W, 2) seconds, NaN rows where a query has fewer
    duration: Tensor  # (B,) seconds

    def __len__(self) -> int:
        return len(self.moments)

    @property
    def length(self) -> Tensor:
        """(B,) number of valid snippets."""
        return self.snippet_mask.sum(dim=1)

    def _each_tensor(self, change: str, *arguments: object) -> Batch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Batch(
            **{
                name: getattr(value, change)(*arguments) if isinstance(value, Tensor) else value
                for name, value in values.items()
            }
        )

    def to(self, device: torch.device | str) -> Batch:
        return self._each_tensor("to", device)

    def full(self) -> Batch:
        """The batch in single precision."""
        return replace(self, video=self.video.float()) if self.video is not None else self

    def pin_memory(self) -> Batch:
        return self._each_tensor("pin_memory")


def collate(samples: Sequence[Sample]) -> Batch:
    """Pad samples to a batch. Padding is zero, and its mask False."""
    lengths = torch.tensor([sample.length for sample in samples])
    words = torch.tensor([len(sample.query) for sample in samples])
    videos = [sample.video for sample in samples if sample.video is not None]
    narratives = [sample.narrative for sample in samples if sample.narrative is not None]
    return Batch(
        moments=[sample.moment for sample in samples],
        video=pad_sequence(videos, batch_first=True) if videos else None,
        narrative=pad_sequence(narratives, batch_first=True) if narratives else None,
        snippet_mask=_mask(lengths),
        query=pad_sequence([sample.query for sample in samples], batch_first=True),
        query_mask=_mask(words),
        unknown=pad_sequence([sample.unknown for sample in samples], batch_first=True),
        target=torch.tensor([sample.target for sample in samples]),
        windows=pad_sequence(
            [torch.tensor(sample.moment.windows) for sample in samples], batch_first=True, padding_value=torch.nan
        ),
        duration=torch.tensor([sample.moment.duration for sample in samples]),
    )


def _mask(lengths: Tensor) -> Tensor:
    return torch.arange(int(lengths.max())) < lengths[:, None]
