"""Videos of any length on the N frames of a map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from src.errors import UserError
from src.models.proposals.segments import canvas


def require_multiple(samples: int, scales: Sequence[int]) -> None:
    """Raise a UserError if the frames of a map of `scales` cannot each be the mean of as many of `samples`."""
    frames = canvas(scales)
    if samples % frames:
        raise UserError(
            f"predictor.network.samples={samples}: give a multiple of the {frames} frames that "
            f"predictor.network.scales={list(scales)} make"
        )


def resampled(video: Tensor, mask: Tensor, samples: int, frames: int) -> Tensor:
    """A video's snippets drawn out or drawn together to `samples`, of which each frame is the mean of as many.

    Sample i is the mean of the snippets from round(i·n/S) to round((i + 1)·n/S), halves to even and none after n − 1,
    or the one where that is empty: a short video repeats snippets, a long one loses its last, as 2D-TAN is released.

    Args:
        video: (B, L, d), of which mask (B, L) is valid.
        samples: S.
        frames: N, a divisor of S.

    Returns:
        (B, N, d).
    """
    length = mask.sum(dim=1, keepdim=True)
    # Halves are exact in double precision.
    edge = torch.arange(samples + 1, device=video.device, dtype=torch.float64) * length / samples
    edge = edge.round().long().minimum(length - 1)
    weight = _share(edge[:, :-1], edge[:, 1:], video.shape[1]).unflatten(1, (frames, -1)).mean(dim=2)
    return weight.to(video.dtype) @ video.masked_fill(~mask[..., None], 0.0)


def fitted(video: Tensor, mask: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """A video's snippets as they are, with zeros after them; one of more than N in N equal parts, each the mean of its.

    Args:
        video: (B, L, d), of which mask (B, L) is valid.
        frames: N.

    Returns:
        (B, N, d), and how many of the frames are each video's, (B,).
    """
    length = mask.sum(dim=1, keepdim=True)
    count = length.clamp(max=frames)
    place = torch.arange(frames + 1, device=video.device, dtype=torch.float64)
    edge = (place * length / count).round().long()
    weight = _share(edge[:, :-1], edge[:, 1:], video.shape[1])
    return weight.to(video.dtype) @ video.masked_fill(~mask[..., None], 0.0), count.squeeze(1)


def _share(start: Tensor, stop: Tensor, count: int) -> Tensor:
    """The weight of each of `count` snippets in the mean of [start, stop), at least of one: (B, P) to (B, P, L)."""
    stop = stop.maximum(start + 1)
    place = torch.arange(count, device=start.device)
    inside = (place >= start[..., None]) & (place < stop[..., None])
    return inside / (stop - start)[..., None]
