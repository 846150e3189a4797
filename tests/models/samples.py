"""Small random samples, as the loader would make them."""

from __future__ import annotations

import torch

from src.data.batch import Sample
from src.data.records import Moment


def sample(seed: int, length: int, words: int, video_dim: int = 12, text_dim: int = 10) -> Sample:
    generator = torch.Generator().manual_seed(seed)
    first = int(torch.randint(0, length, (1,), generator=generator))
    last = int(torch.randint(first, length, (1,), generator=generator))
    duration = 2.0 * length
    return Sample(
        moment=Moment(f"q{seed}", f"v{seed}", "a person waves", ((2.0 * first, 2.0 * (last + 1)),), duration),
        video=torch.randn(length, video_dim, generator=generator),
        narrative=torch.randn(length, text_dim, generator=generator),
        length=length,
        query=torch.randn(words, text_dim, generator=generator),
        unknown=torch.rand(words, generator=generator) < 0.3,
        target=(first, last),
    )
