"""Train a network, then test every test split with the best validation checkpoint.

python -m src.train +experiment=charades_cd_i3d
"""

from __future__ import annotations

from omegaconf import DictConfig

from src.command import command


@command("train")
def main(cfg: DictConfig) -> float:
    """Returns the best value of the monitored validation metric, which is what a search over settings maximises."""
    from src.commands.train import train

    return train(cfg)


if __name__ == "__main__":
    main()
