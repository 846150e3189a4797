"""VSLNet against the golden numbers of its authors' code."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from src.data.letters import spell
from tests.models.golden import Golden, watched

ALPHABET = "abcdefghijklmnopqrstuvwx"
KINDS = ("vslnet", "vslnet_transformer", "vslnet_released")


class VSLNetGolden(Golden):
    """Its sentences are what its letters spell, with a letter of ours in the place of each of the file's."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            self.alphabet = ALPHABET[: len(file["weight/embedding_net.char_emb.char_emb.weight"]) - 2]
        super().__init__(path, f"predictor.network.alphabet={self.alphabet}")
        # As released, windows that begin after a word count with all words of the batch padded to the longest.
        self.counts_padding = path.stem == "vslnet_released"
        if self.counts_padding:
            given = self["output/char_features"]
            self.network.embed_query.letters.register_forward_hook(lambda *_: given)

    @property
    def query(self) -> Tensor:
        table = torch.cat([self[f"weight/embedding_net.word_emb.{kind}_vec"] for kind in ("pad", "unk", "glove")])
        return table[self["input/word_ids"]]

    @property
    def unknown(self) -> Tensor:
        return self["input/word_ids"] == 1

    @property
    def sentences(self) -> list[str]:
        letters = f"·z{self.alphabet}"
        spelt = [
            ["".join(letters[i] for i in word if i) for word in words] for words in self["input/char_ids"].tolist()
        ]
        return [" ".join(word for word in words if word) for words in spelt]


@pytest.fixture(scope="module", params=KINDS)
def golden(request: pytest.FixtureRequest, shared: Path) -> VSLNetGolden:
    return VSLNetGolden(shared / "parity" / f"{request.param}.npz")


def test_sentences_are_spelt_as_the_file_has_them(golden: VSLNetGolden) -> None:
    ids = golden["input/char_ids"]
    spelt = spell(golden.sentences, golden.alphabet)
    assert torch.equal(spelt, ids[..., : spelt.shape[2]])
    assert not ids[..., spelt.shape[2] :].any()


def test_outputs_agree(golden: VSLNetGolden) -> None:
    network, predictor = golden.network, golden.predictor
    fusion, span, encoder = predictor.fusion, predictor.span, predictor.encoder
    given: dict[str, Tensor] = {}

    def keep(name: str, _: nn.Module, arguments: tuple[Any, ...]) -> None:
        given[name] = arguments[0]

    hooks = [
        module.register_forward_pre_hook(partial(keep, name))
        for name, module in (
            ("words", network.embed_query),
            ("mixed", fusion.output),
            ("start", span.start.score),
            ("end", span.end.score),
        )
    ]
    with watched(
        video=network.embed_video,
        query=network.embed_query,
        letters=network.embed_query.letters,
        convolutions=encoder.convolutions[-1],
        encoder=encoder,
        similarity=fusion.similarity,
        mix=fusion.mix,
        fusion=fusion,
        span=span,
    ) as seen:
        golden()
    for hook in hooks:
        hook.remove()
    hidden, mask, words = predictor.hidden, golden.mask, golden.query_mask
    (highlight, start, end), pairs = seen["span"][0], mask[..., None] & words[:, None]
    golden.assert_outputs(
        {
            "word_vectors": (given["words"], words),
            "video_embedded": (seen["video"][0], mask),
            "char_features": (seen["letters"][0], words),
            "query_embedded": (seen["query"][0], words),
            "encoder_conv_video": (seen["convolutions"][0], mask),
            "encoder_conv_query": (seen["convolutions"][1], words),
            "encoder_video": (seen["encoder"][0], mask),
            "encoder_query": (seen["encoder"][1], words),
            "similarity": (seen["similarity"][0], pairs),
            "attended": (seen["mix"][0], mask),
            "pooled_query": given["mixed"][:, 0, hidden:],
            "fused": (seen["fusion"][0], mask),
            "highlight_logits": (highlight, mask),
            "highlight": (highlight.sigmoid(), mask),
            "start_states": (given["start"][..., :hidden], mask),
            "end_states": (given["end"][..., :hidden], mask),
            "start_logits": (start, mask),
            "end_logits": (end, mask),
        }
    )


def test_states_before_their_normalisation_agree(golden: VSLNetGolden) -> None:
    if golden.predictor.settings.head == "lstm":
        return
    with watched(encoder=golden.predictor.span.start.encoder) as seen:
        golden()
    start, end = seen["encoder"]
    golden.assert_outputs(
        {"states_before_norm_start": (start, golden.mask), "states_before_norm_end": (end, golden.mask)}
    )


def test_losses_and_gradients_agree(golden: VSLNetGolden) -> None:
    golden.network.zero_grad()
    terms, inputs = golden.losses(), golden["input/highlight_lambda"]
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    assert terms.keys() == {"localisation", "highlight"}
    localisation, highlight = terms["localisation"], terms["highlight"] / inputs
    golden.assert_losses({"localisation": localisation, "highlight": highlight, "total": total})
    start, end = golden().boundaries.start, golden().boundaries.end
    of_target = (golden.target[:, :1], golden.target[:, 1:])
    golden.assert_losses({"start": -start.gather(1, of_target[0]).mean(), "end": -end.gather(1, of_target[1]).mean()})
    golden.assert_gradients(floor=1e-4, but=("embedding_net.char_emb.",) if golden.counts_padding else ())


def test_decodes_the_same_moments(golden: VSLNetGolden) -> None:
    windows = golden.network.rank(golden.inputs, top=1).windows[:, 0]
    torch.testing.assert_close(windows, golden["output/pred_window"], atol=1e-4, rtol=0.0)


def test_a_sample_is_the_same_alone_and_in_any_batch(golden: VSLNetGolden) -> None:
    if golden.counts_padding:
        return
    together = golden()
    for sample in range(len(golden.mask)):
        alone = golden(golden.alone(sample))
        for side in ("start", "end"):
            one, all_ = getattr(alone.boundaries, side)[0], getattr(together.boundaries, side)[sample]
            torch.testing.assert_close(one, all_[: len(one)], atol=1e-5, rtol=0.0)
