"""What narrators, reworders, language models and baselines take."""

from __future__ import annotations

from src.settings.kinds import (
    COUNT,
    DTYPE,
    FLAG,
    NAME,
    NUMBER,
    PLACE,
    POOLING,
    POSITIVE,
    READER,
    SEED,
    SHARE,
    TEXT,
    WEIGHT,
    WHOLE,
    Kind,
    list_of,
    one_of,
    or_null,
)

_OF_MODEL = {"name": NAME, "interval": POSITIVE, "model": PLACE, "prompt": or_null(TEXT)}
_ASKED = {"name": NAME, "prompt": TEXT, "answers": PLACE, "retry_failed": FLAG}

LANGUAGE: dict[str, dict[str, Kind]] = {
    "src.narrators.huggingface.HuggingFaceNarrator": {
        **_OF_MODEL,
        "quantization": one_of("none", "8bit", "4bit"),
        "dtype": DTYPE,
        "device_map": NAME,
        "batch_size": COUNT,
        "generation.max_new_tokens": COUNT,
        "generation.do_sample": FLAG,
        "generation.num_beams": COUNT,
    },
    "src.narrators.endpoint.EndpointNarrator": {
        **_OF_MODEL,
        "url": NAME,
        "key": NAME,
        "requests": COUNT,
        "timeout": POSITIVE,
        "attempts": COUNT,
        "backoff": WEIGHT,
        "generation.max_tokens": COUNT,
        "generation.temperature": WEIGHT,
    },
    "src.narrators.imported.ImportedNarrator": {"name": NAME, "interval": POSITIVE, "captions": PLACE},
    "src.narrators.annotated.AnnotatedNarrator": {"name": NAME, "interval": POSITIVE, "parts": WHOLE},
    "src.playroom.ideal.IdealNarrator": {"name": NAME, "interval": POSITIVE, "folder": PLACE},
    "src.playroom.narrator.PlayroomNarrator": {"name": NAME, "interval": POSITIVE, "batch_size": COUNT},
    "src.baselines.prior.Prior": {"seed": SEED},
    "src.baselines.similarity.Similarity": {"constants": list_of(NUMBER), "rewordings": POOLING},
    "src.baselines.whole_video.WholeVideo": {},
    "src.baselines.vtg_gpt.VtgGpt": {"least": COUNT, "gap": COUNT, "most_overlap": SHARE},
    "src.language.endpoint.EndpointModel": {
        "url": NAME,
        "model": NAME,
        "key": NAME,
        "requests": COUNT,
        "timeout": POSITIVE,
        "attempts": COUNT,
        "backoff": WEIGHT,
        "generation.max_tokens": COUNT,
        "generation.temperature": WEIGHT,
    },
    "src.language.huggingface.HuggingFaceModel": {
        "model": PLACE,
        "dtype": DTYPE,
        "device_map": NAME,
        "sees": FLAG,
        "generation.max_new_tokens": COUNT,
        "generation.do_sample": FLAG,
    },
    "src.rewording.imported.ImportedReworder": {"name": NAME, "file": PLACE},
    "src.rewording.asked.ModelReworder": {"name": NAME, "prompt": TEXT, "count": COUNT},
    "src.baselines.asked.NarrativesAsked": {**_ASKED, "most": COUNT},
    "src.baselines.asked.VideoAsked": {
        **_ASKED,
        "videos": PLACE,
        "frames": COUNT,
        "reader": READER,
        "longest": COUNT,
    },
}
