"""Generate the Playroom: videos and annotations, in the folder where data=playroom looks for them.

python -m src.playroom
python -m src.playroom size=standard folder=FOLDER
python -m src.playroom size.train=100 seed=1 folder=FOLDER
"""

from __future__ import annotations

from omegaconf import DictConfig

from src.command import command


@command("playroom")
def main(cfg: DictConfig) -> None:
    from src.commands.playroom import playroom

    playroom(cfg)


if __name__ == "__main__":
    main()
