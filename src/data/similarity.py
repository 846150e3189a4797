"""How well narratives and a query agree, where both are encoded in one space."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from src.data.batch import Inputs

Pooling = Literal["mean", "best"]
"""What the similarities of a query and its rewordings become one by."""


def sentence_vectors(words: Tensor, mask: Tensor) -> Tensor:
    """The mean of each sentence's words (B, Q, D_t), of which mask (B, Q) is valid: (B, D_t)."""
    valid = mask[..., None].to(words.dtype)
    return (words * valid).sum(dim=1) / valid.sum(dim=1)


def cosines(narrative: Tensor, sentences: Tensor) -> Tensor:
    """Cosine similarity of narratives (B, L, D_t) and sentences (B, S, D_t): (B, S, L)."""
    return F.normalize(sentences, dim=-1) @ F.normalize(narrative, dim=-1).mT


def query_cosines(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """The cosines of the narratives of `inputs` with each query and its rewordings, the query first.

    Meaningful where narratives and queries are encoded in one space, as the paper has them.

    Returns:
        (B, 1 + R, L), and which of the sentences there are, (B, 1 + R) bool.
    """
    assert inputs.narrative is not None
    sentences, present = sentence_vectors(inputs.query, inputs.query_mask)[:, None], inputs.query_mask[:, :1]
    if inputs.rewordings is not None and inputs.reworded is not None:
        sentences = torch.cat((sentences, inputs.rewordings), dim=1)
        present = torch.cat((present, inputs.reworded), dim=1)
    return cosines(inputs.narrative, sentences), present


def pooled(similarity: Tensor, present: Tensor, how: Pooling) -> Tensor:
    """One similarity (B, L) of those of several sentences (B, S, L), of which `present` (B, S) are there."""
    if how == "best":
        return similarity.masked_fill(~present[..., None], -torch.inf).amax(dim=1)
    weight = present[..., None].to(similarity.dtype)
    return (similarity * weight).sum(dim=1) / weight.sum(dim=1)


def standardised(similarity: Tensor, mask: Tensor) -> Tensor:
    """Similarities (B, L) with mean 0 and variance 1 over each video's valid snippets, mask (B, L); 0 elsewhere."""
    valid = mask.to(similarity.dtype)
    count = valid.sum(dim=1, keepdim=True)
    centred = (similarity - (similarity * valid).sum(dim=1, keepdim=True) / count) * valid
    variance = centred.square().sum(dim=1, keepdim=True) / count
    # A video told in one sentence throughout matches equally everywhere; the root of 0 would have no gradient.
    return centred / variance.clamp(min=1e-6).sqrt()


def standardised_cosine(inputs: Inputs, how: Pooling = "mean") -> Tensor:
    """How each narrative of `inputs` agrees with its query and the query's rewordings, standardised: (B, L)."""
    return standardised(pooled(*query_cosines(inputs), how), inputs.snippet_mask)
