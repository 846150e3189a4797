"""What indexes and rankers of a search take."""

from __future__ import annotations

from src.settings.kinds import COUNT, NAME, NUMBER, PLACE, TEXT, Kind, or_null

RETRIEVAL: dict[str, dict[str, Kind]] = {
    "src.retrieval.exact.ExactIndex": {},
    "src.retrieval.lance.LanceIndex": {
        "place": or_null(PLACE),
        "storage.*": TEXT,
        "rows": COUNT,
        "probes": COUNT,
        "least": COUNT,
    },
    "src.retrieval.run.Run": {"folder": PLACE, "videos": COUNT, "moments": COUNT, "device": NAME, "paths.*": PLACE},
    "src.retrieval.segments.Segments": {
        "network": PLACE,
        "windows": COUNT,
        "moments": COUNT,
        "moment.*": NUMBER,
        "device": NAME,
    },
    "src.retrieval.similarity.Similarity": {
        "lowered": NUMBER,
        "runs": COUNT,
        "candidates": COUNT,
        "window.*": NUMBER,
        "run.*": NUMBER,
    },
}
