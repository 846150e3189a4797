"""Put the queries of a data set into other words, or take in rewordings that exist.

python -m src.reword data=qvhighlights_folds reworder=vtg_gpt
"""

from __future__ import annotations

from omegaconf import DictConfig

from src.command import command


@command("reword")
def main(cfg: DictConfig) -> None:
    from src.commands.reword import reword

    reword(cfg)


if __name__ == "__main__":
    main()
