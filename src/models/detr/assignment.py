"""Which moment query answers for which window: an optimal assignment, solved for a whole batch at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from src.moments import generalised_iou


class Matches(NamedTuple):
    """Matched pairs: `sample`, `query` and `window` index the same pair at the same place; each is (pairs,)."""

    sample: Tensor
    query: Tensor
    window: Tensor

    def of(self, first: int, samples: int) -> Matches:
        """The pairs of the samples first … first + samples − 1, which are numbered from 0 in the result."""
        here = (self.sample >= first) & (self.sample < first + samples)
        return Matches(self.sample[here] - first, self.query[here], self.window[here])


def to_bounds(spans: Tensor) -> Tensor:
    """(centre, width) to (start, end), both (..., 2)."""
    centre, width = spans.unbind(-1)
    return torch.stack((centre - width / 2, centre + width / 2), dim=-1)


def to_spans(bounds: Tensor) -> Tensor:
    """(start, end) to (centre, width), both (..., 2)."""
    start, end = bounds.unbind(-1)
    return torch.stack(((start + end) / 2, end - start), dim=-1)


@torch.no_grad()
def match(logits: Tensor, spans: Tensor, targets: Tensor, costs: tuple[float, float, float]) -> Matches:
    """The cheapest one-to-one assignment of windows to moment queries, in each sample; surplus windows have none.

    The cost of a pair is costs · (L1 of centre and width, −generalised IoU, −foreground probability).

    Args:
        logits: (S, N, 2), foreground first.
        spans: (S, N, 2) predicted (centre, width).
        targets: (S, W, 2) annotated (centre, width); NaN rows are none.
        costs: the three weights.
    """
    present = ~targets.isnan().any(dim=-1)
    targets = targets.nan_to_num()[:, None]
    distance = (spans[:, :, None] - targets).abs().sum(dim=-1)
    overlap = generalised_iou(to_bounds(spans)[:, :, None], to_bounds(targets))
    foreground = logits.softmax(dim=-1)[..., :1]
    cost = costs[0] * distance - costs[1] * overlap - costs[2] * foreground

    # One assignment for all samples: a pair across two samples costs more than any others could save.
    cost = cost.double()
    samples, queries, windows = cost.shape
    here = torch.arange(samples, device=cost.device)
    joint = cost.new_full((samples, queries, samples, windows), 1 + 2 * float(cost.abs().sum()))
    joint[here, :, here] = cost
    columns = present.flatten().nonzero().squeeze(1)
    rows, chosen = linear_sum_assignment(joint.view(samples * queries, samples * windows)[:, columns].cpu().numpy())
    row = torch.as_tensor(rows, device=cost.device)
    column = columns[torch.as_tensor(chosen, device=cost.device)]
    paired = row // queries == column // windows
    row, column = row[paired], column[paired]
    return Matches(row // queries, row % queries, column % windows)
