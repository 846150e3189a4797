"""C3D (Tran et al., ICCV 2015), under the names of the Sports-1M weights that DavideA/c3d-pytorch converted."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

DIM = 4096
CLASSES = 487
FRAMES = 16


class C3D(nn.Module):
    """Clips of 16 frames to fc6 after its ReLU."""

    def __init__(self) -> None:
        super().__init__()
        widths = {"1": (3, 64), "2": (64, 128), "3a": (128, 256), "3b": (256, 256)}
        widths |= {"4a": (256, 512), "4b": (512, 512), "5a": (512, 512), "5b": (512, 512)}
        for name, (channels, width) in widths.items():
            self.add_module(f"conv{name}", nn.Conv3d(channels, width, 3, padding=1))
        self.fc6 = nn.Linear(8192, DIM)
        self.fc7 = nn.Linear(DIM, DIM)
        self.fc8 = nn.Linear(DIM, CLASSES)

    def forward(self, clips: Tensor) -> Tensor:
        """fc6 (B, 4096) of clips (B, 3, 16, 112, 112): BGR in [0, 255], less the mean of Sports-1M."""
        hidden = F.max_pool3d(self._unit("1", clips), (1, 2, 2))
        hidden = F.max_pool3d(self._unit("2", hidden), 2)
        hidden = F.max_pool3d(self._unit("3b", self._unit("3a", hidden)), 2)
        hidden = F.max_pool3d(self._unit("4b", self._unit("4a", hidden)), 2)
        hidden = F.max_pool3d(self._unit("5b", self._unit("5a", hidden)), 2, padding=(0, 1, 1))
        return F.relu(self.fc6(hidden.flatten(1)))

    def _unit(self, name: str, clips: Tensor) -> Tensor:
        return F.relu(self.get_submodule(f"conv{name}")(clips))
