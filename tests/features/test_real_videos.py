"""Ten real Charades videos through every extractor, weights by the rule: slow, as the networks are of full size."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from src.commands.features import features
from src.data.store import Store
from src.features.networks import slowfast
from src.features.networks.c3d import C3D
from src.features.networks.i3d import I3D
from src.features.networks.slowfast import SlowFast
from src.features.networks.vgg import VGG16
from src.features.networks.weights import sha256
from src.videos.frames import READERS, Crop, View, duration_of, read_views
from tests.compose import compose
from tests.features.networks.golden import published

_TORCH: dict[str, tuple[str, Callable[[], torch.nn.Module]]] = {
    "i3d_charades": ("rgb_charades.pt", lambda: I3D(157)),
    "i3d_kinetics": ("rgb_imagenet.pt", lambda: I3D(400)),
    "vgg_videos": ("vgg16-397923af.pth", lambda: VGG16(1000)),
    "c3d_videos": ("c3d.pickle", C3D),
}
# Vectors a second, and whether a last part of a window is rounded (or else always has a vector).
_COUNTS = {
    "i3d_charades": lambda seconds: 2 * round(seconds),
    "i3d_kinetics": round,
    "slowfast": lambda seconds: -(-round(30 * seconds) // 60),
    "slowfast_clip_videos": lambda seconds: int(seconds / 2 + 0.5),
    "vgg_videos": lambda seconds: int(6 * seconds + 0.5),
    "c3d_videos": round,
}


def write_weights(choice: str, folder: Path) -> list[Path]:
    """The files that a choice reads; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    if choice in _TORCH:
        name, build = _TORCH[choice]
        torch.save(published(build), folder / name)
        return [folder / name]
    weights = published(SlowFast)
    blobs = {theirs: weights[ours].numpy() for ours, theirs in slowfast.caffe2_names().items()}
    (folder / "SLOWFAST_8x8_R50.pkl").write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
    return [folder / "SLOWFAST_8x8_R50.pkl"]


def write_clip(folder: Path) -> Path:
    """A small CLIP whose vectors have 512 numbers."""
    torch.manual_seed(0)
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**layers, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    vision = {**layers, "image_size": 224, "patch_size": 32}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=512)).save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("choice", sorted(_COUNTS))
def test_ten_videos(choice: str, shared: Path, tmp_path: Path) -> None:
    files = write_weights(choice, tmp_path / "weights")
    words = [f"videos={shared / 'data' / 'videos'}", "collection=real", f"paths.stores={tmp_path}/stores"]
    words += [f"paths.features={tmp_path}", f"features={choice}"]
    if choice == "slowfast_clip_videos":
        words += [f"features.clip.model={write_clip(tmp_path / 'clip')}"]
    cfg = compose(*words, config="features")
    features(cfg)
    store = Store(Path(cfg.features.store))
    assert len(store) == 10
    assert store.dim == cfg.features.dim
    for path in (shared / "data" / "videos").glob("*.mp4"):
        # A pooled video has as many as it can.
        assert abs(min(_COUNTS[choice](duration_of(path)), 128) - store.count(path.stem)) <= 1, path
    said = str(store.made_by)
    assert all(sha256(file) in said for file in files)


@pytest.mark.slow
def test_readers_agree_on_the_frames_of_the_fps_filter(shared: Path) -> None:
    view = View(1 / 24, "fps", Crop(32, 32, "bilinear"))
    for path in sorted((shared / "data" / "videos").glob("*.mp4"))[:3]:
        taken = [[frame for _, frame in read_views(path, [view], reader)] for reader in READERS]
        assert [frame.shown for frame in taken[0]] == pytest.approx([frame.shown for frame in taken[1]], abs=2e-3)
        apart = [np.abs(a.pixels.astype(int) - b.pixels).mean() for a, b in zip(*taken, strict=True)]
        assert max(apart) < 3  # they turn YUV into RGB in their own ways
