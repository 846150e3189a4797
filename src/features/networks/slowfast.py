"""SlowFast R50 8x8 (Feichtenhofer et al., ICCV 2019), as HERO_Video_Feature_Extractor (edcc012) has it, with which the
features of QVHighlights were computed.

Its state dict has the names of facebookresearch/SlowFast; `caffe2_name` gives those of the published pickle.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIM = 2304
CLASSES = 400
FRAMES = 32
"""Frames of a clip, all of which the fast pathway sees."""

SLOW_FRAMES = (0, 4, 8, 13, 17, 22, 26, 31)
"""Those that the slow pathway sees: ⌊linspace(0, 31, 8)⌋, not every fourth."""

_BLOCKS = (3, 4, 6, 3)  # of the stages s2 to s5
_SLOW_KERNELS = (1, 1, 3, 3)  # along time, of the first convolution of their blocks
_RATIO = 8  # of the channels of the slow pathway to those of the fast one
_FASTER = 4  # frames of the fast pathway for one of the slow pathway

_BATCH_NORM = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}


class SlowFast(nn.Module):
    """Clips of 32 frames to one vector each: that of the slow pathway (2048), then that of the fast one (256)."""

    def __init__(self) -> None:
        super().__init__()
        self.s1 = Pathways("stem", [Stem(64, kernel=1)], [Stem(64 // _RATIO, kernel=5)])
        self.s1_fuse = Fusion(64 // _RATIO)
        channels, out = 64, 256
        for number, (blocks, kernel) in enumerate(zip(_BLOCKS, _SLOW_KERNELS, strict=True), start=2):
            stride = 1 if number == 2 else 2
            slow = stage(channels + 2 * channels // _RATIO, out, blocks, kernel, stride)
            fast = stage(channels // _RATIO, out // _RATIO, blocks, 3, stride)
            self.add_module(f"s{number}", Pathways("res", slow, fast))
            if number < 5:
                self.add_module(f"s{number}_fuse", Fusion(out // _RATIO))
            channels, out = out, 2 * out
        self.head = Head()

    def forward(self, clips: Tensor) -> Tensor:
        """Features (B, 2304) of clips (B, 3, 32, H, W), RGB, (pixel / 255 - 0.45) / 0.225."""
        slow, fast = clips[:, :, list(SLOW_FRAMES)], clips
        for name, layer in self.named_children():
            if name != "head":
                slow, fast = layer(slow, fast)
        return torch.cat((slow.mean(dim=(2, 3, 4)), fast.mean(dim=(2, 3, 4))), dim=1)


class Pathways(nn.Module):
    """Layers of the slow and of the fast pathway, side by side."""

    def __init__(self, kind: str, slow: Sequence[nn.Module], fast: Sequence[nn.Module]) -> None:
        super().__init__()
        self._names: list[list[str]] = []
        for pathway, layers in enumerate((slow, fast)):
            numbered = [f"pathway{pathway}_{kind}{'' if kind == 'stem' else block}" for block in range(len(layers))]
            for name, layer in zip(numbered, layers, strict=True):
                self.add_module(name, layer)
            self._names.append(numbered)

    def forward(self, slow: Tensor, fast: Tensor) -> tuple[Tensor, Tensor]:
        for name in self._names[0]:
            slow = self.get_submodule(name)(slow)
        for name in self._names[1]:
            fast = self.get_submodule(name)(fast)
        return slow, fast


class Stem(nn.Module):
    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = convolution(3, channels, (kernel, 7, 7), stride=(1, 2, 2))
        self.bn = nn.BatchNorm3d(channels)

    def forward(self, clips: Tensor) -> Tensor:
        return F.max_pool3d(F.relu(self.bn(self.conv(clips))), (1, 3, 3), (1, 2, 2), (0, 1, 1))


class Fusion(nn.Module):
    """Puts what the fast pathway saw behind the channels of the slow one; the fast map goes on unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_f2s = convolution(channels, 2 * channels, (7, 1, 1), stride=(_FASTER, 1, 1))
        self.bn = nn.BatchNorm3d(2 * channels)

    def forward(self, slow: Tensor, fast: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat((slow, F.relu(self.bn(self.conv_f2s(fast)))), dim=1), fast


class Bottleneck(nn.Module):
    """A residual block; only the first of a stage has a convolution on the way around."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, first: bool) -> None:
        super().__init__()
        if first:
            self.branch1 = convolution(channels, out, (1, 1, 1), stride=(1, stride, stride))
            self.branch1_bn = nn.BatchNorm3d(out)
        self.branch2 = Transform(channels, out // 4, out, kernel, stride)
        self.first = first

    def forward(self, clips: Tensor) -> Tensor:
        around = self.branch1_bn(self.branch1(clips)) if self.first else clips
        return F.relu(around + self.branch2(clips))


class Transform(nn.Module):
    """Three convolutions: along time, over the picture (which carries the stride), and to all channels."""

    def __init__(self, channels: int, middle: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.a = convolution(channels, middle, (kernel, 1, 1))
        self.a_bn = nn.BatchNorm3d(middle)
        self.b = convolution(middle, middle, (1, 3, 3), stride=(1, stride, stride))
        self.b_bn = nn.BatchNorm3d(middle)
        self.c = convolution(middle, out, (1, 1, 1))
        self.c_bn = nn.BatchNorm3d(out)

    def forward(self, clips: Tensor) -> Tensor:
        hidden = F.relu(self.a_bn(self.a(clips)))
        hidden = F.relu(self.b_bn(self.b(hidden)))
        return self.c_bn(self.c(hidden))


class Head(nn.Module):
    """The class layer, of which features make no use: (B, 2304) to (B, 400)."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(DIM, CLASSES)

    def forward(self, features: Tensor) -> Tensor:
        return self.projection(features)


def stage(channels: int, out: int, blocks: int, kernel: int, stride: int) -> list[Bottleneck]:
    """The blocks of one pathway of a stage, from `channels` to `out`; the first carries the stride."""
    first = Bottleneck(channels, out, kernel, stride, first=True)
    return [first, *(Bottleneck(out, out, kernel, stride=1, first=False) for _ in range(1, blocks))]


def convolution(
    channels: int, out: int, kernel: tuple[int, int, int], stride: tuple[int, int, int] = (1, 1, 1)
) -> nn.Conv3d:
    """One without bias that keeps the size but for its stride; kernel and stride are (time, height, width)."""
    time, height, width = kernel
    return nn.Conv3d(channels, out, kernel, stride, (time // 2, height // 2, width // 2), bias=False)


def caffe2_names() -> dict[str, str]:
    """What the published pickle calls each entry of the state dict that it has."""
    with torch.device("meta"):
        names = SlowFast().state_dict()
    return {name: caffe2_name(name) for name in names if not name.endswith("num_batches_tracked")}


def caffe2_name(name: str) -> str:
    """What the published pickle calls an entry of the state dict.

    `t_` stands before what is of the fast pathway; the running variance (`_riv`) is stored as it is.
    """
    if name.startswith("head.projection."):
        return {"weight": "pred_w", "bias": "pred_b"}[name.rpartition(".")[2]]
    layer, _, kind = name.rpartition(".")
    if found := re.fullmatch(r"s(\d)_fuse\.(conv_f2s|bn)", layer):
        stage_number, of = int(found[1]), "" if found[2] == "conv_f2s" else "_bn"
        last = "pool1" if stage_number == 1 else f"res{stage_number}_{_BLOCKS[stage_number - 2] - 1}_branch2c_bn"
        return f"t_{last}_subsample{of}_{_ending(of, kind)}"
    found = re.fullmatch(r"s(\d)\.pathway([01])_(?:stem|res(\d))\.(.+)", layer)
    assert found, name
    fast, block, part = "t_" if found[2] == "1" else "", found[3], found[4].replace(".", "").removesuffix("_bn")
    of = "_bn" if found[4].endswith("bn") else ""
    if block is None:
        return f"{fast}{'res_' if of else ''}conv1{of}_{_ending(of, kind)}"
    return f"{fast}res{found[1]}_{block}_{part}{of}_{_ending(of, kind)}"


def _ending(of: str, kind: str) -> str:
    return _BATCH_NORM[kind] if of else "w"
