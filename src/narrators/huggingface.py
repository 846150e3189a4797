"""Image-text-to-text models of transformers: LLaVA, BLIP-2, Qwen2.5-VL, InternVL and the like."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from src.errors import UserError
from src.errors import reason as said
from src.hub import loading, require_weights
from src.language.speech import has_reasoning
from src.narrators.narrator import NarrationError
from src.narrators.pipeline import FrameNarrator
from src.videos.frames import Pixels

Quantization = Literal["none", "8bit", "4bit"]

_TRIAL_SIDE = 224  # pixels, which no model is too small or too large for
_log = logging.getLogger(__name__)


class HuggingFaceNarrator(FrameNarrator):
    """Captions a batch of frames with one call of `generate`.

    Args:
        name, interval: The same as `FrameNarrator` has.
        model: The model's name on the hub, or its local path.
        prompt: P of Eq. 1, put into the chat template of the model's processor; None for a model that takes none.
        generation: The settings of `generate`, `max_new_tokens` among them.
        quantization: The quantization of the weights through bitsandbytes: `none`, `8bit` or `4bit`.
        dtype: The type of weights and activations, such as bfloat16; `auto` for the checkpoint's.
        device_map: The devices, as transformers takes them: `auto`, `cpu`, `cuda:0` …
        batch_size: The frames captioned at a time. When memory runs out it is halved, for good.
    """

    def __init__(
        self,
        name: str,
        interval: float,
        model: str,
        prompt: str | None,
        generation: Mapping[str, Any],
        quantization: Quantization,
        dtype: str,
        device_map: str,
        batch_size: int,
    ) -> None:
        if quantization not in ("none", "8bit", "4bit"):
            raise UserError(f"narrator.quantization is {quantization!r}: give none, 8bit or 4bit")
        if dtype != "auto" and not isinstance(getattr(torch, dtype, None), torch.dtype):
            raise UserError(f"narrator.dtype is {dtype!r}: give auto, float32, float16 or bfloat16")
        super().__init__(name, interval, batch_size, under_way=1)
        self.model = model
        self.prompt = prompt
        self.generation = dict(generation)
        self.quantization = quantization
        self.dtype = dtype
        self.device_map = device_map
        self._tried = False

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "prompt": self.prompt,
            "generation": self.generation,
            "quantization": self.quantization,
            "dtype": self.dtype,
        }

    def prepare(self) -> None:
        """Load the model and let it caption a picture: what it cannot do at all is said before any video is read."""
        if self._tried:
            return
        processor, _ = self._loaded
        if not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
            raise UserError(
                f"narrator {self.model} does not take an image and text: its processor is a {type(processor).__name__}"
            )
        try:
            self._captions([np.full((_TRIAL_SIDE, _TRIAL_SIDE, 3), 128, np.uint8)], _shortest(self.generation))
        except UserError:
            raise
        except Exception as error:  # what models and their processors demand is as manifold as they are
            template = "" if processor.chat_template else "; its processor has no chat template"
            raise UserError(
                f"narrator {self.model} cannot caption a picture with the settings of narrator.generation and "
                f"narrator.prompt ({said(error)[:300]}){template}"
            ) from error
        self._tried = True

    def narrate(self, frames: Sequence[Pixels]) -> list[str]:
        captions: list[str] = []
        while len(captions) < len(frames):
            try:
                captions += self._captions(frames[len(captions) : len(captions) + self.batch_size], self.generation)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                if self.batch_size == 1:
                    raise NarrationError("memory runs out with one frame at a time") from error
                self.batch_size //= 2
                _log.warning("out of memory: going on with %d frames at a time", self.batch_size)
            if torch.cuda.is_available() and len(captions) < len(frames):
                torch.cuda.empty_cache()
        return captions

    @torch.inference_mode()
    def _captions(self, frames: Sequence[Pixels], generation: Mapping[str, Any]) -> list[str]:
        processor, network = self._loaded
        inputs = self._inputs(processor, [Image.fromarray(frame) for frame in frames]).to(network.device, network.dtype)
        tokens = network.generate(**inputs, **generation)
        if len(tokens) != len(frames):
            raise UserError("narrator.generation gives several captions of a frame: leave num_return_sequences at 1")
        given = inputs["input_ids"]
        # Encoder-decoders give back the answer alone.
        if tokens.shape[1] >= given.shape[1] and torch.equal(tokens[:, : given.shape[1]], given):
            return _texts(processor, tokens[:, given.shape[1] :])
        # Some, BLIP among them, give back the prompt in other tokens.
        prompts = processor.batch_decode(given, skip_special_tokens=True)
        return [_without(prompt, text) for prompt, text in zip(prompts, _texts(processor, tokens), strict=True)]

    def _inputs(self, processor: Any, images: list[Image.Image]) -> Any:
        if not processor.chat_template:
            text = [self.prompt or ""] * len(images)
            return processor(images=images, text=text, padding=True, padding_side="left", return_tensors="pt")
        content = [] if self.prompt is None else [{"type": "text", "text": self.prompt}]
        return processor.apply_chat_template(
            [[{"role": "user", "content": [{"type": "image", "image": image}, *content]}] for image in images],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "left"},
        )

    @cached_property
    def _loaded(self) -> _Loaded:
        from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig

        compute = torch.float32 if self.dtype == "auto" else getattr(torch, self.dtype)
        quantization = {
            "none": None,
            "8bit": BitsAndBytesConfig(load_in_8bit=True),
            "4bit": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute),
        }[self.quantization]
        # At 8 bits it warns of a cast in every layer at every token.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        _log.info("loading %s", self.model)
        with loading("narrator", self.model, "narrator.model"):
            processor = AutoProcessor.from_pretrained(self.model)
            loaded: Any = AutoModelForImageTextToText.from_pretrained(
                self.model,
                dtype=self.dtype,
                device_map=self.device_map,
                quantization_config=quantization,
                output_loading_info=True,
            )
        network, report = loaded
        require_weights("narrator", self.model, report["missing_keys"])
        return _Loaded(processor, network.eval())


class _Loaded(NamedTuple):
    processor: Any
    network: Any


def _shortest(generation: Mapping[str, Any]) -> dict[str, Any]:
    """These settings with as few new tokens as they allow."""
    most, least = generation.get("max_new_tokens"), generation.get("min_new_tokens") or 0
    return {**generation, "max_new_tokens": min(most, max(least, 1))} if isinstance(most, int) else dict(generation)


def _texts(processor: Any, tokens: Tensor) -> list[str]:
    """What tokens say, without special ones; reasoning keeps its marks, which special tokens may be."""
    plain = processor.batch_decode(tokens, skip_special_tokens=True)
    texts = processor.batch_decode(tokens, skip_special_tokens=False)
    return [
        _without_special(processor.tokenizer, text) if has_reasoning(text) else short.strip()
        for short, text in zip(plain, texts, strict=True)
    ]


def _without_special(tokenizer: Any, text: str) -> str:
    for token in tokenizer.all_special_tokens:
        if not has_reasoning(token):
            text = text.replace(token, "")
    return text.strip()


def _without(prompt: str, text: str) -> str:
    """A text that may begin with the prompt, without it; tokenizers change case and spaces."""
    begins = r"\s*".join(re.escape(word) for word in prompt.split())
    return re.sub(rf"^\s*{begins}", "", text, flags=re.IGNORECASE).strip() if begins else text


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
