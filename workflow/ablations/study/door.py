"""The door: what YAML says as a value of a declared type, or a line for each mistake.

The declarations are msgspec's, and it checks each plain value. The rest is done here, because
msgspec would stop at the first mistake, cannot tell one kind of entry from another without a tag
that the entry does not have, and lets infinity through.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import Struct, structs

from ablations.errors import UserError
from ablations.study.kinds import Kind, kinds
from ablations.study.messages import described, unknown

Value = TypeVar("Value", bound=Struct)
WHOLE = "the configuration: "


def read(found: object, declared: type[Value]) -> Value:
    """The declared value; raises UserError with a line for each mistake."""
    wrong: list[str] = []
    value: Value = _read(found, declared, "", wrong)
    refuse(wrong)
    return value


def refuse(mistakes: Iterable[str]) -> None:
    """Raises UserError if there are any."""
    found = dict.fromkeys(mistakes)  # each once, in order
    if found:
        raise UserError("\n".join(found))


def _read(found: Any, declared: Any, where: str, wrong: list[str]) -> Any:
    """The value; what is wrong is added to `wrong`, and then the value is of no use."""
    allowed = list(kinds(declared))
    if isinstance(found, Mapping) and (entries := [k.type for k in allowed if k.shape == "entry"]):
        known = (entry for entry in entries[:-1] if entry.known_by in found)
        return _entry(found, next(known, entries[-1]), where, wrong)
    for kind in allowed:
        if isinstance(found, Mapping) and kind.shape == "mapping":
            return _named(found, kind, where, wrong)
        if isinstance(found, list) and kind.shape == "list" and kind.has(len(found)):
            return _list(found, kind, where, wrong)
    return _plain(found, allowed, where, wrong)


def _entry(found: Mapping[Any, Any], kind: type[Struct], where: str, wrong: list[str]) -> Any:
    before = len(wrong)
    fields = {field.name: field for field in structs.fields(kind)}
    surplus = [key for key in found if key not in fields]
    missing = [name for name, field in fields.items() if field.required and name not in found]
    allowed = sorted(fields)
    wrong += [f"{where or WHOLE}unknown key {unknown(key, allowed)}" for key in surplus]
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


def _plain(found: Any, allowed: list[Kind], where: str, wrong: list[str]) -> Any:
    """A text, number or truth value, by the first type that takes it."""
    if isinstance(found, float) and found.is_integer():
        found = int(found)  # 8 and 8.0 must give the same row file
    for kind in allowed:
        if kind.may_hold(found):
            with suppress(msgspec.ValidationError):
                return msgspec.convert(found, kind.declared)
    wrong.append(f"{where or WHOLE}{described(found, allowed)}")
    return None


def _shown(key: object) -> str:
    """A name in a message: as it is, unless it holds a line break and the like."""
    return str(key) if str(key).isprintable() else repr(key)
