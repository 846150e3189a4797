"""Vision and video encoders of transformers (CLIP, SigLIP, VideoMAE …), by name on the hub or by local path."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.errors import UserError, reason
from src.features.extractor import Frames
from src.files import digest


class _Model(NamedTuple):
    processor: Any
    network: Any
    clip: int | None  # frames that a video encoder takes at once; None for an encoder of images


class HuggingFaceVision:
    """An encoder of images gives the mean of its vectors of the snippet's frames: the vector that is compared with text
    where the model has one (CLIP, SigLIP), else its pooled output or the mean of its patches. An encoder of videos
    (whose configuration has `num_frames`) gives the mean of its patches over the snippet.

    Args:
        model: The model's name on the hub, or its local path.
        frames: The frames of a snippet that an encoder of images looks at. One of videos takes as many as it was made
            for.
        device: The device of the model, such as `cuda`; `auto` for a GPU where there is one.
    """

    def __init__(self, model: str, frames: int, device: str) -> None:
        if frames < 1:
            raise UserError(f"features: frames={frames} must be 1 or more")
        self.model = model
        self._frames = frames
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device

    @property
    def identity(self) -> dict[str, Any]:
        files = sorted(path for path in Path(self.model).glob("*") if path.is_file())
        place = str(Path(self.model).absolute()) if files else self.model
        return {"extractor": "hf", "model": place, "files": digest(files) if files else None, "frames": self._frames}

    @property
    def frames(self) -> int:
        return self._model.clip or self._frames

    @torch.inference_mode()
    def __call__(self, snippets: Frames) -> NDArray[np.float32]:
        processor, network, clip = self._model
        if clip is not None:
            pixels = processor([list(frames) for frames in snippets], return_tensors="pt")["pixel_values"]
            states: Tensor = network(pixel_values=pixels.to(self.device)).last_hidden_state
            return states.mean(dim=1).float().cpu().numpy()
        count = snippets.shape[1]
        pixels = processor(list(snippets.reshape(-1, *snippets.shape[2:])), return_tensors="pt")["pixel_values"]
        vectors = _image_vectors(network, pixels.to(self.device))
        return vectors.unflatten(0, (-1, count)).mean(dim=1).float().cpu().numpy()

    @cached_property
    def _model(self) -> _Model:
        from transformers import AutoImageProcessor, AutoModel

        try:
            processor = AutoImageProcessor.from_pretrained(self.model)
            network, report = AutoModel.from_pretrained(self.model, output_loading_info=True)
        except Exception as error:  # a damaged file can make the libraries beneath raise anything
            raise UserError(
                f"video encoder {self.model} cannot be loaded ({reason(error)}): set features.model to a local path"
            ) from error
        lacking = sorted(name for name in report["missing_keys"] if "pooler" not in name)
        if lacking:
            raise UserError(f"video encoder {self.model} has no weights for {lacking[0]} and {len(lacking) - 1} more")
        return _Model(processor, network.eval().to(self.device), getattr(network.config, "num_frames", None))


def _image_vectors(network: Any, pixels: Tensor) -> Tensor:
    """(n, dim) of images (n, 3, height, width)."""
    if hasattr(network, "get_image_features"):
        return network.get_image_features(pixel_values=pixels).pooler_output
    output = network(pixel_values=pixels)
    pooled = output.get("pooler_output")
    vectors: Tensor = output.last_hidden_state.mean(dim=1) if pooled is None else pooled.flatten(1)
    return vectors
