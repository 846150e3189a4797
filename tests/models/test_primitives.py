"""Masked primitives against the golden numbers of Primitives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from src.build import Parts
from src.data.batch import Batch, collate
from src.data.tags import Tag
from src.errors import UserError
from src.models.primitives import (
    Kept,
    MaskedPrimitives,
    Primitives,
    draw_negative,
    draw_positive,
    key,
    masked_losses,
    moment_snippets,
    scaled,
    weight,
)
from src.models.primitives import candidates as most_alike
from src.models.proposals.maps import MapOutput
from tests.compose import compose
from tests.models.proposals.golden import assert_gradients, streams
from tests.models.proposals.test_ms_2d_tan import GoldenMaps
from tests.models.samples import sample

SMALL = ["features.dim=12", "text.dim=10", "predictor.network.hidden=16", "predictor.network.kernels=[3]", "folder=."]


@pytest.fixture(scope="module", params=["primitives", "primitives_released"])
def golden(request: pytest.FixtureRequest, shared: Path) -> GoldenMaps:
    return GoldenMaps(shared / "parity" / f"{request.param}.npz")


def primitives(golden: GoldenMaps) -> Primitives:
    """Of a file; the released canvas takes part in the network, and not in what is masked."""
    given = golden.input
    mask = torch.arange(given["video"].shape[1]) < given["video_length"][:, None]
    relevance = scaled(given["similarity"], mask)
    shown = golden.shown.inputs
    duration = shown.length * golden.input["time_unit"].double()
    moment = moment_snippets(golden.shown.truth.windows, shown.length, duration, shown.snippet_mask)
    return Primitives(given["word_tags"], relevance, moment, most_alike(relevance, moment))


def kept(golden: GoldenMaps, kind: str) -> Kept:
    return Kept(golden.input[f"{kind}_word_kept"], golden.input[f"{kind}_clip_kept"])


def losses(golden: GoldenMaps) -> tuple[dict[str, Tensor], list[MapOutput]]:
    inputs, predictor = golden.shown.inputs, golden.network.predictor
    outputs = [predictor(streams(golden.network, kept(golden, kind).of(inputs))) for kind in ("negative", "positive")]
    overlap = outputs[0].overlap(golden.shown.truth)
    shares = weight(kept(golden, "negative"), primitives(golden))
    return masked_losses(*outputs, shares, overlap, predictor.target), outputs


def test_what_may_be_masked_agrees(golden: GoldenMaps) -> None:
    found = primitives(golden)
    torch.testing.assert_close(found.relevance, golden.output["similarity_scaled"], atol=1e-6, rtol=0)
    assert torch.equal(found.moment, golden.output["moment_clips"])
    assert torch.equal(found.candidates, golden.output["candidate_clips"])
    for kind in ("negative", "positive"):
        shares = weight(kept(golden, kind), found)
        torch.testing.assert_close(shares, golden.input[f"{kind}_weight"], atol=1e-6, rtol=0)


def test_losses_and_gradients_agree(golden: GoldenMaps) -> None:
    network = golden.network
    network.zero_grad()
    terms, outputs = losses(golden)
    for output, kind in zip(outputs, ("negative", "positive"), strict=True):
        logits = torch.where(output.mask, output.yes - output.no, 0.0)[:, golden.place]
        torch.testing.assert_close(
            logits, golden.output[f"{kind}_logits"] * golden.input["cell_mask"], atol=1e-4, rtol=0
        )
    for name, term in terms.items():
        torch.testing.assert_close(term, golden.output[f"loss_{name}"], atol=0, rtol=1e-5)
    total = torch.stack([golden.number(f"{name}_loss") * term for name, term in terms.items()]).sum()
    torch.testing.assert_close(total, golden.output["loss_sample"], atol=0, rtol=1e-5)
    total.backward()
    assert_gradients(golden, network, golden.group("grad_norm_sample/"), 1e-3)


def test_losses_after_the_samples_own_step_agree(shared: Path) -> None:
    golden = GoldenMaps(shared / "parity" / "primitives.npz")
    network, batch = golden.network, golden.shown
    network.zero_grad()
    terms = network.predictor.losses(golden.run[0], batch.inputs, batch.truth, 0.0)
    terms["matching"].backward()
    torch.optim.Adam(network.parameters(), lr=golden.number("learning_rate")).step()
    for name, term in losses(golden)[0].items():
        torch.testing.assert_close(term, golden.output[f"second_loss_{name}"], atol=0, rtol=1e-4)


class ByLength:
    """A word of five letters or more carries meaning."""

    def require(self) -> None:
        pass

    def __call__(self, sentence: str) -> Sequence[int]:
        return [Tag.NOUN if len(word) > 4 else Tag.OTHER for word in sentence.split()]


def batch() -> Batch:
    return collate([sample(number, 8 + number, 3) for number in range(3)])  # "a person waves"


def method(similarity: str | None = None) -> MaskedPrimitives:
    return MaskedPrimitives(ByLength(), similarity, 20.0, 0.2, 0.1)


def test_a_negative_masks_what_matters_and_a_positive_what_does_not() -> None:
    torch.manual_seed(0)
    some = batch()
    found = method().primitives(some)
    content = found.tags == Tag.NOUN
    for _ in range(20):
        negative, positive = draw_negative(found), draw_positive(found)
        assert negative.words[~content].all()
        assert positive.words[content].all()
        assert not positive.clips.logical_not().logical_and(found.moment).any()
        for each in (negative, positive):
            assert not (~each.words.all(dim=1) & ~each.clips.all(dim=1)).any()
        of_clips = ~negative.clips.all(dim=1)
        assert not negative.clips[of_clips].logical_and(found.moment[of_clips]).any()


def test_a_masked_clip_loses_its_narrative() -> None:
    inputs = batch().inputs
    clips = torch.ones_like(inputs.snippet_mask)
    clips[0, 2] = False
    shown = Kept(torch.ones_like(inputs.query_mask), clips).of(inputs)
    assert shown.video is not None
    assert shown.narrative is not None
    assert not shown.video[0, 2].any()
    assert not shown.narrative[0, 2].any()
    assert torch.equal(shown.snippet_mask, inputs.snippet_mask)


def test_a_network_with_narratives_learns_by_it_and_without_it_asks_for_a_file(tmp_path: Path) -> None:
    some, masked = batch(), method()
    network = Parts(compose("predictor=ms_2d_tan", "merger=add", "paragraph=query", *SMALL, config="train")).network
    masked.require(network)
    assert len(masked.turns) == 2
    terms = masked.turns[1](network.train(), some)
    assert terms.keys() == {"negative", "positive", "contrast"}
    assert all(term.isfinite() for term in terms.values())
    blind = Parts(compose("predictor=ms_2d_tan", "merger=none", "paragraph=none", *SMALL, config="train")).network
    with pytest.raises(UserError, match="similarity=FILE"):
        masked.require(blind)
    file = tmp_path / "similarities.json"
    file.write_text(json.dumps({key(m.video, m.query): list(range(20)) for m in some.truth.moments}))
    told = method(str(file))
    told.require(blind)
    bare = Batch(replace(some.inputs, narrative=None), some.truth)
    assert all(term.isfinite() for term in told.turns[1](blind.train(), bare).values())


def test_what_it_cannot_teach_is_refused(tmp_path: Path) -> None:
    network = Parts(compose("predictor=emb", *SMALL[:3], "folder=.", config="train")).network
    with pytest.raises(UserError, match="choose predictor=ms_2d_tan"):
        method().require(network)
    maps = Parts(compose("predictor=ms_2d_tan", "merger=none", "paragraph=none", *SMALL, config="train")).network
    with pytest.raises(UserError, match="cannot be read"):
        method(str(tmp_path / "none.json")).require(maps)
