"""What networks share that score each snippet as a moment's start and end: EMB, VSLNet and QAVE."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from src.data.batch import Inputs
from src.models.dropout import Dropout
from src.models.predictor import Clips, Predictor, Stream, Streams
from src.models.probabilities import log_softmax, mixed
from src.models.proposals.decode import Choice, Joint, best_spans
from src.models.span import losses
from src.models.span.boundary import SpanBranch
from src.models.span.ranking import Ranking
from src.moments import RankedMoments, snippets_to_seconds


@dataclass
class Boundaries:
    """Start and end log-probabilities (B, L) of each snippet (Eq. 10), −inf at padding."""

    start: Tensor
    end: Tensor


@dataclass
class SpanOutput:
    """What a span network says of a batch.

    Attributes:
        boundaries: what moments are decoded from.
        supervised: what Eq. 15 supervises.
        highlights: the highlight logits (B, L) that Eq. 16 supervises.
        mask: (B, L) bool, the valid snippets.
        ranking: The proposals' ranking, in training; None where the network has no ranking branch.
        clips: What start and end are read of, and how each snippet matches; None where nothing says that.
    """

    boundaries: Boundaries
    supervised: tuple[Boundaries, ...]
    highlights: tuple[Tensor, ...]
    mask: Tensor
    ranking: Ranking | None = None
    clips: Clips | None = None


class Embedding(nn.Module):
    """Dropout and a fully connected layer, for snippets and words alike."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(dim, hidden)

    def forward(self, features: Tensor, mask: Tensor, inputs: Inputs) -> Tensor:
        """features (B, N, dim) to (B, N, hidden); nothing else plays a part."""
        return self.linear(self.dropout(features))


@dataclass(frozen=True, kw_only=True)
class BoundarySettings:
    """The settings of a `BoundaryPredictor`.

    Attributes:
        hidden: d, the size of a snippet within the network.
        dropout: One rate for all places.
        most_overlap: IoU above which a lower-ranked moment is passed over (non-maximum suppression).
        choice: What moments are ranked by: how probable each is, or the IoU to be expected of it.
        supervise: What Eq. 15 supervises where there is a paragraph branch: the `fused` scores (Algorithm 1), the
            `video` branch alone (Eq. 15 to the letter), or `both`, each with its own term.
    """

    hidden: int
    dropout: float
    most_overlap: float
    choice: Choice = "probability"
    supervise: Literal["fused", "video", "both"]


class BoundaryPredictor(Predictor[SpanOutput]):
    """Gives each snippet a probability that the moment starts there, and that it ends there.

    Attributes:
        joint: What makes the probability of a moment of those of its start and its end.
    """

    joint: ClassVar[Joint] = "product"
    compares_clips = True

    def __init__(self, settings: BoundarySettings) -> None:
        super().__init__()
        self.settings = settings
        self.hidden = settings.hidden

    def fuse(self, video: SpanOutput, paragraph: SpanOutput, alpha: float) -> SpanOutput:
        mask, one, other = video.mask, video.boundaries, paragraph.boundaries
        fused = Boundaries(mixed(one.start, other.start, mask, alpha), mixed(one.end, other.end, mask, alpha))
        supervised = {"fused": (fused,), "video": video.supervised, "both": (fused, *video.supervised)}
        return replace(
            video,
            boundaries=fused,
            supervised=supervised[self.settings.supervise],
            highlights=video.highlights + paragraph.highlights,
        )

    def localisation(self, output: SpanOutput, target: Tensor, chosen: Tensor) -> Tensor:
        """Eq. 15, between the target (B, 2) and what is `chosen` (B, 2) beside it."""
        terms = [losses.localisation(each.start, each.end, target, chosen) for each in output.supervised]
        return torch.stack(terms).sum()

    def decode(self, output: SpanOutput, inputs: Inputs, top: int) -> RankedMoments:
        start, end, settings = output.boundaries.start, output.boundaries.end, self.settings
        spans, scores = best_spans(start, end, top, settings.most_overlap, settings.choice, self.joint)
        windows = snippets_to_seconds(spans, inputs.length[:, None], inputs.duration[:, None])
        return RankedMoments.of(windows, scores, inputs.length)


@dataclass(frozen=True, kw_only=True)
class HighlightSettings(BoundarySettings):
    """The settings of a `HighlightPredictor`.

    Attributes:
        heads: Heads of every attention; they divide d.
        highlight_weight: λ of Eq. 17.
        highlight_extend: Share of the span by which highlight labels are widened each way.
        highlight_positive: Weight of a highlight label 1; of a label 0 it is 1.
        paragraph_highlight: Whether Eq. 16 supervises the paragraph branch's highlight beside the video's.
    """

    heads: int
    highlight_weight: float
    highlight_extend: float
    highlight_positive: float = 2.0
    paragraph_highlight: bool


class HighlightPredictor(BoundaryPredictor):
    """Start, end and highlight of each snippet, from its fusion with the query, which a subclass makes of streams.

    Attributes:
        span: Reads the fused snippets.
    """

    settings: HighlightSettings
    span: SpanBranch
    teaches_match = True

    @abstractmethod
    def fused(self, streams: Streams) -> Tensor:
        """The snippets (B, L, d) with what they have to do with the query."""

    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        embedding = Embedding(dim, self.hidden, self.settings.dropout)
        xavier(embedding.linear)
        return embedding

    def forward(self, streams: Streams) -> SpanOutput:
        return self.scored(self.fused(streams), streams.video_mask)

    def scored(self, fused: Tensor, mask: Tensor) -> SpanOutput:
        """What is said of fused snippets (B, L, d), of which mask (B, L) is valid."""
        highlight, start, end = self.span(fused, mask)
        boundaries = Boundaries(log_softmax(start, mask), log_softmax(end, mask))
        return SpanOutput(boundaries, (boundaries,), (highlight,), mask, clips=Clips(fused, highlight))

    def clips(self, streams: Streams) -> Clips:
        fused = self.fused(streams)
        return Clips(fused, self.span.highlight(fused).squeeze(-1))

    def fuse(self, video: SpanOutput, paragraph: SpanOutput, alpha: float) -> SpanOutput:
        fused = super().fuse(video, paragraph, alpha)
        return fused if self.settings.paragraph_highlight else replace(fused, highlights=video.highlights)

    def span_losses(
        self, output: SpanOutput, target: Tensor, chosen: Tensor, highlight_end: losses.HighlightEnd
    ) -> dict[str, Tensor]:
        """The weighted terms of Eqs. 15 and 16, between the target (B, 2) and what is `chosen` (B, 2) beside it."""
        settings, mask = self.settings, output.mask
        labels = losses.highlight_labels(target, chosen, mask, settings.highlight_extend, highlight_end)
        highlights = [
            losses.highlight(logits, labels, mask, settings.highlight_positive) for logits in output.highlights
        ]
        return {
            "localisation": self.localisation(output, target, chosen),
            "highlight": settings.highlight_weight * torch.stack(highlights).sum(),
        }


def xavier(module: nn.Linear | nn.Conv1d | nn.Conv2d) -> None:
    """Xavier-uniform weights and zero biases, as EMB and VSLNet begin with."""
    # Every Conv1d is depthwise: its fans are those of one kernel over all the channels that it reads.
    weight = module.weight.flatten(1).unsqueeze(1) if isinstance(module, nn.Conv1d) else module.weight
    nn.init.xavier_uniform_(weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def begin(network: nn.Module) -> None:
    """`xavier` for every layer of a network that it is for."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            xavier(module)
