"""The door: what YAML says as a value of a declared type, or a line for each mistake.

The declarations are msgspec's, and it checks each plain value. The rest is done here, because
msgspec would stop at the first mistake, cannot tell one kind of entry from another without a tag
that the entry does not have, and lets infinity through.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct, UnsetType, structs

from ablations.errors import UserError
from ablations.study.messages import unknown

Value = TypeVar("Value", bound=Struct)
IN_WORDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}
NUMBERS = (int, float)
WHOLE = "the configuration: "


class ConfigError(UserError):
    """What is wrong with the configuration: one line for each mistake."""


class Kind(NamedTuple):
    """One of the types that a declaration allows, and what is declared about it."""

    type: Any
    metas: tuple[Meta, ...]

    @property
    def is_entry(self) -> bool:
        """Whether it is a mapping whose keys are declared."""
        return isinstance(self.type, type) and issubclass(self.type, Struct)

    @property
    def is_mapping(self) -> bool:
        """Whether it is a mapping whose keys are names that the user gives."""
        return get_origin(self.type) is dict

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return get_origin(self.type) is tuple

    @property
    def is_choice(self) -> bool:
        """Whether it is one of some words."""
        return get_origin(self.type) is Literal

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


def read(found: object, declared: type[Value]) -> Value:
    """The declared value; raises ConfigError with a line for each mistake."""
    wrong: list[str] = []
    value: Value = _read(found, declared, "", wrong)
    refuse(wrong)
    return value


def refuse(mistakes: Iterable[str]) -> None:
    """Raises ConfigError if there are any."""
    found = dict.fromkeys(mistakes)  # each once, in order
    if found:
        raise ConfigError("\n".join(found))


def _read(found: Any, declared: Any, where: str, wrong: list[str]) -> Any:
    """The value; what is wrong is added to `wrong`, and then the value is of no use."""
    allowed = list(kinds(declared))
    if isinstance(found, Mapping) and (entries := [k.type for k in allowed if k.is_entry]):
        known = (entry for entry in entries[:-1] if entry.known_by in found)
        return _entry(found, next(known, entries[-1]), where, wrong)
    for kind in allowed:
        if isinstance(found, Mapping) and kind.is_mapping:
            return _named(found, kind, where, wrong)
        if isinstance(found, list) and kind.is_list:
            return _list(found, kind, where, wrong)
    return _plain(found, allowed, where, wrong)


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


def _entry(found: Mapping[Any, Any], kind: type[Struct], where: str, wrong: list[str]) -> Any:
    before = len(wrong)
    fields = {field.name: field for field in structs.fields(kind)}
    surplus = [key for key in found if key not in fields]
    missing = [name for name, field in fields.items() if field.required and name not in found]
    if surplus:
        keys = (f"{where or WHOLE}unknown key {unknown(key, sorted(fields))}" for key in surplus)
        wrong.append("; ".join(keys))
    if missing:
        wrong.append(f"{where or WHOLE}missing key {' and '.join(missing)}")
    values = {
        key: _read(value, fields[key].type, f"{where}{key}: ", wrong)
        for key, value in found.items()
        if key in fields
    }
    return kind(**values) if len(wrong) == before else None


def _named(found: Mapping[Any, Any], kind: Kind, where: str, wrong: list[str]) -> dict[str, Any]:
    """A mapping whose keys are names that the user gives."""
    _check_length(found, kind, where, wrong)
    key_type, value_type = get_args(kind.type)
    for key in found:
        _read(key, key_type, where, wrong)
    return {
        key: _read(value, value_type, f"{where}{_shown(key)}: ", wrong)
        for key, value in found.items()
    }


def _list(found: list[Any], kind: Kind, where: str, wrong: list[str]) -> tuple[Any, ...]:
    _check_length(found, kind, where, wrong)
    before, values = len(wrong), []
    for number, value in enumerate(found):
        id = value.get("id") if isinstance(value, Mapping) else None
        name = f"[{number}]" if id is None else _shown(id)
        values.append(_read(value, get_args(kind.type)[0], f"{where}{name}: ", wrong))
    if kind.told("uniqueItems") and len(set(values)) < len(values) and before == len(wrong):
        wrong.append(f"{where}{found!r} names a value twice; each may appear once")
    return tuple(values)


def _check_length(found: Any, kind: Kind, where: str, wrong: list[str]) -> None:
    least = kind.told("min_length")
    if least and len(found) < least:
        what = "too short" if found else "empty"
        wrong.append(f"{where}{found!r} is {what}; at least {least} is needed")


def _plain(found: Any, kinds: list[Kind], where: str, wrong: list[str]) -> Any:
    """A text, number or truth value, by the first type that takes it."""
    if isinstance(found, float) and found.is_integer():
        found = int(found)  # 8 and 8.0 must give the same row file
    for kind in kinds:
        if kind.is_entry or kind.is_mapping or kind.is_list:
            continue
        if kind.type not in NUMBERS or _is_number(found, kind):
            with suppress(msgspec.ValidationError):
                return msgspec.convert(found, kind.declared)
    wrong.append(f"{where or WHOLE}{_described(found, kinds)}")
    return None


def _is_number(found: object, kind: Kind) -> bool:
    """Whether it is a number of that kind, of a size that JSON and arithmetic allow."""
    if isinstance(found, bool) or not isinstance(found, int | kind.type):
        return False
    return abs(found) <= (2**63 - 1 if kind.type is int else sys.float_info.max)


def _described(found: Any, kinds: list[Kind]) -> str:
    """What is wrong with a value that no type takes."""
    allowed = next(filter(None, (kind.told("allowed") for kind in kinds)), None)
    choices = [kind.type for kind in kinds if kind.is_choice]
    for kind in kinds:
        if kind.type in NUMBERS and _is_number(found, kind):
            return f"{found!r} is out of range; {_range(kind)}"
        if kind.type is str and isinstance(found, str):
            most = kind.told("max_length")
            if not found and kind.told("min_length"):
                return "'' is empty; at least 1 is needed"
            if most and len(found) > most:
                return f"{found!r} has {len(found)} characters; allowed: at most {most}"
            return f"{found!r} is not allowed; allowed: {allowed}"
    if choices and (isinstance(found, str) or len(choices) == len(kinds)):
        return unknown(found, get_args(choices[0]), allowed)
    hint = "; write it as a number, such as 5.0e-5" if _looks_numeric(found) else ""
    return f"{_short(found)} is not allowed; allowed: {allowed or _in_words(kinds)}{hint}"


def _range(kind: Kind) -> str:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    bounds = {said: kind.told(name) for name, said in words.items()}
    told = (f"{said} {bound}" for said, bound in bounds.items() if bound is not None)
    return f"allowed: {' and '.join(told)}"


def _in_words(kinds: list[Kind]) -> str:
    found = []
    for kind in kinds:
        if kind.is_entry or kind.is_mapping:
            found.append("a mapping of keys to values")
        elif kind.is_list:
            found.append("a list")
        elif kind.is_choice:
            found += ["nothing" if word is None else str(word) for word in get_args(kind.type)]
        else:
            found.append(IN_WORDS[kind.type])
    return " or ".join(dict.fromkeys(found))


def _looks_numeric(found: object) -> bool:
    try:
        return isinstance(found, str) and float(found) is not None
    except ValueError:
        return False


def _short(found: object) -> str:
    text = repr(found)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _shown(key: object) -> str:
    """A name in a message: as it is, unless it holds a line break and the like."""
    return str(key) if str(key).isprintable() else repr(key)
