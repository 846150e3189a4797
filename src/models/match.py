"""How well each narrative matches the query, as one more number that a network reads with the narratives."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def standardised_cosine(narrative: Tensor, mask: Tensor, query: Tensor, query_mask: Tensor) -> Tensor:
    """Cosine similarity of each narrative with the mean of the query's words, standardised within its video.

    Meaningful where narratives and queries are encoded in one space, as the paper has them.

    Args:
        narrative: (B, L, D_t), of which mask (B, L) is valid.
        query: (B, Q, D_t), of which query_mask (B, Q) is valid.

    Returns:
        (B, L), mean 0 and variance 1 over the valid snippets of a video, 0 elsewhere.
    """
    words = query_mask[..., None].to(query.dtype)
    sentence = (query * words).sum(dim=1, keepdim=True) / words.sum(dim=1, keepdim=True)
    cosine = torch.cosine_similarity(narrative, sentence, dim=-1)
    valid = mask.to(cosine.dtype)
    count = valid.sum(dim=1, keepdim=True)
    centred = (cosine - (cosine * valid).sum(dim=1, keepdim=True) / count) * valid
    deviation = (centred.square().sum(dim=1, keepdim=True) / count).sqrt()
    # A video told in one sentence throughout matches equally everywhere.
    return centred / deviation.clamp(min=1e-3)


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
        embedding: of the narratives, called with them and their mask.
        match: called as `CosineMatch`, or None.
    """

    def __init__(self, embedding: nn.Module, match: nn.Module | None) -> None:
        super().__init__()
        self.embedding = embedding
        self.match = match

    def forward(self, narrative: Tensor, mask: Tensor, query: Tensor, query_mask: Tensor) -> Tensor:
        """narrative (B, L, D_t) and query (B, Q, D_t) with their masks, to (B, L, d)."""
        embedded = self.embedding(narrative, mask)
        return embedded if self.match is None else embedded + self.match(narrative, mask, query, query_mask)
