"""Frozen text encoders of transformers, by name on the hub or by local path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from src.errors import UserError
from src.text import minilm
from src.text.encoder import Words

Sentence = Literal["mean", "pooler"]
Encode = Callable[[list[str]], list[NDArray[np.float32]]]


class HuggingFaceText:
    """Token vectors are the last hidden states; a sentence vector is their mean or the model's own pooled vector.

    Args:
        model: name on the hub, local path, or `all-MiniLM-L6-v2`, which is looked for among the installed packages.
        sentence: `mean` over the tokens (sentence-transformers models), or `pooler` (CLIP: its projected text vector).
        normalize: scale sentence vectors to length one.
        batch_size: texts at a time.
        device: `auto` for a GPU where there is one.
    """

    def __init__(self, model: str, sentence: Sentence, normalize: bool, batch_size: int, device: str) -> None:
        self.model = model
        self.sentence = sentence
        self.normalize = normalize
        self.batch_size = batch_size
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device

    @property
    def identity(self) -> dict[str, Any]:
        return {"encoder": self.model, "sentence": self.sentence, "normalize": self.normalize}

    def missing(self) -> list[str]:
        return []  # a model that is not on the disk is looked for on the hub

    def words(self, sentences: Sequence[str]) -> Iterator[Words]:
        for tokens in self._in_order(sentences, self._tokens):
            yield Words(tokens, np.zeros(len(tokens), bool))

    def sentences(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack(list(self._in_order(texts, self._pooled)))

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        from transformers import AutoModel, AutoTokenizer, CLIPTextModelWithProjection

        place = minilm.find() if self.model == "all-MiniLM-L6-v2" else self.model
        try:
            tokenizer = AutoTokenizer.from_pretrained(place)
            kind = CLIPTextModelWithProjection if self.sentence == "pooler" else AutoModel
            network = kind.from_pretrained(place).eval().to(self.device)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"text encoder {place} cannot be loaded ({reason}): set text.encoder.model to a local path"
            ) from error
        return tokenizer, network

    def _in_order(self, texts: Sequence[str], encode: Encode) -> Iterator[NDArray[np.float32]]:
        """What `encode` makes of each text. Each different text is encoded once, texts of similar length together."""
        different = sorted(set(texts), key=lambda text: (len(text), text))
        encoded: dict[str, NDArray[np.float32]] = {}
        with tqdm(total=len(different), unit="text", desc=f"encoding with {self.model}", delay=3) as progress:
            for start in range(0, len(different), self.batch_size):
                batch = different[start : start + self.batch_size]
                encoded.update(zip(batch, encode(batch), strict=True))
                progress.update(len(batch))
        for text in texts:
            yield encoded[text]

    def _tokens(self, texts: list[str]) -> list[NDArray[np.float32]]:
        states, mask, _ = self._run(texts)
        return [row[:length].copy() for row, length in zip(states.cpu().numpy(), mask.sum(dim=1).tolist(), strict=True)]

    def _pooled(self, texts: list[str]) -> list[NDArray[np.float32]]:
        states, mask, projected = self._run(texts)
        pooled = _mean(states, mask) if projected is None else projected
        if self.normalize:
            pooled = torch.nn.functional.normalize(pooled, dim=-1)
        return list(pooled.cpu().numpy())

    @torch.inference_mode()
    def _run(self, texts: list[str]) -> tuple[Tensor, Tensor, Tensor | None]:
        tokenizer, network = self._parts
        # Some tokenizers state no limit, which reads as an absurdly large one.
        limit = min(tokenizer.model_max_length, network.config.max_position_embeddings)
        inputs = tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt").to(self.device)
        output = network(**inputs)
        projected = output.text_embeds.float() if self.sentence == "pooler" else None
        return output.last_hidden_state.float(), inputs["attention_mask"], projected


def _mean(tokens: Tensor, mask: Tensor) -> Tensor:
    weight = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weight).sum(dim=1) / weight.sum(dim=1)
