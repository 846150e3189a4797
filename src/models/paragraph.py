"""The parallel paragraph-query branch (Section 3.4, Eqs. 12 to 14)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from src.errors import UserError
from src.models.match import NarrativeEmbedding
from src.models.predictor import Predictor
from src.models.span.predictor import Boundaries, SpanOutput


class ParagraphQuery(nn.Module):
    """A second span network over (narrative, query), whose boundary scores are added with weight α.

    Args:
        predictor: of the video branch; this branch is a network of its kind with weights of its own.
        match: tells how narratives match the query, or None.
        text_dim: size of the narrative and word vectors.
        alpha: α of Eq. 14, > 0.
        supervise: what Eq. 15 supervises: the `fused` scores (Algorithm 1), the `video` branch alone (Eq. 15 to the
            letter), or `both`, each with its own term.
        highlight: whether Eq. 16 supervises this branch's highlight beside the video's.
    """

    def __init__(
        self,
        predictor: Predictor,
        match: nn.Module | None,
        text_dim: int,
        alpha: float,
        supervise: Literal["fused", "video", "both"],
        highlight: bool,
    ) -> None:
        super().__init__()
        if alpha < 0:
            raise UserError(f"paragraph.network.alpha is {alpha}: a weight is 0 or more")
        self.network = predictor.boundary_network()
        self.embed_narrative = NarrativeEmbedding(self.network.embedding(text_dim, "narrative"), match)
        self.embed_query = self.network.embedding(text_dim, "query")
        self.alpha = alpha
        self.supervise = supervise
        self.highlight = highlight

    def forward(
        self, video: SpanOutput, narrative: Tensor, mask: Tensor, query: Tensor, query_mask: Tensor
    ) -> SpanOutput:
        """Add this branch's scores to those of the video branch.

        Args:
            video: what the video branch said.
            narrative: (B, L, D_t), of which mask (B, L) is valid.
            query: (B, Q, D_t), of which query_mask (B, Q) is valid.
        """
        embedded = self.embed_narrative(narrative, mask, query, query_mask)
        words = self.embed_query(query, query_mask)
        paragraph: SpanOutput = self.network(embedded, mask, words, query_mask)
        fused = self._fuse(video.boundaries, paragraph.boundaries, mask)
        supervised = {
            "fused": (fused,),
            "video": video.supervised,
            "both": (fused, *video.supervised),
        }[self.supervise]
        highlights = video.highlights + paragraph.highlights if self.highlight else video.highlights
        return SpanOutput(fused, supervised, highlights, mask, video.ranking)

    def _fuse(self, video: Boundaries, paragraph: Boundaries, mask: Tensor) -> Boundaries:
        """p = (p_v + α p_c) / (1 + α): Eq. 14, scaled to sum to one, which changes neither gradient nor ranking."""

        weight = math.log(self.alpha) if self.alpha else -math.inf

        def fuse(v: Tensor, c: Tensor) -> Tensor:
            # At padding both are −inf, where the gradient of logaddexp is not a number.
            v, c = v.masked_fill(~mask, 0.0), c.masked_fill(~mask, 0.0)
            scores = torch.logaddexp(v, c + weight) - math.log1p(self.alpha)
            return scores.masked_fill(~mask, -torch.inf)

        return Boundaries(fuse(video.start, paragraph.start), fuse(video.end, paragraph.end))
