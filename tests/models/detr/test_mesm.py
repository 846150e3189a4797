"""MESM's published numbers through this project's own modules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from src.models.detr.anchor_detr import ranking_against
from src.models.detr.assignment import match, to_bounds
from src.models.detr.losses import margin_loss, negative_loss
from src.models.detr.mesm import MESMPrediction, WordTarget, word_target
from tests.models.detr.golden import Golden, load


@pytest.mark.parametrize("name", ["mesm", "mesm_equal"])
def test_the_published_numbers(name: str, shared: Path) -> None:
    golden = load(shared / "parity" / f"{name}.npz")
    predictor, weights = golden.predictor, golden.predictor.weights
    for term, published in (("saliency", "saliency"), ("words", "rec_fw"), ("sentences", "rec_ss")):
        setattr(weights, term, float(golden[f"input/weight_{published}"]))
    project = golden.network.embed_query.projection  # type: ignore[union-attr]
    # The published vector of a hidden word is projected with the others, of which ours is the result.
    leaf = golden["weight/masked_token"].float().requires_grad_()
    golden.leaves["masked_token"] = leaf
    torch.testing.assert_close(predictor.hidden_word.data, project(leaf), atol=1e-5, rtol=0.0)  # type: ignore[operator]
    del predictor.hidden_word
    predictor.hidden_word = project(leaf)  # type: ignore[operator]
    alone = predictor._sentence
    predictor._sentence = lambda video, mask: alone(*of_groups(golden, video, mask))

    output = golden.run()
    output.negative = predictor.beside(output, golden["input/negative_index"].long())
    known = golden["input/words_label"].long().masked_fill(~golden.query_mask, -1)
    unknown = golden["input/unknown_words"].bool()[..., None]
    hidden = WordTarget(known, golden["input/masked_words"].bool() & golden.query_mask)
    words = torch.where(unknown, project(golden.network.unknown_word), output.streams.query)  # type: ignore[operator]
    words = torch.where(hidden.hidden[..., None], predictor.hidden_word, words)
    target = golden.target
    terms = predictor.terms(output, golden.inputs, target)
    told = predictor.words_loss(output, words, known, target)
    total = sum(terms.values()) + weights.words * told
    losses = {
        **golden.of_set(terms),
        "saliency": terms["saliency"] / weights.saliency,
        "rec_fw": told,
        "rec_ss": terms["sentences"] / weights.sentences,
        "saliency_ranking": ranking_against(output.saliency, output.negative, target.labels, target.mask),
        "saliency_negative": negative_loss(output.negative, target.mask),
    }
    if "output/loss_saliency_margin" in golden:
        losses["saliency_margin"] = margin_loss(output.saliency, target.positive, target.negative, 0.2)
    golden.check(outputs(golden, output, words), losses, total)


def of_groups(golden: Golden, video: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The clips of all queries of each query's source video, one after the other: the published sentence reads them."""
    clips = [x[inside] for x, inside in zip(video, mask, strict=True)]
    together = [
        torch.cat([x for x, other in zip(clips, golden.sources, strict=True) if other == own]) for own in golden.sources
    ]
    count = torch.tensor([len(x) for x in together])
    return pad_sequence(together, batch_first=True), torch.arange(int(count.max())) < count[:, None]


def outputs(golden: Golden, output: MESMPrediction, words: Tensor) -> dict[str, Tensor]:
    predictor, seen, layers = golden.predictor, golden.seen, golden.predictor.settings.layers
    contents, anchors = seen["decoder"][0]
    ranked = predictor.decode(output, golden.inputs, top=contents.shape[2])
    probability, order = output.logits[-1].softmax(dim=-1)[..., 0].sort(dim=1, descending=True)
    windows = to_bounds(output.spans[-1].gather(1, order[..., None].expand(-1, -1, 2)))
    windows = windows * golden["input/duration"].float()[:, None, None]
    assert torch.equal(ranked.scores, probability)
    named = {
        "projected_video": output.streams.video,
        "projected_words": output.streams.query,
        "decoder_content": contents,
        "decoder_anchor": anchors[:-1],
        "pred_logits": output.logits,
        "pred_spans": output.spans,
        "saliency_scores": output.saliency,
        "saliency_scores_neg": output.negative,
        "masked_words_feat": words,
        "sentence_token": output.sentence,
        "words_logits": seen["word"][0],
        "windows": windows,
        "scores": probability,
    }
    for call, side in enumerate(("", "_neg")):
        encoded = [seen[f"encoder.{layer}"][call] for layer in range(layers)]
        named |= {f"enhanced{side}_layer_{layer}": seen[f"enhance.{layer}"][call] for layer in range(layers)}
        named |= {f"aligned{side}_layer_{layer}": seen[f"text_to_video.{layer}"][call] for layer in range(layers)}
        named |= {f"encoder{side}_layer_{layer}": x for layer, x in enumerate(encoded)}
        named |= {f"memory{side}": encoded[-1][:, 1:], f"memory_global{side}": encoded[-1][:, 0]}
    named |= {f"enhanced_words_layer_{layer}": seen[f"enhance.{layer}"][2] for layer in range(layers)}
    for layer in range(predictor.settings.sentence_layers):
        named[f"sentence_layer_{layer}"] = seen[f"sentence.{layer}"][0][:, 0]
    weights, spans = predictor.weights, golden.target.spans
    for layer in range(predictor.settings.decoder_layers):
        costs = (weights.span, weights.giou, weights.label)
        found = match(output.logits[layer], output.spans[layer], spans, costs)
        pairs = torch.full(spans.shape[:2], -1)
        pairs[found.sample, found.window] = found.query
        named[f"match_layer_{layer}"] = pairs
    # As the authors' evaluation rounds them.
    clip = 2.0 if "output/loss_saliency_margin" in golden else 1.0
    named["windows_rounded"] = (windows.clamp(0, 150) / clip).round() * clip
    return named


def test_words_are_known_by_their_letters() -> None:
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] * 4 + [False]])
    torch.manual_seed(0)
    # The second with a start and an end; the third is of other words than its features.
    words = word_target(["a person opens a door", "waves", "opens the door"], mask, 1000)
    classes = words.classes
    assert classes[0, 0] == classes[0, 3] >= 0
    assert classes[1].tolist() == [-1, int(word_target(["waves"], mask[:1, :1], 1000).classes), -1, -1, -1]
    assert (classes[2] == -1).all()
    assert words.hidden.sum(dim=1).tolist() == [1, 0, 0]
