"""Published networks as extractors: weights from a file of the user's, frames normalised where the network runs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from src.errors import UserError, reason
from src.features.extractor import Extractor, Frames
from src.features.networks import c3d, slowfast
from src.features.networks.c3d import C3D
from src.features.networks.i3d import CLASSES, I3D
from src.features.networks.slowfast import SlowFast
from src.features.networks.vgg import VGG16
from src.features.networks.weights import loaded, missing_weights, read_caffe2, read_torch, sha256
from src.videos.frames import Pixels

Precision = Literal["float32", "bfloat16"]


class NetworkExtractor(Extractor):
    """What the published networks share.

    Args:
        weights: The file of the published weights. It is never fetched.
        source: Its address and size, for the message where it is missing.
        device: The device of the network, such as `cuda`; `auto` for a GPU where there is one.
        precision: That of the network: `float32` (without TF32) or `bfloat16`.
    """

    kind: str
    version = 1  # of what is computed: another one, other features

    def __init__(self, weights: str, source: str, device: str, precision: Precision) -> None:
        self.weights = Path(weights)
        self.source = source
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.precision: Precision = precision

    @property
    def identity(self) -> dict[str, Any]:
        made = {"extractor": self.kind, "version": self.version, "frames": self.frames, "vectors": self.vectors}
        return {**made, "sha256": self._digest, "precision": self.precision}

    def missing(self) -> list[str]:
        return missing_weights(self.weights, self.source)

    @torch.inference_mode()
    def __call__(self, windows: Frames) -> NDArray[np.float32]:
        # No autotuning and no TF32: what is said of a window must not depend on when it was computed.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False):
            pixels = torch.from_numpy(windows).to(self.device, non_blocking=True).permute(0, 4, 1, 2, 3)
            clips = self.normalised(pixels.to(getattr(torch, self.precision)))
            features = self.features(self.network, clips.contiguous(memory_format=torch.channels_last_3d))
        return features.float().cpu().numpy()

    @abstractmethod
    def normalised(self, pixels: Tensor) -> Tensor:
        """Clips (B, 3, T, H, W) as the network takes them, of RGB in [0, 255]."""

    @abstractmethod
    def features(self, network: nn.Module, clips: Tensor) -> Tensor:
        """Vectors (B, vectors, dim) of normalised clips."""

    @abstractmethod
    def load(self) -> nn.Module:
        """The network with the published weights.

        Raises:
            UserError: They cannot be read, or are of another network.
        """

    @cached_property
    def network(self) -> nn.Module:
        """The network where it runs, in evaluation mode."""
        if missing := self.missing():
            raise UserError(missing[0])
        network = self.load().to(self.device, getattr(torch, self.precision))
        return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    @cached_property
    def _digest(self) -> str | None:
        return sha256(self.weights) if self.weights.is_file() else None


class I3DExtractor(NetworkExtractor):
    """RGB I3D: a vector every 8 frames of a window, but for the last 8.

    Args:
        frames: The frames of a window, 16 or more.
        trained_on: What the weights are of: `charades` (157 classes) or `kinetics` (400).
    """

    kind = "i3d"

    def __init__(
        self,
        weights: str,
        source: str,
        device: str,
        precision: Precision,
        frames: int,
        trained_on: Literal["charades", "kinetics"],
    ) -> None:
        super().__init__(weights, source, device, precision)
        if frames < 16 or trained_on not in CLASSES:
            raise UserError(
                f"features: frames={frames} must be 16 or more, trained_on={trained_on} one of {[*CLASSES]}"
            )
        self._frames = frames
        self.trained_on = trained_on
        self.vectors = -(-frames // 8) - 1

    @property
    def frames(self) -> int:
        return self._frames

    def normalised(self, pixels: Tensor) -> Tensor:
        return pixels / 255 * 2 - 1

    def features(self, network: nn.Module, clips: Tensor) -> Tensor:
        return network(clips).flatten(2).transpose(1, 2)

    def load(self) -> nn.Module:
        state = read_torch(self.weights)
        classes = state["logits.conv3d.bias"].shape[0] if "logits.conv3d.bias" in state else None
        if classes in CLASSES.values() and classes != CLASSES[self.trained_on]:
            other = next(name for name, count in CLASSES.items() if count == classes)
            raise UserError(
                f"{self.weights} has {classes} classes, so it was trained on {other}, not on {self.trained_on}: give "
                f"the weights from {self.source}, or features=i3d_{other}"
            )
        return loaded(lambda: I3D(CLASSES[self.trained_on]), state, self.weights)


class SlowFastExtractor(NetworkExtractor):
    """SlowFast R50 8x8 as HERO_Video_Feature_Extractor uses it: of a clip's frames at 30 a second 32 are seen.

    Args:
        seconds: The length S of a clip: 2 for QVHighlights, 1 for Charades-STA.
        sampling: Which 32. `released`: ⌊min(linspace(0, 64 · f/30 - 1, 32), 30 · S - 1)⌋, where f is the rate that the
            video's file states, cut to an integer; f makes no sense there, as the frames are at 30 a second, but all
            published features have it. `even`: ⌊linspace(0, 30 · S - 1, 32)⌋.
    """

    kind = "slowfast_r50_8x8"
    rate = 30

    def __init__(
        self,
        weights: str,
        source: str,
        device: str,
        precision: Precision,
        seconds: float,
        sampling: Literal["released", "even"],
    ) -> None:
        super().__init__(weights, source, device, precision)
        if seconds < 1 or seconds != int(seconds):
            raise UserError(f"features: SlowFast's clips are of whole seconds, not of seconds={seconds}")
        if sampling not in ("released", "even"):
            raise UserError(f"features: sampling={sampling}: give released or even")
        self.seconds = int(seconds)
        self.sampling = sampling

    @property
    def identity(self) -> dict[str, Any]:
        return {**super().identity, "sampling": self.sampling}

    @property
    def frames(self) -> int:
        return self.rate * self.seconds

    def window(self, frames: Sequence[Pixels], rate: float) -> Sequence[Pixels]:
        """The last frame again up to a whole second, then the whole last second again, whatever is there of a clip."""
        whole = [*frames, *[frames[-1]] * (-len(frames) % self.rate)]
        whole += whole[-self.rate :] * ((self.frames - len(whole)) // self.rate)
        return [whole[index] for index in self.chosen(rate)]

    def chosen(self, rate: float) -> list[int]:
        """Which of a clip's frames the network sees, for a file that states `rate` frames a second (0: unknown)."""
        last = 64 * (int(rate) or self.rate) / self.rate - 1 if self.sampling == "released" else self.frames - 1
        times = np.linspace(0, last, slowfast.FRAMES)
        return np.minimum(times, self.frames - 1).astype(int).tolist()

    def normalised(self, pixels: Tensor) -> Tensor:
        return (pixels / 255 - 0.45) / (0.225 + 1e-8)

    def features(self, network: nn.Module, clips: Tensor) -> Tensor:
        return network(clips)[:, None]

    def load(self) -> nn.Module:
        return loaded(SlowFast, read_caffe2(self.weights, slowfast.caffe2_names()), self.weights)


class VGGExtractor(NetworkExtractor):
    """fc7 of VGG-16 for each frame, by weights of ImageNet or of Charades: the file says which by its classes."""

    kind = "vgg16"
    _mean, _deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    @property
    def frames(self) -> int:
        return 1

    def normalised(self, pixels: Tensor) -> Tensor:
        mean, deviation = (pixels.new_tensor(each).reshape(3, 1, 1, 1) for each in (self._mean, self._deviation))
        return (pixels / 255 - mean) / deviation

    def features(self, network: nn.Module, clips: Tensor) -> Tensor:
        return network(clips.flatten(1, 2))[:, None]

    def load(self) -> nn.Module:
        state = read_torch(self.weights)
        layer = state.get("classifier.6.bias")
        return loaded(lambda: VGG16(1000 if layer is None else len(layer)), state, self.weights)


class C3DExtractor(NetworkExtractor):
    """fc6 of C3D, or what ActivityNet's projection makes of it.

    Frames are 171 × 128 in C3D; here the shorter side is scaled to 128, which differs for videos that are not 4:3.

    Args:
        projection: The file of ActivityNet's principal components (datasets `U` of (4096, n) and `x_mean` of (4096) in
            an HDF5 file); None keeps the 4096 numbers.
        dim: The numbers kept.
    """

    kind = "c3d"
    _mean = (90.0, 98.0, 102.0)  # of blue, green and red, as jfzhang95/pytorch-video-recognition has it

    def __init__(
        self, weights: str, source: str, device: str, precision: Precision, projection: str | None, dim: int
    ) -> None:
        super().__init__(weights, source, device, precision)
        self.projection = None if projection is None else Path(projection)
        self.dim = dim

    @property
    def identity(self) -> dict[str, Any]:
        projection = self.projection
        projected = sha256(projection) if projection is not None and projection.is_file() else None
        return {**super().identity, "projected": projection is not None, "projection": projected}

    @property
    def frames(self) -> int:
        return c3d.FRAMES

    def missing(self) -> list[str]:
        missing = super().missing()
        if self.projection is not None and not self.projection.is_file():
            missing.append(f"no projection at {self.projection}: give the file of ActivityNet's principal components")
        return missing

    def __call__(self, windows: Frames) -> NDArray[np.float32]:
        features = super().__call__(windows)
        if self._components is None:
            return features
        mean, components = self._components
        return ((features - mean) @ components).astype(np.float32)

    def normalised(self, pixels: Tensor) -> Tensor:
        return pixels.flip(1) - pixels.new_tensor(self._mean).reshape(3, 1, 1, 1)

    def features(self, network: nn.Module, clips: Tensor) -> Tensor:
        return network(clips)[:, None]

    def load(self) -> nn.Module:
        return loaded(C3D, read_torch(self.weights), self.weights)

    @cached_property
    def _components(self) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """The mean (4096) and the first `dim` components (4096, dim)."""
        if self.projection is None:
            return None
        found: dict[str, NDArray[np.float32]] = {}

        def visit(name: str, node: Any) -> None:
            if isinstance(node, h5py.Dataset):
                found[name.rpartition("/")[2]] = np.asarray(node[()], np.float32)

        try:
            with h5py.File(self.projection, locking=False) as file:
                file.visititems(visit)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(f"{self.projection} is not an HDF5 file, or a damaged one ({reason(error)})") from error
        mean, components = found.get("x_mean"), found.get("U")
        if mean is None or components is None or mean.size != c3d.DIM or len(components) != c3d.DIM:
            raise UserError(f"{self.projection} is no projection of C3D: it needs x_mean of 4096 and U of (4096, n)")
        if components.shape[1] < self.dim:
            raise UserError(f"{self.projection} has {components.shape[1]} components, but features.dim is {self.dim}")
        return mean.reshape(-1), components[:, : self.dim]
