"""Checkpoints of the published VSLNet (the PyTorch version), EMB and Shuffling."""

from __future__ import annotations

from torch import Tensor

from src.models import published
from src.models.published import LSTM, Published, Release, Weights
from src.models.span.letters import CHANNELS

# Applied in order, each wherever it matches.
_INPUTS: tuple[tuple[str, str], ...] = (
    (r"\.conv1d", ""),
    (r"^video_affine\.", "embed_video."),
    (r"^embedding_net\.linear\.", "embed_query.linear."),
    (r"^embedding_net\.word_emb\.unk_vec$", "unknown_word"),
)

_FUSION: tuple[tuple[str, str], ...] = (
    (r"cq_attention\.w4C$", "similarity.sequence.weight"),
    (r"cq_attention\.w4Q$", "similarity.query.weight"),
    (r"cq_attention\.w4mlu$", "similarity.product"),
    (r"cq_attention\.cqa_linear\.", "mix."),
    (r"cq_concat\.weighted_pool\.", "pool."),
    (r"cq_concat\.", "output."),
)

VSLNET: tuple[tuple[str, str], ...] = (
    *_INPUTS,
    (r"^embedding_net\.char_emb\.char_emb\.", "embed_query.letters.vectors."),
    (r"^embedding_net\.char_emb\.char_convs\.(\d)\.0\.", r"embed_query.letters.convolutions.\1."),
    (r"^feature_encoder\.", "encoder."),
    (r"^predictor\.encoder\.", "span.start.encoder."),
    (r"^predictor\.(start|end)_encoder\.lstm\.", r"span.\1.lstm."),
    (r"^predictor\.(start|end)_layer_norm\.", r"span.\1.norm."),
    (r"^predictor\.(start|end)_block\.", r"span.\1.score."),
    (r"^highlight_layer\.", "span.highlight."),
    (r"\.pos_embedding\.position_embeddings\.weight$", ".position.table"),
    (r"\.conv_block\.depthwise_separable_conv\.(\d)\.0\.", r".convolutions.\1.depthwise."),
    (r"\.conv_block\.depthwise_separable_conv\.(\d)\.1\.", r".convolutions.\1.pointwise."),
    (r"\.conv_block\.layer_norms\.(\d)\.", r".convolutions.\1.norm."),
    (r"\.attention_block\.layer_norm1\.", ".attention.attention_norm."),
    (r"\.attention_block\.layer_norm2\.", ".attention.output_norm."),
    (r"\.attention_block\.out_layer\.", ".attention.output."),
    (r"\.attention_block\.", ".attention.attention."),
    (r"^(?=cq_)", "fusion."),
    *_FUSION,
)

EMB: tuple[tuple[str, str], ...] = (
    *_INPUTS,
    (r"^encoder\.p2p\.", "ranking.self_attention."),
    (r"^encoder\.p2w\.", "ranking.query_to_proposals."),
    (r"^encoder\.w2p\.", "ranking.proposals_to_query."),
    (r"^encoder\.s2s\.", "ranking.context."),
    (r"^encoder\.pq2q\.", "ranking.query_context."),
    (r"^encoder\.f2f\.", "encoder.explore."),
    (r"^encoder\.w2w\.", "encoder.explore_query."),
    (r"^encoder\.f2w\.", "encoder.attend."),
    (r"^encoder\.w2f\.", "encoder.attend_query."),
    (r"^encoder\.v2v\.", "encoder.context."),
    (r"^encoder\.vq2q\.", "encoder.query_context."),
    (r"\.layers\.0\.", "."),
    (r"\.guide\.conv_layers\.0\.", ".guide.depthwise."),
    (r"\.guide\.conv_layers\.1\.", ".guide.pointwise."),
    (r"\.guide\.layer_norm\.", ".guide.norm."),
    (r"\.dense\.", ".feed_forward."),
    (r"\.norm1\.", ".attention_norm."),
    (r"\.norm2\.", ".feed_forward_norm."),
    (r"^fuser1\.", "fusion."),
    (r"^fuser2\.", "ranking.fusion."),
    *_FUSION,
    (r"^highlight_layer\.", "span.highlight."),
    (r"^predictor\.(start|end)_encoder\.dense_output\.", r"span.\1.state."),
    (r"^predictor\.(start|end)_encoder\.rnn\.(\w+)_reverse$", r"span.\1.lstm.backwards.\2"),
    (r"^predictor\.(start|end)_encoder\.rnn\.", r"span.\1.lstm.forwards."),
    (r"^predictor\.(start|end)_block\.", r"span.\1.score."),
    (r"^ranker\.encoders\.", "ranking.scorer.convolutions."),
    (r"^ranker\.predictor\.", "ranking.scorer.score."),
)

# The word vectors, which stand in the project's stores, and EMB's code of places, which is computed.
UNUSED = ("embedding_net.word_emb.pad_vec", "embedding_net.word_emb.glove_vec", "position.pe")


def rename(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    """Our name of a published parameter."""
    name = published.rename(name, rules)
    return name if name.startswith(("embed_", "unknown_word")) else f"predictor.{name}"


def _reshape(name: str, weight: Tensor) -> Tensor:
    """A published weight in the shape of ours, under our name."""
    if name.endswith(("similarity.sequence.weight", "similarity.query.weight", "fusion.pool.weight")):
        return weight.T
    if name.endswith("similarity.product") or name == "unknown_word":
        return weight.squeeze(0)
    if ".letters.convolutions." in name and weight.ndim == 4:
        return weight.squeeze(2)
    if ".guide.depthwise." in name:
        return weight.squeeze(1).transpose(1, 2)  # (d, 1, k, 3) → (d, 3, k)
    if ".guide.pointwise.weight" in name:
        return weight[..., 0, 0]
    return weight.squeeze(2) if weight.ndim == 3 and "depthwise" not in name else weight


def read(weights: Weights) -> Published:
    """The VSLNet of a published state dict."""
    names = {name: rename(name, VSLNET) for name in weights if name not in UNUSED}
    ours = {own: _reshape(own, weights[name].float()) for name, own in names.items()}
    shared = {name: weight for name, weight in ours.items() if name.startswith("predictor.span.start.encoder.")}
    ours |= {name.replace("start", "end", 1): weight for name, weight in shared.items()}
    letters = ours.get("embed_query.letters.vectors.weight")
    query = ours["embed_query.linear.weight"]
    return Published(
        predictor="vslnet",
        settings={
            "hidden": len(query),
            "head": "encoder" if shared else "lstm",
            "places": len(ours["predictor.encoder.position.table"]),
            "letters": 0 if letters is None else letters.shape[1],
        },
        video_dim=ours["embed_video.linear.weight"].shape[1],
        text_dim=query.shape[1] - (0 if letters is None else sum(CHANNELS)),
        weights=ours,
        names=names,
    )


def read_emb(weights: Weights) -> Published:
    """The EMB of a published state dict, which says nothing of its losses and labels."""
    names = {name: rename(name, EMB) for name in weights if name not in UNUSED}
    ours = {own: _reshape(own, weights[name].float()) for name, own in names.items()}
    hidden, text_dim = ours["embed_query.linear.weight"].shape
    return Published(
        predictor="emb",
        settings={
            "hidden": hidden,
            "similarity": "trilinear",
            "ranking_layers": published.count(weights, r"ranker\.encoders\.(\d+)\."),
            "highlight_end": "published",
            "guide_kernel": ours["predictor.encoder.explore.guide.depthwise.weight"].shape[-1],
        },
        video_dim=ours["embed_video.linear.weight"].shape[1],
        text_dim=text_dim,
        weights=ours,
        names=names,
    )


QAVE: tuple[tuple[str, str], ...] = (
    *LSTM,
    (r"^sentence_encoder\.word_embed\.", "embed_query.linear."),
    (r"^sentence_encoder\.rnn_cell\.", "embed_query."),
    (r"^video_encoder\.", ""),
    (r"\.rnn_cell\.", "."),
    (r"\.attention\.W_s\.", ".attention.element."),
    (r"\.attention\.W_a\.", ".attention.key."),
    (r"\.attention\.w\.", ".attention.score."),
    (r"\.sent_linear\.", ".gate."),
    (r"^span_predictor\.predictor\.(start|end)_mlp_1\.", r"\1.0."),
    (r"^span_predictor\.predictor\.(start|end)_mlp_2\.", r"\1.2."),
    (r"^csmm\.predict\.predict\.", "match."),
)


def read_shuffling(weights: Weights) -> Published:
    """The QAVE of Shuffling's published state dict, without what only trains it."""
    names = {name: rename(name, QAVE) for name in weights if not name.startswith("tod.")}
    text_dim = len(weights["sentence_encoder.word_embed.weight"])
    inputs = weights["video_encoder.blocks.0.rnn_cell.lstm.weight_ih_l0"].shape[1]
    return Published(
        predictor="qave",
        settings={
            "hidden": len(weights["video_encoder.norm.weight"]),
            "inputs": inputs,
            "words": weights["video_encoder.blocks.0.sent_linear.weight"].shape[1],
            "head": len(weights["span_predictor.predictor.start_mlp_1.weight"]),
            "match": len(weights.get("csmm.predict.predict.0.weight", ())),
        },
        video_dim=inputs,
        text_dim=text_dim,
        weights={own: weights[name].float() for name, own in names.items()},
        names=names,
    )


RELEASES = (
    Release(
        "VSLNet",
        ("embedding_net.linear.conv1d.weight", "feature_encoder.pos_embedding.position_embeddings.weight"),
        read,
    ),
    Release("EMB", ("embedding_net.linear.conv1d.weight", "encoder.f2f.layers.0.dense.0.conv1d.weight"), read_emb),
    Release("Shuffling", ("sentence_encoder.word_embed.weight", "video_encoder.norm.weight"), read_shuffling),
)
