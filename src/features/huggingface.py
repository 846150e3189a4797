"""Vision and video encoders of transformers (CLIP, SigLIP, VideoMAE …), by name on the hub or by local path."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.errors import UserError, reason
from src.features.extractor import Extractor, Frames
from src.files import digest
from src.hub import loading, require_weights

_SIDE = 224  # pixels of the picture that a model is tried on


class _Model(NamedTuple):
    processor: Any
    network: Any
    clip: int | None  # frames that a video encoder takes at once; None for an encoder of images


class HuggingFaceVision(Extractor):
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

    def __call__(self, windows: Frames) -> NDArray[np.float32]:
        return self._encoded(self._model, windows)

    @torch.inference_mode()
    def _encoded(self, model: _Model, snippets: Frames) -> NDArray[np.float32]:
        processor, network, clip = model
        if clip is not None:
            clips = processor([list(frames) for frames in snippets], return_tensors="pt")
            states: Tensor = network(**self._inputs(clips, network.forward)).last_hidden_state
            return states.mean(dim=1).float().cpu().numpy()
        images = list(snippets.reshape(-1, *snippets.shape[2:]))
        vectors = self._image_vectors(network, processor(images, return_tensors="pt"))
        if not isinstance(vectors, Tensor) or vectors.ndim < 2 or vectors.shape[2:].numel() != 1:
            raise UserError(f"video encoder {self.model} gives no vector of an image, but {_shape(vectors)}")
        if len(vectors) != len(images):
            raise UserError(f"video encoder {self.model} gives {len(vectors)} vectors of {len(images)} images")
        return vectors.flatten(1).unflatten(0, (-1, snippets.shape[1])).mean(dim=1).float().cpu().numpy()

    def _image_vectors(self, network: Any, images: Any) -> Any:
        """What should be (n, dim), of n images."""
        if hasattr(network, "get_image_features"):
            return network.get_image_features(**self._inputs(images, network.get_image_features)).pooler_output
        output = network(**self._inputs(images, network.forward))
        pooled = output.get("pooler_output")
        return output.last_hidden_state.mean(dim=1) if pooled is None else pooled

    def _inputs(self, processed: Any, call: Callable[..., Any]) -> dict[str, Any]:
        """What a processor gives, as far as `call` takes it: some models need to know which patches are pictures."""
        known = inspect.signature(call).parameters
        return {
            name: value.to(self.device) if isinstance(value, Tensor) else value
            for name, value in processed.items()
            if name in known
        }

    @cached_property
    def _model(self) -> _Model:
        from transformers import AutoImageProcessor, AutoModel

        with loading("video encoder", self.model, "features.model"):
            processor = AutoImageProcessor.from_pretrained(self.model)
            network, report = AutoModel.from_pretrained(self.model, output_loading_info=True)
        require_weights("video encoder", self.model, (name for name in report["missing_keys"] if "pooler" not in name))
        model = _Model(processor, network.eval().to(self.device), getattr(network.config, "num_frames", None))
        try:
            self._encoded(model, np.full((1, model.clip or self._frames, _SIDE, _SIDE, 3), 128, np.uint8))
        except UserError:
            raise
        except Exception as error:  # what models demand is as manifold as they are
            raise UserError(f"{self.model} is no encoder of images or videos ({reason(error)[:300]})") from error
        return model


def _shape(value: Any) -> str:
    return f"an array of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
