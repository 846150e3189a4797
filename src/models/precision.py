"""Mixed precision, where torch's own autocast leaves it out."""

from __future__ import annotations

import torch
from torch import Tensor


def cast(x: Tensor) -> Tensor:
    """x in the precision in which autocast, if it is on, has matrices multiplied."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x
