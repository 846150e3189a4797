"""Time and memory of a caption, as in the paper's Table 10: LLaVA-1.5-7b and 13b with random weights, on a GPU.

    python -m benchmarks.table10 --size 13b --quantization none

The network is saved to a temporary folder (26 GB for 13b) and loaded the way a narrator loads its own. Every caption
has 60 tokens. `--layers 1 --device cpu` tries it out where there is no GPU.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from src.narrators.huggingface import HuggingFaceNarrator
from src.narrators.narrator import NarrationError
from tests.compose import compose
from tests.narrators.tiny import CHAT, tokenizer

TOKENS = 60
BATCHES = (1, 2, 4, 8, 16, 32, 64)
# Width, width of the feed-forward layers, layers, heads.
SIZES = {"7b": (4096, 11008, 32, 32), "13b": (5120, 13824, 40, 40)}


def save(folder: Path, size: str, layers: int | None, device: str) -> Path:
    """A LLaVA-1.5 of the published sizes with random weights, and a processor."""
    width, inner, depth, heads = SIZES[size]
    words = tokenizer(image_token="<image>")
    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
    )
    text = LlamaConfig(
        vocab_size=32064,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers or depth,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=4096,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    image = words.convert_tokens_to_ids("<image>")
    assert isinstance(image, int)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=image, dtype="bfloat16")
    with torch.device(device):
        network = LlavaForConditionalGeneration(config)
    network.bfloat16().save_pretrained(folder)
    LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}),
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    ).save_pretrained(folder)
    return folder


def measure(model: Path, batch_size: int, quantization: str, device: str) -> tuple[float, float] | None:
    """Seconds a caption, and MB of GPU memory at most; None if they do not fit."""
    narrator = HuggingFaceNarrator(
        name="table10",
        interval=1.0,
        model=str(model),
        prompt=compose("+narrator=llava_13b").narrator.prompt,
        generation={"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "do_sample": False},
        quantization=quantization,  # type: ignore[arg-type]
        dtype="bfloat16",
        device_map=device,
        batch_size=batch_size,
    )
    frames = list(np.random.default_rng(0).integers(0, 255, (batch_size, 480, 640, 3), np.uint8))
    try:
        narrator.narrate(frames)  # loads the network, and warms up
        if device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        narrator.narrate(frames)
        seconds = time.perf_counter() - start
    except NarrationError:
        return None
    if narrator.batch_size < batch_size:  # it was halved
        return None
    return seconds / batch_size, torch.cuda.max_memory_allocated() / 2**20 if device != "cpu" else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=tuple(SIZES), default="13b")
    parser.add_argument("--quantization", choices=("none", "8bit", "4bit"), default="none")
    parser.add_argument("--layers", type=int, help="of the language model, instead of all")
    parser.add_argument("--device", default="cuda:0")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = save(Path(folder), arguments.size, arguments.layers, arguments.device)
        print("| size | quantization | frames at a time | seconds a caption | GPU memory |")
        print("| --- | --- | --- | --- | --- |")
        for batch_size in BATCHES:
            measured = measure(model, batch_size, arguments.quantization, arguments.device)
            if measured is None:
                break
            seconds, memory = measured
            print(
                f"| {arguments.size} | {arguments.quantization} | {batch_size} | {seconds:.3f} | {memory:.0f} MB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
