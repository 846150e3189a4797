"""What the networks, their mergers and the methods around them take."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from src.settings.kinds import (
    COUNT,
    EVEN,
    FLAG,
    LAYERS,
    PLACE,
    POOLING,
    POSITIVE,
    RATE,
    SHARE,
    SIZE,
    TEXT,
    TWO_SHARES,
    WEIGHT,
    Kind,
    list_of,
    odd,
    one_of,
    or_null,
)

_SPAN: dict[str, Kind] = {
    "hidden": SIZE,
    "heads": COUNT,
    "dropout": RATE,
    "highlight_weight": WEIGHT,
    "highlight_extend": WEIGHT,
    "highlight_positive": POSITIVE,
    "most_overlap": SHARE,
    "choice": one_of("probability", "expected_iou"),
    "supervise": one_of("fused", "video", "both"),
    "paragraph_highlight": FLAG,
}
_DETR: dict[str, Kind] = {
    "hidden": SIZE,
    "heads": COUNT,
    "layers": LAYERS,
    "feed_forward": SIZE,
    "queries": SIZE,
    "dropout": RATE,
    "input_dropout": RATE,
    "streams": or_null(list_of(SIZE)),
    "max_windows": or_null(COUNT),
}
_DETR_WEIGHTS = dict.fromkeys(("span", "giou", "label", "background", "saliency", "margin"), WEIGHT)

_KERNEL = Kind("an odd number from 1 to 63", Annotated[int, Field(ge=1, le=63), AfterValidator(odd)])
_MAP: dict[str, Kind] = {
    "hidden": SIZE,
    "scales": list_of(LAYERS),
    "proposals": one_of("pool", "convolution"),
    "word_layers": LAYERS,
    "target_iou": TWO_SHARES,
    "most_overlap": SHARE,
}

MODELS: dict[str, dict[str, Kind]] = {
    "src.models.span.predictor.SpanSettings": {
        **_SPAN,
        "similarity": one_of("bilinear", "trilinear"),
        "ranking_layers": Kind("a whole number from 0 to 64", Annotated[int, Field(ge=0, le=64)]),
        "highlight_end": one_of("paper", "published"),
        "ranking_iou": TWO_SHARES,
        "candidate_iou": TWO_SHARES,
        "position": one_of("sine", "none"),
        "begin_alike": FLAG,
        "guide_kernel": Kind("an odd whole number, 1 or more", Annotated[int, Field(ge=1), AfterValidator(odd)]),
        "ranking": FLAG,
    },
    "src.models.span.vslnet.VSLNetSettings": {
        **_SPAN,
        "head": one_of("lstm", "encoder"),
        "places": SIZE,
        "letters": Kind("a whole number from 0 to 65536", Annotated[int, Field(ge=0, le=65536)]),
        "alphabet": TEXT,
    },
    "src.models.span.qave.QAVESettings": {
        **dict.fromkeys(("hidden", "inputs", "words"), EVEN),
        "head": SIZE,
        "match": Kind("a whole number from 0 to 65536", Annotated[int, Field(ge=0, le=65536)]),
        "dropout": RATE,
        "end": one_of("whole", "released"),
        "most_overlap": SHARE,
        "choice": one_of("probability", "expected_iou"),
        "supervise": one_of("fused", "video", "both"),
    },
    "src.models.shuffling.Shuffling": {
        "hidden": SIZE,
        **dict.fromkeys(("intra", "inter", "order"), WEIGHT),
        "dropout": RATE,
    },
    "src.models.regression.drn.DRNSettings": {
        **dict.fromkeys(("hidden", "words", "channels", "position", "pyramid"), SIZE),
        "cells": Kind("a multiple of 4, 4 or more", Annotated[int, Field(ge=4, le=65536, multiple_of=4)]),
        "stage": one_of("first", "second", "third"),
        "least_match": SHARE,
        "most_overlap": SHARE,
    },
    "src.models.regression.lgi.LGISettings": {
        "hidden": EVEN,
        **dict.fromkeys(("attention", "places"), SIZE),
        **dict.fromkeys(("phrases", "blocks"), LAYERS),
        "kernel": Kind("an odd number from 1 to 63", Annotated[int, Field(ge=1, le=63), AfterValidator(odd)]),
        "heads": COUNT,
        "dropout": RATE,
        "output": one_of("relu", "sigmoid"),
        "distinct": WEIGHT,
    },
    "src.models.proposals.predictor.SegmentSettings": {
        **dict.fromkeys(("hidden", "width"), SIZE),
        "layers": Kind("a whole number from 0 to 64", Annotated[int, Field(ge=0, le=64)]),
        "kernel": _KERNEL,
        "flank": COUNT,
        "dropout": RATE,
        "query_alone": SHARE,
        "sharpness": POSITIVE,
        "most_overlap": SHARE,
        "choice": one_of("probability", "expected_iou"),
    },
    "src.models.proposals.tan_2d.TAN2DSettings": {
        **_MAP,
        **dict.fromkeys(("states", "samples"), SIZE),
        "layers": LAYERS,
        "kernel": _KERNEL,
    },
    "src.models.proposals.ms_2d_tan.MS2DTANSettings": {
        **_MAP,
        "states": Kind("an even number from 2 to 65536", Annotated[int, Field(ge=2, le=65536, multiple_of=2)]),
        "kernels": list_of(_KERNEL),
        "dropout": RATE,
    },
    "src.models.proposals.dcm.DCMSettings": {
        **_MAP,
        "samples": SIZE,
        "heads": COUNT,
        "dropout": RATE,
        **dict.fromkeys(("own", "location", "independence", "size"), WEIGHT),
    },
    "src.models.detr.qd_detr.QDDETRSettings": _DETR,
    "src.models.detr.moment_detr.MomentDETRSettings": _DETR,
    "src.models.detr.cg_detr.CGDETRSettings": {
        **_DETR,
        "cross_layers": LAYERS,
        **dict.fromkeys(("dummies", "prompts", "top_prompts"), SIZE),
    },
    "src.models.detr.tr_detr.TRDETRSettings": _DETR,
    "src.models.detr.task_weave.TaskWeaveSettings": {
        **_DETR,
        "feedback": one_of("highlights", "moments"),
        "feedback_from": SHARE,
    },
    "src.models.detr.eatr.EaTRSettings": {**_DETR, "rounds": LAYERS},
    "src.models.detr.uvcom.UVCOMSettings": {
        **_DETR,
        **dict.fromkeys(("word_centres", "clip_centres", "width"), SIZE),
        **dict.fromkeys(("rounds", "content_rounds"), LAYERS),
        "mining_from": SHARE,
    },
    "src.models.detr.bm_detr.BMDETRSettings": {
        **_DETR,
        "decoder_layers": LAYERS,
        "alignment": SIZE,
        "shifting": FLAG,
    },
    "src.models.detr.detr.Weights": _DETR_WEIGHTS,
    "src.models.detr.bm_detr.BMDETRWeights": _DETR_WEIGHTS | dict.fromkeys(("guidance", "alignment"), WEIGHT),
    "src.models.detr.eatr.EaTRWeights": {**_DETR_WEIGHTS, "events": WEIGHT},
    "src.models.detr.uvcom.UVCOMWeights": {**_DETR_WEIGHTS, "similarity": WEIGHT},
    "src.models.detr.cg_detr.CGDETRWeights": _DETR_WEIGHTS | dict.fromkeys(("align", "distill", "orthogonal"), WEIGHT),
    "src.models.detr.tr_detr.TRDETRWeights": _DETR_WEIGHTS
    | dict.fromkeys(("global_alignment", "local_alignment"), WEIGHT),
    "src.models.mergers.ConcatMLP": {"dropout": RATE},
    "src.models.mergers.CrossAttention": {"heads": COUNT, "dropout": RATE},
    "src.models.mergers.Add": {},
    "src.models.mergers.VideoOnly": {},
    "src.models.mergers.NarrativeOnly": {},
    "src.models.match.CosineMatch": {"rewordings": POOLING},
    "src.models.method.Method": {},
    "src.models.negatives.NegativeVideo": {"weight": WEIGHT},
    "src.models.primitives.MaskedPrimitives": {
        "similarity": or_null(PLACE),
        **dict.fromkeys(("negative", "positive", "contrast"), WEIGHT),
    },
    "src.data.tags.NltkTagger": {},
    "src.models.paragraph.ParagraphQuery": {"alpha": WEIGHT},
}
