"""The span network against the golden numbers of the published EMB, and its independence of padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from src.data.batch import GroundTruth, Inputs
from src.data.records import Moment
from src.models.predictor import Streams
from src.models.proposals.decode import best_spans
from src.models.releases import read_published
from src.models.span import losses
from src.models.span.base import Embedding, SpanOutput
from src.models.span.predictor import SpanSettings


class Golden:
    """One file of golden numbers, and this project's network run on its inputs with its weights."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as archive:
            arrays = {name: torch.from_numpy(np.asarray(archive[name])) for name in archive.files}

        def group(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}

        self.weight, self.input = group("weight/"), group("input/")
        self.output, self.gradient = group("output/"), group("grad_norm/")
        self.mask = torch.arange(self.input["video"].shape[1]) < self.input["video_length"][:, None]
        self.query_mask = self.input["word_ids"] != 0

        self.published = read_published(path)
        self.predictor = SpanSettings(
            **self.published.settings,
            heads=8,
            dropout=0.0,
            highlight_weight=float(self.input["highlight_lambda"]),
            highlight_extend=float(self.input["extend"]),
            ranking_iou=(float(self.input["min_iou"]), float(self.input["max_iou"])),
            most_overlap=0.5,
            supervise="fused",
            paragraph_highlight=True,
        ).build()
        self.predictor.load_state_dict(self.of("predictor"))
        self.video = self._embedding("embed_video")(self.input["video"], self.mask, self.inputs())
        table = torch.cat([self.weight[f"embedding_net.word_emb.{kind}_vec"] for kind in ("pad", "unk", "glove")])
        self.query = self._embedding("embed_query")(table[self.input["word_ids"]], self.query_mask, self.inputs())

    def of(self, module: str) -> dict[str, Tensor]:
        """The published weights of a module of ours, by its names."""
        prefix = f"{module}."
        return {
            name.removeprefix(prefix): value
            for name, value in self.published.weights.items()
            if name.startswith(prefix)
        }

    def _embedding(self, name: str) -> Embedding:
        weights = self.of(name)
        embedding = Embedding(weights["linear.weight"].shape[1], len(weights["linear.weight"]), 0.0)
        embedding.load_state_dict(weights)
        return embedding

    def run(self) -> SpanOutput:
        output: SpanOutput = self.predictor(
            Streams(self.video, self.mask, self.query, self.query_mask, self.inputs(), progress=1.0)
        )
        return output

    def inputs(self) -> Inputs:
        return Inputs(
            video=self.input["video"],
            narrative=None,
            snippet_mask=self.mask,
            query=self.query_mask[..., None].float(),
            query_mask=self.query_mask,
            unknown=torch.zeros_like(self.query_mask),
            sentences=["a query"] * len(self.mask),
            duration=self.input["duration"],
        )

    def truth(self) -> GroundTruth:
        target = torch.stack((self.input["start_index"], self.input["end_index"]), dim=1)
        length, duration = self.input["video_length"], self.input["duration"]
        windows = torch.stack((target[:, 0], target[:, 1] + 1), dim=1) * (duration / length)[:, None]
        moments = [
            Moment(str(i), str(i), "a query", ((float(s), float(e)),), float(d))
            for i, ((s, e), d) in enumerate(zip(windows, duration, strict=True))
        ]
        return GroundTruth(moments=moments, windows=windows[:, None], target=target, duration=duration)


@pytest.fixture(scope="module", params=["emb_small", "emb_paper"])
def golden(request: pytest.FixtureRequest, shared: Path) -> Golden:
    return Golden(shared / "parity" / f"{request.param}.npz")


def test_outputs_agree(golden: Golden) -> None:
    seen: dict[str, Any] = {}
    hooks = [
        golden.predictor.encoder.register_forward_hook(lambda *args: seen.update(encoder=args[2])),
        golden.predictor.span.register_forward_hook(lambda *args: seen.update(span=args[2])),
    ]
    output = golden.run()
    for hook in hooks:
        hook.remove()
    snippets, words = seen["encoder"]
    highlight, start, end = seen["span"]
    assert output.ranking is not None
    proposals = output.ranking.proposals
    flat = proposals.first * proposals.cells + proposals.last

    assert golden.output["proposal_mask"].sum() == proposals.mask.sum()
    torch.testing.assert_close(golden.output["proposals"][:, flat], proposals.span)
    for name, ours_, mask in (
        ("encoder_video", snippets.encoded, golden.mask),
        ("encoder_video_query", words.encoded, golden.query_mask),
        ("highlight", highlight.sigmoid(), golden.mask),
        ("start_logits", start, golden.mask),
        ("end_logits", end, golden.mask),
        ("encoder_proposal_query", output.ranking.query, golden.query_mask),
    ):
        torch.testing.assert_close(ours_[mask], golden.output[name][mask], atol=1e-4, rtol=0)
    for name, ours_ in (
        ("encoder_proposal", output.ranking.features),
        ("proposal_scores", output.ranking.logits.sigmoid()),
    ):
        torch.testing.assert_close(
            ours_[proposals.mask], golden.output[name][:, flat][proposals.mask], atol=1e-4, rtol=0
        )


def test_losses_and_gradients_agree(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "threshold", lambda *_: float(golden.input["threshold"]))
    golden.predictor.zero_grad()
    terms = golden.predictor.losses(golden.run(), golden.inputs(), golden.truth(), 0.0)
    total = torch.stack(list(terms.values())).sum()
    total.backward()

    weight = {
        "localisation": 1.0,
        "highlight": golden.input["highlight_lambda"],
        "ranking": golden.input["rank_lambda"],
    }
    assert terms.keys() == weight.keys()
    for name, term in terms.items():
        torch.testing.assert_close(term, golden.output[f"loss_{name}"] * weight[name], atol=0, rtol=1e-5)
    torch.testing.assert_close(total, golden.output["loss_total"], atol=0, rtol=1e-5)

    gradients = {name: parameter.grad for name, parameter in golden.predictor.named_parameters()}
    for name, norm in golden.gradient.items():
        own = golden.published.names.get(name, "")
        if own.startswith("predictor."):
            gradient = gradients.pop(own.removeprefix("predictor."))
            assert gradient is not None, name
            # Softmax ignores a constant, so the gradients of key biases and of last biases are nothing but rounding.
            torch.testing.assert_close(gradient.norm(), norm, atol=1e-6, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")
    assert not gradients


def test_decodes_the_same_spans(golden: Golden) -> None:
    output = golden.run()
    spans, _ = best_spans(output.boundaries.start, output.boundaries.end, top=1, most_overlap=0.5)
    expected = torch.stack((golden.output["pred_start"], golden.output["pred_end"]), dim=1)
    torch.testing.assert_close(spans[:, 0], expected)


def test_a_sample_is_the_same_alone_and_in_any_batch(golden: Golden) -> None:
    together = golden.run()
    assert together.ranking is not None
    for i, length in enumerate(golden.input["video_length"].tolist()):
        words = int(golden.query_mask[i].sum())
        alone: SpanOutput = golden.predictor(
            Streams(
                golden.video[i : i + 1, :length],
                golden.mask[i : i + 1, :length],
                golden.query[i : i + 1, :words],
                golden.query_mask[i : i + 1, :words],
                golden.inputs(),
                progress=1.0,
            )
        )
        assert alone.ranking is not None
        for side in ("start", "end"):
            torch.testing.assert_close(
                getattr(alone.boundaries, side)[0], getattr(together.boundaries, side)[i, :length], atol=1e-5, rtol=0
            )
        torch.testing.assert_close(alone.highlights[0][0], together.highlights[0][i, :length], atol=1e-5, rtol=0)
        torch.testing.assert_close(
            alone.ranking.logits[alone.ranking.proposals.mask],
            together.ranking.logits[i][together.ranking.proposals.mask[i]],
            atol=1e-5,
            rtol=0,
        )


def test_threshold_falls_as_published() -> None:
    assert losses.threshold(0) == pytest.approx(0.99998, abs=1e-5)
    assert losses.threshold(0.5) == pytest.approx(0.75)
    assert losses.threshold(0.99) == pytest.approx(0.50003, abs=1e-5)
