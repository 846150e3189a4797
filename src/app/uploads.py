"""Videos that a page hands in. What they are called is only shown: no file is named after it."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from src.errors import UserError, printable
from src.files import parse_json, read_text, require_folder, whole
from src.videos.collection import SUFFIXES

_NAMES = "names.json"
_LONGEST = 120


class TooLargeError(UserError):
    """More than the limit."""


class Uploads:
    """A folder of uploaded videos.

    Args:
        folder: Where they lie; made if need be.
        largest: The most bytes of one.
    """

    def __init__(self, folder: Path, largest: int) -> None:
        self.folder = folder
        self.largest = largest
        self._lock = threading.Lock()
        require_folder(folder)

    def names(self) -> dict[str, str]:
        """What each video is called, by its id."""
        file = self.folder / _NAMES
        names = parse_json(read_text(file), file) if file.is_file() else {}
        return {str(video): str(name) for video, name in names.items()} if isinstance(names, dict) else {}

    async def take(self, name: str, content: AsyncIterator[bytes]) -> str:
        """Keep a video; returns its id.

        Raises:
            TooLargeError: It has more bytes than the limit. Nothing of it is kept.
            UserError: It is called like no video, is empty, or the disk is full.
        """
        shown = printable(name.replace("\\", "/").rsplit("/", 1)[-1])[:_LONGEST]
        suffix = Path(shown).suffix.lower()
        if suffix not in SUFFIXES:
            raise UserError(f"{shown} is no video: give a file such as .mp4, .webm or .mov")
        video = secrets.token_hex(8)
        size = 0
        # One with a dot in front is no video of the folder until it is whole.
        with whole(self.folder / f"{video}{suffix}") as temporary, temporary.open("wb") as file:
            async for piece in content:
                size += len(piece)
                if size > self.largest:
                    raise TooLargeError(
                        f"{shown} has more than {self.largest >> 20} MiB, the most that is taken (largest=…)"
                    )
                file.write(piece)
            if not size:
                raise UserError(f"{shown} is empty")
        with self._lock, whole(self.folder / _NAMES) as temporary:
            temporary.write_text(json.dumps({**self.names(), video: shown}, ensure_ascii=False), encoding="utf-8")
        return video
