"""BM-DETR's published numbers through this project's own modules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from src.models.detr.assignment import match, to_bounds
from src.models.detr.bm_detr import BMDETR, BMPrediction, ends, foreground, masked_softmax, move, weighted
from src.models.detr.detr import Target
from src.models.detr.labels import next_other
from src.models.position import clip_code
from src.models.predictor import Streams
from tests.models.detr.golden import Golden, load

TERMS = {
    **{"span": "span", "giou": "giou", "label": "label", "saliency": "saliency"},
    **{"guidance": "prob_guidance", "alignment": "contrastive_align"},
}


@pytest.mark.parametrize("name", ["bm_detr", "bm_detr_released"])
def test_the_published_numbers(name: str, shared: Path) -> None:
    golden = load(shared / "parity" / f"{name}.npz")
    shifting, weights = bool(golden["input/shifting"]), golden.predictor.weights
    for ours, theirs in TERMS.items():
        setattr(weights, ours, float(golden[f"input/weight_{theirs}"]))
    truth = SimpleNamespace(windows=golden["input/windows"].double())
    inputs = replace(golden.inputs, duration=golden["input/clip_seconds"].float() * golden["input/video_length"])
    inside = foreground(inputs, truth)  # type: ignore[arg-type]
    assert torch.equal(inside, golden["input/foreground"].bool())

    streams, known = golden.streams(), torch.ones(golden.samples, dtype=torch.bool)
    strangers = stranger_streams(golden, streams)
    target = replace(golden.target, inside=inside)
    output = golden.run_on(streams)
    found = outputs(golden, output, strangers, target)
    terms = golden.predictor.version(output, target, strangers, known)
    total, released = sum(terms.values()), misses(golden, output, target)
    losses = {theirs: terms[ours] / getattr(weights, ours) for ours, theirs in TERMS.items()} | {"class": released}
    if shifting:
        first, last = ends(inside)
        order, moved = move(target, first, last, golden["input/shift_window"][:, 0].long())
        assert torch.equal(order[target.mask], golden["input/shift_order"].long()[target.mask])
        assert torch.equal(moved.inside, golden["input/shifted_foreground"].bool())
        assert_close(moved.spans, golden["input/shifted_spans"].float(), atol=1e-6, rtol=0.0, equal_nan=True)
        sides = (golden[f"input/shifted_saliency_{side}"].long() for side in ("positive", "negative"))
        for side, pair in zip((moved.positive, moved.negative), sides, strict=True):
            side.copy_(pair)
        video = streams.video.gather(1, order[..., None].expand_as(streams.video))
        shifted = golden.run_on(replace(streams, video=video))
        strangers = replace(strangers, video=video)
        found |= outputs(golden, shifted, strangers, moved, before="shifted_")
        again = golden.predictor.version(shifted, moved, strangers, known)
        total, missed = (total + sum(again.values())) / 2, misses(golden, shifted, moved)
        released = (released + missed) / 2
        for ours, theirs in TERMS.items():
            mine = again[ours] / getattr(weights, ours)
            assert_close(mine, golden[f"output/shifted_loss_{theirs}"].float(), atol=1e-6, rtol=1e-5)
        assert_close(missed, golden["output/shifted_loss_class"].float())
    golden.check(found, {**losses, "total_released": total + released}, total)


def stranger_streams(golden: Golden, streams: Streams) -> Streams:
    query = golden.network.embed_query.projection(golden["input/negative_query"].float())  # type: ignore[operator]
    mask = torch.arange(query.shape[1]) < golden["input/negative_query_length"][:, None]
    return replace(streams, query=query, query_mask=mask)


def misses(golden: Golden, output: BMPrediction, target: Target) -> Tensor:
    """The share of matched moment queries that count as background, in percent: without gradient, no term of ours."""
    matches = matched(golden, output, target)
    found = output.logits[-1][matches.sample, matches.query].argmax(dim=-1) == 0
    return 100 - 100 * found.float().mean()


def matched(golden: Golden, output: BMPrediction, target: Target):  # type: ignore[no-untyped-def]
    weights = golden.predictor.weights
    return match(output.logits[-1], output.spans[-1], target.spans, (weights.span, weights.giou, weights.label))


def outputs(
    golden: Golden, output: BMPrediction, strangers: Streams, target: Target, before: str = ""
) -> dict[str, Tensor]:
    predictor, mask, clips = golden.predictor, golden.video_mask, golden.video_mask.shape[1]
    streams, layers = output.streams, predictor.settings.layers
    position = clip_code(mask, predictor.hidden)
    contents, anchors = golden.seen["decoder"][0]
    encoded = [golden.first(f"encoder.{layer}") for layer in range(layers)]
    with torch.no_grad():
        background = predictor._encode(strangers, position)[0]
    no = predictor._probability(background)
    probability = output.probability * (1 - no)
    memory, query_mask = weighted(output.clips, probability, mask), streams.query_mask
    video, query = predictor.aligned(output, probability)
    matches = matched(golden, output, target)
    pairs = torch.full(target.spans.shape[:2], -1)
    pairs[matches.sample, matches.window] = matches.query
    named = {
        **{f"encoder_{layer}": x[:, :clips] for layer, x in enumerate(encoded)},
        **{f"encoder_{layer}_words": x[:, clips:] for layer, x in enumerate(encoded)},
        f"encoder_{layers - 1}_negative": background,
        **{f"decoder_{layer}": x for layer, x in enumerate(contents)},
        "pred_logits": output.logits[-1],
        "pred_spans": output.spans[-1],
        "probability_positive": output.probability,
        "probability_negative": no,
        "probability": probability,
        "clip_weight": torch.where(mask, masked_softmax(probability, mask), 0.0),
        "saliency_scores": predictor._saliency(output.clips, probability, mask),
        "video_attention": predictor.video_pool.weights(memory, mask),
        "query_attention": predictor.query_pool.weights(output.words, query_mask),
        "pooled_video": predictor.video_pool(memory, mask),
        "pooled_query": predictor.query_pool(output.words, query_mask),
        "align_video": video,
        "align_query": query,
        "match": pairs,
    }
    if before:
        return {f"{before}{name}": value for name, value in named.items()}
    ranked = predictor.decode(output, golden.inputs, top=contents.shape[2])
    return {
        **named,
        "video_embedded": streams.video,
        "query_embedded": streams.query,
        "negative_query_embedded": torch.where(strangers.query_mask[..., None], strangers.query, 0.0),
        "position": position,
        "anchors": anchors[0, 0],
        # The network gives these where nothing is learned.
        "eval_probability": output.probability,
        "eval_saliency_scores": output.saliency,
        "decoded": torch.cat((ranked.windows, ranked.scores[..., None]), dim=-1),
        "decoded_released": as_released(golden, output),
    }


def as_released(golden: Golden, output: BMPrediction) -> Tensor:
    """Decoded to whole clips, and to 75 of them whatever the video's length, as the authors' evaluation does."""
    seconds = float(golden["input/clip_seconds"])
    scores, order = output.logits[-1].softmax(dim=-1)[..., 0].sort(dim=1, descending=True)
    windows = to_bounds(output.spans[-1].gather(1, order[..., None].expand(-1, -1, 2)))
    windows = (windows * golden["input/duration"].clamp(max=75 * seconds)[:, None, None]).clamp(0, 75 * seconds)
    return torch.cat(((windows / seconds).round() * seconds, scores[..., None]), dim=-1)


def test_another_query_is_of_another_source() -> None:
    other, known = next_other(["a", "a", "b", "c", "c"])
    assert other.tolist() == [2, 2, 3, 0, 0]
    assert known.all()
    chosen, known = next_other(["a", "a", "a"])
    assert (chosen.tolist(), known.tolist()) == ([1, 2, 0], [False] * 3)


def test_a_moment_is_moved_within_its_video() -> None:
    torch.manual_seed(0)
    count = 64
    inside = torch.tensor([[False, True, True, False, False]] * count + [[True, False, True, False, False], [True] * 5])
    spans = torch.full((count + 2, 2, 2), torch.nan)
    spans[:, 0], spans[count, 1] = torch.tensor([0.4, 0.4]), torch.tensor([0.5, 0.2])
    mask, pairs, labels = (
        torch.ones_like(inside),
        torch.zeros(count + 2, 2, dtype=torch.long),
        torch.zeros(count + 2, 5),
    )
    target = Target(spans, labels, mask, pairs, pairs, inside, ["a"] * (count + 2), inside)
    order, moved = BMDETR.shifted(None, target)  # type: ignore[arg-type]
    places = set()
    for clips, here in zip(order[:count].tolist(), moved.inside[:count].tolist(), strict=True):
        place = here.index(True)
        assert here == [place <= clip <= place + 1 for clip in range(5)]
        # Its two clips stand there, the others around it as they stood.
        assert clips[place : place + 2] == [1, 2]
        assert clips[:place] + clips[place + 2 :] == [0, 3, 4]
        places.add(place)
    assert places == {0, 1, 2}
    # One of two windows stays, and one that is the whole video.
    assert order[count:].tolist() == [[0, 1, 2, 3, 4]] * 2
    assert torch.equal(moved.inside[count:], inside[count:])
    assert torch.equal(moved.spans[count, 1], spans[count, 1])
