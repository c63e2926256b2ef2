"""A configuration file as a mapping, or one message that names file, line and column."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ablations.errors import UserError

LARGEST = 10_000_000  # bytes; a study of a thousand rows has a fiftieth of that
# What PyYAML says, whether the mistake is where it began or where it could not go on, and what the
# mistake is.
SLIPS = (
    (r"character '\\t'", False, "a tab; indent with spaces"),
    (r"quoted.*end of stream", True, "the quote that begins this text is not closed"),
    (r"unknown escape", False, "a backslash that begins no escape; put the text in single quotes"),
    (
        "simple key",
        True,
        "{found!r} is no key with a colon and a space after it, such as `seeds: [123]`",
    ),
    (
        "mapping values",
        False,
        "a colon where no key can be; a text with a colon must be in quotes, and a key begins in"
        " the same column as the keys beside it; or the line above has no space after its colon",
    ),
    ("stream end", False, "a bracket is not closed"),
    (r"got '\?'", False, "within brackets a text with a question mark must be in quotes"),
    ("found '[]}]'", False, "'{found:.1}' closes no bracket that is open here"),
    ("node content", False, "'{found:.1}' where a value must be"),
    (
        "expected ','",
        False,
        "a comma is missing, or the bracket that begins in line {line} is not closed",
    ),
    (
        "block end|document start",
        False,
        "this does not continue what is above; its lines must begin in the same column, a dash or"
        " colon has a space after it, and a text with quotes in it must be in quotes itself",
    ),
    (
        "start any token|undefined alias|an alias|an anchor|a block scalar|a constructor",
        True,
        "a text that begins with '{found:.1}' must be in quotes",
    ),
)


def read(path: Path) -> dict[str, Any]:
    """What a configuration file says: JSON if it is that, else YAML, as Snakemake reads it.

    Raises UserError where it is missing, no text, not valid, no mapping, or holds a key twice. YAML
    forbids that, but its readers accept it and use the last value.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(
                f"{path} has {path.stat().st_size:,} bytes; expected a configuration in YAML,"
                f" at most {LARGEST:,}"
            )
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is no text in UTF-8 (byte {error.start + 1}); expected a configuration in YAML"
        ) from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror or error}; expected a configuration in YAML"
        ) from None
    found = _parsed(path, text)
    if not isinstance(found, dict):
        what = "is empty" if found is None else "is no mapping"
        raise UserError(f"{path} {what}; expected keys with values, such as `seeds: [123]`")
    return found


def typed(value: Any) -> Any:
    """A list or mapping whose texts are read as YAML does: `["1", "auto"]` → `[1, "auto"]`."""

    def read(entry: Any) -> Any:
        if not isinstance(entry, str):
            return typed(entry)
        try:
            found = yaml.safe_load(entry)
        except (yaml.YAMLError, ValueError):
            return entry
        return entry if isinstance(found, list | dict) else found  # a text with a colon is a text

    if isinstance(value, Mapping):
        return {key: read(entry) for key, entry in value.items()}
    return list(map(read, value)) if isinstance(value, list) else value


def _parsed(path: Path, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_keys_once)
    except ValueError:
        pass  # not JSON, or with a key that appears twice: YAML's reader says where
    except RecursionError:
        raise UserError(f"{path} is nested too deeply") from None
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        raise UserError(_described(path, text, error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(
            f"{path}, line {line}: the character {chr(error.character)!r} is not allowed in YAML"
        ) from None
    except RecursionError:
        raise UserError(f"{path} is nested too deeply") from None


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _described(path: Path, text: str, error: yaml.MarkedYAMLError) -> str:
    """The mistake in plain words, if it is a common one; otherwise in PyYAML's."""
    begin, mark = error.context_mark or error.problem_mark, error.problem_mark
    problem = str(error.problem).removeprefix("but ")
    for pattern, is_at_begin, words in SLIPS:
        if re.search(pattern, f"{error.context}: {problem}"):
            mark = begin if is_at_begin else mark
            found = text[mark.index :].partition("\n")[0][:40] if mark else ""
            problem = words.format(found=found, line=begin.line + 1 if begin else 1)
            break
    where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{path}{where}: {problem}"


class _Loader(yaml.SafeLoader):
    """Reads YAML's plain types alone; a key that appears twice in a mapping is a mistake."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:  # a date that does not exist, a long number
            problem = f"{node.value[:40]!r} cannot be read ({error}); put a text in quotes"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in first:
                problem = (
                    f"the key {key.value} appears a second time, after line {first[name]}; keep one"
                )
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            first[name] = line
        return node
