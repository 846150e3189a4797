"""EMB as a predictor: encoder, fusion and span branch, beside the auxiliary ranking branch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from src.data.batch import GroundTruth, Inputs
from src.models.dropout import Dropout
from src.models.position import sine_code
from src.models.predictor import Predictor, Stream, Streams
from src.models.probabilities import log_softmax, mixed
from src.models.proposals.decode import Choice, best_spans
from src.models.span import losses
from src.models.span.boundary import SpanBranch
from src.models.span.encoder import Encoder
from src.models.span.fusion import SIMILARITIES, Fusion
from src.models.span.ranking import Ranking, RankingBranch
from src.moments import RankedMoments, snippets_to_seconds


@dataclass
class Boundaries:
    """Start and end log-probabilities (B, L) of each snippet (Eq. 10), −inf at padding."""

    start: Tensor
    end: Tensor


@dataclass
class SpanOutput:
    """What the span network says of a batch.

    Attributes:
        boundaries: what moments are decoded from.
        supervised: what Eq. 15 supervises.
        highlights: the highlight logits (B, L) that Eq. 16 supervises.
        mask: (B, L) bool, the valid snippets.
        ranking: The proposals' ranking, in training; None where the network has no ranking branch.
    """

    boundaries: Boundaries
    supervised: tuple[Boundaries, ...]
    highlights: tuple[Tensor, ...]
    mask: Tensor
    ranking: Ranking | None


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
class SpanSettings:
    """The settings of a `SpanPredictor`.

    Attributes:
        hidden: d, the size of every hidden layer.
        heads: Heads of every attention; they divide d.
        dropout: One rate for all places.
        similarity: Similarity within the fusion: `bilinear` (the paper's Eq. 11) or `trilinear` (EMB's released code).
        ranking_layers: 3×3 convolutions over the proposal map; 0 for none but the scoring one.
        highlight_weight: λ of Eq. 17.
        highlight_extend: Share of the span by which highlight labels are widened each way.
        highlight_end: Upper end of the highlight labels: `paper` (Eq. 16) or `published` (EMB's released code).
        ranking_iou: (least, most) IoU that ranking labels rescale to [0, 1].
        most_overlap: IoU above which a lower-ranked moment is passed over (non-maximum suppression).
        supervise: What Eq. 15 supervises where there is a paragraph branch: the `fused` scores (Algorithm 1), the
            `video` branch alone (Eq. 15 to the letter), or `both`, each with its own term.
        paragraph_highlight: Whether Eq. 16 supervises the paragraph branch's highlight beside the video's.
        ranking: Whether the auxiliary ranking branch stands beside the span branch.
        candidate_iou: τ at the start and at the end of training, the IoU that a candidate must reach; (0, 0) takes the
            proposal with the highest score whatever it overlaps, as Eq. A.4 says.
        highlight_positive: Weight of a highlight label 1; of a label 0 it is 1.
        position: Code of the places of snippets and words: `sine`, or `none`.
        begin_alike: Whether layers of one kind start with the same weights, as EMB was published.
        guide_kernel: Snippets that the convolution of Eq. 7 looks at; odd.
        choice: What moments are ranked by: how probable each is, or the IoU to be expected of it.
    """

    hidden: int
    heads: int
    dropout: float
    similarity: Literal["bilinear", "trilinear"]
    ranking_layers: int
    highlight_weight: float
    highlight_extend: float
    highlight_end: losses.HighlightEnd
    ranking_iou: tuple[float, float]
    most_overlap: float
    supervise: Literal["fused", "video", "both"]
    paragraph_highlight: bool
    ranking: bool = True
    candidate_iou: tuple[float, float] = (1.0, 0.5)
    highlight_positive: float = 2.0
    position: Literal["sine", "none"] = "sine"
    begin_alike: bool = True
    guide_kernel: int = 7
    choice: Choice = "probability"

    def build(self) -> SpanPredictor:
        return SpanPredictor(self)


class SpanPredictor(Predictor[SpanOutput]):
    """The span network of Elastic Moment Bounding (Huang et al., ECCV 2022), the paper's Eqs. 6 to 11 and appendix."""

    def __init__(self, settings: SpanSettings) -> None:
        super().__init__()
        self.settings = settings
        self.hidden = settings.hidden
        hidden, heads, dropout = settings.hidden, settings.heads, settings.dropout
        similarity = SIMILARITIES[settings.similarity]
        self.encoder = Encoder(hidden, heads, dropout, settings.guide_kernel)
        self.fusion = Fusion(hidden, similarity(hidden, dropout))
        self.span = SpanBranch(hidden)
        self.ranking = (
            RankingBranch(hidden, heads, dropout, similarity(hidden, dropout), settings.ranking_layers)
            if settings.ranking
            else None
        )
        self._initialise()

    def _initialise(self) -> None:
        """Xavier-uniform weights and zero biases; then layers of one kind start alike."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
                _xavier(module)
        if not self.settings.begin_alike:
            return
        encoder, ranking = self.encoder, self.ranking
        _copy(encoder.explore, encoder.context)
        _copy(encoder.explore_query, encoder.query_context)
        _copy(self.span.start.lstm, self.span.end.lstm)
        if ranking is not None:
            _copy(encoder.attend_query, ranking.proposals_to_query)
            _copy(ranking.self_attention, ranking.context)
            _copy(encoder.explore_query, ranking.query_context)

    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        embedding = Embedding(dim, self.hidden, self.settings.dropout)
        _xavier(embedding.linear)
        return embedding

    def sibling(self) -> SpanPredictor:
        return SpanPredictor(replace(self.settings, ranking=False))

    def forward(self, streams: Streams) -> SpanOutput:
        video_mask, query_mask = streams.video_mask, streams.query_mask
        video, query = self._placed(streams.video), self._placed(streams.query)
        snippets, words = self.encoder(video, video_mask, query, query_mask)
        fused = self.fusion(snippets.encoded, video_mask, words.encoded, query_mask)
        highlight, start, end = self.span(fused, video_mask)
        boundaries = Boundaries(log_softmax(start, video_mask), log_softmax(end, video_mask))
        ranking = None
        if self.ranking is not None and self.training:
            ranking = self.ranking(snippets, video_mask, words.explored, query_mask)
        return SpanOutput(boundaries, (boundaries,), (highlight,), video_mask, ranking)

    def _placed(self, x: Tensor) -> Tensor:
        """x (B, N, d) with the code of its places."""
        return x + sine_code(x.shape[1], self.hidden, x.device) if self.settings.position == "sine" else x

    def fuse(self, video: SpanOutput, paragraph: SpanOutput, alpha: float) -> SpanOutput:
        mask, one, other = video.mask, video.boundaries, paragraph.boundaries
        fused = Boundaries(mixed(one.start, other.start, mask, alpha), mixed(one.end, other.end, mask, alpha))
        supervised = {"fused": (fused,), "video": video.supervised, "both": (fused, *video.supervised)}
        highlights = video.highlights + paragraph.highlights if self.settings.paragraph_highlight else video.highlights
        return SpanOutput(fused, supervised[self.settings.supervise], highlights, mask, video.ranking)

    def losses(self, output: SpanOutput, inputs: Inputs, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        settings, target, mask, ranking = self.settings, truth.target, output.mask, output.ranking
        chosen = losses.half_open(target).long()
        terms = {}
        if ranking is not None:
            span, valid = ranking.proposals.span, ranking.proposals.mask
            scores = ranking.logits.detach()
            chosen = losses.candidate(target, span, valid, scores, losses.threshold(progress, *settings.candidate_iou))
            terms["ranking"] = losses.ranking(ranking.logits, span, valid, target, *settings.ranking_iou)
        labels = losses.highlight_labels(target, chosen, mask, settings.highlight_extend, settings.highlight_end)
        localisation = [losses.localisation(b.start, b.end, target, chosen) for b in output.supervised]
        highlights = [
            losses.highlight(logits, labels, mask, settings.highlight_positive) for logits in output.highlights
        ]
        terms["localisation"] = torch.stack(localisation).sum()
        terms["highlight"] = settings.highlight_weight * torch.stack(highlights).sum()
        return terms

    def decode(self, output: SpanOutput, inputs: Inputs, top: int) -> RankedMoments:
        boundaries = output.boundaries
        spans, scores = best_spans(
            boundaries.start, boundaries.end, top, self.settings.most_overlap, self.settings.choice
        )
        windows = snippets_to_seconds(spans, inputs.length[:, None], inputs.duration[:, None])
        return RankedMoments.of(windows, scores, inputs.length)


def _xavier(module: nn.Linear | nn.Conv1d | nn.Conv2d) -> None:
    # The only Conv1d is the depthwise one of the guides: its fans are those of one kernel over its three channels.
    weight = module.weight.flatten(1).unsqueeze(1) if isinstance(module, nn.Conv1d) else module.weight
    nn.init.xavier_uniform_(weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def _copy(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict())
