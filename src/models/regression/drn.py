"""DRN: Dense Regression Network for Video Grounding (Zeng et al., CVPR 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.batch import GroundTruth, Inputs
from src.models.normalisation import BatchNorm
from src.models.predictor import Predictor, Stream, Streams
from src.models.probabilities import mixed_logits
from src.models.proposals.decode import best_windows
from src.models.span.base import Embedding
from src.models.words import WordStates, ends
from src.moments import RankedMoments

LEVELS = ((-1.0, 6.0), (5.6, 11.0), (11.0, math.inf))
"""Of the pyramid: how far the further edge of a moment is from a point that learns it, in cells, both inclusive."""

NEAR = 0.9
"""IoU above which a point's window teaches the head that estimates it."""


@dataclass
class DRNOutput:
    """What DRN says of a batch: P points of N cells.

    Attributes:
        points: (P,) where they are, in cells.
        logits: (B, P) of how well each matches the query.
        distances: (B, P, 2) from each to the start and to the end of its window, in cells.
        overlaps: (B, P) logits of each window's IoU with the moment. A paragraph branch has neither.
        cells: N.
    """

    points: Tensor
    logits: Tensor
    distances: Tensor | None
    overlaps: Tensor | None
    cells: int

    @property
    def windows(self) -> Tensor:
        """(B, P, 2) start and end as shares of the video, also outside of it."""
        assert self.distances is not None
        points = self.points[:, None].expand_as(self.distances[..., :1])
        return torch.cat((points - self.distances[..., :1], points + self.distances[..., 1:]), dim=-1) / self.cells


@dataclass(frozen=True, kw_only=True)
class DRNSettings:
    """The settings of a `DRN`.

    Attributes:
        hidden: D, of an embedded cell.
        words: Size of the words' LSTM each way, h.
        channels: Of the backbone's first level; each further one has twice as many.
        position: Size of a cell's embedded place.
        pyramid: Channels of the pyramid and its heads.
        cells: N, that every video is cut into; a multiple of four.
        stage: What is learned: how points match and where moments are (`first`), the IoU of the windows with all else
            as it is (`second`), or everything together (`third`). The first also ranks without the IoU.
        least_match: Probability that a point must exceed to be answered with.
        most_overlap: IoU above which a lower-ranked moment is passed over (non-maximum suppression).
    """

    hidden: int
    words: int
    channels: int
    position: int
    pyramid: int
    cells: int
    stage: Literal["first", "second", "third"]
    least_match: float
    most_overlap: float

    def build(self) -> DRN:
        return DRN(self)


def convolution(dim: int, out: int, kernel: int, stride: int = 1, bias: bool = False) -> nn.Sequential:
    """ReLU(BN(Conv(x))) over cells."""
    return nn.Sequential(nn.Conv1d(dim, out, kernel, stride, padding=kernel // 2, bias=bias), BatchNorm(out), nn.ReLU())


class Commands(nn.Module):
    """What each level of the backbone looks for: words, attended to under the guidance of the whole query."""

    def __init__(self, words: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.query = nn.Linear(4 * words, words)
        self.guides = nn.ModuleList(nn.Linear(words, 2 * words) for _ in sizes)
        self.score = nn.Linear(2 * words, 1)
        self.outputs = nn.ModuleList(nn.Linear(2 * words, size) for size in sizes)
        for linear in (self.query, *self.guides, self.score):
            assert isinstance(linear, nn.Linear)
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, words: Tensor, mask: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Words (B, Q, 2h), of which mask (B, Q) is valid, to a vector for each of the K levels, the attended words
        (B, K, 2h) and the attention (B, K, Q)."""
        query = self.query(torch.cat(ends(words, mask), dim=-1)).relu()
        guides = torch.stack([guide(query) for guide in self.guides], dim=1)
        scores = self.score(words[:, None] * guides[:, :, None]).squeeze(-1)
        attention = scores.masked_fill(~mask[:, None], -torch.inf).softmax(dim=-1)
        attended = attention @ words.masked_fill(~mask[..., None], 0.0)
        vectors = [output(each) for output, each in zip(self.outputs, attended.unbind(dim=1), strict=True)]
        return vectors, attended, attention


class Backbone(nn.Module):
    """Convolutions over cells, each level of which is gated by its vector, and half as long as the one before."""

    def __init__(self, dim: int, channels: int, position: int) -> None:
        super().__init__()
        self.position = nn.Linear(3, position)
        self.levels = nn.ModuleList(
            (
                convolution(dim + position, channels, 3),
                convolution(channels, 2 * channels, 3, stride=2),
                convolution(2 * channels, 4 * channels, 3, stride=2),
            )
        )
        for level in self.levels:
            _kaiming(level)

    def forward(self, cells: Tensor, vectors: list[Tensor]) -> list[Tensor]:
        """Cells (B, N, D) and a vector for each level, to (B, channels, N), (B, 2 · channels, N / 2), …"""
        edge = torch.arange(cells.shape[1] + 1, device=cells.device, dtype=cells.dtype) / cells.shape[1]
        place = self.position(torch.stack((edge[:-1], edge[1:], edge.diff()), dim=-1)).expand(len(cells), -1, -1)
        x, found = cells.mT, list[Tensor]()
        for level, vector in zip(self.levels, vectors, strict=True):
            x = x * vector[..., None]
            x = level(x if found else torch.cat((x, place.mT), dim=1))
            found.append(x)
        return found


class Pyramid(nn.Module):
    """Each level of the backbone with what the coarser ones say of the same place (Lin et al., CVPR 2017)."""

    def __init__(self, dims: tuple[int, ...], out: int) -> None:
        super().__init__()
        self.inner = nn.ModuleList(convolution(dim, out, 1) for dim in dims)
        self.outer = nn.ModuleList(convolution(out, out, 3) for _ in dims)
        for level in (*self.inner, *self.outer):
            _kaiming(level)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Levels (B, dim, N / 2^k), finest first, to (B, out, N / 2^k)."""
        *finer, merged = [inner(level) for inner, level in zip(self.inner, levels, strict=True)]
        lateral = [merged]
        for level in reversed(finer):
            merged = level + merged.repeat_interleave(2, dim=-1)
            lateral.insert(0, merged)
        return [outer(level) for outer, level in zip(self.outer, lateral, strict=True)]


class Tower(nn.Module):
    """A convolution of every level, and `out` numbers of each point read off it."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.features = convolution(dim, dim, 3, bias=True)
        self.output = nn.Conv1d(dim, out, 3, padding=1)

    def forward(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """A level (B, dim, N) to its features (B, dim, N) and to (B, N, out)."""
        features = self.features(level)
        return features, self.output(features).mT


class Windows(nn.Module):
    """The window around each point of a level, and how well it will do."""

    def __init__(self, dim: int, levels: int) -> None:
        super().__init__()
        self.location = Tower(dim, 2)
        self.scales = nn.ParameterList(torch.ones(1) for _ in range(levels))
        self.overlap = nn.Sequential(
            convolution(2 * dim, dim, 1, bias=True),
            convolution(dim, dim // 2, 3, bias=True),
            nn.Conv1d(dim // 2, 1, 1),
        )

    def forward(self, level: Tensor, number: int, match: Tensor, detached: bool) -> tuple[Tensor, Tensor]:
        """A level (B, dim, N), its number and its features of how points match (B, dim, N), to distances (B, N, 2) in
        cells and IoU logits (B, N); where `detached`, the latter teach nothing that comes before them."""
        location, output = self.location(level)
        both = torch.cat((match, location), dim=1)
        overlap = self.overlap(both.detach() if detached else both).squeeze(1)
        return (self.scales[number] * output).exp(), overlap


class DRN(Predictor[DRNOutput]):
    """Every point of a pyramid over the video says how it matches the query, and regresses a window around itself."""

    def __init__(self, settings: DRNSettings, locates: bool = True) -> None:
        super().__init__()
        self.settings = settings
        self.hidden = settings.hidden
        channels = tuple(settings.channels * 2**level for level in range(len(LEVELS)))
        self.commands = Commands(settings.words, (settings.hidden, *channels[:-1]))
        self.backbone = Backbone(settings.hidden, settings.channels, settings.position)
        self.pyramid = Pyramid(channels, settings.pyramid)
        self.match = Tower(settings.pyramid, 1)
        self.windows = Windows(settings.pyramid, len(LEVELS)) if locates else None
        for head in filter(None, (self.match, self.windows)):
            _small(head)
        # Nothing is said to match at first.
        assert self.match.output.bias is not None
        nn.init.constant_(self.match.output.bias, -math.log(99))

    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        if stream == "query":
            return WordStates(dim, self.settings.words, layers=1)
        return Embedding(dim, self.hidden, dropout=0.0)

    def forward(self, streams: Streams) -> DRNOutput:
        settings = self.settings
        cells = into_cells(streams.video, streams.video_mask, settings.cells)
        vectors, _, _ = self.commands(streams.query, streams.query_mask)
        logits, windows = [], []
        for number, level in enumerate(self.pyramid(self.backbone(cells, vectors))):
            features, output = self.match(level)
            logits.append(output.squeeze(-1))
            if self.windows is not None:
                windows.append(self.windows(level, number, features, settings.stage == "second"))
        distances, overlaps = (
            (torch.cat(each, dim=1) for each in zip(*windows, strict=True)) if windows else (None, None)
        )
        return DRNOutput(points(settings.cells, cells), torch.cat(logits, dim=1), distances, overlaps, settings.cells)

    def sibling(self) -> DRN:
        return DRN(self.settings, locates=False)

    def fuse(self, video: DRNOutput, paragraph: DRNOutput, alpha: float) -> DRNOutput:
        """The mean of both probabilities that a point matches; windows stay the video's."""
        return replace(video, logits=mixed_logits(video.logits, paragraph.logits, alpha))

    def losses(self, output: DRNOutput, inputs: Inputs, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        assert output.distances is not None
        assert output.overlaps is not None
        stage = self.settings.stage
        target = (truth.taught(inputs.length) / truth.duration[:, None]).clamp(max=1)
        terms = {}
        if stage != "second":
            wanted, positive = targets(output, target)
            terms["match"] = focal(output.logits, positive) / (positive.sum() + len(positive))
            terms["location"] = _mean(-log_overlap(output.distances, wanted), positive)
        if stage != "first":
            windows = output.windows.detach() if stage == "second" else output.windows
            overlap = hull_overlap(windows, target)
            loss = F.smooth_l1_loss(output.overlaps.sigmoid(), overlap, reduction="none")
            terms["overlap"] = _mean(loss, overlap > NEAR)
        return terms

    def decode(self, output: DRNOutput, inputs: Inputs, top: int) -> RankedMoments:
        assert output.overlaps is not None
        match = output.logits.float().sigmoid()
        scores = (match if self.settings.stage == "first" else match * output.overlaps.float().sigmoid()).sqrt()
        scores = scores.masked_fill(match <= self.settings.least_match, -torch.inf)
        windows = output.windows.float().clamp(0, 1)
        # Where no point matches, the whole video is the answer.
        none = ~(scores > -torch.inf).any(dim=1)
        whole = none[:, None] & (torch.arange(scores.shape[1], device=scores.device) == 0)
        scores = scores.masked_fill(whole, 1.0)
        windows = torch.where(whole[..., None], windows.new_tensor([0.0, 1.0]), windows)
        index, values = best_windows(scores, windows, top, self.settings.most_overlap)
        best = windows.gather(1, index[..., None].expand(-1, -1, 2)) * inputs.duration[:, None, None]
        position = torch.arange(inputs.snippet_mask.shape[1], device=match.device)
        cell = (position * output.cells // inputs.length[:, None]).clamp(max=output.cells - 1)
        return RankedMoments.of(best, values, inputs.length, match.gather(1, cell))


def into_cells(video: Tensor, mask: Tensor, cells: int) -> Tensor:
    """A video's snippets drawn out, or drawn together, to as many cells, each the largest of its snippets.

    Args:
        video: (B, L, d), of which mask (B, L) is valid.
        cells: N.

    Returns:
        (B, N, d).
    """
    length = mask.sum(dim=1, keepdim=True)
    edge = torch.arange(cells + 1, device=video.device) * length // cells
    start, stop = edge[:, :-1], edge[:, 1:]
    widest = -(-video.shape[1] // cells)
    index = start[..., None] + torch.arange(widest, device=video.device)
    index = index.minimum((stop - 1).maximum(start)[..., None]).flatten(1)
    found = video.gather(1, index[..., None].expand(-1, -1, video.shape[2]))
    return found.unflatten(1, (cells, widest)).amax(dim=2)


def points(cells: int, like: Tensor) -> Tensor:
    """(P,) the middles of the places of every level, in cells."""
    strides = [2**level for level in range(len(LEVELS))]
    return torch.cat([(torch.arange(cells // stride) + 0.5) * stride for stride in strides]).to(like)


def targets(output: DRNOutput, moment: Tensor) -> tuple[Tensor, Tensor]:
    """From each point to the edges of a moment (B, 2), shares of the video, in cells: (B, P, 2); and which points of
    each level learn it (B, P)."""
    start, end = (moment * output.cells)[..., None].unbind(dim=1)
    distances = torch.stack((output.points - start, end - output.points), dim=-1)
    strides = [2**level for level in range(len(LEVELS))]
    least, most = (
        torch.tensor(LEVELS, device=distances.device)
        .repeat_interleave(torch.tensor([output.cells // stride for stride in strides], device=distances.device), dim=0)
        .unbind(dim=1)
    )
    furthest = distances.amax(dim=-1)
    return distances, (distances.amin(dim=-1) > 0) & (furthest >= least) & (furthest <= most)


def focal(logits: Tensor, positive: Tensor, alpha: float = 0.25) -> Tensor:
    """The focal loss (Lin et al., ICCV 2017; γ = 2) of logits against positives of the same shape, summed."""
    signed = torch.where(positive, logits, -logits)
    weight = torch.where(positive, alpha, 1 - alpha)
    return -(weight * (-signed).sigmoid() ** 2 * F.logsigmoid(signed)).sum()


def log_overlap(one: Tensor, other: Tensor) -> Tensor:
    """The logarithm of the IoU of windows around the same points, given as distances (..., 2) to their edges."""
    overlap = one.minimum(other).sum(dim=-1)
    union = one.sum(dim=-1) + other.sum(dim=-1) - overlap
    return ((overlap + 1e-8) / (union + 1e-8)).log()


def hull_overlap(windows: Tensor, moment: Tensor) -> Tensor:
    """The share that windows (B, P, 2) and a moment (B, 2) have in common of the span from the first to the last of
    their edges. As released, the first point's window alone is cut to the video."""
    windows = torch.cat((windows[:, :1].clamp(0, 1), windows[:, 1:]), dim=1)
    (start, end), (first, last) = windows.unbind(dim=-1), moment[:, None].unbind(dim=-1)
    overlap = (end.minimum(last) - start.maximum(first)).clamp(min=0)
    return overlap / (end.maximum(last) - start.minimum(first) + 1e-6)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean of the chosen values; 0 where none are."""
    return values.masked_fill(~chosen, 0.0).sum() / chosen.sum().clamp(min=1)


def _kaiming(block: nn.Module) -> None:
    for module in block.modules():
        if isinstance(module, nn.Conv1d):
            nn.init.kaiming_uniform_(module.weight, a=1)


def _small(head: nn.Module) -> None:
    for module in head.modules():
        if isinstance(module, nn.Conv1d):
            nn.init.normal_(module.weight, std=0.01)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
