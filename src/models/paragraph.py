"""The parallel paragraph-query branch (Section 3.4, Eqs. 12 to 14)."""

from __future__ import annotations

from typing import Any

from torch import nn

from src.data.batch import Inputs
from src.errors import UserError
from src.models.match import NarrativeEmbedding
from src.models.predictor import Predictor, Streams, embed_rewordings


class ParagraphQuery(nn.Module):
    """A second network of the predictor's kind, over (narrative, query). It knows nothing of what that network says.

    Args:
        predictor: The video branch's; its `sibling` is this branch's network.
        match: Tells how narratives match the query, or None.
        text_dim: Size of the narrative and word vectors.
        alpha: α of Eq. 14, with which the video branch fuses this one's output; 0 or more.

    Raises:
        UserError: the predictor has no sibling, or alpha is below 0.
    """

    def __init__(self, predictor: Predictor[Any], match: nn.Module | None, text_dim: int, alpha: float) -> None:
        super().__init__()
        if alpha < 0:
            raise UserError(f"paragraph.network.alpha is {alpha}: a weight is 0 or more")
        self.network: Predictor[Any] = predictor.sibling()
        self.embed_narrative = NarrativeEmbedding(self.network.embedding(text_dim, "narrative"), match)
        self.embed_query = self.network.embedding(text_dim, "query")
        self.alpha = alpha

    def forward(self, inputs: Inputs, progress: float) -> Any:
        """What the sibling says of narratives (B, L, D_t) and query (B, Q, D_t)."""
        narrative = self.embed_narrative(inputs)
        query = self.embed_query(inputs.query, inputs.query_mask, inputs)
        rewordings = embed_rewordings(self.network, self.embed_query, inputs)
        streams = Streams(narrative, inputs.snippet_mask, query, inputs.query_mask, inputs, progress, rewordings)
        return self.network(streams)
