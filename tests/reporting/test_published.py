"""The paper's numbers in experiments/."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from src.errors import UserError
from src.reporting.published import Published, read_published
from tests.compose import compose

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TABLES = {f"table{number}": number for number in range(2, 10)}


def published(name: str) -> list[Published]:
    return read_published(EXPERIMENTS / name / "paper.csv")


@pytest.mark.parametrize(
    ("name", "methods", "numbers"),
    [
        # Methods of the printed table, and its cells without a dash.
        *(("table2", 14, 81), ("table3", 11, 78), ("table4", 8, 16), ("table5", 4, 12)),
        *(("table6", 2, 6), ("table7", 4, 12), ("table8", 11, 75), ("table9", 2, 18)),
    ],
)
def test_a_table_has_every_method_and_number(name: str, methods: int, numbers: int) -> None:
    with (EXPERIMENTS / name / "paper.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["method"] for row in rows}) == methods
    assert len(published(name)) == numbers


@pytest.mark.parametrize(
    ("name", "method", "data", "split", "metric", "value"),
    [
        ("table2", "TEA, 2024, I3D", "charades_cd", "test_ood", "R1@0.5", 54.28),
        ("table2", "MESM, 2024, I3D", "charades_cg", "novel_composition", "mIoU", 41.4),
        ("table3", "TEA, 2024, C3D", "anet_cg", "novel_word", "R1@0.7", 16.48),
        ("table4", "TimeChat, Video-adaptor + LLM", "charades_sta", "test", "R1@0.7", 23.7),
        ("table5", "Add", "charades_cd", "test_ood", "mIoU", 49.5),
        ("table6", "BLIP2", "charades_cd", "test_ood", "R1@0.7", 32.65),
        ("table7", "Baseline + PQ", "charades_cg", "novel_word:VERB", "mIoU", 38.24),
        ("table8", "CPN, C3D", "anet", "val_2", "R1@0.3", 62.81),
        ("table9", "QD-DETR + TEA", "charades_cg", "novel_composition", "R1@0.5", 39.89),
    ],
)
def test_numbers_are_where_the_paper_has_them(
    name: str, method: str, data: str, split: str, metric: str, value: float
) -> None:
    found = [one.value for one in published(name) if one[:3] == (method, data, (split, metric))]
    assert found == [value]


@pytest.mark.parametrize("name", TABLES)
def test_what_a_number_is_compared_with_exists(name: str) -> None:
    for settings in {tuple(sorted(number.ours.items())) for number in published(name)}:
        overrides = [f"{key}={value}" for key, value in settings]
        config = compose(*overrides, config="train")
        assert all(config[key].name == value for key, value in settings)
    for data, split in {(number.data, number.column[0].split(":")[0]) for number in published(name)}:
        assert split in compose(f"data={data}", config="train").data.tests


def test_tables_agree_where_they_repeat_each_other() -> None:
    """Table 5 repeats TEA and EMB of Table 2, Table 6 TEA of Table 5, Table 7 its first row, Table 4 of Table 8."""

    def of(name: str, ours: str) -> dict[tuple[str | None, str, str], float]:
        found = published(name)
        return {(one.data, *one.column): one.value for one in found if ours in one.method.split(", ")[0]}

    for name, ours, other, theirs in (
        ("table5", "Concat+MLP", "table2", "TEA"),
        ("table5", "Video-only", "table2", "EMB"),
        ("table6", "LLaVA", "table2", "TEA"),
    ):
        assert of(name, ours).items() <= of(other, theirs).items()
    assert (
        of("table7", "TEA")["charades_cg", "novel_word", "mIoU"]
        == of("table2", "TEA")["charades_cg", "novel_word", "mIoU"]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method,value\nTEA,1\n", "needs the columns method, split, metric and value"),
        ("method,split,metric,value\nTEA,test,mIoU,high\n", "line 2: could not convert string to float: 'high'"),
        ("method,split,metric,value,ours\nTEA,test,mIoU,1,merger\n", "line 2: ours is 'merger', not settings such as"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "paper.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        read_published(file)
    with pytest.raises(UserError, match="no numbers of a paper at"):
        read_published(tmp_path / "none.csv")
