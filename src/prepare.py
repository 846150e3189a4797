"""Make the stores that a config needs, import captions, or print a data set's statistics.

python -m src.prepare +experiment=charades_cd_i3d
python -m src.prepare data=charades_sta stats=true
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

    from src.preparation import import_captions, make_stores

    if cfg.import_narratives is not None:
        import_captions(cfg)
    make_stores(cfg)


if __name__ == "__main__":
    run(main)
