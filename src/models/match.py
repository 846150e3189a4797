"""How narratives are embedded: by themselves, or with how well each matches the query beside them."""

from __future__ import annotations

from torch import Tensor, nn

from src.data.batch import Inputs
from src.data.similarity import standardised_cosine


class CosineMatch(nn.Module):
    """Adds the standardised cosine, through a linear layer, to embedded narratives. `dim` is d."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.embed = nn.Linear(1, dim)

    def forward(self, narrative: Tensor, mask: Tensor, query: Tensor, query_mask: Tensor) -> Tensor:
        """The vectors (B, L, d) to add; the arguments are those of `standardised_cosine`."""
        return self.embed(standardised_cosine(narrative, mask, query, query_mask)[..., None])


class NarrativeEmbedding(nn.Module):
    """Embeds narratives, and adds how they match the query if there is something to tell that.

    Args:
        embedding: The predictor's, for the stream "narrative".
        match: Called as `CosineMatch` is, or None.
    """

    def __init__(self, embedding: nn.Module, match: nn.Module | None) -> None:
        super().__init__()
        self.embedding = embedding
        self.match = match

    def forward(self, inputs: Inputs) -> Tensor:
        """The narratives of `inputs`, (B, L, D_t), to (B, L, d)."""
        narrative, mask = inputs.narrative, inputs.snippet_mask
        assert narrative is not None
        embedded = self.embedding(narrative, mask, inputs)
        if self.match is None:
            return embedded
        return embedded + self.match(narrative, mask, inputs.query, inputs.query_mask)
