"""Save a view at Weights & Biases that compares the runs of a data set: a section for each test split.

python -m src.wandb_view data=charades_cg
"""

from __future__ import annotations

from omegaconf import DictConfig

from src.command import command


@command("wandb_view")
def main(cfg: DictConfig) -> None:
    from src.commands.wandb_view import wandb_view

    wandb_view(cfg)


if __name__ == "__main__":
    main()
