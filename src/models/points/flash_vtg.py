"""FlashVTG: Feature Layering and Adaptive Score Handling Network for Video Temporal Grounding (Cao et al., WACV 2025).

CG-DETR's encoder, over which a pyramid of coarser and coarser cells is built; every cell of every level scores a moment
of its own range of lengths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.batch import GroundTruth, Inputs
from src.models.attention import WeightedPool
from src.models.detr.anchor_detr import apart, with_negatives
from src.models.detr.correlation import Correlation, Engagement, engagement_loss
from src.models.detr.inputs import embedding
from src.models.detr.labels import draw_pairs, next_is_other, saliency_labels, sources
from src.models.detr.layers import EncoderLayer, mean_of, mlp
from src.models.dropout import StochasticDepth
from src.models.points.layers import TimeConvolution, TimeHead
from src.models.points.losses import contrast
from src.models.points.pyramid import Points, Pyramid
from src.models.position import clip_code
from src.models.predictor import Predictor, Stream, Streams
from src.models.probabilities import mixed_logits
from src.models.proposals.decode import best_windows
from src.moments import RankedMoments


@dataclass
class Weights:
    """Of the loss terms: distances to the edges, scores (focal), the contrast of clips with the query, CG-DETR's
    saliency (its pairs apart by `margin`), and the scores of clips as their saliency."""

    distance: float = 1.0
    score: float = 5.0
    contrast: float = 0.1
    saliency: float = 0.8
    label: float = 4.0
    margin: float = 0.2


@dataclass(frozen=True, kw_only=True)
class FlashVTGSettings:
    """The settings of FlashVTG.

    Attributes:
        hidden: d, the hidden size.
        heads: Heads of every attention; they divide d.
        feed_forward: Hidden width of the feed-forward parts.
        dummy_layers: Layers from dummies to words.
        cross_layers: Layers from clips to words and dummies.
        layers: Layers of the encoder of clips.
        dummies: D.
        levels: Of the pyramid; level i has cells of 2^i clips.
        kernel: Cells that the convolutions of the scorers see, an odd number.
        convolutions: Of each scorer.
        score_layers: Linear layers after them.
        dropout: Rate within the transformer, where a residual branch is dropped of a whole sample.
        input_dropout: Rate within the input projections.
        streams: Sizes of the streams side by side in the video features; None: they are one.
        whole_clips: Whether moments are rounded to whole clips.
        most_overlap: IoU from which on a lower-ranked moment is passed over; None: it never is.
        weights: Weights of the losses.
    """

    hidden: int
    heads: int
    feed_forward: int
    dummy_layers: int
    cross_layers: int
    layers: int
    dummies: int
    levels: int
    kernel: int
    convolutions: int
    score_layers: int
    dropout: float
    input_dropout: float
    streams: Sequence[int] | None
    whole_clips: bool
    most_overlap: float | None
    weights: Weights

    def build(self) -> FlashVTG:
        return FlashVTG(self)


@dataclass
class Output:
    """What FlashVTG says of B samples of L clips and K points.

    Attributes:
        points: The cells.
        scores: (B, K) logits.
        distances: (B, K, 2) to start and end, in strides of the cell.
        agreement: (B, L) cosines of clips and query.
        engagement: How salient clips are, and how much the words engage them.
    """

    points: Points
    scores: Tensor
    distances: Tensor
    agreement: Tensor
    engagement: Engagement


class Scorer(nn.Module):
    """Convolutions over neighbouring cells, then linear layers at each."""

    def __init__(self, dim: int, kernel: int, convolutions: int, layers: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(TimeConvolution(dim, dim, kernel) for _ in range(convolutions))
        self.score = nn.Sequential(nn.Linear(dim, dim // 2), nn.ReLU(), *mlp(dim // 2, 1, layers - 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, d), of which mask (B, N) is valid, to (B, N)."""
        for convolution in self.convolutions:
            x = convolution(x, mask).relu()
        return self.score(x).squeeze(-1)


class FlashVTG(Predictor[Output]):
    """Clips read words and dummies, then each other; heads read the levels above them."""

    learns_all_windows = True

    def __init__(self, settings: FlashVTGSettings) -> None:
        super().__init__()
        self.settings = settings
        self.hidden = hidden = settings.hidden
        self.weights = settings.weights
        sizes = (hidden, settings.heads, settings.feed_forward)
        self.correlation = Correlation(
            *sizes, settings.dropout, settings.dummies, settings.dummy_layers, settings.cross_layers
        )
        self.encoder = nn.ModuleList(
            EncoderLayer(*sizes, nn.PReLU, settings.dropout, StochasticDepth) for _ in range(settings.layers)
        )
        # Truncated at ±2, as torch's is, which nothing of this size reaches.
        for parameter in (*self.correlation.text_to_video.parameters(), *self.encoder.parameters()):
            if parameter.dim() > 1:
                nn.init.trunc_normal_(parameter, std=0.02)
        self.clip_saliency = nn.Linear(hidden, hidden)
        self.global_saliency = nn.Linear(hidden, hidden)
        self.pool = WeightedPool(hidden)
        self.pyramid = Pyramid(hidden, settings.levels)
        scorer = (hidden, settings.kernel, settings.convolutions, settings.score_layers)
        self.score, self.context = Scorer(*scorer), Scorer(*scorer)
        self.mix = nn.Parameter(torch.tensor(0.5))
        self.distance = TimeHead(hidden, 2, layers=2, kernel=3)
        self.level_scale = nn.Parameter(torch.ones(settings.levels))

    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        return embedding(stream, dim, self.hidden, self.settings.input_dropout, self.settings.streams)

    def sibling(self) -> FlashVTG:
        return FlashVTG(self.settings)

    def forward(self, streams: Streams) -> Output:
        samples, mask = len(streams.video), streams.video_mask
        streams = self.correlation.prepared(streams)
        words = streams.query[:, self.settings.dummies :]
        query = self.pool(words, streams.query_mask[:, self.settings.dummies :])

        paired = with_negatives(streams) if self.training else streams
        position = clip_code(paired.video_mask, self.hidden)
        clips, attention = self.correlation(paired, position)
        for layer in self.encoder:
            clips = layer(clips, position, paired.video_mask)
        saliency, negative = apart(self._saliency(clips, paired.video_mask), samples)
        engaged, engaged_negative = apart(self.correlation.engaged(attention), samples)

        memory = clips[:samples].relu()
        points = Points.of(mask, self.settings.levels)
        levels = self.pyramid(memory)
        return Output(
            points,
            self._scores(levels, points),
            self._distances(levels, points),
            F.cosine_similarity(memory, query[:, None], dim=-1),
            Engagement(saliency, negative, engaged, engaged_negative),
        )

    def _saliency(self, clips: Tensor, mask: Tensor) -> Tensor:
        """How much each clip (B, L, d) agrees with the mean clip: (B, L)."""
        whole = mean_of(clips, mask)
        return (self.clip_saliency(clips) * self.global_saliency(whole)[:, None]).sum(dim=-1) / math.sqrt(self.hidden)

    def _scores(self, levels: list[Tensor], points: Points) -> Tensor:
        """The logit of each cell: of its level alone, mixed with that of all levels in one sequence."""
        masks = points.mask.split([level.shape[1] for level in levels], dim=1)
        alone = torch.cat([self.score(level, mask) for level, mask in zip(levels, masks, strict=True)], dim=1)
        # Side by side without gaps, so that no padding stands between the levels of a shorter video.
        order = (~points.mask).int().argsort(dim=1, stable=True)
        cells = torch.cat(levels, dim=1)
        cells = cells.gather(1, order[..., None].expand_as(cells))
        together = self.context(cells, points.mask.gather(1, order))
        together = torch.zeros_like(together).scatter(1, order, together)
        return self.mix * alone + (1 - self.mix) * together

    def _distances(self, levels: list[Tensor], points: Points) -> Tensor:
        masks = points.mask.split([level.shape[1] for level in levels], dim=1)
        found = [
            scale * self.distance(level, mask).float().exp()
            for level, mask, scale in zip(levels, masks, self.level_scale, strict=False)
        ]
        return torch.cat(found, dim=1)

    def fuse(self, video: Output, paragraph: Output, alpha: float) -> Output:
        """Probabilities, distances and saliency as α-weighted means; the words engage the video's clips alone."""

        def mean(one: Tensor, other: Tensor) -> Tensor:
            return (one + alpha * other) / (1 + alpha)

        ours, theirs = video.engagement, paragraph.engagement
        negative = None
        if ours.negative is not None and theirs.negative is not None:
            negative = mean(ours.negative, theirs.negative)
        return Output(
            video.points,
            mixed_logits(video.scores, paragraph.scores, alpha),
            mean(video.distances, paragraph.distances),
            mean(video.agreement, paragraph.agreement),
            replace(ours, saliency=mean(ours.saliency, theirs.saliency), negative=negative),
        )

    def losses(self, output: Output, inputs: Inputs, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        labels, mask = saliency_labels(inputs, truth), inputs.snippet_mask
        clips = truth.windows * (inputs.length / inputs.duration.double())[:, None, None]
        return self.terms(output, clips, labels, mask, draw_pairs(labels, mask), next_is_other(sources(truth.moments)))

    def terms(
        self,
        output: Output,
        windows: Tensor,
        labels: Tensor,
        mask: Tensor,
        pairs: tuple[Tensor, Tensor],
        other: Tensor,
    ) -> dict[str, Tensor]:
        """The weighted losses.

        Args:
            output: What `forward` gave.
            windows: (B, W, 2) in clips; NaN rows are none.
            labels: (B, L) saliency, of which mask (B, L) is valid.
            mask: The clips.
            pairs: (B, P) each, the clips that the margin loss compares.
            other: (B,) whether the next sample is of another source video.
        """
        weights, cells = self.weights, output.points.mask
        answers, distances = output.points.answers(windows)
        # No cell may answer for a window of a video of one clip.
        distance = F.l1_loss(output.distances[answers], distances[answers], reduction="sum") / (
            2 * answers.sum()
        ).clamp(min=1)
        positive = pairs[0][:, 0]
        eligible = mask & (labels <= labels.gather(1, positive[:, None]))
        return {
            "distance": weights.distance * distance,
            "score": weights.score * focal(output.scores.float(), answers)[cells].mean(),
            "contrast": weights.contrast * contrast(output.agreement, positive, eligible),
            "saliency": weights.saliency
            * engagement_loss(output.engagement, labels, mask, pairs, weights.margin, other.to(mask.device)),
            "label": weights.label * alike(output.scores[:, : mask.shape[1]].float()[mask], labels[mask]),
        }

    def decode(self, output: Output, inputs: Inputs, top: int) -> RankedMoments:
        points = output.points
        reach = output.distances * points.stride[:, None]
        windows = points.time[:, None] + torch.stack((-reach[..., 0], reach[..., 1]), dim=-1)
        windows = windows.clamp(min=0).minimum(inputs.length[:, None, None])
        if self.settings.whole_clips:
            windows = windows.round()
        windows = (windows / inputs.length[:, None, None]) * inputs.duration[:, None, None]
        scores = output.scores.float().sigmoid().masked_fill(~points.mask, -torch.inf)
        if self.settings.most_overlap is None:
            scores, index = scores.topk(min(top, scores.shape[1]), dim=1)
        else:
            # As released, an overlap of just so much is too much.
            index, scores = best_windows(scores, windows, top, self.settings.most_overlap - 1e-6)
        windows = windows.gather(1, index[..., None].expand(-1, -1, 2))
        return RankedMoments.of(windows, scores, inputs.length, output.engagement.saliency)


def focal(logits: Tensor, target: Tensor) -> Tensor:
    """Focal loss with γ = 2 of logits and their target, a bool (Lin et al., ICCV 2017)."""
    entropy = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none")
    return (1 - (-entropy).exp()) ** 2 * entropy


def alike(scores: Tensor, labels: Tensor) -> Tensor:
    """The mean squared difference of scores and labels (n,), each stretched to [0, 1].

    It is 0 where all labels are the same.
    """

    def stretched(x: Tensor) -> Tensor:
        return (x - x.min()) / (x.max() - x.min()).clamp(min=1e-6)

    if labels.max() == labels.min():
        return 0.0 * scores.sum()
    return F.mse_loss(stretched(scores), stretched(labels))
