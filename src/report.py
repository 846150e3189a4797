"""Gather runs into tables, figures and one self-contained page.

python -m src.report runs=[outputs/sweeps/charades_cd_i3d]
"""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from src.command import command, run


@hydra.main(version_base="1.3", config_path="../conf", config_name="report")
@command
def main(cfg: DictConfig) -> None:
    from src.commands.report import report

    report(cfg)


if __name__ == "__main__":
    run(main)
