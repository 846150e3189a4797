"""Gather runs into tables, figures and one self-contained page.

python -m src.report runs=[outputs/sweeps/charades_cd_i3d]
"""

from __future__ import annotations

from omegaconf import DictConfig

from src.command import command


@command("report")
def main(cfg: DictConfig) -> None:
    from src.commands.report import report

    report(cfg)


if __name__ == "__main__":
    main()
