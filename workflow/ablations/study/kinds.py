"""The types that a declaration allows, one by one, and what is declared about each."""

import sys
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from msgspec import Meta, Struct, UnsetType

# A mapping with declared keys, one with names that the user gives, a list, one of some words.
Shape = Literal["entry", "mapping", "list", "choice", "plain"]
SHAPES: dict[Any, Shape] = {dict: "mapping", tuple: "list", Literal: "choice"}


class Kind(NamedTuple):
    """One of the types that a declaration allows, and what is declared about it."""

    type: Any
    metas: tuple[Meta, ...]

    @property
    def shape(self) -> Shape:
        """What it looks like in YAML."""
        if isinstance(self.type, type) and issubclass(self.type, Struct):
            return "entry"
        return SHAPES.get(get_origin(self.type), "plain")

    @property
    def declared(self) -> Any:
        """The type with what is declared about it, as msgspec takes it."""
        return Annotated[self.type, Meta(), *self.metas]

    def told(self, name: str) -> Any:
        """What is declared under this name, in Python's or the JSON schema's words."""
        for meta in self.metas:
            for value in (getattr(meta, name, None), (meta.extra_json_schema or {}).get(name)):
                if value is not None:
                    return value
        return None

    def has(self, number: int) -> bool:
        """Whether a list of so many values is of this kind: a pair has two."""
        types = get_args(self.type)
        return types[-1] is ... or number == len(types)

    def may_hold(self, found: object) -> bool:
        """Whether it is a plain type; if a number's, for one that JSON and arithmetic allow."""
        if self.type is int or self.type is float:
            numbers = int if self.type is int else int | float
            if isinstance(found, bool) or not isinstance(found, numbers):
                return False
            return abs(found) <= (2**63 - 1 if self.type is int else sys.float_info.max)
        return self.shape in ("choice", "plain")


def kinds(declared: Any, *metas: Meta) -> Iterator[Kind]:
    """The types that a declaration allows; null is none of them, as it is no value in YAML."""
    if get_origin(declared) is Annotated:
        inner, *more = get_args(declared)
        yield from kinds(inner, *more, *metas)
    elif get_origin(declared) in (Union, UnionType):
        for each in get_args(declared):
            yield from kinds(each, *metas)
    elif declared not in (NoneType, UnsetType):
        yield Kind(declared, metas)
