"""DRN against the golden numbers of its authors' code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from src.models.regression.drn import DRN, DRNOutput, DRNSettings, hull_overlap, into_cells, targets
from src.moments import RankedMoments
from tests.models.golden import Golden, watched


class DRNGolden(Golden):
    """Its words are vectors of a table that is trained."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.table = nn.Parameter(self["weight/query_encoder.embedding.weight"])

    @property
    def query(self) -> Tensor:
        return self.table[self["input/word_ids"]]

    @property
    def query_mask(self) -> Tensor:  # a word without a vector is valid
        return torch.arange(self["input/word_ids"].shape[1]) < self["input/query_length"][:, None]

    def at(self, stage: str, **changes: object) -> None:
        """Have the network learn, and answer, as in a stage."""
        self.predictor.settings = replace(self.predictor.settings, stage=stage, **changes)


@pytest.fixture(scope="module")
def loaded(shared: Path) -> DRNGolden:
    return DRNGolden(shared / "parity" / "drn.npz")


@pytest.fixture
def golden(loaded: DRNGolden) -> DRNGolden:
    loaded.begin()
    loaded.at("third", most_overlap=0.45)
    return loaded


def test_outputs_agree(golden: DRNGolden) -> None:
    network, predictor = golden.network, golden.predictor
    with watched(
        words=network.embed_query,
        video=network.embed_video,
        commands=predictor.commands,
        position=predictor.backbone.position,
        backbone=predictor.backbone,
        pyramid=predictor.pyramid,
        match=predictor.match,
        location=predictor.windows.location,
        mixed=predictor.windows.overlap[0],
        inner=predictor.pyramid.inner[2],
    ) as seen:
        lateral: list[Tensor] = []
        hooks = [
            outer.register_forward_pre_hook(lambda _, given: lateral.append(given[0].mT))
            for outer in predictor.pyramid.outer
        ]
        output = golden()
    for hook in hooks:
        hook.remove()
    vectors, attended, attention = seen["commands"][0]
    words = golden.query_mask
    golden.assert_outputs(
        {
            "word_states": (seen["words"][0], words),
            "query_attention": (attention, words[:, None].expand_as(attention)),
            "query_commands": attended,
            **{f"query_{level}": vector for level, vector in enumerate(vectors)},
            "video_embedded": seen["video"][0],
            "position": seen["position"][0].expand(len(words), -1, -1),
            **{f"backbone_{level}": each.mT for level, each in enumerate(seen["backbone"][0])},
            **{f"lateral_{level}": each for level, each in enumerate(lateral)},
            **{f"pyramid_{level}": each.mT for level, each in enumerate(seen["pyramid"][0])},
            "match_tower": torch.cat([features.mT for features, _ in seen["match"]], dim=1),
            "location_tower": torch.cat([features.mT for features, _ in seen["location"]], dim=1),
            "mixed": torch.cat([mixed.mT for mixed in seen["mixed"]], dim=1),
            "points": output.points,
            "logits": output.logits,
            "iou_logits": output.overlaps,
            "distances": output.distances,
        }
    )
    golden.assert_state("after")


def test_labels_agree(golden: DRNGolden) -> None:
    output = golden()
    target = golden["input/target"]
    distances, positive = targets(output, target)
    assert torch.equal(positive, golden["output/positive"])
    golden.assert_outputs({"target_distances": distances.masked_fill(~positive[..., None], 0.0)})
    overlap = hull_overlap(output.windows, target)
    golden.assert_outputs({"iou_target": overlap})
    assert torch.equal(overlap > 0.9, golden["output/iou_positive"])


@pytest.mark.parametrize("stage", ["first", "second", "third"])
def test_losses_and_gradients_of_each_stage_agree(golden: DRNGolden, stage: str) -> None:
    golden.table.grad = None
    golden.at(stage)
    terms = golden.losses()
    names = {"match": "cls", "location": "reg", "overlap": "iou"}
    golden.assert_losses({names[name]: term for name, term in terms.items()})
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    if stage != "second":
        golden.assert_losses({"total" if stage == "third" else "total_first": total})
    table = "query_encoder.embedding"
    golden.assert_gradients(1e-6, "grad_norm" if stage == "third" else f"grad_norm_{stage}", but=(table,))
    if stage == "second":
        learned = {name for name, weight in golden.network.named_parameters() if weight.grad is not None}
        assert {name.split(".overlap.")[0] for name in learned} == {"predictor.windows"}
    else:
        group = "grad_norm" if stage == "third" else "grad_norm_first"
        assert golden.table.grad is not None
        torch.testing.assert_close(golden.table.grad.norm(), golden[f"{group}/{table}.weight"], atol=0.0, rtol=1e-3)


def test_outputs_of_evaluation_agree(golden: DRNGolden) -> None:
    golden.network.eval()
    output = golden()
    golden.assert_outputs(
        {"eval_logits": output.logits, "eval_iou_logits": output.overlaps, "eval_distances": output.distances}
    )


@pytest.mark.parametrize("name", ["decoded", "decoded_nms", "decoded_first", "decoded_first_nms"])
def test_decodes_the_same_moments(golden: DRNGolden, name: str) -> None:
    golden.network.eval()
    golden.at("first" if "first" in name else "third", most_overlap=0.45 if name.endswith("nms") else 1.0)
    found: RankedMoments = golden.network.rank(golden.inputs, top=56)
    expected = golden[f"output/{name}"]
    assert torch.equal(found.present, ~expected[..., 0].isnan())
    torch.testing.assert_close(found.windows[found.present], expected[..., :2][found.present], atol=1e-3, rtol=0.0)
    torch.testing.assert_close(found.scores[found.present], expected[..., 2][found.present], atol=1e-4, rtol=0.0)


def test_where_nothing_matches_the_whole_video_is_the_answer(golden: DRNGolden) -> None:
    golden.network.eval()
    settings = golden.network.predictor.settings
    golden.network.predictor.settings = replace(settings, least_match=1.0)
    found: RankedMoments = golden.network.rank(golden.inputs, top=3)
    golden.network.predictor.settings = settings
    assert found.counts.tolist() == [1] * len(golden.mask)
    assert found.windows[:, 0].tolist() == [[0.0, float(duration)] for duration in golden.inputs.duration]


def test_words_alone_are_read_as_words(golden: DRNGolden) -> None:
    kinds = [type(golden.network.predictor.embedding(5, stream)) for stream in ("video", "narrative", "query")]
    assert kinds[0] is kinds[1]
    assert kinds[2] is not kinds[0]


def test_a_sample_is_the_same_alone_and_in_any_batch(golden: DRNGolden) -> None:
    golden.network.eval()
    together: DRNOutput = golden()
    for sample in range(len(golden.mask)):
        alone: DRNOutput = golden(golden.alone(sample))
        torch.testing.assert_close(alone.logits[0], together.logits[sample], atol=1e-5, rtol=0.0)
        torch.testing.assert_close(alone.windows[0], together.windows[sample], atol=1e-5, rtol=0.0)


def test_cells_repeat_or_pool_snippets() -> None:
    video, mask = torch.tensor([[5.0, 1.0, 7.0, 2.0, 9.0]])[..., None].expand(3, -1, -1), torch.ones(3, 5).bool()
    mask = torch.arange(5) < torch.tensor([[5], [3], [1]])
    cells = into_cells(video, mask, 4)[..., 0]
    # Snippet floor(i·n/4), and of five the last cell takes two.
    assert cells.tolist() == [[5, 1, 7, 9], [5, 5, 1, 7], [5, 5, 5, 5]]


def test_a_paragraph_branch_is_heard_in_the_probability_that_a_point_matches() -> None:
    settings = DRNSettings(
        hidden=8,
        words=4,
        channels=4,
        position=4,
        pyramid=8,
        cells=4,
        stage="third",
        least_match=0.05,
        most_overlap=0.45,
    )
    points = torch.arange(7.0)
    video = DRNOutput(points, torch.randn(2, 7), torch.rand(2, 7, 2), torch.randn(2, 7), 4)
    paragraph = DRNOutput(points, torch.randn(2, 7), None, None, 4)
    fused = DRN(settings).fuse(video, paragraph, 0.5)
    torch.testing.assert_close(
        fused.logits.sigmoid(), (video.logits.sigmoid() + 0.5 * paragraph.logits.sigmoid()) / 1.5
    )
    assert fused.distances is video.distances
    torch.testing.assert_close(DRN(settings).fuse(video, paragraph, 0.0).logits, video.logits)
