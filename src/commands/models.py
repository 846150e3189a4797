"""What `python -m src.models` does."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from src.files import whole
from src.zoo.page import about, overview, page


def models(cfg: DictConfig) -> None:
    """Print, or write, what a composed conf/models.yaml asks for."""
    if cfg.output is not None:
        with whole(Path(cfg.output)) as file:
            file.write_text(page(), encoding="utf-8")
        print(cfg.output)
    else:
        print(overview() if cfg.about is None else about(cfg.about))
