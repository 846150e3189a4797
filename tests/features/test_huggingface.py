"""Encoders of transformers with random weights: of images and of videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPVisionConfig,
    ConvNextImageProcessor,
    LlamaConfig,
    LlavaConfig,
    LlavaModel,
    ResNetConfig,
    ResNetModel,
    Siglip2Config,
    Siglip2ImageProcessor,
    Siglip2Model,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    VideoMAEConfig,
    VideoMAEImageProcessor,
    VideoMAEModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from src.commands.features import features
from src.data.store import Store
from src.errors import UserError
from src.features.huggingface import HuggingFaceVision
from tests.compose import compose

LAYERS: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION: dict[str, Any] = {**LAYERS, "image_size": 32, "patch_size": 8}
TEXT: dict[str, Any] = {**LAYERS, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SQUARE = {"height": 32, "width": 32}
DIMS = {"clip": 12, "siglip": 16, "naflex": 16, "resnet": 16, "vit": 16, "videomae": 16}


def save(kind: str, folder: Path) -> str:
    torch.manual_seed(0)
    if kind == "clip":
        CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=12)).save_pretrained(folder)
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE).save_pretrained(folder)
    elif kind == "siglip":
        SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION)).save_pretrained(folder)
        SiglipImageProcessor(size=SQUARE).save_pretrained(folder)
    elif kind == "naflex":
        # It keeps the shape of a picture, and says which of its patches are padding.
        Siglip2Model(
            Siglip2Config(text_config=TEXT, vision_config={**LAYERS, "patch_size": 8, "num_patches": 16})
        ).save_pretrained(folder)
        Siglip2ImageProcessor(patch_size=8, max_num_patches=16).save_pretrained(folder)
    elif kind == "resnet":
        ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])).save_pretrained(folder)
        ConvNextImageProcessor(size={"shortest_edge": 32}).save_pretrained(folder)
    elif kind == "llava":
        LlavaModel(
            LlavaConfig(vision_config=CLIPVisionConfig(**VISION), text_config=LlamaConfig(**LAYERS, vocab_size=60))
        ).save_pretrained(folder)
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE).save_pretrained(folder)
    elif kind == "bert":
        BertModel(BertConfig(**TEXT)).save_pretrained(folder)
        ViTImageProcessor(size=SQUARE).save_pretrained(folder)
    elif kind == "vit":
        ViTModel(ViTConfig(**VISION)).save_pretrained(folder)
        ViTImageProcessor(size=SQUARE).save_pretrained(folder)
    else:
        VideoMAEModel(VideoMAEConfig(**VISION, num_frames=4)).save_pretrained(folder)
        VideoMAEImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("kind", sorted(DIMS))
def test_videos_are_encoded(kind: str, videos: Path, tmp_path: Path) -> None:
    model = save(kind, tmp_path / kind)
    ours = [f"videos={videos}", "collection=mine", f"paths.stores={tmp_path}/stores", "features=hf"]
    settings = [f"features.name={kind}", f"features.model={model}", f"features.dim={DIMS[kind]}"]
    features(compose(*ours, *settings, "features.layout.extractor.device=cpu", config="features"))
    store = Store(tmp_path / "stores" / "mine" / f"features.{kind}.max128.h5")
    vectors = np.asarray(store["three"]["features"])
    assert vectors.shape == (3, DIMS[kind])
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01  # red is not blue


@pytest.mark.parametrize("kind", sorted(DIMS))
def test_a_snippet_does_not_depend_on_its_batch(kind: str, tmp_path: Path) -> None:
    extractor = HuggingFaceVision(save(kind, tmp_path / kind), frames=2, device="cpu")
    assert extractor.frames == (4 if kind == "videomae" else 2)
    shape = (3, extractor.frames, 40, 56, 3)
    snippets = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    together = extractor(snippets)
    assert together.shape == (3, DIMS[kind])
    assert extractor(snippets[1:2]) == pytest.approx(together[1:2], abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "says"),
    [("llava", "gives no vector of an image, but a list"), ("bert", "is no encoder of images or videos")],
)
def test_a_model_that_gives_no_vector_of_an_image_is_refused(kind: str, says: str, tmp_path: Path) -> None:
    extractor = HuggingFaceVision(save(kind, tmp_path / kind), frames=2, device="cpu")
    with pytest.raises(UserError, match=says):
        extractor.frames  # noqa: B018


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    extractor = HuggingFaceVision(str(tmp_path / "nothing"), frames=2, device="cpu")
    with pytest.raises(UserError, match=r"cannot be loaded .*: set features.model to a local path"):
        extractor(np.zeros((1, 2, 32, 32, 3), np.uint8))
    with pytest.raises(UserError, match="must be 1 or more"):
        HuggingFaceVision("any", frames=0, device="cpu")
