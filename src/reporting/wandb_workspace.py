"""A saved view of a W&B project: the variants of a data set side by side, one section for each test split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wandb
from omegaconf import DictConfig
from wandb.sdk.lib.service.service_connection import WandbApiFailedError

from src.errors import UserError, reason

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace


def save(cfg: DictConfig) -> str:
    """Save the view that a composed conf/wandb_view.yaml describes, and return its address.

    Raises:
        UserError: The package wandb-workspaces is not installed, or the server does not take the view.
    """
    try:
        api = wandb.Api()
        entity = cfg.entity or api.default_entity
        if entity is None:
            raise UserError("the API key of Weights & Biases belongs to no user or team: give entity=NAME")
        return str(workspace(cfg, entity).save().url)
    except ImportError as error:
        raise UserError("wandb-workspaces is not installed: pip install '.[wandb]'") from error
    except (wandb.errors.Error, WandbApiFailedError) as error:
        raise UserError(f"the view is not saved at Weights & Biases ({reason(error)})") from error


def workspace(cfg: DictConfig, entity: str) -> Workspace:
    """The view, not saved yet: for each test split a bar chart of each metric, a bar for each value of `cfg.by`.

    Args:
        cfg: A composed conf/wandb_view.yaml.
        entity: The user or team whose project it is.
    """
    import wandb_workspaces.workspaces as views
    from wandb_workspaces.reports.v2.interface import BarPlot

    sections = [
        views.Section(
            name=split,
            is_open=True,
            panels=[
                BarPlot(
                    title=metric,
                    metrics=[f"test/{split}/{metric}"],
                    orientation="v",
                    groupby_aggfunc="mean",
                    groupby_rangefunc="stddev",
                )
                for metric in cfg.metrics
            ],
        )
        for split in cfg.data.tests
    ]
    filters = [views.Tags().isin([cfg.data.name]), views.Metric("State") == "finished"]
    if cfg.group is not None:
        filters.append(views.Metric("Group") == cfg.group)
    shown = views.RunsetSettings(filters=filters, groupby=[views.Config(key) for key in cfg.by])
    return views.Workspace(entity=entity, project=cfg.project, name=cfg.title, sections=sections, runset_settings=shown)
