"""Shuffling and its base network QAVE against the golden numbers of their authors' code, and around other networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from src.build import Parts
from src.data.batch import Batch, collate
from src.errors import UserError
from src.models import shuffling
from src.models.method import Method
from src.models.predictor import Clips
from src.models.proposals.decode import best_spans
from src.models.shuffling import Shuffling, inter_loss, intra_loss, order_of, parts, share, within
from src.models.span.base import SpanOutput
from src.models.words import sentence
from tests.compose import compose
from tests.models.golden import CLOSE, Golden, of, watched
from tests.models.samples import sample


class ShufflingGolden(Golden):
    """Its clips are seconds. As released, padding is read: everything in that file counts as valid."""

    def __init__(self, path: Path) -> None:
        self.reads_padding = path.stem == "shuffling_released"
        super().__init__(path)
        self.method = Shuffling(len(self["weight/tod.foreback_context.0.bias"]), 1.0, 1.0, 1.0, dropout=0.0)
        names = {"foreback_context.0": "context", "fc_classifier_domain_video.0": "classify"}
        self.method.order.load_state_dict(
            {
                f"{own}.{kind}": self[f"weight/tod.{name}.{kind}"]
                for name, own in names.items()
                for kind in ("weight", "bias")
            }
        )
        self.orders = {f"tod.{name}": own for name, own in names.items()}

    @property
    def mask(self) -> Tensor:
        return torch.ones_like(super().mask) if self.reads_padding else super().mask

    @property
    def query_mask(self) -> Tensor:
        return torch.ones_like(super().query_mask) if self.reads_padding else super().query_mask

    @property
    def duration(self) -> Tensor:
        return self.mask.sum(dim=1).float()

    @property
    def windows(self) -> Tensor:
        return self.target + torch.tensor([0.0, 1.0])

    @property
    def place(self) -> Tensor:
        return self["input/pseudo_start_index"]

    @property
    def pseudo_target(self) -> Tensor:
        return torch.stack((self.place, self["input/pseudo_end_index"]), dim=1)

    @property
    def pseudo_video(self) -> Tensor:
        return self["input/pseudo_video" if self.reads_padding else "output/pseudo_video"]

    @contextmanager
    def as_base(self) -> Iterator[None]:
        """Without what says how clips match."""
        match, self.predictor.match = self.predictor.match, None
        try:
            yield
        finally:
            self.predictor.match = match

    def parts(self, pseudo: bool) -> list[Tensor]:
        """Which clips are the moment's, up to its first, and from its last on."""
        prefix = "pseudo_" if pseudo else ""
        if self.reads_padding:
            return [self[f"input/{prefix}mask_{name}"] for name in ("moment", "before", "after")]
        return list(parts(self.pseudo_target if pseudo else self.target, self.mask))

    def clips(self, video: Tensor) -> Clips:
        return self.predictor.clips(self.network.streams(replace(self.inputs, video=video)))


@pytest.fixture(scope="module", params=["shuffling", "shuffling_released"])
def loaded(request: pytest.FixtureRequest, shared: Path) -> ShufflingGolden:
    return ShufflingGolden(shared / "parity" / f"{request.param}.npz")


@pytest.fixture
def golden(loaded: ShufflingGolden) -> ShufflingGolden:
    loaded.begin()
    loaded.method.zero_grad()
    return loaded


def test_the_moment_is_moved_as_released(golden: ShufflingGolden) -> None:
    length = golden["input/shuffle_length"]
    span, order, place = golden["input/shuffle_span"], golden["output/shuffle_order"], golden["output/shuffle_span"]
    inside = span[:, 1] < length  # what passes its video's end is cut before it comes here
    mask = torch.arange(order.shape[1]) < length[:, None]
    found = order_of(span, place[:, 0], mask)
    assert torch.equal(found[mask & inside[:, None]], order[mask & inside[:, None]])
    assert inside.any()


def test_the_pseudo_video_is_that_of_the_file(golden: ShufflingGolden) -> None:
    if golden.reads_padding:
        return
    pseudo = shuffling.moved(golden.inputs, golden.target, golden.place)
    assert torch.equal(pseudo.video, golden["output/pseudo_video"])  # type: ignore[arg-type]


def test_outputs_agree(golden: ShufflingGolden) -> None:
    network, predictor = golden.network, golden.predictor
    blocks = {f"block_{n}": block for n, block in enumerate(predictor.blocks)}
    with watched(
        embedded=network.embed_query.linear,
        words=network.embed_query,
        start=predictor.start,
        end=predictor.end,
        **blocks,
        **{f"{name}_lstm": block.lstm for name, block in blocks.items()},
        **{f"{name}_attention": block.attention for name, block in blocks.items()},
    ) as seen:
        output: SpanOutput = golden()
        pseudo = golden.clips(golden.pseudo_video)
    mask, words = golden.mask, golden.query_mask
    assert output.clips is not None
    states = seen["words"][0]
    context = {
        f"{name}_context": (seen[f"{name}_attention"][0] @ states.masked_fill(~words[..., None], 0.0), mask)
        for name in blocks
    }
    pairs = mask[..., None] & words[:, None]
    golden.assert_outputs(
        {
            "word_embedded": (seen["embedded"][0], words),
            "words": (states, words),
            "sentence": sentence(states, words),
            **{f"{name}_lstm": (seen[f"{name}_lstm"][0], mask) for name in blocks},
            **{f"{name}_attention": (seen[f"{name}_attention"][0], pairs) for name in blocks},
            **context,
            **{name: (seen[name][0], mask) for name in blocks},
            "pseudo_block_1": (seen["block_1"][1], mask),
            "frames": (output.clips.features, mask),
            "pseudo_frames": (pseudo.features, mask),
            "match_logits": (output.clips.match, mask),
            "pseudo_match_logits": (pseudo.match, mask),
            "start_logits": (seen["start"][0].squeeze(-1), mask),
            "end_logits": (seen["end"][0].squeeze(-1), mask),
            "start_prob": (output.boundaries.start.exp(), mask),
            "end_prob": (output.boundaries.end.exp(), mask),
        }
    )
    moments = golden.parts(False), golden.parts(True)
    golden.assert_outputs(
        {
            "moment_share": share(output.clips.match, moments[0][0]),
            "pseudo_moment_share": share(pseudo.match, moments[1][0]),
            "order_logits": golden.method.order(output.clips.features, *moments[0]),
            "pseudo_order_logits": golden.method.order(pseudo.features, *moments[1]),
        }
    )


def test_what_order_is_told_by_agrees(golden: ShufflingGolden) -> None:
    order, told = golden.method.order, []
    hook = order.classify.register_forward_pre_hook(lambda _, given: told.append(given[0]))
    for pseudo, video in ((False, golden["input/video"]), (True, golden.pseudo_video)):
        order(golden.clips(video).features, *golden.parts(pseudo))
    hook.remove()
    for prefix, each in zip(("", "pseudo_"), told, strict=True):
        inside, before, after = each.chunk(3, dim=-1)
        golden.assert_outputs(
            {f"{prefix}order_moment": inside, f"{prefix}order_before": before, f"{prefix}order_after": after}
        )


def test_losses_and_gradients_agree(golden: ShufflingGolden, monkeypatch: pytest.MonkeyPatch) -> None:
    if golden.reads_padding:
        terms = released_losses(golden)
    else:
        monkeypatch.setattr(shuffling, "draw", lambda *_: golden.place)
        terms = golden.method.losses(golden.network, Batch(golden.inputs, golden.truth))
    terms["grounding"] = terms.pop("localisation")
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    golden.assert_losses({**terms, "total": total})
    golden.assert_gradients(floor=1e-6, but=("tod.",))
    for name, own in golden.orders.items():
        for kind in ("weight", "bias"):
            gradient = golden.method.order.get_parameter(f"{own}.{kind}").grad
            assert gradient is not None
            torch.testing.assert_close(
                gradient.norm(), golden[f"grad_norm/{name}.{kind}"], atol=0.0, rtol=1e-3, msg=of(name)
            )


def released_losses(golden: ShufflingGolden) -> dict[str, Tensor]:
    """With the masks as released, which reach one clip past the video."""
    output: SpanOutput = golden()
    clips, others = output.clips, golden.clips(golden.pseudo_video)
    assert clips is not None
    (moment, *rest), (pseudo_moment, *pseudo_rest) = golden.parts(False), golden.parts(True)
    order = golden.method.order
    logits = order(clips.features, moment, *rest), order(others.features, pseudo_moment, *pseudo_rest)
    classes = torch.arange(2).repeat_interleave(len(moment))
    original = intra_loss(clips.match, moment, golden["input/mask_video"])
    return {
        **golden.predictor.losses(output, golden.inputs, golden.truth, 0.0),
        "intra": original + intra_loss(others.match, pseudo_moment, golden["input/pseudo_mask_video"]),
        "inter": inter_loss(clips.match, others.match, moment, golden.target[:, 0], golden.place),
        "order": torch.nn.functional.cross_entropy(torch.cat(logits), classes),
    }


def test_each_part_of_the_matching_loss_agrees(golden: ShufflingGolden) -> None:
    for name, video, pseudo in (("original", golden["input/video"], False), ("pseudo", golden.pseudo_video, True)):
        prefix = "pseudo_" if pseudo else ""
        mask = golden[f"input/{prefix}mask_video"] if golden.reads_padding else golden.mask
        loss = intra_loss(golden.clips(video).match, golden.parts(pseudo)[0], mask)
        golden.assert_losses({f"intra_{name}": loss})


@pytest.mark.parametrize("base", [False, True])
def test_decodes_the_same_moments(golden: ShufflingGolden, base: bool) -> None:
    prefix = "base_" if base else ""
    with golden.as_base() if base else nullcontext():
        require_moments(golden, prefix)


def require_moments(golden: ShufflingGolden, prefix: str) -> None:
    output: SpanOutput = golden()
    spans, scores = best_spans(output.boundaries.start, output.boundaries.end, 1, 0.5, joint="sum")
    expected = torch.stack((golden[f"output/{prefix}pred_start"], golden[f"output/{prefix}pred_end"]), dim=1)
    assert torch.equal(spans[:, 0], expected)
    torch.testing.assert_close(scores[:, 0].exp(), golden[f"output/{prefix}pred_score"], **CLOSE)
    for end, windows in (("whole", expected + torch.tensor([0, 1])), ("released", expected)):
        golden.predictor.settings = replace(golden.predictor.settings, end=end)
        found = golden.network.rank(golden.inputs, top=1).windows[:, 0]
        torch.testing.assert_close(found, windows.float(), atol=1e-4, rtol=0.0)


def test_the_base_network_alone_agrees(golden: ShufflingGolden) -> None:
    with golden.as_base(), watched(start=golden.predictor.start, end=golden.predictor.end) as seen:
        terms = golden.losses()
        output: SpanOutput = golden()
    mask = golden.mask
    golden.assert_outputs(
        {
            "base_start_logits": (seen["start"][0].squeeze(-1), mask),
            "base_end_logits": (seen["end"][0].squeeze(-1), mask),
            "base_start_prob": (output.boundaries.start.exp(), mask),
            "base_end_prob": (output.boundaries.end.exp(), mask),
        }
    )
    torch.testing.assert_close(terms["localisation"], golden["output/base_loss"], atol=0.0, rtol=1e-5)
    terms["localisation"].backward()
    golden.assert_gradients(1e-6, "grad_norm_base", but=("tod.", "csmm."))


def test_a_sample_is_the_same_alone_and_in_any_batch(golden: ShufflingGolden) -> None:
    if golden.reads_padding:
        return
    together: SpanOutput = golden()
    for row in range(len(golden.mask)):
        alone: SpanOutput = golden(golden.alone(row))
        start = alone.boundaries.start[0]
        torch.testing.assert_close(start, together.boundaries.start[row, : len(start)], atol=1e-5, rtol=0.0)


def network_and_method(*overrides: str) -> tuple[Any, Any]:
    sizes = ("features.dim=12", "text.dim=10", "predictor.network.hidden=16", "folder=.")
    parts_ = Parts(compose("method=shuffling", *overrides, *sizes, config="train"))
    from hydra.utils import instantiate

    method: Method = instantiate(parts_.cfg.method.network)
    method.require(parts_.network)
    return parts_.network, method


@pytest.mark.parametrize(
    "choice",
    [
        ("predictor=emb",),
        ("predictor=emb", "merger=none", "paragraph=none"),
        ("predictor=vslnet", "merger=none", "paragraph=none"),
        ("predictor=qave", "predictor.network.match=8", "predictor.network.inputs=16"),
    ],
    ids=" ".join,
)
def test_networks_learn_by_it_with_all_its_weights(choice: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    network, method = network_and_method(*choice)
    samples = [sample(1, 20, 5), sample(2, 1, 1), sample(3, 41, 2), sample(4, 9, 12)]
    terms = method.losses(network.train(), collate(samples))
    assert {"intra", "inter", "order"} < terms.keys()
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in (*network.named_parameters(), *method.named_parameters()):
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("choice", ["predictor=lgi", "predictor=drn", "predictor=qd_detr", "predictor=qave"])
def test_what_has_nothing_to_compare_is_refused(choice: str) -> None:
    with pytest.raises(UserError, match="choose predictor=emb or vslnet, or qave with"):
        network_and_method(choice, "paragraph=none")


def test_narratives_move_with_their_snippets() -> None:
    inputs = collate([sample(1, 20, 5), sample(4, 9, 12)]).inputs
    target = torch.tensor([[3, 6], [0, 2]])
    moved = shuffling.moved(inputs, target, torch.tensor([10, 6]))
    for stream, before in ((moved.video, inputs.video), (moved.narrative, inputs.narrative)):
        assert stream is not None
        assert before is not None
        assert torch.equal(stream[0, 10:14], before[0, 3:7])
        assert torch.equal(stream[0, :3], before[0, :3])
        assert torch.equal(stream[0, 3:10], before[0, 7:14])
        assert torch.equal(stream[1, 6:9], before[1, :3])
        assert torch.equal(stream[1, :6], before[1, 3:9])


def test_every_place_is_drawn_and_one_snippet_stays() -> None:
    torch.manual_seed(0)
    target = torch.tensor([[1, 2], [2, 2], [0, 3]]).repeat(200, 1)
    places = shuffling.draw(target, torch.tensor([4, 4, 4]).repeat(200)).view(200, 3)
    assert set(places[:, 0].tolist()) == {0, 1, 2}
    assert set(places[:, 1].tolist()) == {2}
    assert set(places[:, 2].tolist()) == {0}
    assert within(torch.tensor([[1, 2]]), torch.ones(1, 4).bool()).tolist() == [[False, True, True, False]]
