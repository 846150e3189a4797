"""Language models of transformers, with pictures or without."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import torch
from PIL import Image

from src.errors import UserError
from src.hub import loading, require_weights
from src.language.model import Answer, NoAnswerError, Prompt, Usage
from src.language.speech import spoken

_log = logging.getLogger(__name__)


class HuggingFaceModel:
    """Answers one prompt at a time through the model's chat template.

    Args:
        model: The model's name on the hub, or its local path.
        generation: The settings of `generate`, `max_new_tokens` among them.
        dtype: The type of weights and activations, such as bfloat16; `auto` for the checkpoint's.
        device_map: The devices, as transformers takes them: `auto`, `cpu`, `cuda:0` …
        sees: Whether the model takes pictures (image-text-to-text) or text alone (text-generation).
    """

    def __init__(self, model: str, generation: Mapping[str, Any], dtype: str, device_map: str, sees: bool) -> None:
        self.model = model
        self.generation = dict(generation)
        self.dtype = dtype
        self.device_map = device_map
        self.sees = sees
        self.usage = Usage()

    @property
    def identity(self) -> dict[str, Any]:
        return {"model": self.model, "generation": self.generation, "dtype": self.dtype}

    def answers(self, prompts: Iterable[Prompt]) -> Iterator[Answer]:
        loaded = self._loaded
        for prompt in prompts:
            try:
                yield spoken(self._answer(loaded, prompt))
            except NoAnswerError as error:
                yield error
            except (torch.OutOfMemoryError, MemoryError):
                yield NoAnswerError("memory runs out with one prompt: ask with less, or of a smaller model")

    @torch.inference_mode()
    def _answer(self, loaded: _Loaded, prompt: Prompt) -> str:
        inputs = loaded.tokenise(prompt, self.sees).to(loaded.network.device)
        given = inputs["input_ids"].shape[1]
        tokens = loaded.network.generate(**inputs, **self.generation)[0, given:]
        self.usage.add({"prompt_tokens": given, "completion_tokens": len(tokens)})
        return loaded.processor.decode(tokens, skip_special_tokens=True)

    @cached_property
    def _loaded(self) -> _Loaded:
        from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

        network_of: Any = AutoModelForImageTextToText if self.sees else AutoModelForCausalLM
        processor_of: Any = AutoProcessor if self.sees else AutoTokenizer
        _log.info("loading %s", self.model)
        with loading("model", self.model, "its setting `model`"):
            processor = processor_of.from_pretrained(self.model)
            network, report = network_of.from_pretrained(
                self.model, dtype=self.dtype, device_map=self.device_map, output_loading_info=True
            )
        require_weights("model", self.model, report["missing_keys"])
        if not getattr(processor, "chat_template", None):
            raise UserError(f"model {self.model} has no chat template: choose one that was made to answer")
        return _Loaded(processor, network.eval())


class _Loaded(NamedTuple):
    processor: Any
    network: Any

    def tokenise(self, prompt: Prompt, sees: bool) -> Any:
        if not sees:
            content: Any = prompt.text
        else:
            shown = [
                part
                for words, frame in prompt.pictures
                for part in ({"type": "text", "text": words}, {"type": "image", "image": Image.fromarray(frame)})
            ]
            content = [*shown, {"type": "text", "text": prompt.text}]
        return self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
