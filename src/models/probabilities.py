"""Probabilities over the snippets or segments of padded videos, as logarithms."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def log_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Logits (B, N) to log-probabilities, −inf where mask (B, N) says that there is nothing."""
    return logits.masked_fill(~mask, -torch.inf).log_softmax(dim=1)


def mixed(one: Tensor, other: Tensor, mask: Tensor, weight: float) -> Tensor:
    """p = (p_1 + α p_2) / (1 + α) of log-probabilities (B, N): Eq. 14, scaled to sum to one, which changes neither
    gradient nor ranking. `weight` is α, `mask` (B, N) where there is anything."""
    # At padding both are −inf, where the gradient of logaddexp is not a number.
    one, other = one.masked_fill(~mask, 0.0), other.masked_fill(~mask, 0.0)
    scores = torch.logaddexp(one, other + (math.log(weight) if weight else -math.inf)) - math.log1p(weight)
    return scores.masked_fill(~mask, -torch.inf)


def mixed_logits(one: Tensor, other: Tensor, weight: float) -> Tensor:
    """The logit of p = (p_1 + α p_2) / (1 + α) of two probabilities given by their logits; `weight` is α."""
    share = math.log(weight) if weight else -math.inf
    yes = torch.logaddexp(F.logsigmoid(one), F.logsigmoid(other) + share)
    no = torch.logaddexp(F.logsigmoid(-one), F.logsigmoid(-other) + share)
    return yes - no
