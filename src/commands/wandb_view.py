"""What `python -m src.wandb_view` does."""

from __future__ import annotations

from omegaconf import DictConfig

from src.reporting.wandb_workspace import save


def wandb_view(cfg: DictConfig) -> None:
    """Save the view of a composed conf/wandb_view.yaml, and print its address."""
    print(save(cfg))
