"""EaTR's published numbers through this project's own modules."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor
from torch.testing import assert_close

from src.models.detr.eatr import EaTRPrediction, pseudo_events
from src.models.position import clip_code
from tests.models.detr.golden import Golden, load


@pytest.mark.parametrize("name", ["eatr", "eatr_released"])
def test_the_published_numbers(name: str, shared: Path) -> None:
    golden = load(shared / "parity" / f"{name}.npz")
    events = pseudo_events(golden["input/video"].float(), golden.video_mask)
    assert_close(events, golden["input/events"], atol=1e-6, rtol=0.0, equal_nan=True)
    golden.predictor.events = lambda inputs: events
    streams = golden.streams()
    output = golden.run_on(streams)
    terms = golden.predictor.terms(output, golden.inputs, golden.target)
    losses = {
        **golden.of_set(terms),
        "saliency": terms["saliency"],
        "event_span": terms["event_span"] / 30,
        "event_giou": terms["event_giou"] / 3,
    }
    named = {
        **outputs(golden, output),
        "video_embedded": streams.video,
        "query_embedded": streams.query,
        "position": clip_code(streams.video_mask, golden.predictor.hidden),
    }
    golden.check(named, losses, sum(terms.values()))


def outputs(golden: Golden, output: EaTRPrediction) -> dict[str, Tensor]:
    clips = golden.video_mask.shape[1]
    encoded = {f"encoder_{layer}": golden.first(f"encoder.{layer}") for layer in range(3)}
    rounds = golden.predictor.settings.rounds
    # Each round's slots enter the next, and the last the final norm.
    slots = [golden.given["slots.slot_norm"][turn][0] for turn in range(1, rounds)] + [
        golden.given["slots.output_norm"][0][0]
    ]
    return {
        **golden.of_decoder(output),
        **{name: x[:, :clips] for name, x in encoded.items()},
        **{f"{name}_words": x[:, clips:] for name, x in encoded.items()},
        **{f"slots_{turn}": x for turn, x in enumerate(slots)},
        "query_global": golden.given["decoder"][0][2],
        "slots": golden.first("slots"),
        "events": golden.first("event_norm"),
        "pred_event_spans": output.events,
        "gated": golden.first("decoder.gate"),
        "saliency_scores": output.saliency,
    }
