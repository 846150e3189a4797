"""What the networks of proposal maps share: 2D-TAN, MS-2D-TAN and DCM.

N frames make P segments; one or several maps hold them as cells of a grid, K in all, and score each cell by itself and
those around it. A segment may be a cell of several maps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.batch import GroundTruth, Inputs
from src.models.dropout import Dropout
from src.models.predictor import Predictor, Stream, Streams
from src.models.probabilities import mixed
from src.models.proposals.decode import best_segments
from src.models.proposals.features import Convolved, Maxima
from src.models.proposals.segments import Segments
from src.moments import RankedMoments, iou, snippets_to_seconds


@dataclass
class MapOutput:
    """What a network says of a batch: K cells of R maps, in their order.

    Attributes:
        yes, no: (B, K) log-probabilities that a cell is the moment, and that it is not; −inf where invalid.
        segments: The P different segments, of which count (B,) frames are each video's.
        maps: of each map, which of the P its cells are, (K_r,) long.
    """

    yes: Tensor
    no: Tensor
    segments: Segments
    count: Tensor
    maps: tuple[Tensor, ...]

    @classmethod
    def of(cls, logits: Tensor, segments: Segments, count: Tensor, maps: tuple[Tensor, ...], **more: Any) -> Self:
        """Of logits (B, K); the rest, and what a kind of output has more, as above."""
        invalid, logits = ~segments.mask[:, torch.cat(maps)], logits.float()
        yes, no = (F.logsigmoid(each).masked_fill(invalid, -torch.inf) for each in (logits, -logits))
        return cls(yes, no, segments, count, maps, **more)

    @property
    def cells(self) -> Tensor:
        """(K,) which of the P segments each cell is."""
        return torch.cat(self.maps)

    @property
    def mask(self) -> Tensor:
        """(B, K) bool, the valid cells."""
        return self.segments.mask[:, self.cells]

    def windows(self, duration: Tensor) -> Tensor:
        """(B, P, 2) seconds of the segments of videos of duration (B,); meaningful where valid."""
        return snippets_to_seconds(self.segments.span, self.count[:, None], duration[:, None])

    def overlap(self, truth: GroundTruth) -> Tensor:
        """(B, K) each cell's IoU with the window of its query that it overlaps most, 0 where invalid."""
        windows = self.windows(truth.duration)
        # A query with fewer windows than others has rows that are not numbers.
        every = iou(windows[:, :, None], truth.windows[:, None].to(windows.dtype)).nan_to_num(0.0)
        return every.amax(dim=2).masked_fill(~self.segments.mask, 0.0)[:, self.cells]

    def cross_entropy(self, target: Tensor) -> Tensor:
        """Binary cross-entropy against target (B, K), as `summed`."""
        mask = self.mask
        yes, no = (scores.masked_fill(~mask, 0.0) for scores in (self.yes, self.no))
        return self.summed(-(target * yes + (1 - target) * no))

    def summed(self, loss: Tensor) -> Tensor:
        """The mean of losses (B, K), zero where invalid, over each map's valid cells of the batch, summed over maps."""
        pairs = zip(self.by_map(loss), self.by_map(self.mask), strict=True)
        return torch.stack([part.sum() / mask.sum().clamp(min=1) for part, mask in pairs]).sum()

    def by_map(self, x: Tensor) -> tuple[Tensor, ...]:
        """Of all cells (B, K), those of each map (B, K_r)."""
        return x.split([len(cells) for cells in self.maps], dim=1)


class ClipEmbedding(nn.Module):
    """ReLU(FC(x)) of snippets or narratives; features of a video at length one."""

    def __init__(self, dim: int, hidden: int, stream: Stream) -> None:
        super().__init__()
        self.normalised = stream == "video"
        self.linear = nn.Linear(dim, hidden)

    def forward(self, features: Tensor, mask: Tensor, inputs: Inputs) -> Tensor:
        """features (B, L, dim) to (B, L, d); nothing else plays a part."""
        return self.linear(F.normalize(features, dim=-1) if self.normalised else features).relu()


class Fusion(nn.Module):
    """Segments and sentence: q ⊙ FC(M), of length one in each cell, zero where invalid."""

    def __init__(self, dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, sentence: Tensor, mask: Tensor) -> Tensor:
        """x (B, P, d), of which mask (B, P) is valid, and sentence (B, d), to (B, P, d)."""
        fused = unit(sentence[:, None] * self.dropout(self.linear(x)))
        return self.dropout(fused.masked_fill(~mask[..., None], 0.0))


def unit(x: Tensor) -> Tensor:
    """Vectors (..., d) at length one; those of small numbers have none in half precision."""
    return F.normalize(x.float(), dim=-1)


@dataclass(frozen=True, kw_only=True)
class MapSettings:
    """The settings that every network of maps has.

    Attributes:
        hidden: d, the size of every hidden layer.
        scales: How many lengths of segments there are in steps of one frame, of two, of four …: as many frames as they
            add up to are a video's, N.
        proposals: What a segment is made of its frames by: their maximum, or a chain of convolutions.
        target_iou: (least, most) IoU that targets rescale to [0, 1].
        most_overlap: IoU above which a lower-ranked moment is passed over (non-maximum suppression).
    """

    hidden: int
    scales: Sequence[int]
    proposals: Literal["pool", "convolution"]
    target_iou: tuple[float, float]
    most_overlap: float


class MapPredictor(Predictor[MapOutput], ABC):
    """A network that scores the segments of a video on one or several maps.

    A cell is taught the IoU of its seconds with the window of the query that it overlaps most.
    """

    learns_all_windows = True

    def __init__(self, settings: MapSettings) -> None:
        super().__init__()
        self.settings = settings
        self.hidden = settings.hidden
        scales = settings.scales
        self.proposals = Maxima(scales) if settings.proposals == "pool" else Convolved(settings.hidden, scales)

    @abstractmethod
    def frames(self, streams: Streams) -> tuple[Tensor, Tensor]:
        """A video's frames (B, N, d), and how many of them are its own (B,)."""

    @abstractmethod
    def sentence(self, streams: Streams) -> Tensor:
        """The query in one vector (B, d)."""

    @abstractmethod
    def score(self, features: Tensor, sentence: Tensor, segments: Segments, count: Tensor) -> MapOutput:
        """The output for segments (B, P, d), zero where invalid, and a query (B, d); `count` as in `MapOutput`."""

    def forward(self, streams: Streams) -> MapOutput:
        frames, count = self.frames(streams)
        segments = Segments.sparse(self.settings.scales, count)
        features = self.proposals(frames).masked_fill(~segments.mask[..., None], 0.0)
        return self.score(features, self.sentence(streams), segments, count)

    def fuse(self, video: MapOutput, paragraph: MapOutput, alpha: float) -> MapOutput:
        mask = video.mask
        yes, no = (
            mixed(one, other, mask, alpha) for one, other in ((video.yes, paragraph.yes), (video.no, paragraph.no))
        )
        return replace(video, yes=yes, no=no)

    def losses(self, output: MapOutput, inputs: Inputs, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        return {"matching": output.cross_entropy(self.target(output.overlap(truth)))}

    def target(self, overlap: Tensor) -> Tensor:
        """What cells of an IoU are taught: it rescaled to [0, 1]."""
        least, most = self.settings.target_iou
        return ((overlap - least) / (most - least)).clamp(0, 1)

    def decode(self, output: MapOutput, inputs: Inputs, top: int) -> RankedMoments:
        scores = torch.full_like(output.segments.mask, -torch.inf, dtype=output.yes.dtype)
        for cells, found in zip(output.maps, output.by_map(output.yes), strict=True):
            scores = scores.index_copy(1, cells, found.maximum(scores[:, cells]))
        spans, values = best_segments(scores, output.segments, top, self.settings.most_overlap, "probability")
        windows = snippets_to_seconds(spans, output.count[:, None], inputs.duration[:, None])
        return RankedMoments.of(windows, values, inputs.length)
