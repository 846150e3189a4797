"""Frozen text encoders of transformers, by name on the hub or by local path."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.errors import UserError
from src.files import digest
from src.hub import loading, require_weights
from src.progress import Progress
from src.text import minilm
from src.text.encoder import Texts, Words

Sentence = Literal["mean", "pooler"]
Encode = Callable[[list[str]], list[NDArray[np.float32]]]

# Texts sorted by length together, and held in memory with their vectors.
_CHUNK = 8192
_log = logging.getLogger(__name__)


class HuggingFaceText:
    """Token vectors are the last hidden states; a sentence vector is their mean or the model's own pooled vector.

    Args:
        model: The model's name on the hub, its local path, or `all-MiniLM-L6-v2`, which is looked for among the
            installed packages.
        sentence: What a sentence's vector is: `mean` over the tokens (sentence-transformers models), or `pooler`:
            CLIP's projected text vector, or the pooled output of another model.
        normalize: Whether sentence vectors are scaled to length one.
        max_tokens: The most tokens of a text, whose rest is cut; None for as many as the model takes.
        batch_size: The texts encoded at a time.
        device: The device of the model, such as `cuda`; `auto` for a GPU where there is one.
        normalize_words: Whether each token's vector x becomes x / (‖x‖ + 1e-5), as QD-DETR does.
    """

    def __init__(
        self,
        model: str,
        sentence: Sentence,
        normalize: bool,
        max_tokens: int | None,
        batch_size: int,
        device: str,
        normalize_words: bool = False,
    ) -> None:
        if sentence not in ("mean", "pooler"):
            raise UserError(f"text.encoder.sentence is {sentence!r}: give mean or pooler")
        self.model = model
        self.sentence = sentence
        self.normalize = normalize
        self.normalize_words = normalize_words
        self.max_tokens = max_tokens
        self.batch_size = batch_size
        self._full = 0
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device

    @property
    def identity(self) -> dict[str, Any]:
        files = sorted(path for path in Path(self.model).glob("*") if path.is_file())
        return {
            "encoder": str(Path(self.model).absolute()) if files else self.model,
            "files": digest(files) if files else None,
            "sentence": self.sentence,
            "normalize": self.normalize,
            "max_tokens": self.max_tokens,
            **({"normalize_words": True} if self.normalize_words else {}),
        }

    def missing(self) -> list[str]:
        return []  # a model that is not on the disk is looked for on the hub

    def words(self, sentences: Texts) -> Iterator[Words]:
        """The tokens of each sentence, the model's own marks of its start and end among them."""
        for tokens in self._in_order(sentences, self._tokens):
            yield Words(tokens, np.zeros(len(tokens), bool))

    def sentences(self, texts: Texts) -> Iterator[NDArray[np.float32]]:
        return self._in_order(texts, self._pooled)

    @cached_property
    def _model(self) -> _Model:
        return _load(minilm.find() if self.model == minilm.NAME else self.model, self.sentence, self.device)

    @property
    def _limit(self) -> int:
        return min(self.max_tokens or self._model.limit, self._model.limit)

    def _in_order(self, texts: Texts, encode: Encode) -> Iterator[NDArray[np.float32]]:
        """What `encode` makes of each text. In each chunk, a text that recurs is encoded once, and those of similar
        length go together."""
        remaining = iter(texts)
        self._full = 0
        with Progress(None, f"encoding with {self.model}", "text", len(texts)) as progress:
            while chunk := list(islice(remaining, _CHUNK)):
                times = Counter(chunk)
                different = sorted(times, key=lambda text: (len(text), text))
                encoded: dict[str, NDArray[np.float32]] = {}
                for start in range(0, len(different), self.batch_size):
                    batch = different[start : start + self.batch_size]
                    encoded.update(zip(batch, encode(batch), strict=True))
                    progress.update(sum(times[text] for text in batch))
                yield from (encoded[text] for text in chunk)
        if self._full:
            _log.warning("%d texts fill all %d tokens of %s: longer ones were cut", self._full, self._limit, self.model)

    def _tokens(self, texts: list[str]) -> list[NDArray[np.float32]]:
        states, mask, _ = self._run(texts)
        if self.normalize_words:
            states = states / (states.norm(dim=-1, keepdim=True) + 1e-5)
        # Not a slice: the tokenizer may pad on the left.
        return [row[valid] for row, valid in zip(states.cpu().numpy(), mask.cpu().numpy(), strict=True)]

    def _pooled(self, texts: list[str]) -> list[NDArray[np.float32]]:
        states, mask, pooled = self._run(texts)
        if self.sentence == "mean":
            pooled = (states * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        if pooled is None:
            raise UserError(f"text encoder {self.model} pools nothing: set text.encoder.sentence=mean")
        if self.normalize:
            pooled = torch.nn.functional.normalize(pooled, dim=-1)
        return list(pooled.cpu().numpy())

    @torch.inference_mode()
    def _run(self, texts: list[str]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Token states (n, Q, dim), their mask (n, Q), and what the model pools them to (n, dim), if it does."""
        inputs = self._model.tokenizer(
            texts, padding=True, truncation=True, max_length=self._limit, return_tensors="pt"
        ).to(self.device)
        self._full += int((inputs["attention_mask"].sum(dim=1) == self._limit).sum())
        output = self._model.network(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        pooled = output.get("text_embeds", output.get("pooler_output"))
        return (
            output.last_hidden_state.float(),
            inputs["attention_mask"].bool(),
            None if pooled is None else pooled.float(),
        )


class _Model(NamedTuple):
    tokenizer: Any
    network: Any
    limit: int  # tokens of a text


def _load(place: str, sentence: Sentence, device: str) -> _Model:
    from transformers import AutoConfig, AutoModel, AutoTokenizer, CLIPTextModelWithProjection
    from transformers.utils import logging as chatter

    verbosity = chatter.get_verbosity()
    chatter.set_verbosity_error()  # its report of CLIP's image half, which is not wanted here, fills a screen
    try:
        with loading("text encoder", place, "text.encoder.model"):
            tokenizer = AutoTokenizer.from_pretrained(place)
            kind = AutoConfig.from_pretrained(place).model_type
            maker: Any = CLIPTextModelWithProjection if kind in ("clip", "clip_text_model") else AutoModel
            network, report = maker.from_pretrained(place, output_loading_info=True)
    finally:
        chatter.set_verbosity(verbosity)
    used = [name for name in report["missing_keys"] if sentence == "pooler" or not name.startswith("pooler.")]
    of_pooler = all(name.startswith("pooler.") for name in used)
    require_weights("text encoder", place, used, ": set text.encoder.sentence=mean" if of_pooler else "")
    # Some tokenizers and configs state no limit, which reads as an absurdly large one.
    limit = min(tokenizer.model_max_length, getattr(network.config, "max_position_embeddings", 512))
    return _Model(tokenizer, network.eval().to(device), limit)
