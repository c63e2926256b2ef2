"""Everything that a typed value says, as texts that can be compared one by one."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ablations import files


def statements(value: Any) -> list[str]:
    """A text for each key: `training: epochs: 5`.

    Only equal values give the same texts. The order of a list's entries that have an id is a
    separate text, so one more entry does not change the texts of the others.
    """
    return list(_statements(msgspec.to_builtins(value), ""))


def columns(values: Mapping[str, Any], least: int = 0) -> list[dict[str, str]]:
    """The statements of several values by number, at least as many as asked for.

    A value with fewer repeats its first one, so that as a set they stay the same.
    """
    texts = {name: statements(value) for name, value in values.items()}
    count = max(least, *map(len, texts.values()))
    return [
        {name: found[number if number < len(found) else 0] for name, found in texts.items()}
        for number in range(count)
    ]


def _statements(node: Any, where: str) -> Iterator[str]:
    if isinstance(node, Mapping) and node:
        for key, entry in node.items():
            yield from _statements(entry, f"{where}{key}: ")
    elif _is_named(node):
        yield f"{where}{', '.join(entry['id'] for entry in node)}"
        for entry in node:
            rest = {key: value for key, value in entry.items() if key != "id"}
            yield from _statements(rest, f"{where}{entry['id']}: ")
    else:
        yield f"{where}{files.as_json(node)}"


def _is_named(node: Any) -> bool:
    is_list = isinstance(node, list | tuple) and len(node) > 0
    return is_list and all(isinstance(entry, Mapping) and "id" in entry for entry in node)
