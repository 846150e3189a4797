"""What a setting may be: kinds that several tables name."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError


class Kind:
    """What a setting may be: in words, and as the type by which pydantic knows it."""

    def __init__(self, said: str, type_: Any) -> None:
        self.said = said
        self.type = type_

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.type)

    def takes(self, value: Any) -> bool:
        try:
            self._adapter.validate_python(value, strict=True)
        except ValidationError:
            return False
        return True


def one_of(*values: str) -> Kind:
    return Kind(" or ".join([", ".join(values[:-1]), values[-1]] if len(values) > 1 else values), Literal[values])


def or_null(kind: Kind) -> Kind:
    return Kind(f"{kind.said}, or null", kind.type | None)


def either(*kinds: Kind) -> Kind:
    type_ = kinds[0].type
    for kind in kinds[1:]:
        type_ = type_ | kind.type
    return Kind(", or ".join(kind.said for kind in kinds), type_)


def list_of(kind: Kind, least: int = 1) -> Kind:
    return Kind(f"a list; each {kind.said}", Annotated[list[kind.type], Field(min_length=least)])  # type: ignore[name-defined]


def decimal(said: str, **limits: Any) -> Kind:
    return Kind(said, Annotated[float, Field(allow_inf_nan=False, **limits)])


NUMBER = decimal("a number")
FLAG = Kind("true or false", bool)
COUNT = Kind("a whole number, 1 or more", Annotated[int, Field(ge=1, lt=2**31)])
WHOLE = Kind("a whole number, 0 or more", Annotated[int, Field(ge=0, lt=2**31)])
SIZE = Kind("a whole number from 1 to 65536", Annotated[int, Field(ge=1, le=65536)])
EVEN = Kind("an even number from 2 to 65536", Annotated[int, Field(ge=2, le=65536, multiple_of=2)])
LAYERS = Kind("a whole number from 1 to 64", Annotated[int, Field(ge=1, le=64)])
SEED = Kind("a whole number from 0 to 4294967295", Annotated[int, Field(ge=0, lt=2**32)])
SHARE = decimal("a number from 0 to 1", ge=0, le=1)
PART = decimal("a number between 0 and 1", gt=0, lt=1)
RATE = decimal("a number from 0 up to, but not, 1", ge=0, lt=1)
WEIGHT = decimal("a number, 0 or more", ge=0)
POSITIVE = decimal("a number above 0", gt=0)
TEXT = Kind("text", str)
NAME = Kind(
    "text of at most 200 letters that can be in a file's name (put a number into quotes: name='\"2026\"')",
    Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")],
)
PLACE = Kind("a path", Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00]+$")])
NAMES = list_of(NAME)
SOME_TEXT = list_of(TEXT, least=0)
DTYPE = one_of("auto", "float32", "float16", "bfloat16")


def odd(number: int) -> int:
    """The number; a ValueError, as pydantic's validators have it, for an even one."""
    if number % 2 == 0:
        raise ValueError
    return number


TWO_SHARES = Kind(
    "two numbers from 0 to 1", Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=2)]
)
POOLING = one_of("mean", "best")
READER = one_of("decord", "pyav")
