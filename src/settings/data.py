"""What annotations, features, videos and text encoders take."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from src.settings.kinds import (
    COUNT,
    FLAG,
    NAME,
    NAMES,
    PART,
    PLACE,
    POSITIVE,
    READER,
    SEED,
    SIZE,
    TEXT,
    WHOLE,
    Kind,
    one_of,
    or_null,
)

_CAPTIONED = {"root": PLACE, "files": NAMES, "duration_key": NAME}
_DIVIDED = {"part": one_of("train", "val"), "size": PART, "seed": SEED}
_STORED = {"dim": SIZE}
_NETWORK = {"weights": PLACE, "source": TEXT, "device": NAME, "precision": one_of("float32", "bfloat16")}

DATA: dict[str, dict[str, Kind]] = {
    "src.text.glove.Glove": {"path": PLACE, "dim": SIZE, "source": TEXT},
    "src.text.learned.Learned": {"dim": SIZE},
    "src.text.huggingface.HuggingFaceText": {
        "model": PLACE,
        "sentence": one_of("mean", "pooler"),
        "normalize": FLAG,
        "normalize_words": FLAG,
        "max_tokens": or_null(COUNT),
        "batch_size": COUNT,
        "device": NAME,
    },
    "src.data.layouts.NpyFolder": {"folder": PLACE, **_STORED},
    "src.data.layouts.NpzFolder": {"folder": PLACE, **_STORED},
    "src.data.layouts.TextFolders": {"folder": PLACE, **_STORED},
    "src.data.layouts.Hdf5": {"file": PLACE, "dataset": NAME, **_STORED},
    "src.data.layouts.Streams": {"normalize": FLAG},
    "src.features.computed.Computed": {
        "videos": PLACE,
        "dim": SIZE,
        "seconds": POSITIVE,
        "batch_size": COUNT,
        "reader": READER,
        "longest": COUNT,
        "ids": one_of("name", "path"),
        "take": one_of("nearest", "fps"),
        "patience": POSITIVE,
        "workers": COUNT,
        "parts": PLACE,
    },
    "src.features.computed.ComputedStreams": {"normalize": FLAG},
    "src.videos.frames.Crop": {
        "shorter": COUNT,
        "side": COUNT,
        "scaling": one_of("bilinear", "bicubic"),
        "offset": one_of("round", "cut"),
    },
    "src.features.networks.extractors.I3DExtractor": {
        **_NETWORK,
        "frames": Kind("a whole number, 16 or more", Annotated[int, Field(ge=16, lt=2**31)]),
        "trained_on": one_of("charades", "kinetics"),
    },
    "src.features.networks.extractors.VGGExtractor": _NETWORK,
    "src.features.networks.extractors.C3DExtractor": {**_NETWORK, "projection": or_null(PLACE), "dim": SIZE},
    "src.features.networks.extractors.SlowFastExtractor": {
        **_NETWORK,
        "seconds": COUNT,
        "sampling": one_of("released", "even"),
    },
    "src.features.huggingface.HuggingFaceVision": {"model": PLACE, "frames": COUNT, "device": NAME},
    "src.features.pixels.Pixels": {
        "rows": COUNT,
        "columns": COUNT,
        "frames": Kind("a whole number, 2 or more", Annotated[int, Field(ge=2)]),
        "cell": COUNT,
    },
    "src.data.annotations.captions.Captions": _CAPTIONED,
    "src.data.annotations.tacos.Tacos": {"file": PLACE},
    "src.data.annotations.charades_sta.CharadesSta": {"file": PLACE, "durations": PLACE},
    "src.data.annotations.qvhighlights.QvHighlights": {"file": PLACE, "clip_seconds": POSITIVE},
    "src.data.annotations.qvhighlights.source": {},
    "src.data.annotations.parts.HeldOut": _DIVIDED,
    "src.data.annotations.parts.Fold": {
        "part": one_of("test", "rest"),
        "fold": WHOLE,
        "folds": Kind("a whole number, 2 or more", Annotated[int, Field(ge=2)]),
        "seed": SEED,
    },
    "src.data.annotations.parts.Within": {},
    "src.data.annotations.parts.Without": {},
}
