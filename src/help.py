"""What the commands say of themselves: the comments of conf/, which explain every setting where it stands."""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from src.errors import UserError
from src.places import CONF
from src.settings import PARTS, SETTINGS, Kind

_WIDTH = 118
_MOST_LINES = 4
"""Of a group's choices on the screen of a command."""
_SETTING = re.compile(r"^(?P<indent> *)(?P<key>[\w.]+):(?: +(?P<value>[^\s#].*?))?(?: +# (?P<comment>.*))?$")
# Groups whose files change choices of others. They come on top of a config of networks.
_ON_TOP = ("experiment", "recipe", "sweep")
_GLOBAL = "# @package _global_"
_NO_GROUPS = ("hydra",)


class _Line(NamedTuple):
    """A setting as it stands in a config file."""

    key: str  # dotted
    value: str
    comment: str


def overview(about: str, name: str | None, arguments: Sequence[str]) -> str:
    """A screen: what a command does, what can be chosen, its own settings, and where more is told.

    Args:
        about: What it does and how it is called.
        name: Of its config; None if it has none.
        arguments: The command line, which may name a config folder.
    """
    parts = [about.strip()]
    if name is not None:
        folders = _folders(arguments)
        groups = _groups(name, folders)
        indent = max(map(len, groups)) + 3
        parts.append(f"\nChoices, as in {_example(groups)} (first the default):")
        for group, default in groups.items():
            # model@compare is a second choice of the group model.
            every = _choices(group.lstrip("+").partition("@")[0], folders)
            others = [choice for choice in every if choice != default]
            line = f"  {group:<{indent - 2}}{' '.join([*([default] if default else []), *others])}"
            more = f" … (all: help={group.lstrip('+')})"
            parts.append(
                textwrap.fill(line, _WIDTH, subsequent_indent=" " * indent, max_lines=_MOST_LINES, placeholder=more)
            )
        parts += ["", "Settings:", *_aligned(_own(name, folders))]
        parts += [
            "",
            f"python -m src.{name} help=GROUP explains a group's choices and settings; --cfg job prints the whole",
            "configuration; -m runs every combination of values with commas between; --config-dir FOLDER adds configs.",
        ]
    return "\n".join(parts)


def details(what: str, name: str, arguments: Sequence[str]) -> str:
    """The choices of a group with what their files say, the settings of one of them, and what these may be.

    Args:
        what: GROUP for its default, GROUP=CHOICE, or the name of settings of the command's own.
        name: Of the command's config.
        arguments: The command line, which may name a config folder.

    Raises:
        UserError: There is nothing of that name.
    """
    folders, group = _folders(arguments), what.split("=")[0].strip("+/")
    groups = {key.lstrip("+"): default for key, default in _groups(name, folders).items()}
    choices = _choices(group, folders)
    if not choices:
        own = [line for line in _own(name, folders) if line.key == group or line.key.startswith(f"{group}.")]
        if not own:
            known = [*groups, *{line.key.split(".")[0] for line in _own(name, folders)}]
            raise UserError(f"help={what}: there is no such group or setting{_near(group, known)}")
        kinds = {line.key: SETTINGS[line.key] for line in own if line.key in SETTINGS}
        return "\n".join([*_aligned(own), *_may_be(kinds)])
    choice = what.partition("=")[2] or groups.get(group) or choices[0]
    if choice not in choices:
        raise UserError(f"help={what}: there is no such choice{_near(choice, choices)}")
    indent = max(map(len, choices)) + 4
    lines = [f"{group}=…"]
    for each in choices:
        said = f"  {each:<{indent - 2}}{_first_comment(_text(group, each, folders))}"
        lines.append(textwrap.fill(said, _WIDTH, subsequent_indent=" " * indent))
    files = list(_built_on(group, choice, folders))
    for place, text in files:
        lines += ["", f"{place}:", *(f"  {line}" for line in text.splitlines() if line != _GLOBAL)]
    return "\n".join([*lines, *_may_be(_kinds(group, [text for _, text in files]))])


def unknown_setting(error: Exception, name: str | None, arguments: Sequence[str]) -> UserError | None:
    """What to say of a setting that there is not, with the one that is likely meant; None for any other error."""
    found = re.search(r"Could not override '([^']+)'", str(error))
    if found is None or name is None:
        return None
    key = found[1]
    near = _near(key, _keys(name, arguments, without=key))
    return UserError(f"there is no setting {key}{near or f': see python -m src.{name} --help'}")


def _keys(name: str, arguments: Sequence[str], without: str) -> list[str]:
    """Every setting of the config that these arguments choose, by its dotted name."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    folders = _folders(arguments)
    groups = {group.lstrip("+") for group in _groups(name, folders)} - {without}
    chosen = [each for each in arguments if each.split("=")[0].lstrip("+") in groups and "," not in each]
    more = ",".join(f"file://{folder}" for folder in folders[1:])
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose(name, [*chosen, *([f"hydra.searchpath=[{more}]"] if more else [])])
    except HydraException:
        return []
    keys = [*groups]
    rest: list[tuple[str, Any]] = [("", OmegaConf.to_container(cfg, resolve=False))]
    while rest:
        above, node = rest.pop()
        for key, value in node.items():
            keys.append(f"{above}{key}")
            if isinstance(value, dict):
                rest.append((f"{above}{key}.", value))
    return keys


def _near(word: str, known: Sequence[str]) -> str:
    """A question for the nearest of the known words, nothing where none is near."""
    found = difflib.get_close_matches(word, known, 1, 0.7)
    if not found:
        # In another place, as `lr` is of the optimizer.
        last = {each.rsplit(".", 1)[-1]: each for each in reversed(known)}
        found = [last[each] for each in difflib.get_close_matches(word.rsplit(".", 1)[-1], [*last], 1, 0.8)]
    return f": did you mean {found[0]}?" if found else ""


def _folders(arguments: Sequence[str]) -> list[Path]:
    """The config folders: this installation's, and the one that the command line names."""
    folders = [CONF]
    for argument, following in pairwise([*arguments, ""]):
        option, _, value = argument.partition("=")
        if option in ("--config-dir", "-cd"):
            folders.append(Path(value or following).absolute())
    return folders


def _text(group: str, choice: str, folders: Sequence[Path]) -> str:
    """The text of a config file of the first folder that has it; nothing where none has."""
    for folder in folders:
        if (file := folder / group / f"{choice}.yaml").is_file():
            return file.read_text(encoding="utf-8")
    return ""


def _defaults(text: str) -> list[Any]:
    content = yaml.safe_load(text)
    return (content or {}).get("defaults", []) if isinstance(content, Mapping) else []


def _files(name: str, folders: Sequence[Path]) -> Iterator[str]:
    """The texts of a command's config, after those that it builds on."""
    text = _text("", name, folders)
    for default in _defaults(text):
        if isinstance(default, str) and default != "_self_":
            yield from _files(default, folders)
    yield text


def _groups(name: str, folders: Sequence[Path]) -> dict[str, str | None]:
    """The groups of a command with their defaults; + before those that come on top."""
    texts = list(_files(name, folders))
    chosen = [default for text in texts for default in _defaults(text) if isinstance(default, dict)]
    groups = {group: choice for default in chosen for group, choice in default.items() if group not in _NO_GROUPS}
    top = dict.fromkeys(_ON_TOP if "predictor" in groups else ())
    return {**{f"+{group}": None for group in top}, **groups}


def _choices(group: str, folders: Sequence[Path]) -> list[str]:
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")}) if group else []


def _example(groups: Mapping[str, str | None]) -> str:
    group = next((group for group in ("merger", "narrator", "features", "paths") if group in groups), "group")
    return f"{group}={groups.get(group)}"


def _own(name: str, folders: Sequence[Path]) -> list[_Line]:
    """The settings that stand in a command's own file and those that it builds on; the last of each."""
    lines = {line.key: line for text in _files(name, folders) for line in _lines(text)}
    return [line for key, line in lines.items() if not key.startswith(("hydra.", "defaults"))]


def _lines(text: str) -> Iterator[_Line]:
    """Each setting of a config file that has a value."""
    above: list[tuple[int, str]] = []
    for found in filter(None, map(_SETTING.match, text.splitlines())):
        indent = len(found["indent"])
        above = [(place, key) for place, key in above if place < indent]
        above.append((indent, found["key"]))
        if found["value"] is not None or found["comment"] is not None:
            yield _Line(".".join(key for _, key in above), found["value"] or "", found["comment"] or "")


def _aligned(lines: Sequence[_Line]) -> list[str]:
    said = [(f"  {line.key}={line.value}" if line.value else f"  {line.key}", line.comment) for line in lines]
    indent = min(max(len(setting) for setting, _ in said) + 2, 34) if said else 0
    return [
        f"{setting:<{indent}}{'' if len(setting) < indent else '  '}{comment}".rstrip() for setting, comment in said
    ]


def _first_comment(text: str) -> str:
    """The first sentence of what a file says of itself."""
    comments: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if line != _GLOBAL:
            comments.append(line.lstrip("# "))
    return re.split(r"(?<![A-Z][a-z])(?<=[a-z)])(?:\. |: |\.$|:$)", " ".join(comments), maxsplit=1)[0]


def _built_on(group: str, choice: str, folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """The config files of a choice by their places, after those that they build on."""
    text = _text(group, choice, folders)
    for default in _defaults(text):
        if not isinstance(default, str) or default == "_self_":
            continue
        base = default.removesuffix("@_here_")
        yield from _built_on(*(("", base[1:]) if base.startswith("/") else (group, base)), folders)
    yield f"conf/{group}/{choice}.yaml".replace("//", "/"), text


def _kinds(group: str, texts: Sequence[str]) -> dict[str, Kind]:
    """What the settings in these files may be, by their names in a config."""
    kinds: dict[str, Kind] = {}
    for text in texts:
        prefix = "" if _GLOBAL in text else f"{group}."
        for line in _lines(text):
            key = f"{prefix}{line.key}"
            if key in SETTINGS:
                kinds[key] = SETTINGS[key]
            if line.key.endswith("_target_"):
                within = key.removesuffix("_target_")
                kinds |= {f"{within}{name}": kind for name, kind in PARTS.get(line.value, {}).items()}
    return kinds


def _may_be(kinds: Mapping[str, Kind]) -> list[str]:
    if not kinds:
        return []
    return ["", "What they may be:", *(f"  {key}: {kind.said}" for key, kind in kinds.items())]
