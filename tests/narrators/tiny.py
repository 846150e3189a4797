"""Real networks of transformers at a tiny size, with random weights and a small trained tokenizer, saved to disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

_SENTENCES = [
    "USER: This is one image frame sampled from a video. Please caption this frame in two or three sentences,",
    "to describe this frame with some details but without any analysis ASSISTANT: A person opens the door.",
    "A man in a pink shirt sits on a chair and reads a book. The room is bright and there is a table.",
]
_CHAT = (
    "{% for message in messages %}USER: {% for part in message['content'] %}"
    "{% if part['type'] in ('image', 'image_url') %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %} ASSISTANT:"
)


def tokenizer() -> PreTrainedTokenizerFast:
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(_SENTENCES, vocab_size=400, special_tokens=["<pad>", "<s>", "</s>", "<image>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<image>"],
    )


def save_llava(folder: Path, width: int = 64) -> Path:
    """A LLaVA of `width` channels, whose processor has a chat template."""
    torch.manual_seed(0)
    words = tokenizer()
    vision = CLIPVisionConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2, image_size=32, patch_size=8
    )
    network = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision,
            text_config=_llama(words, width),
            image_token_index=words.convert_tokens_to_ids("<image>"),
        )
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_CHAT,
    )
    return _save(folder, network, processor)


def _llama(words: PreTrainedTokenizerFast, width: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        pad_token_id=words.pad_token_id,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
    )


def _save(folder: Path, network: Any, processor: Any) -> Path:
    # With the usual initial weights a network of this size says the same of every picture.
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(6)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
