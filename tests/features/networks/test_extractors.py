"""Published files of weights: what is read, what is refused, and the frames that the networks see."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from src.errors import UserError
from src.features.networks import slowfast
from src.features.networks.c3d import C3D
from src.features.networks.extractors import C3DExtractor, I3DExtractor, SlowFastExtractor, VGGExtractor
from src.features.networks.i3d import I3D
from src.features.networks.slowfast import SlowFast
from src.features.networks.vgg import VGG16
from src.features.networks.weights import read_caffe2
from tests.features.networks.golden import published, shapes


@pytest.fixture(scope="module")
def zeros() -> dict[str, Tensor]:
    """A state dict of I3D for Charades without numbers in it, as small as a file can be."""
    with torch.device("meta"):
        network = I3D(157)
    return {name: torch.zeros(1).expand(shape) for name, shape in shapes(network).items()}


def i3d(path: Path, trained_on: Any = "charades") -> I3DExtractor:
    return I3DExtractor(str(path), "https://a.b/c (50 MB)", "cpu", "float32", frames=24, trained_on=trained_on)


def slow_fast(path: Path, seconds: int = 2, sampling: Any = "released") -> SlowFastExtractor:
    return SlowFastExtractor(str(path), "https://a.b/c (138 MB)", "cpu", "float32", seconds, sampling)


def write_pickle(path: Path, blobs: dict[str, Any]) -> None:
    """As Python 2 and an old NumPy wrote it."""
    content = pickle.dumps({"blobs": blobs}, protocol=2)
    path.write_bytes(content.replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray"))


def test_a_file_of_2018_is_read_strictly(zeros: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "rgb_charades.pt"
    torch.save(zeros, path, _use_new_zipfile_serialization=False)
    extractor = i3d(path)
    assert extractor.identity["sha256"] is not None
    network = extractor.load()
    assert not network.training
    assert {name: tuple(value.shape) for name, value in network.state_dict().items() if name in zeros} == {
        name: tuple(value.shape) for name, value in zeros.items()
    }


@pytest.mark.parametrize("lacking", [True, False])
def test_another_network_is_refused(zeros: dict[str, Tensor], tmp_path: Path, lacking: bool) -> None:
    path = tmp_path / "other.pt"
    changed = dict(zeros)
    if lacking:
        del changed["Mixed_4b.b0.bn.weight"]
    else:
        changed["Mixed_4b.b0.bn.weight"] = torch.zeros(3)
    torch.save(changed, path)
    with pytest.raises(UserError, match=r"weights of another network.*Mixed_4b\.b0\.bn\.weight"):
        i3d(path).load()


def test_the_other_class_count_is_told(zeros: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "rgb_charades.pt"
    torch.save(zeros, path)
    with pytest.raises(UserError, match=r"has 157 classes, so it was trained on charades, not on kin.*i3d_charades"):
        i3d(path, "kinetics").load()


def test_missing_and_damaged_weights_are_one_line(zeros: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "rgb_charades.pt"
    with pytest.raises(UserError, match=r"no weights at .*rgb_charades.pt: get them from https://a.b/c \(50 MB\)"):
        i3d(path)(np.zeros((1, 24, 224, 224, 3), np.uint8))
    torch.save(zeros, path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match="is damaged, or no file of weights"):
        i3d(path).load()
    path.write_bytes(pickle.dumps({"blobs": {}}))
    with pytest.raises(UserError, match=r"damaged|lack"):
        slow_fast(path).load()


def test_a_pickle_of_caffe2_is_read_without_running_it(tmp_path: Path, shared: Path) -> None:
    path = tmp_path / "SLOWFAST_8x8_R50.pkl"
    names = {"a.weight": "conv1_w", "a.bias": "conv1_b"}
    arrays = {"conv1_w": np.arange(6, dtype=np.float32).reshape(2, 3), "conv1_b": np.ones(2, np.float32)}
    write_pickle(path, {**arrays, "conv1_w_momentum": np.zeros((2, 3)), "lr": 0.1, "model_iter": 7})
    read = read_caffe2(path, names)
    assert torch.equal(read["a.weight"], torch.arange(6.0).reshape(2, 3))
    write_pickle(path, {**arrays, "conv2_w": np.zeros(2)})
    with pytest.raises(UserError, match="1 are left over, such as conv2_w"):
        read_caffe2(path, names)

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path(tmp_path / "ran").touch, ())

    write_pickle(path, {**arrays, "conv2_w": Evil()})
    with pytest.raises(UserError, match=r"asks for .*, which is no array"):
        read_caffe2(path, names)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_the_published_pickle_becomes_the_network(tmp_path: Path) -> None:
    weights = published(SlowFast)
    path = tmp_path / "SLOWFAST_8x8_R50.pkl"
    write_pickle(path, {theirs: weights[ours].numpy() for ours, theirs in slowfast.caffe2_names().items()})
    network = slow_fast(path).load()
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items() if name in weights)


def test_slowfast_sees_the_released_frames(shared: Path, tmp_path: Path) -> None:
    with np.load(shared / "parity" / "slowfast.npz") as file:
        golden = {name: file[name] for name in file.files if name.startswith("sampling/fps")}
    assert len(golden) == 32
    for name, indices in golden.items():
        rate, seconds, count = map(int, re.findall(r"\d+", name))
        extractor = slow_fast(tmp_path, seconds)
        frames = [np.full((1, 1, 3), number, np.uint8) for number in range(count)]
        clips = [frames[first : first + extractor.frames] for first in range(0, count, extractor.frames)]
        seen = [[int(frame[0, 0, 0]) for frame in extractor.window(clip, rate)] for clip in clips]
        assert np.array_equal(np.minimum(indices, count - 1), seen), name


def test_even_sampling_does_not_ask_for_the_rate(tmp_path: Path) -> None:
    extractor = slow_fast(tmp_path, 2, "even")
    assert extractor.chosen(15.0) == extractor.chosen(60.0)
    assert (extractor.chosen(0)[0], extractor.chosen(0)[-1]) == (0, 59)


@pytest.mark.slow
def test_i3d_gives_two_vectors_of_24_frames_wherever_they_stand_in_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "rgb_charades.pt"
    torch.save(published(lambda: I3D(157)), path)
    extractor = i3d(path)
    assert extractor.vectors == 2
    windows = np.random.default_rng(0).integers(0, 256, (2, 24, 224, 224, 3), dtype=np.uint8)
    together = extractor(windows)
    assert together.shape == (2, 2, 1024)
    # To the last bit: what a run says must not depend on where it was broken off.
    assert np.array_equal(extractor(windows[::-1].copy())[::-1], together)


def test_vgg_and_c3d_have_the_published_shapes() -> None:
    with torch.device("meta"):
        networks = VGG16(157), C3D()
        fc7, fc6 = networks[0](torch.zeros(2, 3, 224, 224)), networks[1](torch.zeros(2, 3, 16, 112, 112))
    assert (fc7.shape, fc6.shape) == ((2, 4096), (2, 4096))
    counts = [sum(value.numel() for value in network.parameters()) for network in networks]
    # VGG-16 has 138.36 M weights with 1000 classes; C3D of Sports-1M 79.99 M.
    assert counts == [138_357_544 - (1000 - 157) * 4097, 79_991_015]
    assert {name.rpartition(".")[0] for name in networks[0].state_dict()} >= {"features.28", "classifier.3"}


def test_c3d_is_projected_by_activitynets_components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, projection = tmp_path / "c3d.pickle", tmp_path / "pca.hdf5"
    extractor = C3DExtractor(str(weights), "there", "cpu", "float32", str(projection), 3)
    assert [each.split(":")[0] for each in extractor.missing()] == [
        f"no weights at {weights}",
        f"no projection at {projection}",
    ]
    components = np.random.default_rng(0).standard_normal((4096, 5)).astype(np.float32)
    with h5py.File(projection, "w") as file:
        file["data/U"], file["data/x_mean"] = components, np.full(4096, 0.5, np.float32)
    weights.touch()
    seen: list[Tensor] = []
    extractor.network = torch.nn.Identity()  # the clips as they enter
    monkeypatch.setattr(
        extractor, "features", lambda network, clips: (seen.append(clips), torch.ones(len(clips), 1, 4096))[1]
    )
    windows = np.zeros((2, 16, 112, 112, 3), np.uint8)
    windows[..., 0] = 200  # red
    assert extractor(windows) == pytest.approx(np.full((2, 1, 4096), 0.5) @ components[:, :3], abs=1e-3)
    assert seen[0][0, :, 0, 0, 0].tolist() == [-90.0, -98.0, 98.0]
    extractor = C3DExtractor(str(weights), "there", "cpu", "float32", str(projection), 6)
    with pytest.raises(UserError, match=r"has 5 components, but features.dim is 6"):
        extractor._components  # noqa: B018


def test_frames_enter_vgg_scaled_as_imagenets() -> None:
    extractor = VGGExtractor("w", "there", "cpu", "float32")
    pixels = torch.full((1, 3, 1, 2, 2), 255.0)
    assert extractor.normalised(pixels)[0, :, 0, 0, 0].tolist() == pytest.approx([2.2489, 2.4286, 2.64], abs=1e-4)
