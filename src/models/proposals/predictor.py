"""Retrieval from similarities alone: a small network scores every segment of a video."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.batch import GroundTruth, Inputs
from src.data.similarity import cosines, pooled, sentence_vectors
from src.models.dropout import Dropout
from src.models.predictor import Predictor, Stream, Streams
from src.models.probabilities import log_softmax, mixed
from src.models.proposals.decode import Choice, best_segments
from src.models.proposals.evidence import CHANNELS, NUMBERS, Similarities, evidence
from src.models.proposals.segments import Segments, coverage
from src.moments import RankedMoments, iou, snippets_to_seconds


@dataclass
class SegmentOutput:
    """Log-probabilities (B, P) of a video's segments, −inf where invalid."""

    scores: Tensor
    segments: Segments


class Projection(nn.Module):
    """Vectors into the space in which similarities are taken; those that are in it already stay as they are."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, hidden, bias=False) if dim != hidden else nn.Identity()

    def forward(self, features: Tensor, mask: Tensor, inputs: Inputs) -> Tensor:
        """features (B, N, dim) to (B, N, hidden); nothing else plays a part."""
        return self.linear(features)


class Context(nn.Module):
    """What each snippet sees around it: h ← h + ReLU(Conv(LN(h))), zero in padding."""

    def __init__(self, dim: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.convolution = nn.Conv1d(dim, dim, kernel, padding=kernel // 2)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """x (B, L, d), of which valid (B, L, 1) is 1 where valid and 0 elsewhere."""
        seen = self.convolution((self.norm(x) * valid).mT).mT
        return x + self.dropout(F.relu(seen)) * valid


class SegmentScorer(nn.Module):
    """A logit for each segment, of its snippets and those around it.

    The first layer over a segment is linear in its first and last snippet and in the means inside, before and after it,
    so that the projections are taken of L snippets instead of P segments.
    """

    def __init__(self, width: int, layers: int, kernel: int, flank: int, dropout: float) -> None:
        super().__init__()
        self.flank = flank
        self.embed = nn.Linear(CHANNELS, width)
        self.context = nn.ModuleList(Context(width, kernel, dropout) for _ in range(layers))
        self.parts = nn.Linear(width + CHANNELS, 5 * width, bias=False)
        self.numbers = nn.Linear(NUMBERS, width)
        self.dropout = Dropout(dropout)
        self.score = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, channels: Tensor, numbers: Tensor, mask: Tensor, segments: Segments) -> Tensor:
        """Channels (B, L, CHANNELS), of which mask (B, L) is valid, and numbers (B, P, NUMBERS), to logits (B, P)."""
        valid = mask[..., None].to(channels.dtype)
        hidden = self.embed(channels) * valid
        for layer in self.context:
            hidden = layer(hidden, valid)
        parts = self.parts(torch.cat((hidden, channels), dim=-1)) * valid
        first, last, inside, before, after = parts.chunk(5, dim=-1)
        segment = (
            first[:, segments.first]
            + last[:, segments.last]
            + segments.inside().means(inside, mask)
            + segments.before(self.flank).means(before, mask)
            + segments.after(self.flank).means(after, mask)
            + self.numbers(numbers)
        )
        return self.score(self.dropout(segment.relu())).squeeze(-1)


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
    """The settings of a `SegmentPredictor`.

    Attributes:
        hidden: Size of the space in which similarities are taken: streams of this size are in it already, others are
            projected into it.
        width: Of the hidden layers.
        layers: Convolutions over snippets.
        kernel: Snippets that each of them sees, an odd number.
        flank: Snippets before and after a segment that it is seen with, at most.
        dropout: One rate for all places.
        query_alone: The share of training queries that are shown without their rewordings.
        sharpness: How much more a segment is to be chosen than one of less IoU: targets are softmax(sharpness · IoU).
        most_overlap: IoU above which a lower-ranked moment is passed over (non-maximum suppression).
        choice: What moments are ranked by: how probable each is, or the IoU to be expected of it.
    """

    hidden: int
    width: int
    layers: int
    kernel: int
    flank: int
    dropout: float
    query_alone: float
    sharpness: float
    most_overlap: float
    choice: Choice

    def build(self) -> SegmentPredictor:
        return SegmentPredictor(self)


class SegmentPredictor(Predictor[SegmentOutput]):
    """A distribution over the segments of a video, from the similarities of its snippets with the query and each other.

    What the network learns is how similarities look inside, around and outside a moment, which a thousand queries are
    enough for, and which another encoder or narrator changes little.
    """

    reads_rewordings = True
    learns_all_windows = True

    def __init__(self, settings: SegmentSettings) -> None:
        super().__init__()
        self.settings = settings
        self.hidden = settings.hidden
        self.scorer = SegmentScorer(settings.width, settings.layers, settings.kernel, settings.flank, settings.dropout)

    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        return Projection(dim, self.hidden)

    def sibling(self) -> SegmentPredictor:
        return SegmentPredictor(self.settings)

    def forward(self, streams: Streams) -> SegmentOutput:
        segments = Segments.of(streams.video_mask)
        found = evidence(self._similarities(streams), segments)
        logits = self.scorer(found.channels, found.numbers, streams.video_mask, segments)
        return SegmentOutput(log_softmax(logits.float(), segments.mask), segments)

    def fuse(self, video: SegmentOutput, paragraph: SegmentOutput, alpha: float) -> SegmentOutput:
        segments = video.segments
        return SegmentOutput(mixed(video.scores, paragraph.scores, segments.mask, alpha), segments)

    def losses(self, output: SegmentOutput, inputs: Inputs, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        segments = output.segments
        windows = self._windows(segments, inputs)
        # A query with fewer windows than others has rows that are not numbers.
        overlap = iou(windows[:, :, None], truth.windows[:, None].to(windows.dtype)).nan_to_num(0.0).amax(dim=2)
        wanted = log_softmax(self.settings.sharpness * overlap, segments.mask).exp()
        scores = output.scores.masked_fill(~segments.mask, 0.0)
        return {"segments": -(wanted * scores).sum(dim=1).mean()}

    def decode(self, output: SegmentOutput, inputs: Inputs, top: int) -> RankedMoments:
        settings, segments = self.settings, output.segments
        spans, scores = best_segments(output.scores, segments, top, settings.most_overlap, settings.choice)
        windows = snippets_to_seconds(spans, inputs.length[:, None], inputs.duration[:, None])
        saliency = coverage(output.scores.exp(), segments, inputs.snippet_mask.shape[1])
        return RankedMoments.of(windows, scores, inputs.length, saliency)

    def _similarities(self, streams: Streams) -> Similarities:
        mask = streams.video_mask
        video = streams.video.masked_fill(~mask[..., None], 0.0)
        sentence = sentence_vectors(streams.query, streams.query_mask)[:, None]
        query = reworded = cosines(video, sentence)[:, 0]
        if streams.rewordings is not None:
            present = streams.inputs.reworded
            assert present is not None
            heard = present.any(dim=1)
            if self.training:
                heard = heard & (torch.rand(len(heard), device=heard.device) >= self.settings.query_alone)
            # Where none is heard, the mean is of no sentence at all, and not used.
            mean = pooled(cosines(video, streams.rewordings), present | ~heard[:, None], "mean")
            reworded = torch.where(heard[:, None], mean, query)
        return Similarities(query, reworded, cosines(video, video), mask)

    @staticmethod
    def _windows(segments: Segments, inputs: Inputs) -> Tensor:
        """(B, P, 2) seconds."""
        return snippets_to_seconds(segments.span, inputs.length[:, None], inputs.duration[:, None])
