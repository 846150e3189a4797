"""How narratives are embedded: by themselves, or with how well each matches the query beside them."""

from __future__ import annotations

from torch import Tensor, nn

from src.data.batch import Inputs
from src.data.similarity import Pooling, standardised_cosine


class CosineMatch(nn.Module):
    """Adds the standardised cosine, through a linear layer, to embedded narratives.

    Args:
        dim: d.
        rewordings: The similarity of a query that has rewordings: the `mean` of theirs and its own, or the `best`.
    """

    def __init__(self, dim: int, rewordings: Pooling = "mean") -> None:
        super().__init__()
        self.rewordings = rewordings
        self.embed = nn.Linear(1, dim)

    def forward(self, inputs: Inputs) -> Tensor:
        """The vectors (B, L, d) to add."""
        return self.embed(standardised_cosine(inputs, self.rewordings)[..., None])


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
        assert inputs.narrative is not None
        embedded = self.embedding(inputs.narrative, inputs.snippet_mask, inputs)
        if self.match is None:
            return embedded
        return embedded + self.match(inputs)
