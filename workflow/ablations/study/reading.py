"""A configuration file as a mapping, or one message that names file, line and column."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ablations.errors import UserError

LARGEST = 10_000_000  # bytes; a study of a thousand rows has a fiftieth of that


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


def overlay(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `base` with `changes`, mappings merged key by key and lists replaced."""
    merged = dict(base)
    for key, value in changes.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = overlay(before, value)
        merged[key] = value
    return merged


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
        raise UserError(_described(path, error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(
            f"{path}, line {line}: the character {chr(error.character)!r} is not allowed in YAML"
        ) from None
    except (ValueError, OverflowError) as error:  # a date that does not exist, a number too long
        raise UserError(f"{path}: a value cannot be read: {error}") from None
    except RecursionError:
        raise UserError(f"{path} is nested too deeply") from None


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _described(path: Path, error: yaml.MarkedYAMLError) -> str:
    problem, mark = (error.problem or "").removeprefix("but "), error.problem_mark
    opened = f" that begins in line {error.context_mark.line + 1}" if error.context_mark else ""
    character = re.match(r"found character (.+) that cannot start", problem)
    if character and "\\t" in character[1]:
        problem = "a tab; indent with spaces"
    elif character:
        problem = f"a text that begins with {character[1]} must be in quotes"
    elif "mapping values are not allowed" in problem:
        problem = (
            "a colon where no key can be; a text with a colon must be in quotes, and a key begins"
            " in the same column as the keys beside it"
        )
    elif "expected <block end>" in problem:
        what = "list" if "collection" in str(error.context) else "mapping"
        problem = (
            f"this does not continue the {what}{opened}; its lines must begin in the same column,"
            " and a text with quotes in it must be in quotes itself"
        )
    elif "flow" in str(error.context):
        what = "list" if "sequence" in str(error.context) else "mapping"
        problem = f"a comma is missing in the {what}{opened}, or its bracket is not closed"
    elif "end of stream" in problem:
        problem = f"the file ends in the text in quotes{opened}"
    where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{path}{where}: {problem}"


class _Loader(yaml.SafeLoader):
    """Reads YAML's plain types alone; a key that appears twice in a mapping is a mistake."""

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
