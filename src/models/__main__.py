"""List every network and training method with its paper, its size and its published scores.

python -m src.models
python -m src.models about=qd_detr
"""

from __future__ import annotations

from omegaconf import DictConfig

from src.command import command


@command("models")
def main(cfg: DictConfig) -> None:
    from src.commands.models import models

    models(cfg)


if __name__ == "__main__":
    main()
