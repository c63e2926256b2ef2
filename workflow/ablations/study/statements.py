"""Everything that a typed value says, as texts that can be compared one by one."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from ablations import files


def statements(value: Any) -> list[str]:
    """A text for each key: `training: epochs: 5`.

    Only equal values give the same texts. The order of a list's entries that have an id is a
    separate text, so one more entry does not change the texts of the others.
    """
    return list(_statements(msgspec.to_builtins(value), ""))


def said(
    values: Mapping[str, Any], name: Callable[[Any], str] = lambda wildcards: "", least: int = 0
) -> dict[str, Callable[[Any], str]]:
    """One of these values as params of a rule; `name` chooses it by the wildcards.

    Snakemake compares params as a set: one text for each key of the value. The texts that changed
    are its reason for a rerun. Params that take `output` are not compared; a command gets its
    values from these. A value with fewer texts than params repeats its first one.
    """
    texts = {key: statements(value) for key, value in values.items()}

    def text(number: int) -> Callable[[Any], str]:
        def of(wildcards: Any) -> str:
            found = texts[name(wildcards)]
            return found[number if number < len(found) else 0]

        return of

    count = max([least, *map(len, texts.values())])
    return {f"text_{number}": text(number) for number in range(count)}


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
