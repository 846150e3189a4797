"""Make the stores that a config needs, import captions, print a data set's statistics, or convert a checkpoint.

python -m src.prepare +experiment=charades_cd_i3d
python -m src.prepare +experiment=charades_cd_i3d videos=FOLDER
python -m src.prepare data=charades_sta stats=true
python -m src.prepare +experiment=charades_cd_qd_detr merger=none convert_checkpoint=model_best.ckpt
"""

from __future__ import annotations

from omegaconf import DictConfig

from src.command import command


@command("prepare")
def main(cfg: DictConfig) -> None:
    from src.commands.prepare import prepare

    prepare(cfg)


if __name__ == "__main__":
    main()
