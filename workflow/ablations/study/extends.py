"""`extends`: a study says what differs from another file's, and takes the rest from there.

What several files say becomes one configuration here, and a mistake in it is told with the file in
which it stands.
"""

import contextlib
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ablations.errors import Message, UserError
from ablations.files import is_file
from ablations.study import config, reading
from ablations.study.config import Study
from ablations.study.door import WHOLE

KEY = "extends"
GIVEN = "--config"


class Said(NamedTuple):
    """What a file, or the command line, says of a configuration."""

    where: str
    found: Mapping[str, Any]


def read(file: Path) -> list[Said]:
    """What a configuration file says, after what those say that it extends.

    A path is relative to the file that says it. Raises UserError where one of the files is missing,
    no configuration, or extended by itself.
    """
    found = reading.read(file)
    return [*below(found, file), Said(str(_shown(file)), found)]


def whole(file: Path) -> dict[str, Any]:
    """The configuration of a file with all that it extends. Raises UserError, as `read`."""
    return merged(each.found for each in read(file))


def below(found: Mapping[str, Any], file: Path, above: Sequence[Path] = ()) -> list[Said]:
    """What those files say that `found`, which stands in `file`, extends; `above` extend it."""
    if KEY not in found:
        return []
    file, named = _shown(file), found[KEY]
    where = f"{file}: {KEY}: "
    if not isinstance(named, str) or not named:
        raise UserError(f"{where}{named!r} is not allowed; allowed: a file, such as ../config.yaml")
    other, files = _shown(file.parent / Path(named).expanduser()), [*above, file]
    if not is_file(other):
        raise UserError(
            f"{where}{named} names no file; expected a configuration in YAML, relative to the"
            f" folder of {file}: {other.absolute()}"
        )
    if other in files:
        circle = " → ".join(map(str, [*files, other]))
        raise UserError(f"{where}{named} goes in a circle: {circle}; a file cannot extend itself")
    extended = reading.read(other)
    return [*below(extended, other, files), Said(str(other), extended)]


def says(found: object, value: object) -> bool:
    """Whether a configuration, or an entry of it, extends this file."""
    if not isinstance(found, Mapping):
        return False
    return found.get(KEY) == value or any(says(each, value) for each in found.values())


def merged(said: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One configuration: mappings key by key, lists whole, and what is said last counts.

    >>> merged([{"a": {"b": 1, "c": 1}, "d": [1, 2]}, {"a": {"b": 2}, "d": [3]}])
    {'a': {'b': 2, 'c': 1}, 'd': [3]}

    Nothing (null) takes away what was said.

    >>> merged([{"a": {"b": 1, "c": 1}}, {"a": {"b": None}}])
    {'a': {'c': 1}}
    """
    found = _merged(said)
    found.pop(KEY, None)
    return found


def _merged(said: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in said:
        for key, value in each.items():
            old = found.get(key)
            if isinstance(value, Mapping):
                found[key] = _merged([old, value] if isinstance(old, Mapping) else [value])
            elif value is None and key in found:
                del found[key]
            else:
                found[key] = value
    return found


def study(found: Mapping[str, Any], said: Sequence[Said]) -> Study:
    """The study of a configuration; raises UserError, each mistake with what says it."""
    try:
        return config.parse(found)
    except UserError as error:
        raise UserError(_located(str(error).splitlines(), said)) from None


def read_study(directory: Path) -> Study:
    """The study in a folder, as the Snakefile reads it.

    Raises UserError with a line for each mistake.
    """
    file = directory / "config.yaml"
    if not file.is_file():
        raise UserError(f"{file} is missing; a study is a folder with a {file.name}")
    said = read(file)
    with contextlib.chdir(directory):  # to which folders of models are relative
        return study(merged(each.found for each in said), said)


def _located(mistakes: Sequence[str], said: Sequence[Said]) -> Message:
    """The mistakes, each with what says most of the keys that it begins with."""
    (*_, own) = (number for number, each in enumerate(said) if each.where != GIVEN)
    if len(said) == 1:
        return "\n".join([f"{said[own].where} is not valid:", *mistakes])
    lines = ["The configuration is not valid:"]
    for mistake in mistakes:
        keys = re.sub("unknown key '(.*?)'.*", r"\1", mistake.removeprefix(WHOLE)).split(": ")
        depth, number = max((_depth(each.found, keys), number) for number, each in enumerate(said))
        place = said[number if depth else own].where
        # right in its own file, but not with what the study says
        if depth and number < own and mistake not in _mistakes(said[: number + 1]):
            away = _nothing(keys[:depth])
            if set(_mistakes([*said, Said("", away)])) < set(mistakes):
                written = yaml.safe_dump(away, default_flow_style=True, width=math.inf)
                mistake += f" (`{written.strip()[1:-1]}` in {said[own].where} takes it away)"
        lines.append(f"{place}: {mistake}")
    return "\n".join(lines)


def _mistakes(said: Sequence[Said]) -> list[str]:
    """What is wrong with a configuration, without its files."""
    try:
        config.parse(merged(each.found for each in said))
    except UserError as error:
        return str(error).splitlines()
    return []


def _nothing(keys: Sequence[str]) -> dict[str, Any]:
    """What takes away the last of these keys, one within the other."""
    first, *others = keys
    return {first: _nothing(others) if others else None}


def _depth(found: Any, keys: Sequence[str]) -> int:
    """How many of these keys, one within the other, are there."""
    for depth, key in enumerate(keys):
        names = {str(name): name for name in found} if isinstance(found, Mapping) else {}
        if key not in names:
            return depth
        found = found[names[key]]
    return len(keys)


def _shown(file: Path) -> Path:
    """A file by its shorter name: from here, or from the root."""
    whole = str(file.parent.resolve() / file.name)
    return Path(min(os.path.relpath(whole), whole, key=len))
