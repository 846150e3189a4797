"""A collection that is quick to make: captions without videos, encoded by their words alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

TOLD: Mapping[str, Sequence[str]] = {
    "kitchen": [
        "a man cooks soup",
        "a man cooks soup",
        "a woman opens the door",
        "a woman opens the door",
        "an empty room",
    ],
    "street": ["cars drive by", "a dog runs", "a dog runs", "cars drive by", "cars drive by", "it rains"],
    "short": ["a cat sleeps"],
}


def write_captions(file: Path, told: Mapping[str, Sequence[str]] = TOLD) -> Path:
    """A file of captions, one a second, as narrator=imported reads it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    every = {video: {str(second): text for second, text in enumerate(texts)} for video, texts in told.items()}
    file.write_text(json.dumps(every))
    return file


def settings(folder: Path) -> list[str]:
    """Of a collection whose captions are at FOLDER/captions.json and whose files lie in FOLDER."""
    places = [f"paths.stores={folder}/stores", f"paths.outputs={folder}/outputs", f"paths.data={folder}"]
    captions = ["narrator=imported", "narrator.name=told", f"narrator.captions={folder}/captions.json"]
    return [*places, *captions, "text=learned", "text.dim=256", "collection=own"]
