"""How well narratives and a query agree, where both are encoded in one space."""

from __future__ import annotations

import torch
from torch import Tensor


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
    variance = centred.square().sum(dim=1, keepdim=True) / count
    # A video told in one sentence throughout matches equally everywhere; the root of 0 would have no gradient.
    return centred / variance.clamp(min=1e-6).sqrt()
