"""Make the stores that a config needs, import captions, print a data set's statistics, or convert a checkpoint.

python -m src.prepare +experiment=charades_cd_i3d
python -m src.prepare data=charades_sta stats=true
python -m src.prepare +experiment=charades_cd_qd_detr merger=none convert_checkpoint=model_best.ckpt
"""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from src.errors import command, run


@hydra.main(version_base="1.3", config_path="../conf", config_name="prepare")
@command
def main(cfg: DictConfig) -> None:
    if cfg.stats:
        from src.data.statistics import table

        print(table(cfg.data))
        return

    if cfg.convert_checkpoint is not None:
        from src.conversion import convert_checkpoint

        convert_checkpoint(cfg)
        return

    from src.preparation import import_captions, make_stores

    if cfg.import_narratives is not None:
        import_captions(cfg)
    make_stores(cfg)


if __name__ == "__main__":
    run(main)
