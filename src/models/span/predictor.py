"""EMB as a predictor: encoder, fusion and span branch, beside the auxiliary ranking branch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from src.data.batch import Batch
from src.models.dropout import Dropout
from src.models.position import sine_code
from src.models.predictor import Predictor, RankedMoments, Stream
from src.models.span import losses
from src.models.span.boundary import SpanBranch
from src.models.span.decode import best_spans
from src.models.span.encoder import Encoder
from src.models.span.fusion import SIMILARITIES, Fusion
from src.models.span.ranking import Ranking, RankingBranch
from src.moments import snippets_to_seconds


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
        ranking: of the proposals, in training; None where the network has no ranking branch.
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

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features (B, N, dim) to (B, N, hidden); the mask plays no part."""
        return self.linear(self.dropout(features))


class SpanPredictor(Predictor):
    """The span network of Elastic Moment Bounding (Huang et al., ECCV 2022), the paper's Eqs. 6 to 11 and appendix.

    Args:
        hidden: d, the size of every hidden layer.
        heads: of every attention.
        dropout: one rate for all places.
        similarity: of the fusion: `bilinear` (the paper's Eq. 11) or `trilinear` (EMB's released code).
        ranking_layers: 3×3 convolutions over the proposal map; 0 for none but the scoring one.
        highlight_weight: λ of Eq. 17.
        highlight_extend: share of the span by which highlight labels are widened each way.
        highlight_end: upper end of the highlight labels: `paper` (Eq. 16) or `published` (EMB's released code).
        ranking_iou: (least, most) IoU that ranking labels rescale to [0, 1].
        most_overlap: IoU above which a lower-ranked moment is passed over (non-maximum suppression).
        ranking: whether the auxiliary ranking branch stands beside the span branch.
    """

    def __init__(
        self,
        hidden: int,
        heads: int,
        dropout: float,
        similarity: Literal["bilinear", "trilinear"],
        ranking_layers: int,
        highlight_weight: float,
        highlight_extend: float,
        highlight_end: losses.HighlightEnd,
        ranking_iou: tuple[float, float],
        most_overlap: float,
        ranking: bool = True,
    ) -> None:
        super().__init__()
        self._settings = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self.hidden = hidden
        self.dropout = dropout
        self.highlight_weight = highlight_weight
        self.highlight_extend = highlight_extend
        self.highlight_end = highlight_end
        self.ranking_iou = ranking_iou
        self.most_overlap = most_overlap

        self.encoder = Encoder(hidden, heads, dropout)
        self.fusion = Fusion(hidden, SIMILARITIES[similarity](hidden, dropout))
        self.span = SpanBranch(hidden)
        self.ranking = (
            RankingBranch(hidden, heads, dropout, SIMILARITIES[similarity](hidden, dropout), ranking_layers)
            if ranking
            else None
        )
        self._initialise()

    def _initialise(self) -> None:
        """Xavier-uniform weights and zero biases; then layers of one kind start alike, as EMB was published."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
                _xavier(module)
        encoder, ranking = self.encoder, self.ranking
        _copy(encoder.explore, encoder.context)
        _copy(encoder.explore_query, encoder.query_context)
        _copy(self.span.start.lstm, self.span.end.lstm)
        if ranking is not None:
            _copy(encoder.attend_query, ranking.proposals_to_query)
            _copy(ranking.self_attention, ranking.context)
            _copy(encoder.explore_query, ranking.query_context)

    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        embedding = Embedding(dim, self.hidden, self.dropout)
        _xavier(embedding.linear)
        return embedding

    def boundary_network(self) -> SpanPredictor:
        return SpanPredictor(**{**self._settings, "ranking": False})

    def forward(self, video: Tensor, video_mask: Tensor, query: Tensor, query_mask: Tensor) -> SpanOutput:
        video = video + sine_code(video.shape[1], self.hidden, video.device)
        query = query + sine_code(query.shape[1], self.hidden, query.device)
        snippets, words = self.encoder(video, video_mask, query, query_mask)
        fused = self.fusion(snippets.encoded, video_mask, words.encoded, query_mask)
        highlight, start, end = self.span(fused, video_mask)
        boundaries = Boundaries(_log_softmax(start, video_mask), _log_softmax(end, video_mask))
        ranking = None
        if self.ranking is not None and self.training:
            ranking = self.ranking(snippets, video_mask, words.explored, query_mask)
        return SpanOutput(boundaries, (boundaries,), (highlight,), video_mask, ranking)

    def losses(self, output: SpanOutput, batch: Batch, progress: float) -> dict[str, Tensor]:
        target, mask, ranking = batch.target, output.mask, output.ranking
        chosen = losses.half_open(target).long()
        terms = {}
        if ranking is not None:
            span, valid = ranking.proposals.span, ranking.proposals.mask
            scores = ranking.logits.detach()
            chosen = losses.candidate(target, span, valid, scores, losses.threshold(progress))
            terms["ranking"] = losses.ranking(ranking.logits, span, valid, target, *self.ranking_iou)
        labels = losses.highlight_labels(target, chosen, mask, self.highlight_extend, self.highlight_end)
        localisation = [losses.localisation(b.start, b.end, target, chosen) for b in output.supervised]
        highlights = [losses.highlight(logits, labels, mask) for logits in output.highlights]
        terms["localisation"] = torch.stack(localisation).sum()
        terms["highlight"] = self.highlight_weight * torch.stack(highlights).sum()
        return terms

    def decode(self, output: SpanOutput, batch: Batch, top: int) -> RankedMoments:
        spans, scores = best_spans(output.boundaries.start, output.boundaries.end, top, self.most_overlap)
        windows = snippets_to_seconds(spans, batch.length[:, None], batch.duration[:, None])
        return RankedMoments(windows.masked_fill(scores.isinf()[..., None], torch.nan), scores)


def _log_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    return logits.masked_fill(~mask, -torch.inf).log_softmax(dim=1)


def _xavier(module: nn.Linear | nn.Conv1d | nn.Conv2d) -> None:
    # The only Conv1d is the depthwise one of the guides: its fans are those of one kernel over its three channels.
    weight = module.weight.flatten(1).unsqueeze(1) if isinstance(module, nn.Conv1d) else module.weight
    nn.init.xavier_uniform_(weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def _copy(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict())
