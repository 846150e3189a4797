"""What every setting of conf/ may be, declared once: checked before any work, and told by --help.

The kinds are pydantic's, checked on the composed config. Hydra's structured configs know types but no ranges, and would
want a dataclass in the place of each file of conf/, of which a user's own would then have to be one as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from src.errors import UserError
from src.settings.commands import SETTINGS
from src.settings.data import DATA
from src.settings.kinds import Kind
from src.settings.language import LANGUAGE
from src.settings.models import MODELS
from src.settings.retrieval import RETRIEVAL
from src.settings.training import TRAINING

__all__ = ["PARTS", "SETTINGS", "Kind", "leaves", "require_valid"]

PARTS: dict[str, dict[str, Kind]] = {**TRAINING, **MODELS, **DATA, **LANGUAGE, **RETRIEVAL}
"""By the `_target_` of a part, and within it as in `SETTINGS`. What is no part of ours is not checked."""

_HYDRAS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")


def require_valid(config: Any, where: str = "") -> None:
    """Raise a UserError that names a setting, its value and its range, for the first that is out of it.

    Args:
        config: A composed config as plain containers, resolved. What is missing (???) is told when it is asked for.
        where: What it came out of, for the message; nothing for the user's own command.
    """
    for key, value, kind in leaves(config):
        if kind is not None and value != "???" and not kind.takes(value):
            raise UserError(f"{where}{key}={_shown(value)}: give {kind.said}")
    _require_division(config, where)


def leaves(config: Mapping[str, Any]) -> Iterator[tuple[str, Any, Kind | None]]:
    """Every setting by its dotted name, with its value and what it may be; None for those that are not declared."""
    rest: list[tuple[str, str, Any, Mapping[str, Kind]]] = [("", "", config, SETTINGS)]
    while rest:
        key, within, value, kinds = rest.pop()
        kind = next((kind for pattern, kind in kinds.items() if _matches(within, pattern)), None)
        has_inner = isinstance(value, Mapping) and any(pattern.startswith(f"{within}.") for pattern in kinds)
        if kind is not None and not has_inner:
            yield key, value, kind
        elif isinstance(value, Mapping):
            if "_target_" in value:
                within, kinds = "", PARTS.get(str(value["_target_"]), {})
            rest += [
                (f"{key}.{name}".lstrip("."), f"{within}.{name}".lstrip("."), inner, kinds)
                for name, inner in value.items()
                if name not in _HYDRAS
            ]
        elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
            rest += [(f"{key}.{number}", f"{within}.{number}", inner, kinds) for number, inner in enumerate(value)]
        else:
            yield key, value, None


def _matches(key: str, pattern: str) -> bool:
    return key.count(".") == pattern.count(".") and fnmatchcase(key, pattern)


def _require_division(config: Mapping[str, Any], where: str) -> None:
    """The heads of an attention divide its size, which for a merger is the predictor's."""
    sizes = [_within(config, group, "network") for group in ("predictor", "merger")]
    hidden = sizes[0].get("hidden")
    for group, settings in zip(("predictor", "merger"), sizes, strict=True):
        heads = settings.get("heads")
        if isinstance(hidden, int) and isinstance(heads, int) and heads and hidden % heads:
            raise UserError(
                f"{where}{group}.network.heads={heads}: give a divisor of predictor.network.hidden={hidden}"
            )


def _within(config: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    node: Any = config
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else {}


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else ascii(value)[:80]
    return text.strip("'")
