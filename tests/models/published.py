"""The published EMB checkpoint's names in this project's, for the golden numbers."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

LAYERS = {
    "f2f": "encoder.explore",
    "w2w": "encoder.explore_query",
    "f2w": "encoder.attend",
    "w2f": "encoder.attend_query",
    "v2v": "encoder.context",
    "vq2q": "encoder.query_context",
    "p2p": "ranking.self_attention",
    "p2w": "ranking.query_to_proposals",
    "w2p": "ranking.proposals_to_query",
    "s2s": "ranking.context",
    "pq2q": "ranking.query_context",
}
WITHIN_LAYER = {
    "attention.query.conv1d": "attention.query",
    "attention.key.conv1d": "attention.key",
    "attention.value.conv1d": "attention.value",
    "guide.conv_layers.0": "guide.depthwise",
    "guide.conv_layers.1": "guide.pointwise",
    "guide.layer_norm": "guide.norm",
    "dense.0.conv1d": "feed_forward.0",
    "dense.2.conv1d": "feed_forward.2",
    "norm1": "attention_norm",
    "norm2": "feed_forward_norm",
}
ELSEWHERE = {
    "highlight_layer.conv1d.conv1d": "span.highlight",
    "predictor.start_encoder.dense_output.conv1d": "span.start.state",
    "predictor.end_encoder.dense_output.conv1d": "span.end.state",
    "predictor.start_block.0.conv1d": "span.start.score.0",
    "predictor.start_block.2.conv1d": "span.start.score.2",
    "predictor.end_block.0.conv1d": "span.end.score.0",
    "predictor.end_block.2.conv1d": "span.end.score.2",
    "ranker.encoders.0": "ranking.scorer.convolutions.0",
    "ranker.predictor": "ranking.scorer.score",
}
FUSION = {
    "cq_attention.w4C": "similarity.sequence.weight",
    "cq_attention.w4Q": "similarity.query.weight",
    "cq_attention.w4mlu": "similarity.product",
    "cq_attention.cqa_linear.conv1d.weight": "mix.weight",
    "cq_attention.cqa_linear.conv1d.bias": "mix.bias",
    "cq_concat.weighted_pool.weight": "pool.weight",
    "cq_concat.conv1d.conv1d.weight": "output.weight",
    "cq_concat.conv1d.conv1d.bias": "output.bias",
}


def ours(name: str) -> str:
    """Our name of a published parameter of the span predictor."""
    head, *rest = name.split(".", 1)
    if head == "encoder":
        layer, _, _, inner = rest[0].split(".", 3)
        module, kind = inner.rsplit(".", 1)
        return f"{LAYERS[layer]}.{WITHIN_LAYER[module]}.{kind}"
    if head in ("fuser1", "fuser2"):
        return ("fusion." if head == "fuser1" else "ranking.fusion.") + FUSION[rest[0]]
    if ".rnn." in name:
        side = "start" if "start_encoder" in name else "end"
        kind = name.rsplit(".", 1)[1]
        way = "backwards" if kind.endswith("_reverse") else "forwards"
        return f"span.{side}.lstm.{way}.{kind.removesuffix('_reverse')}"
    module, kind = name.rsplit(".", 1)
    return f"{ELSEWHERE[module]}.{kind}"


def reshape(name: str, weight: Tensor) -> Tensor:
    """A published weight in the shape of ours."""
    if ".guide.conv_layers.0." in name:
        return weight.squeeze(1).transpose(1, 2)  # (d, 1, k, 3) → (d, 3, k)
    if ".guide.conv_layers.1.weight" in name:
        return weight[..., 0, 0]
    if "ranker" in name:
        return weight
    if weight.ndim == 3 and not name.endswith("w4mlu"):
        return weight.squeeze(-1)
    if name.endswith(("w4C", "w4Q", "weighted_pool.weight")):
        return weight.T
    return weight.flatten(0, 1) if name.endswith("w4mlu") else weight


def is_predictor(name: str) -> bool:
    return not name.startswith(("embedding_net.", "video_affine.", "position."))


def convert(weights: dict[str, Tensor], keep: Callable[[str], bool] = is_predictor) -> dict[str, Tensor]:
    return {ours(name): reshape(name, weight) for name, weight in weights.items() if keep(name)}
