"""What of a stranger's configuration may be built: what conf/ names, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.errors import UserError
from src.runs.trust import require_known
from tests.compose import CONF
from tests.runs.hostile import VALUES, alterations, composed, within

PROJECT = Path(__file__).parents[2]
CONTENT = composed()
KEYS = sorted(CONTENT)


def refused(content: Any, *folders: Path) -> str:
    with pytest.raises(UserError) as caught:
        require_known(content, "stranger.ckpt", [CONF.resolve(), *folders])
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith("stranger.ckpt ")
    assert message.endswith("it is not loaded")
    assert len(message) < 400
    return message


# A group that is built, one that is none, a setting of the whole, and a part within a part.
PLACES = ("predictor", "data", "seed", "metrics")


@pytest.mark.parametrize("name", VALUES)
def test_whatever_conf_does_not_name_is_refused_wherever_it_stands(name: str) -> None:
    for key in PLACES:
        content = within(CONTENT, key, VALUES[name])
        message = refused(content)
        assert f"{key}.own" in message if isinstance(CONTENT[key], dict) else key in message


ALTERED = alterations(CONTENT)


@pytest.mark.parametrize("name", ALTERED)
def test_what_conf_names_is_refused_when_it_is_altered(name: str) -> None:
    key, content = ALTERED[name]
    assert key in refused(content)


@pytest.mark.parametrize("content", [None, [], "a", 3, ["_target_"]])
def test_what_is_no_mapping_is_refused(content: Any) -> None:
    assert "where a configuration should be" in refused(content)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text().filter(lambda text: "$" not in text)
NAMES = st.text().filter(
    lambda text: not set(text) & set("${}[].") and not text.startswith("_") and text != "trust_remote_code"
)


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    inner = st.recursive(leaves, lambda held: st.lists(held) | st.dictionaries(NAMES, held), max_leaves=10)
    return st.dictionaries(NAMES, inner)


@settings(max_examples=30)
@given(nested(PLAIN))
def test_plain_settings_always_pass(content: dict[str, Any]) -> None:
    require_known(content, "x", [CONF.resolve()])


KNOWN = {
    line.split("_target_:")[1].split("#")[0].strip()
    for file in CONF.rglob("*.yaml")
    for line in file.read_text().splitlines()
    if "_target_:" in line
}
TARGETS = st.one_of(st.text(), st.from_regex(r"[a-z]+(\.[a-z_]+){1,3}", fullmatch=True), st.integers(), st.none())


@settings(max_examples=30)
@given(st.data(), st.lists(NAMES | st.sampled_from(KEYS), min_size=1, max_size=5), TARGETS)
def test_a_target_that_conf_does_not_name_is_always_refused(data: st.DataObject, path: list[str], target: Any) -> None:
    if target in KNOWN:
        return
    content: Any = {**data.draw(nested(PLAIN)), "_target_": target}
    for key in reversed(path):
        beside = data.draw(nested(PLAIN))
        content = {**beside, key: [content] if data.draw(st.booleans()) else content}
    refused(content)


def test_what_is_long_is_shown_in_part_and_says_so() -> None:
    assert f"{'x' * 120}..." in refused({"metrics": {"_target_": "x" * 121}})
    assert f"{'x' * 120}..." not in refused({"metrics": {"_target_": "x" * 120}})


@given(st.sampled_from(KEYS), st.sampled_from(sorted(KNOWN)))
def test_a_target_of_ours_passes_in_its_group_only(group: str, target: str) -> None:
    texts = [file.read_text() for file in CONF.glob(f"{group}/**/*.yaml")]
    if not any(target in text for text in texts):
        refused({group: {"_target_": target}})


def test_a_folder_of_the_users_own_allows_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "merger").mkdir()
    (tmp_path / "merger" / "own.yaml").write_text(
        "name: own\nnetwork:\n  _target_: own.Merger\n  _partial_: true\n  home: ${oc.env:OWN}\n"
    )
    network = {"_target_": "own.Merger", "_partial_": True, "home": "${oc.env:OWN}"}
    require_known({"merger": {"network": network}}, "x", [CONF.resolve(), tmp_path])
    assert "merger.network" in refused({"merger": {"network": network}})
    assert "match.network._target_" in refused({"match": {"network": network}}, tmp_path)
    assert "merger.network._target_" in refused({"merger": {"network": network | {"_args_": [1]}}}, tmp_path)
    assert "merger.network._target_" in refused({"merger": {"network": network | {"_partial_": False}}}, tmp_path)


def test_a_broken_file_of_the_users_own_allows_nothing(tmp_path: Path) -> None:
    (tmp_path / "merger").mkdir()
    (tmp_path / "merger" / "own.yaml").write_text("network: {_target_: own.Merger\n")
    (tmp_path / "merger" / "bytes.yaml").write_bytes(b"\xff\xfe\x00_target_: own.Merger")
    assert "own.Merger" in refused({"merger": {"network": {"_target_": "own.Merger"}}}, tmp_path)
