"""What `python -m src.playroom` does."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from src.playroom.generation import generate


def playroom(cfg: DictConfig) -> None:
    """Make the Playroom of a composed conf/playroom.yaml."""
    generate(Path(cfg.folder), {str(split): count for split, count in cfg.size.items()}, cfg.seed, cfg.workers)
