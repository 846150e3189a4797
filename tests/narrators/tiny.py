"""Real networks of transformers at a tiny size, with random weights and a small trained tokenizer, saved to disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    BertTokenizer,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    CLIPImageProcessor,
    CLIPVisionConfig,
    GPT2Config,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PaddleOCRVLProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessor,
)

_SENTENCES = [
    "USER: This is one image frame sampled from a video. Please caption this frame in two or three sentences,",
    "to describe this frame with some details but without any analysis ASSISTANT: A person opens the door.",
    "A man in a pink shirt sits on a chair and reads a book. The room is bright and there is a table.",
]
CHAT = (
    "{% for message in messages %}USER: {% for part in message['content'] %}"
    "{% if part['type'] in ('image', 'image_url') %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %} ASSISTANT:"
)


def tokenizer(**known_as: str) -> PreTrainedTokenizerFast:
    """A trained tokenizer with a token for an image, which may be `known_as` image_token."""
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(_SENTENCES, vocab_size=400, special_tokens=["<pad>", "<s>", "</s>", "<image>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=known_as or ["<image>"],
    )


def save_llava(folder: Path, width: int = 64) -> Path:
    """A LLaVA of `width` channels, whose processor has a chat template."""
    torch.manual_seed(0)
    words = tokenizer(image_token="<image>")
    vision = CLIPVisionConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2, image_size=32, patch_size=8
    )
    network = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision,
            text_config=_llama(words, width),
            image_token_index=_image(words),
        )
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )
    return _save(folder, network, processor)


def save_blip2(folder: Path) -> Path:
    """A BLIP-2 with an OPT, which takes no prompt and has no chat template."""
    torch.manual_seed(0)
    words = tokenizer()
    small = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    opt = {
        "model_type": "opt",
        "hidden_size": 64,
        "word_embed_proj_dim": 64,
        "ffn_dim": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        **_vocabulary(words),
    }
    config = Blip2Config(
        vision_config={**small, "image_size": 32, "patch_size": 8},
        qformer_config={**small, "encoder_hidden_size": 64, "vocab_size": len(words)},
        text_config=opt,
        num_query_tokens=4,
        image_token_index=_image(words),
    )
    processor = Blip2Processor(BlipImageProcessor(size={"height": 32, "width": 32}), words, num_query_tokens=4)
    return _save(folder, Blip2ForConditionalGeneration(config), processor)


def save_blip(folder: Path) -> Path:
    """A BLIP, which gives back its prompt in lower case before the caption."""
    torch.manual_seed(0)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".,"]
    pieces = [*marks, *letters, *(f"##{letter}" for letter in letters)]
    words = BertTokenizer(vocab={piece: number for number, piece in enumerate(pieces)})
    small = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {"pad_token_id": words.pad_token_id, "bos_token_id": words.cls_token_id, "eos_token_id": words.sep_token_id}
    text = {**small, **ids, "vocab_size": len(words), "sep_token_id": words.sep_token_id, "encoder_hidden_size": 64}
    config = BlipConfig(text_config=text, vision_config={**small, "image_size": 32, "patch_size": 8}, projection_dim=32)
    processor = BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), words)
    return _save(folder, BlipForConditionalGeneration(config), processor)


def save_vision_encoder_decoder(folder: Path) -> Path:
    """A ViT with a GPT-2, which takes no text."""
    torch.manual_seed(0)
    words = tokenizer()
    vision = ViTConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8
    )
    text = GPT2Config(n_embd=64, n_layer=1, n_head=2, **_vocabulary(words))
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(vision, text)
    config.decoder_start_token_id, config.pad_token_id = words.bos_token_id, words.pad_token_id
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return _save(folder, VisionEncoderDecoderModel(config), words)


def save_qwen(folder: Path) -> Path:
    """A Qwen2.5-VL: pictures of any size, and positions in three directions.

    Its own processor reads videos too, for which it needs torchvision; the one here treats images in the same way.
    """
    torch.manual_seed(0)
    words = tokenizer(image_token="<image>")
    text = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0},
        **_vocabulary(words),
    }
    vision = {
        "hidden_size": 64,
        "intermediate_size": 64,
        "depth": 2,
        "num_heads": 2,
        "patch_size": 14,
        "out_hidden_size": 64,
        "window_size": 56,
        "fullatt_block_indexes": [1],
    }
    network = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(text_config=text, vision_config=vision, image_token_id=_image(words))
    )
    pictures = Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=16 * 28 * 28)
    return _save(folder, network, PaddleOCRVLProcessor(pictures, words, chat_template=CHAT))


def _image(words: PreTrainedTokenizerFast) -> int:
    token = words.convert_tokens_to_ids("<image>")
    assert isinstance(token, int)
    return token


def _vocabulary(words: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "vocab_size": len(words),
        "pad_token_id": words.pad_token_id,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
    }


def _llama(words: PreTrainedTokenizerFast, width: int) -> LlamaConfig:
    return LlamaConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        **_vocabulary(words),
    )


def _save(folder: Path, network: Any, processor: Any) -> Path:
    # With the usual initial weights a network of this size says the same of every picture.
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(6)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
