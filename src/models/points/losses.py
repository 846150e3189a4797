"""The losses that point predictors share, unweighted. B samples, L clips."""

from __future__ import annotations

import torch
from torch import Tensor

TEMPERATURE = 0.07
"""Of every contrast of cosines, in UniVTG and in FlashVTG."""


def contrast(saliency: Tensor, positive: Tensor, eligible: Tensor) -> Tensor:
    """How little a sample's positive clip stands out among its eligible clips, and among the same clips of the batch.

    −log softmax over the sample's eligible clips, and −log softmax over the samples in which the clip of that number is
    eligible: the second compares one place in different videos, as UniVTG's released code does. Each a batch mean.

    Args:
        saliency: (B, L) cosines.
        positive: (B,) a clip of each sample.
        eligible: (B, L) what it is compared with; itself among them.
    """
    logits = (saliency.float() / TEMPERATURE).masked_fill(~eligible, -torch.inf)
    within = logits.logsumexp(dim=1)
    across = logits[:, positive].logsumexp(dim=0)
    return (within + across - 2 * logits.gather(1, positive[:, None]).squeeze(1)).mean()
