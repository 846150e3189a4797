"""EMB as a predictor: encoder, fusion and span branch, beside the auxiliary ranking branch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from src.data.batch import GroundTruth, Inputs
from src.models.position import sine_code
from src.models.predictor import Streams
from src.models.span import losses
from src.models.span.base import HighlightPredictor, HighlightSettings, SpanOutput, begin
from src.models.span.boundary import BidirectionalHead, SpanBranch
from src.models.span.encoder import Encoder, QueryStates, VideoStates
from src.models.span.fusion import SIMILARITIES, Fusion
from src.models.span.ranking import RankingBranch


@dataclass(frozen=True, kw_only=True)
class SpanSettings(HighlightSettings):
    """The settings of a `SpanPredictor`.

    Attributes:
        similarity: Similarity within the fusion: `bilinear` (the paper's Eq. 11) or `trilinear` (EMB's released code).
        ranking_layers: 3×3 convolutions over the proposal map; 0 for none but the scoring one.
        highlight_end: Upper end of the highlight labels: `paper` (Eq. 16) or `published` (EMB's released code).
        ranking_iou: (least, most) IoU that ranking labels rescale to [0, 1].
        ranking: Whether the auxiliary ranking branch stands beside the span branch.
        candidate_iou: τ at the start and at the end of training, the IoU that a candidate must reach; (0, 0) takes the
            proposal with the highest score whatever it overlaps, as Eq. A.4 says.
        position: Code of the places of snippets and words: `sine`, or `none`.
        begin_alike: Whether layers of one kind start with the same weights, as EMB was published.
        guide_kernel: Snippets that the convolution of Eq. 7 looks at; odd.
    """

    similarity: Literal["bilinear", "trilinear"]
    ranking_layers: int
    highlight_end: losses.HighlightEnd
    ranking_iou: tuple[float, float]
    ranking: bool = True
    candidate_iou: tuple[float, float] = (1.0, 0.5)
    position: Literal["sine", "none"] = "sine"
    begin_alike: bool = True
    guide_kernel: int = 7

    def build(self) -> SpanPredictor:
        return SpanPredictor(self)


class SpanPredictor(HighlightPredictor):
    """The span network of Elastic Moment Bounding (Huang et al., ECCV 2022), the paper's Eqs. 6 to 11 and appendix."""

    settings: SpanSettings

    def __init__(self, settings: SpanSettings) -> None:
        super().__init__(settings)
        hidden, heads, dropout = settings.hidden, settings.heads, settings.dropout
        similarity = SIMILARITIES[settings.similarity]
        self.encoder = Encoder(hidden, heads, dropout, settings.guide_kernel)
        self.fusion = Fusion(hidden, similarity(hidden, dropout), nn.ReLU())
        start, end = BidirectionalHead(hidden), BidirectionalHead(hidden)
        self.span = SpanBranch(hidden, start, end)
        self.ranking = (
            RankingBranch(hidden, heads, dropout, similarity(hidden, dropout), settings.ranking_layers)
            if settings.ranking
            else None
        )
        begin(self)
        if settings.begin_alike:
            self._begin_alike()
            _copy(start.lstm, end.lstm)

    def _begin_alike(self) -> None:
        """Layers of one kind start with the same weights."""
        encoder, ranking = self.encoder, self.ranking
        _copy(encoder.explore, encoder.context)
        _copy(encoder.explore_query, encoder.query_context)
        if ranking is not None:
            _copy(encoder.attend_query, ranking.proposals_to_query)
            _copy(ranking.self_attention, ranking.context)
            _copy(encoder.explore_query, ranking.query_context)

    def sibling(self) -> SpanPredictor:
        return SpanPredictor(replace(self.settings, ranking=False))

    def forward(self, streams: Streams) -> SpanOutput:
        snippets, words = self._encoded(streams)
        output = self.scored(self._fusion(snippets, words, streams), streams.video_mask)
        if self.ranking is not None and self.training:
            ranking = self.ranking(snippets, streams.video_mask, words.explored, streams.query_mask)
            return replace(output, ranking=ranking)
        return output

    def fused(self, streams: Streams) -> Tensor:
        return self._fusion(*self._encoded(streams), streams)

    def _encoded(self, streams: Streams) -> tuple[VideoStates, QueryStates]:
        video, query = self._placed(streams.video), self._placed(streams.query)
        encoded: tuple[VideoStates, QueryStates] = self.encoder(video, streams.video_mask, query, streams.query_mask)
        return encoded

    def _fusion(self, snippets: VideoStates, words: QueryStates, streams: Streams) -> Tensor:
        fused: Tensor = self.fusion(snippets.encoded, streams.video_mask, words.encoded, streams.query_mask)
        return fused

    def _placed(self, x: Tensor) -> Tensor:
        """x (B, N, d) with the code of its places."""
        return x + sine_code(x.shape[1], self.hidden, x.device) if self.settings.position == "sine" else x

    def losses(self, output: SpanOutput, inputs: Inputs, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        settings, target, ranking = self.settings, truth.target, output.ranking
        chosen = losses.half_open(target).long()
        terms = {}
        if ranking is not None:
            span, valid = ranking.proposals.span, ranking.proposals.mask
            scores = ranking.logits.detach()
            chosen = losses.candidate(target, span, valid, scores, losses.threshold(progress, *settings.candidate_iou))
            terms["ranking"] = losses.ranking(ranking.logits, span, valid, target, *settings.ranking_iou)
        return terms | self.span_losses(output, target, chosen, settings.highlight_end)


def _copy(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict())
