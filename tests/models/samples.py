"""Small random samples, as the loader would make them."""

from __future__ import annotations

from itertools import cycle, islice

import torch

from src.data.batch import Labelled, Sample
from src.data.records import Moment


def sample(seed: int, length: int, words: int, video_dim: int = 12, text_dim: int = 10) -> Labelled:
    generator = torch.Generator().manual_seed(seed)
    first = int(torch.randint(0, length, (1,), generator=generator))
    last = int(torch.randint(first, length, (1,), generator=generator))
    duration = 2.0 * length
    sentence = " ".join(islice(cycle(("a", "person", "waves")), words))
    moment = Moment(f"q{seed}", f"v{seed}", sentence, ((2.0 * first, 2.0 * (last + 1)),), duration)
    seen = Sample(
        sentence=moment.query,
        duration=duration,
        video=torch.randn(length, video_dim, generator=generator),
        narrative=torch.randn(length, text_dim, generator=generator),
        length=length,
        query=torch.randn(words, text_dim, generator=generator),
        unknown=torch.rand(words, generator=generator) < 0.3,
    )
    return Labelled(seen, moment, (first, last))
