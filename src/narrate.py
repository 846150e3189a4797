"""Caption the frames of videos with a multimodal language model: narratives of a whole collection.

python -m src.narrate data=charades_sta videos=FOLDER narrator=llava_13b
"""

from __future__ import annotations

from omegaconf import DictConfig

from src.command import command


@command("narrate")
def main(cfg: DictConfig) -> None:
    from src.commands.narrate import narrate

    narrate(cfg)


if __name__ == "__main__":
    main()
