"""Score a predictions file, a checkpoint or a baseline.

python -m src.evaluate predictions=FILE data=charades_cd split=test_ood
python -m src.evaluate checkpoint=RUN_FOLDER
python -m src.evaluate baseline=whole_video data=charades_cd
"""

from __future__ import annotations

from omegaconf import DictConfig

from src.command import command


@command("evaluate")
def main(cfg: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    from src.commands.evaluate import evaluate

    evaluate(cfg, HydraConfig.get().overrides.task)


if __name__ == "__main__":
    main()
