"""Tiny text models with random weights, saved to disk the way a hub ships them."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, CLIPConfig, CLIPModel, PreTrainedTokenizerFast

WORDS = ["a", "person", "opens", "closes", "the", "door", "and", "then", "sits", "down", ".", "table", "sandwich"]
SPECIAL = ["[PAD]", "[UNK]", "[START]", "[END]"]
LIMIT = 12


def _tokenizer(folder: Path, **options: object) -> None:
    model = Tokenizer(WordLevel({word: index for index, word in enumerate(SPECIAL + WORDS)}, unk_token="[UNK]"))
    model.pre_tokenizer = Whitespace()  # type: ignore[assignment]
    model.post_processor = TemplateProcessing(  # type: ignore[assignment]
        single="[START] $A [END]", special_tokens=[("[START]", 2), ("[END]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=model,
        pad_token="[PAD]",
        unk_token="[UNK]",
        bos_token="[START]",
        eos_token="[END]",
        **options,
    ).save_pretrained(folder)


def bert(folder: Path, pooling: bool = True, **options: object) -> str:
    """A BERT of 8 numbers a token that takes 12 tokens."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(SPECIAL + WORDS),
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=LIMIT,
    )
    BertModel(config, add_pooling_layer=pooling).save_pretrained(folder)
    _tokenizer(folder, **options)
    return str(folder)


def clip(folder: Path) -> str:
    """A CLIP, images and text, of 8 numbers a token and 6 a sentence."""
    torch.manual_seed(0)
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 8, "intermediate_size": 16}
    layers |= {"projection_dim": 6}
    text = {"vocab_size": len(SPECIAL + WORDS), "max_position_embeddings": LIMIT, "eos_token_id": 3, "pad_token_id": 0}
    CLIPModel(
        CLIPConfig(
            text_config=layers | text,
            vision_config=layers | {"image_size": 8, "patch_size": 4},
            projection_dim=6,
        )
    ).save_pretrained(folder)
    _tokenizer(folder)
    return str(folder)
