"""What a config that came out of a file may name: a checkpoint or a run folder may be anybody's.

Hydra calls whatever a `_target_` names and OmegaConf evaluates whatever a `${resolver:...}` asks for, so such a config
is held against the config folders of this installation before anything is built of it or resolved in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from src.errors import UserError
from src.places import CONF

_DEPTH = 64
_NODES = 100_000
_SHOWN = 120

_SCALARS = (str, int, float, bool, type(None))

# Names a node of the same config, whose value is checked where it stands.
_NODE = re.compile(r"\$\{\.*\w+(?:\.\w+|\[\w+\])*\}", re.ASCII)
# What a resolver gives must not depend on settings, which a file sets as it likes: `${oc.decode:${x}}` is whatever x
# says. The default of an environment variable is a string whatever it is made of. Quotes and escapes can hide where an
# expression ends, so none that has any is known.
_FIXED = re.compile(r"""\$\{(?:[^${}"'\\]*|oc\.env:\w+,[^"'\\]*)\}""", re.ASCII)
_BRACE = re.compile(r"[{}]")
_PACKAGE = re.compile(r"^\s*#\s*@package\s+(\S+)", re.MULTILINE)

_Special: TypeAlias = frozenset[tuple[str, str, Any]]
"""The special keys of a node besides its `_target_`: each with the type and the value that it has."""


class _Known(NamedTuple):
    """What config folders name.

    Attributes:
        parts: by group, each `_target_` with the special keys that it goes with.
        expressions: interpolations, word for word.
    """

    parts: Mapping[str, frozenset[tuple[str, _Special]]]
    expressions: frozenset[str]


class _File(NamedTuple):
    """A file of a config folder.

    Attributes:
        group: the folder it stands in, of the config folder: () for a command's own.
        package: where its content goes in a composed config.
        body: its content.
    """

    group: tuple[str, ...]
    package: tuple[str, ...]
    body: Mapping[str, Any]


def conf_folders() -> list[Path]:
    """The config folders that are trusted: this installation's conf/, and those that the user told Hydra of.

    The latter are `--config-dir FOLDER` and `hydra.searchpath`, in a process whose command Hydra runs.
    """
    places: list[str] = []
    if GlobalHydra.instance().is_initialized():
        places += [each.path for each in GlobalHydra.instance().config_loader().get_search_path().get_path()]
    # Only here does Hydra say what hydra.searchpath added.
    if HydraConfig.initialized():
        sources = HydraConfig.get().runtime.config_sources
        places += [source.path for source in sources if source.schema == "file"]
    folders = [Path(place.removeprefix("file://")) for place in places if place]
    return list(dict.fromkeys(folder.resolve() for folder in (CONF, *folders) if folder.is_dir()))


def require_known(config: Mapping[str, Any], where: Path | str, conf: Sequence[Path]) -> None:
    """Raise a UserError unless a config that came out of a file names nothing but what config folders name too.

    Every `_target_` must be one that the folders have for that group, with the special keys (`_partial_`, ...) that it
    has there, and every interpolation a plain reference to another setting or word for word one of theirs. Nothing is
    imported and nothing resolved. A reference can still carry a known part from one group into another, and a resolver
    give a setting of another group: check what resolving the config gives as well.

    Args:
        config: plain dicts, lists and scalars, resolved or not.
        where: what it came out of, for the message.
        conf: the config folders, usually `conf_folders()`.

    Raises:
        UserError: the config names something else, or is no plain config; it says which key.
    """
    known = _known(tuple((folder, _stamps(folder)) for folder in conf))
    place = " ".join(str(where).split())
    if type(config) is not dict:
        raise UserError(f"{place} holds a {type(config).__name__} where a configuration should be: it is not loaded")
    # Not by recursion: a file may nest deeper than Python does, or hold itself.
    rest: list[tuple[tuple[str, ...], Any]] = [((), config)]
    nodes = 1
    while rest:
        path, node = rest.pop()
        problem = _problem(path, node, known)
        if problem is None and isinstance(node, dict | list):
            nodes += len(node)
            if len(path) == _DEPTH:
                problem = f"nests {_key(path)} deeper than {_DEPTH} levels"
            elif nodes > _NODES:
                problem = f"holds more than {_NODES} settings, up to {_key(path) or 'its first level'}"
            else:
                inner = node.items() if isinstance(node, dict) else enumerate(node)
                rest += [((*path, str(key)), value) for key, value in inner]
        if problem is not None:
            raise UserError(f"{place} {problem}: it is not loaded")


def models_named(settings: Any) -> Iterator[str]:
    """The models that settings name by a key `model`, on a hub or as paths; none for what is left open (???)."""
    if isinstance(settings, Mapping) and isinstance(model := settings.get("model"), str) and model != "???":
        yield model
    for inner in _inside(settings):
        yield from models_named(inner)


def models_of(conf: Sequence[Path]) -> set[str]:
    """The models that the files of config folders name."""
    files = [_read(path, ()) for folder in conf for path, _, _ in _stamps(folder)]
    return {model for file in files if file is not None for model in models_named(file.body)}


def _problem(path: tuple[str, ...], node: Any, known: _Known) -> str | None:
    """What keeps one node of a config from being loaded, its children aside."""
    if type(node) is dict:
        return _problem_of_keys(path, node) or _problem_of_part(path, node, known)
    if type(node) is str:
        for expression in _expressions(node):
            if not _NODE.fullmatch(expression) and expression not in known.expressions:
                return f"names {_key(path)}={_shown(expression)}, which conf/ of this installation does not"
        return None
    if type(node) is list or type(node) in _SCALARS:
        return None
    return f"holds {_key(path)} of type {_shown(type(node).__name__)}, which no configuration has"


def _problem_of_keys(path: tuple[str, ...], node: dict[Any, Any]) -> str | None:
    for key in node:
        if type(key) is not str:
            return f"holds {_key((*path, type(key).__name__))}, a key that is not a string"
        if set(key) & set("${}[]."):
            return f"holds {_key((*path, key))}, a key that reads as a reference to others"
        if key == "trust_remote_code":
            return f"names {_key((*path, key))}: code from elsewhere is not run at a file's word"
    return None


def _problem_of_part(path: tuple[str, ...], node: dict[str, Any], known: _Known) -> str | None:
    special = [key for key in node if _is_special(key)]
    if not special:
        return None
    if "_target_" not in node:
        key = special[0]
        return f"names {_key((*path, key))}={_shown(node[key])}, which says how to call something, without a _target_"
    target = node["_target_"]
    parts = known.parts.get(path[0], frozenset()) if path else frozenset()
    if type(target) is not str or target not in {name for name, _ in parts}:
        return f"names {_key((*path, '_target_'))}={_shown(target)}, which conf/ of this installation does not"
    if (target, _special(node)) not in parts:
        given = " ".join(f"{key}={_shown(node[key])}" for key in special if key != "_target_")
        return (
            f"names {_key((*path, '_target_'))}={_shown(target)} with {given or 'no other special key'}, "
            "as conf/ of this installation does not"
        )
    return None


def _is_special(key: str) -> bool:
    """Whether Hydra keeps a key, or may come to keep it, for how a `_target_` is called."""
    return key.startswith("_") and key.endswith("_")


def _special(node: Mapping[str, Any]) -> _Special | None:
    """None where a special key has a list or a dict (`_args_`): no such node is known, so none is ever the same."""
    found = {key: value for key, value in node.items() if _is_special(key) and key != "_target_"}
    if not all(type(value) in _SCALARS for value in found.values()):
        return None
    # With the type, for True equals 1.
    return frozenset((key, type(value).__name__, value) for key, value in found.items())


def _expressions(text: str) -> Iterator[str]:
    """The interpolations of a text, outermost only; and whatever else a `$` could become part of one by.

    A `$` that opens none comes with the rest of the text, and an escaped one with its backslash: neither is ever known.
    Once resolved they are a bare `$`, and "$" before "{oc.create:...}" from another setting is an interpolation again.
    """
    position = 0
    while (start := text.find("$", position)) >= 0:
        position = _closing(text, start)
        yield text[start - 1 if text[start - 1 : start] == "\\" else start : position]


def _closing(text: str, start: int) -> int:
    """The end of the interpolation that starts at `start`; the end of the text where there is none."""
    depth = 0
    if text.startswith("${", start):
        for brace in _BRACE.finditer(text, start):
            depth += 1 if brace[0] == "{" else -1
            if depth == 0:
                return brace.end()
    return len(text)


def _key(path: Iterable[str]) -> str:
    return _shown(".".join(path))


def _shown(value: Any) -> str:
    """A value for one line of a message: short, control characters and letters that look like others escaped."""
    if type(value) not in _SCALARS or (type(value) is int and value.bit_length() > _SHOWN):
        return f"({type(value).__name__})"
    text = ascii(value[: _SHOWN + 1])[1:-1] if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


_Stamps: TypeAlias = tuple[tuple[Path, int, int], ...]


def _stamps(folder: Path) -> _Stamps:
    """The config files of a folder, with when they were written and their size. Hidden folders hold none."""
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.endswith(".yaml") and (path := Path(root, name)).is_file():
                stat = path.stat()
                found.append((path, stat.st_mtime_ns, stat.st_size))
    return tuple(sorted(found))


@lru_cache(maxsize=8)
def _known(folders: tuple[tuple[Path, _Stamps], ...]) -> _Known:
    """What folders name. The stamps have them read again when a file has changed."""
    files: dict[tuple[str, ...], list[_File]] = {}
    for folder, stamps in folders:
        for path, _, _ in stamps:
            file = _read(path, path.relative_to(folder).parent.parts)
            if file is not None:
                files.setdefault((*file.group, path.stem), []).append(file)
    own: dict[str, list[Any]] = {}
    other: dict[str, list[Any]] = {}
    for name, alike in files.items():
        for file in alike:
            for content in _composed(name, file, files, ()):
                for key, value in _placed(file.package, content).items():
                    (own if file.package else other).setdefault(key, []).append(value)
    parts: dict[str, set[tuple[str, _Special]]] = {}
    for key in own.keys() | other.keys():
        # A command or an experiment that sets another _target_ in a group keeps the special keys of the choice there.
        over = [_merged(base, value) for value in other.get(key, ()) if any(_parts(value)) for base in own.get(key, ())]
        parts[key] = {part for content in (*own.get(key, ()), *other.get(key, ()), *over) for part in _parts(content)}
    texts = (text for alike in files.values() for file in alike for text in _texts(file.body))
    expressions = frozenset(found for text in texts for found in _expressions(text) if _FIXED.fullmatch(found))
    return _Known({key: frozenset(found) for key, found in parts.items()}, expressions)


def _read(path: Path, group: tuple[str, ...]) -> _File | None:
    """A config file; None for a file that is none, which names nothing."""
    try:
        text = path.read_text(encoding="utf-8")
        body = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError):
        return None
    if not isinstance(body, dict):
        return None
    header = _PACKAGE.search(text)
    named = header[1].split(".") if header is not None and header[1] != "_group_" else group
    package = tuple(part for part in named if part != "_global_")
    return _File(group, package, {key: value for key, value in body.items() if isinstance(key, str)})


def _composed(
    name: tuple[str, ...], file: _File, files: Mapping[tuple[str, ...], Sequence[_File]], above: tuple[Any, ...]
) -> list[Mapping[str, Any]]:
    """A file's content over that of the files of its group that its defaults list builds on.

    A file that sets only another `_target_` is called with the special keys that it inherits. One name can stand in
    several folders, so there can be several.
    """
    found: list[Mapping[str, Any]] = [{}]
    defaults = file.body.get("defaults")
    for base in defaults if isinstance(defaults, list) else ():
        below = _below(base, file.group) if isinstance(base, str) else ()
        if below in files and below not in (name, *above):
            bases = [each for one in files[below] for each in _composed(below, one, files, (*above, name))]
            found = [_merged(first, then) for first in found for then in bases]
    return [_merged(first, {key: value for key, value in file.body.items() if key != "defaults"}) for first in found]


def _below(base: str, group: tuple[str, ...]) -> tuple[str, ...]:
    """The name of a file that one of `group` builds on in its own place: NAME or /NAME@_here_; () for elsewhere."""
    name, _, package = base.partition("@")
    if package not in ("", "_here_"):
        return ()
    return tuple(name.strip("/").split("/")) if name.startswith("/") else (*group, *name.split("/"))


def _placed(package: Sequence[str], content: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in reversed(package):
        content = {key: content}
    return content


def _merged(first: Any, then: Any) -> Any:
    """Nested settings with others over them, as Hydra composes them."""
    if not isinstance(first, Mapping) or not isinstance(then, Mapping):
        return then
    return {**first, **{key: _merged(first.get(key), value) for key, value in then.items()}}


def _parts(content: Any) -> Iterator[tuple[str, _Special]]:
    """Each `_target_` that trusted settings name, with its special keys; none of Hydra's, which call others by name."""
    if isinstance(content, Mapping):
        target, special = content.get("_target_"), _special(content)
        if isinstance(target, str) and special is not None and "$" not in target and not target.startswith("hydra."):
            yield target, special
    for inner in _inside(content):
        yield from _parts(inner)


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for inner in _inside(content):
        yield from _texts(inner)


def _inside(content: Any) -> Iterable[Any]:
    if isinstance(content, Mapping):
        return content.values()
    return content if isinstance(content, list) else ()
