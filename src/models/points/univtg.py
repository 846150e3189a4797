"""UniVTG: Towards Unified Video-Language Temporal Grounding (Lin et al., ICCV 2023).

Clips and words are encoded together; each clip then says whether it lies in a moment, how far that reaches either way,
and how salient it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.batch import GroundTruth, Inputs
from src.models.attention import WeightedPool
from src.models.detr.inputs import embedding
from src.models.detr.labels import saliency_labels
from src.models.detr.layers import EncoderLayer, initialise
from src.models.dropout import StochasticDepth
from src.models.points.layers import TimeHead
from src.models.points.losses import TEMPERATURE, contrast
from src.models.position import clip_code
from src.models.predictor import Predictor, Stream, Streams
from src.models.probabilities import mixed_logits
from src.models.proposals.decode import best_windows
from src.moments import RankedMoments, generalised_iou

ClipTime = Literal["published", "middle"]
"""When clip i of c seconds is, in clips: i + c / 2 as the released code has it, or i + 1 / 2."""


@dataclass
class Weights:
    """Of the loss terms: L1 and gIoU of windows, foreground (a background clip weighs `background` in it), and the
    contrast of saliency within a video and between samples."""

    span: float = 10.0
    giou: float = 1.0
    foreground: float = 10.0
    background: float = 0.1
    within: float = 0.05
    between: float = 0.01


@dataclass(frozen=True, kw_only=True)
class UniVTGSettings:
    """The settings of UniVTG.

    Attributes:
        hidden: d, the hidden size.
        heads: Heads of every attention; they divide d.
        layers: Layers of the encoder.
        feed_forward: Hidden width of the feed-forward parts.
        depth_dropout: The share of samples that a residual branch of the encoder is dropped of.
        input_dropout: Rate within the input projections.
        streams: Sizes of the streams side by side in the video features; None: they are one.
        clip_time: When a clip is.
        most_overlap: IoU above which a lower-ranked moment is passed over (non-maximum suppression).
        weights: Weights of the losses.
    """

    hidden: int
    heads: int
    layers: int
    feed_forward: int
    depth_dropout: float
    input_dropout: float
    streams: Sequence[int] | None
    clip_time: ClipTime
    most_overlap: float
    weights: Weights

    def build(self) -> UniVTG:
        return UniVTG(self)


class Output(NamedTuple):
    """What UniVTG says of B samples of L clips.

    Attributes:
        foreground: (B, L) logits that a clip lies in a moment.
        reach: (B, L, 2) how far the moment reaches before and after the clip, as shares of the video.
        saliency: (B, L) cosines of clips and sentence.
        clips: (B, L, d) and `sentence` (B, d), between which they are.
    """

    foreground: Tensor
    reach: Tensor
    saliency: Tensor
    clips: Tensor
    sentence: Tensor


@dataclass
class Target:
    """What the clips of a batch are taught, (B, L) each.

    Attributes:
        foreground: Whether a clip lies in a moment.
        bounds: (B, L, 2) start and end of that moment as shares of the video; anything elsewhere.
        labels: How salient a clip is.
        positive: (B,) a salient clip of each sample.
        mask: Which clips there are.
    """

    foreground: Tensor
    bounds: Tensor
    labels: Tensor
    positive: Tensor
    mask: Tensor


class UniVTG(Predictor[Output]):
    """One encoder over clips and words, and heads at every clip."""

    learns_all_windows = True

    def __init__(self, settings: UniVTGSettings) -> None:
        super().__init__()
        self.settings = settings
        self.hidden = hidden = settings.hidden
        self.weights = settings.weights
        sizes = (hidden, settings.heads, settings.feed_forward, nn.GELU, 0.0)
        self.encoder = nn.ModuleList(
            EncoderLayer(*sizes, lambda _: StochasticDepth(settings.depth_dropout)) for _ in range(settings.layers)
        )
        initialise(self.encoder)
        self.stream_types = nn.Parameter(0.02 * torch.randn(2, hidden))
        self.pool = WeightedPool(hidden)
        nn.init.xavier_uniform_(self.pool.weight)
        self.foreground = TimeHead(hidden, 1, layers=3, kernel=3)
        self.reach = TimeHead(hidden, 2, layers=3, kernel=3)

    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        return embedding(stream, dim, self.hidden, self.settings.input_dropout, self.settings.streams)

    def sibling(self) -> UniVTG:
        return UniVTG(self.settings)

    def forward(self, streams: Streams) -> Output:
        mask, query_mask = streams.video_mask, streams.query_mask
        of_words, of_clips = self.stream_types
        clips, words = streams.video + of_clips, streams.query + of_words
        x, everything = torch.cat((clips, words), dim=1), torch.cat((mask, query_mask), dim=1)
        position = torch.cat((clip_code(mask, self.hidden), torch.zeros_like(words)), dim=1)
        for layer in self.encoder:
            x = layer(x, position, everything)
        memory = x[:, : clips.shape[1]]
        sentence = self.pool(words, query_mask)
        return Output(
            foreground=self.foreground(memory, mask).squeeze(-1),
            reach=self.reach(memory, mask).sigmoid(),
            # Of what enters the encoder, which has no part in it.
            saliency=F.cosine_similarity(clips, sentence[:, None], dim=-1),
            clips=clips,
            sentence=sentence,
        )

    def fuse(self, video: Output, paragraph: Output, alpha: float) -> Output:
        """Probabilities, reach and saliency as α-weighted means; samples are told apart by the video's clips alone."""
        return video._replace(
            foreground=mixed_logits(video.foreground, paragraph.foreground, alpha),
            reach=(video.reach + alpha * paragraph.reach) / (1 + alpha),
            saliency=(video.saliency + alpha * paragraph.saliency) / (1 + alpha),
        )

    def losses(self, output: Output, inputs: Inputs, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        return self.terms(output, self.target(inputs, truth), self.times(inputs))

    def terms(self, output: Output, target: Target, times: Tensor) -> dict[str, Tensor]:
        """The weighted losses; `times` (B, L) of the clips are shares of the video."""
        weights, inside = self.weights, target.foreground
        windows, bounds = _windows(times, output.reach)[inside], target.bounds[inside]
        importance = torch.where(inside, 1.0, weights.background)
        entropy = F.binary_cross_entropy_with_logits(
            output.foreground.float(), inside.float(), importance, reduction="none"
        )
        within, between = self._contrasts(output, target)
        return {
            "span": weights.span * F.smooth_l1_loss(windows, bounds, reduction="sum") / len(windows),
            "giou": weights.giou * (1 - generalised_iou(windows, bounds)).mean(),
            "foreground": weights.foreground * entropy[target.mask].mean(),
            "within": weights.within * within,
            "between": weights.between * between,
        }

    def decode(self, output: Output, inputs: Inputs, top: int) -> RankedMoments:
        windows = _windows(self.times(inputs), output.reach).clamp(0, 1) * inputs.duration[:, None, None]
        foreground = output.foreground.float().sigmoid()
        scores = foreground.masked_fill(~inputs.snippet_mask, -torch.inf)
        index, scores = best_windows(scores, windows, top, self.settings.most_overlap)
        windows = windows.gather(1, index[..., None].expand(-1, -1, 2))
        return RankedMoments.of(windows, scores, inputs.length, output.saliency.float() + foreground)

    def target(self, inputs: Inputs, truth: GroundTruth) -> Target:
        """What is taught: the moments of a query all at once, and a salient clip drawn at random.

        A clip lies in a window if its time does, ends included; in the last of several. A window in which no time lies
        has the clip that its start lies in. Where nobody rated the clips, those in a moment are the salient ones.
        """
        mask = inputs.snippet_mask
        times = self._clip_times(inputs)
        # In clips, where whole seconds are exact.
        windows = truth.windows[:, None] * inputs.length[:, None, None, None] / inputs.duration[:, None, None, None]
        inside = (windows[..., 0] <= times[..., None]) & (times[..., None] <= windows[..., 1]) & mask[..., None]
        clip = torch.arange(mask.shape[1], device=mask.device)[:, None]
        holder = windows[..., 0].floor().clamp(min=0).minimum(inputs.length[:, None, None] - 1)
        inside |= ~inside.any(dim=1, keepdim=True) & (clip == holder)
        foreground = inside.any(dim=2)
        last = inside.shape[2] - 1 - inside.flip(2).int().argmax(dim=2)
        bounds = (truth.windows / inputs.duration.double()[:, None, None]).float()
        bounds = bounds.gather(1, last[..., None].expand(-1, -1, 2))

        rated = torch.tensor([bool(moment.saliency) for moment in truth.moments], device=mask.device)[:, None]
        labels = torch.where(rated, saliency_labels(inputs, truth), foreground.float())
        salient = labels > 0
        drawn_from = torch.where(salient.any(dim=1, keepdim=True), salient, mask)
        return Target(foreground, bounds, labels, torch.multinomial(drawn_from.float(), 1).squeeze(1), mask)

    def times(self, inputs: Inputs) -> Tensor:
        """When each clip is, as a share of its video: (B, L)."""
        return (self._clip_times(inputs) / inputs.length[:, None]).float()

    def _clip_times(self, inputs: Inputs) -> Tensor:
        """The same in clips and double precision."""
        clip = torch.arange(inputs.snippet_mask.shape[1], device=inputs.duration.device, dtype=torch.float64)
        seconds = inputs.duration.double() / inputs.length if self.settings.clip_time == "published" else 1.0
        return clip + torch.as_tensor(seconds, device=clip.device).view(-1, 1) / 2

    def _contrasts(self, output: Output, target: Target) -> tuple[Tensor, Tensor]:
        """Of salient clips within a video and of samples; both are 0 where nothing is salient."""
        labels, positive = target.labels, target.positive
        chosen = positive[:, None]
        eligible = target.mask & (labels < labels.gather(1, chosen))
        within = contrast(output.saliency, positive, eligible.scatter(1, chosen, True))
        clips = output.clips.gather(1, chosen[..., None].expand(-1, -1, self.hidden)).squeeze(1)
        agreement = F.normalize(clips.float(), dim=-1) @ F.normalize(output.sentence.float(), dim=-1).T / TEMPERATURE
        own = torch.arange(len(clips), device=clips.device)
        between = F.cross_entropy(agreement, own) + F.cross_entropy(agreement.T, own)
        any_salient = (labels > 0).any()
        return within * any_salient, between * any_salient


def _windows(times: Tensor, reach: Tensor) -> Tensor:
    """(start, end) (B, L, 2) of what reaches so far (B, L, 2) before and after times (B, L)."""
    before, after = reach.float().unbind(-1)
    return torch.stack((times - before, times + after), dim=-1)
