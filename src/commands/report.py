"""What `python -m src.report` does."""

from __future__ import annotations

from omegaconf import DictConfig

from src.reporting.page import write_report


def report(cfg: DictConfig) -> None:
    """Write the report of a composed conf/report.yaml, and print where it is."""
    print(write_report(cfg))
