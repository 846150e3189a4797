"""Whether a configuration that came out of a file may be built: it may name only what this installation's conf/ names.

Hydra's `instantiate` runs whatever a `_target_` names, and a resolver may read this machine's secrets. So before
anything of a checkpoint's or a run folder's configuration is built, imported or resolved, all of it is compared with
the config files of this installation. A prefix such as `src.` would not do: `src` too holds what runs commands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import yaml
from hydra.core.global_hydra import GlobalHydra

from src.errors import UserError

CONF = Path(__file__).parents[2] / "conf"
"""This installation's config files."""

_TARGET = "_target_"
# Of Hydra's own: whatever has this form steers how a part is built.
_SPECIAL = re.compile(r"_\w*_")
# A setting that would let a model's repository bring code.
_FORBIDDEN = "trust_remote_code"
_DEEPEST = 64

Way = tuple[str, tuple[tuple[str, str], ...]]
"""A target, and the special keys beside it with their values: one way to build something."""


def conf_folders() -> list[Path]:
    """This installation's conf/, and the folders that the user added to it (`--config-dir`, `hydra.searchpath`)."""
    folders = [CONF]
    if GlobalHydra.instance().is_initialized():
        search = GlobalHydra.instance().config_loader().get_search_path().get_path()
        places = [element.path.removeprefix("file://") for element in search if element.provider != "hydra"]
        folders += [Path(place) for place in places if "://" not in place and Path(place).is_dir()]
    return list(dict.fromkeys(folder.resolve() for folder in folders))


def require_known(config: Any, where: Path | str, folders: Sequence[Path]) -> None:
    """Refuse a configuration out of a file that names anything `folders` do not name.

    Every `_target_`, at any depth, must be one that the files of its group (its topmost key) name, built in the same
    way: with the same `_partial_`, `_args_` and the like. Interpolations may point at other settings; those that call a
    resolver (`${oc.env:…}`) must stand in a config file just so.

    Args:
        config: Plain containers, as composed: nothing in it has been resolved.
        where: The file, for messages.
        folders: Folders of config files, laid out as conf/.

    Raises:
        UserError: it does not hold; the message names the key and what it says.
    """
    known = _Known.of(tuple(folders))
    if not isinstance(config, Mapping):
        raise UserError(f"{where}: its configuration is no mapping")
    # A list of what is left to look at, as a hostile file may be nested deeper than Python's calls.
    todo: list[tuple[tuple[str, ...], Any]] = [((str(key),), value) for key, value in _entries(config, (), where)]
    while todo:
        path, value = todo.pop()
        if len(path) > _DEEPEST:
            _refuse(where, path[:3], "settings nested so deep")
        if isinstance(value, Mapping):
            entries = list(_entries(value, path, where))
            _require_known_way(dict(entries), path, where, known)
            todo += [((*path, key), inner) for key, inner in entries]
        elif isinstance(value, list | tuple):
            todo += [((*path, str(index)), inner) for index, inner in enumerate(value)]
        elif isinstance(value, str):
            for expression in resolver_calls(value):
                if expression not in known.resolvers:
                    _refuse(where, path, expression)
        elif value is not None and type(value) not in (int, float, bool):
            _refuse(where, path, f"a {type(value).__name__}")


def resolver_calls(text: str) -> Iterator[str]:
    """The outermost interpolations of a text that call a resolver anywhere inside, such as ${oc.env:HOME}.

    >>> list(resolver_calls("${data.name}/${oc.env:HOME,${paths.data}}/x"))
    ['${oc.env:HOME,${paths.data}}']
    """
    position = 0
    while (start := text.find("${", position)) >= 0:
        depth, end = 0, start
        while end < len(text):
            if text.startswith("${", end):
                depth, end = depth + 1, end + 2
                continue
            depth -= text[end] == "}"
            end += 1
            if depth == 0:
                break
        position = end
        # One that is never closed is none of ours either.
        if ":" in text[start:end] or depth:
            yield text[start:end]


class _Known:
    """What config files name: the ways to build something in each group, and the resolver calls."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.ways: dict[str, set[Way]] = {}
        self.resolvers: set[str] = set()
        for folder in folders:
            for file in sorted(folder.rglob("*.yaml")):
                self._read(file, file.relative_to(folder).parts[:-1])

    @staticmethod
    @lru_cache(maxsize=8)
    def of(folders: tuple[Path, ...]) -> _Known:
        return _Known(folders)

    def _read(self, file: Path, group: tuple[str, ...]) -> None:
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            return  # a broken file of the user's own names nothing
        for path, value in _nodes(content):
            if isinstance(value, str):
                self.resolvers.update(resolver_calls(value))
            elif isinstance(value, Mapping) and isinstance(value.get(_TARGET), str):
                # A primary config, and an experiment, write below the group's own key.
                names = {group[0]} if group else set()
                if not group or "@package" in file.read_text(encoding="utf-8").split("\n", 1)[0]:
                    names = {path[0]} if path else set()
                for name in names:
                    self.ways.setdefault(name, set()).add(_way(value))

    def is_known(self, group: str, way: Way) -> bool:
        ways = self.ways.get(group, set())
        if way in ways:
            return True
        # A file that builds on another of its group may name the target alone: what stands beside it comes from there.
        target, special = way
        return (target, ()) in ways and any(special == other for _, other in ways if other)


def _way(node: Mapping[str, Any]) -> Way:
    special = {key: repr(value) for key, value in node.items() if key != _TARGET and _SPECIAL.fullmatch(str(key))}
    return node[_TARGET], tuple(sorted(special.items()))


def _require_known_way(node: dict[str, Any], path: tuple[str, ...], where: Path | str, known: _Known) -> None:
    special = [key for key in node if _SPECIAL.fullmatch(key)]
    if _FORBIDDEN in node:
        _refuse(where, (*path, _FORBIDDEN), node[_FORBIDDEN])
    if _TARGET not in node:
        for key in special:
            _refuse(where, (*path, key), node[key])
        return
    target = node[_TARGET]
    if not isinstance(target, str) or not known.is_known(path[0], _way(node)):
        beside = "".join(f" with {key}={node[key]!r}" for key in special if key != _TARGET)
        _refuse(where, (*path, _TARGET), f"{target}{beside}")


def _entries(node: Mapping[Any, Any], path: tuple[str, ...], where: Path | str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if type(key) is not str or "${" in key:
            _refuse(where, (*path, str(key)), "a key that is no plain word")
        if not path and _SPECIAL.fullmatch(key):
            _refuse(where, (key,), value)
        yield key, value


def _nodes(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, content
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from _nodes(value, (*path, str(key)))
    elif isinstance(content, list):
        for value in content:
            yield from _nodes(value, path)


def _refuse(where: Path | str, path: Sequence[str], what: object) -> NoReturn:
    said = " ".join(f"{'.'.join(path)}={what}".encode("unicode_escape").decode().split())
    raise UserError(
        f"{where} is not used: its configuration has {said[:200]}, which conf/ of this installation does not have"
    )
