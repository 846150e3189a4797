"""Real networks at a tiny size, saved to disk and loaded as the large ones are."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from PIL import Image
from safetensors.torch import load_file, save_file

from src.data.records import Narratives
from src.errors import UserError
from src.narrators.huggingface import HuggingFaceNarrator
from src.narrators.narrator import Failure, NarrationError
from src.videos.collection import Item
from src.videos.frames import Pixels
from tests.compose import compose
from tests.narrators.colours import READING
from tests.narrators.tiny import save_blip, save_vision_encoder_decoder
from tests.narrators.videos import write_video

PROMPT = "This is one image frame sampled from a video. Please caption this frame"


def _narrator(model: Path, **changes: Any) -> HuggingFaceNarrator:
    settings: dict[str, Any] = {
        "name": "tiny",
        "interval": 1.0,
        "model": str(model),
        "prompt": PROMPT,
        "generation": {"max_new_tokens": 12, "do_sample": False},
        "quantization": "none",
        "dtype": "float32",
        "device_map": "cpu",
        "batch_size": 8,
    }
    return HuggingFaceNarrator(**(settings | changes))


def _frames(count: int, height: int = 54, width: int = 96) -> list[Pixels]:
    noise = np.random.default_rng(0)
    return [noise.integers(0, 255, (height, width, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize("quantization", ["none", "8bit", "4bit"])
@pytest.mark.parametrize("family", ["llava", "blip2", "qwen"])
def test_every_family_at_every_precision(family: str, quantization: str, request: pytest.FixtureRequest) -> None:
    prompt = None if family == "blip2" else PROMPT
    narrator = _narrator(request.getfixturevalue(family), prompt=prompt, quantization=quantization, batch_size=3)
    captions = narrator.narrate(_frames(4))
    assert len(captions) == 4
    assert len(set(captions)) > 1  # it looks at the frames
    assert not any("USER" in caption or "caption this frame" in caption for caption in captions)
    weights = {type(module).__name__ for module in narrator._loaded.network.modules()}
    assert ("Linear8bitLt" in weights, "Linear4bit" in weights) == (quantization == "8bit", quantization == "4bit")


@pytest.mark.parametrize("family", ["llava", "blip2", "qwen"])
def test_a_caption_does_not_depend_on_its_batch(family: str, request: pytest.FixtureRequest) -> None:
    """Rows of unlike length are padded on the left, which greedy decoding does not see."""
    prompt = None if family == "blip2" else PROMPT
    model = request.getfixturevalue(family)
    frames = [*_frames(2), *_frames(2, height=140, width=60)]
    together = _narrator(model, prompt=prompt).narrate(frames)
    alone = _narrator(model, prompt=prompt, batch_size=1).narrate(frames)
    assert together == alone


def test_the_prompt_matters_and_goes_through_the_chat_template(llava: Path) -> None:
    frames = _frames(3)
    assert _narrator(llava).narrate(frames) != _narrator(llava, prompt="What is the colour").narrate(frames)
    processor = _narrator(llava)._loaded.processor
    inputs = _narrator(llava)._inputs(processor, [Image.new("RGB", (40, 30))] * 2)
    said = processor.tokenizer.decode(inputs["input_ids"][0])
    assert PROMPT in said
    assert said.endswith("ASSISTANT:")


def test_the_number_of_new_tokens_is_bounded(llava: Path) -> None:
    short = _narrator(llava, generation={"max_new_tokens": 3, "do_sample": False}).narrate(_frames(3))
    for caption, longer in zip(short, _narrator(llava).narrate(_frames(3)), strict=True):
        assert len(caption) < len(longer)


@pytest.mark.parametrize("dtype", ["bfloat16", "auto"])
def test_other_precisions(llava: Path, dtype: str) -> None:
    narrator = _narrator(llava, dtype=dtype)
    assert len(narrator.narrate(_frames(2))) == 2
    assert narrator._loaded.network.dtype == (torch.bfloat16 if dtype == "bfloat16" else torch.float32)


_ARGUMENTS = inspect.signature(HuggingFaceNarrator).parameters


class _Tight(HuggingFaceNarrator):
    """Runs out of memory with more than `room` frames at a time, as a GPU would."""

    room = 3

    def _captions(self, frames: Any, generation: Any) -> list[str]:
        self.tried: list[int] = [*getattr(self, "tried", []), len(frames)]
        if len(frames) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return super()._captions(frames, generation)


def test_half_the_batch_when_memory_runs_out(llava: Path) -> None:
    whole = _narrator(llava)
    tight = _Tight(**{key: getattr(whole, key) for key in _ARGUMENTS})
    frames = _frames(8)
    assert tight.narrate(frames) == whole.narrate(frames)
    assert tight.tried == [8, 4, 2, 2, 2, 2]
    assert tight.narrate(frames[:4]) == whole.narrate(frames[:4])
    assert tight.tried[6:] == [2, 2]  # the smaller batch is kept
    assert tight.identity == whole.identity


def test_a_batch_is_one_run_of_the_model(llava: Path) -> None:
    """What that saves is measured by benchmarks/narration.py: nine times."""
    frames = _frames(16)
    for batch_size, expected in ((1, [1] * 16), (16, [16]), (6, [6, 6, 4])):
        roomy = _Tight(**{key: getattr(_narrator(llava, batch_size=batch_size), key) for key in _ARGUMENTS})
        roomy.room = 16
        roomy.narrate(frames)
        assert roomy.tried == expected


def test_one_frame_that_does_not_fit_fails_its_video(llava: Path) -> None:
    tight = _Tight(**{key: getattr(_narrator(llava), key) for key in _ARGUMENTS})
    tight.room = 0
    with pytest.raises(NarrationError, match="memory runs out with one frame at a time"):
        tight.narrate(_frames(2))


def test_other_errors_are_not_hidden(llava: Path) -> None:
    narrator = _narrator(llava, generation={"max_new_tokens": 2, "no_such_setting": 1})
    with pytest.raises(ValueError, match="no_such_setting"):
        narrator.narrate(_frames(1))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"quantization": "2bit"}, "none, 8bit or 4bit"),
        ({"dtype": "float99"}, "narrator.dtype"),
        ({"batch_size": 0}, "must be positive"),
        ({"interval": 0}, "must be positive"),
    ],
)
def test_bad_settings(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        _narrator(tmp_path, **changes)


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be loaded"):
        _narrator(tmp_path / "none").narrate(_frames(1))


def test_weights_are_never_drawn_at_random(llava: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(llava, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    lost = sorted(weights)[0]
    save_file(
        {key: value for key, value in weights.items() if key != lost}, broken / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(UserError, match="has no weights for"):
        _narrator(broken).narrate(_frames(1))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("llava_13b", "llava-hf/llava-1.5-13b-hf"),
        ("llava_7b", "llava-hf/llava-1.5-7b-hf"),
        ("blip2", "Salesforce/blip2-opt-6.7b"),
    ],
)
def test_published_narrators(name: str, model: str) -> None:
    narrator = instantiate(compose(f"+narrator={name}").narrator, _convert_="all")
    assert isinstance(narrator, HuggingFaceNarrator)
    assert narrator.model == model
    assert narrator.interval == 1
    assert narrator.generation["do_sample"] is False
    paper = "to describe this frame with some details but without any analysis"
    assert narrator.prompt is None if name == "blip2" else paper in str(narrator.prompt)
    json.dumps(narrator.identity)


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_blip(tmp_path_factory.mktemp("blip"))


@pytest.mark.parametrize("family", ["llava", "blip", "blip2", "qwen"])
def test_no_caption_begins_with_the_prompt(family: str, request: pytest.FixtureRequest) -> None:
    narrator = _narrator(request.getfixturevalue(family), prompt="This is One  image, of a video")
    narrator.prepare()
    for caption in narrator.narrate(_frames(3)):
        assert caption
        assert "image" not in caption.lower().replace(" ", "")


class _Thinking(HuggingFaceNarrator):
    """Whose network writes what it is told, reasoning in special tokens or in plain ones."""

    written = ""

    def _captions(self, frames: Any, generation: Any) -> list[str]:
        processor, network = self._loaded
        ids = processor.tokenizer(self.written, add_special_tokens=False, return_tensors="pt")["input_ids"]
        network.generate = lambda **inputs: torch.cat((inputs["input_ids"], ids.expand(len(frames), -1)), dim=1)
        return super()._captions(frames, generation)


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("marks", [("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷")])
def test_reasoning_is_no_caption(llava: Path, tmp_path: Path, marks: tuple[str, str], special: bool) -> None:
    narrator = _Thinking(**{key: getattr(_narrator(llava), key) for key in _ARGUMENTS})
    if special:
        narrator._loaded.processor.tokenizer.add_special_tokens({"additional_special_tokens": list(marks)})
    item = Item("v", write_video(tmp_path / "v.mp4", [0.0]))
    for begins in (marks[0], ""):
        narrator.written = f"{begins}The user wants a caption.{marks[1]}A person opens the door.</s>"
        (outcome,) = narrator.outcomes([item], READING)
        assert isinstance(outcome, Narratives), outcome
        assert outcome.texts == ("A person opens the door.",)
    narrator.written = f"{marks[0]}The user wants a caption."
    (outcome,) = narrator.outcomes([item], READING)
    assert isinstance(outcome, Failure)
    assert "ends before the model's reasoning does" in outcome.reason


def _without_template(llava: Path, folder: Path) -> Path:
    copy = shutil.copytree(llava, folder)
    (copy / "chat_template.jinja").unlink()
    return copy


@pytest.mark.parametrize(
    ("generation", "says"),
    [
        ({"max_tokens": 5}, "max_tokens"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_new_tokens": -1}, "max_new_tokens"),
        ({"max_new_tokens": "many"}, "cannot caption a picture"),
        ({"max_new_tokens": 4, "num_return_sequences": 2}, "num_return_sequences"),
        ({"max_new_tokens": 4, "num_return_sequences": 2, "do_sample": True}, "num_return_sequences"),
        ({"max_new_tokens": 4, "num_beams": 0}, "cannot caption a picture"),
        ({"max_new_tokens": 4, "temperature": -1.0, "do_sample": True}, "temperature"),
    ],
)
def test_settings_that_no_frame_can_be_captioned_with_are_one_line_before_any_video_is_read(
    llava: Path, generation: dict[str, Any], says: str
) -> None:
    narrator = _narrator(llava, generation=generation)
    with pytest.raises(UserError, match=says) as caught:
        next(narrator.outcomes([Item("v", None)], READING))
    assert "\n" not in str(caught.value)


def test_models_that_are_none_are_one_line_before_any_video_is_read(llava: Path, tmp_path: Path) -> None:
    template = _narrator(_without_template(llava, tmp_path / "llava"))
    with pytest.raises(UserError, match="its processor has no chat template"):
        next(template.outcomes([Item("v", None)], READING))
    wordless = _narrator(save_vision_encoder_decoder(tmp_path / "wordless"))
    with pytest.raises(UserError, match="does not take an image and text"):
        next(wordless.outcomes([Item("v", None)], READING))
    with pytest.raises(UserError, match="cannot be loaded"):
        next(_narrator(tmp_path / "none").outcomes([Item("v", None)], READING))


def test_a_picture_too_wide_for_the_model_fails_its_video_alone(qwen: Path, tmp_path: Path) -> None:
    items = [
        Item("good", write_video(tmp_path / "good.mp4", [0.0, 0.5])),
        Item("wide", write_video(tmp_path / "wide.mp4", [0.0, 0.5], width=1344, height=6)),
        Item("other", write_video(tmp_path / "other.mp4", [0.0, 0.5])),
    ]
    outcomes = list(_narrator(qwen).outcomes(items, READING))
    assert [type(outcome) for outcome in outcomes] == [Narratives, Failure, Narratives]
    assert isinstance(outcomes[1], Failure)
    assert "aspect ratio" in outcomes[1].reason
