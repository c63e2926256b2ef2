"""What is wrong with a configuration, or with the command that names it, in plain words.

A line for each mistake: the key (for an entry of a list its id), what was found, what is allowed.
"""

import difflib
import math
import os
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import msgspec

from ablations import files


def mistakes(schema: Mapping[str, Any], config: object) -> Iterator[str]:
    """A line for each mistake, in the order of the configuration's keys."""
    for error in _schema_errors(schema, config):
        yield _describe(error, config)


def _schema_errors(
    schema: Mapping[str, Any], config: object
) -> list[jsonschema.exceptions.ValidationError]:
    draft = jsonschema.Draft202012Validator
    # YAML's .nan passes every range check, and an integer may be too long for JSON
    kinds = {"number": _is_finite, "integer": _is_whole}
    finite = draft.TYPE_CHECKER.redefine_many(kinds)
    extend: Any = jsonschema.validators.extend  # untyped
    validator = extend(draft, type_checker=finite)(schema)
    return sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.path)))


def _is_finite(_: object, value: object) -> bool:
    try:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(float(value))
        )
    except OverflowError:  # an integer of more than 308 digits
        return False


def _is_whole(_: object, value: Any) -> bool:
    return _is_finite(_, value) and value == int(value) and abs(value) < 2**63


def _describe(error: jsonschema.exceptions.ValidationError, config: Any) -> str:
    where = _where(list(error.absolute_path), config) or "the configuration: "
    found: Any = error.instance
    rule: Any = error.validator_value
    schema: Any = error.schema
    allowed = schema.get("allowed")  # in the schema where the rule itself says too little
    match error.validator:
        case "additionalProperties":
            known = sorted(schema["properties"])
            surplus = [key for key in found if key not in known]
            return "; ".join(f"{where}unknown key {unknown(key, known)}" for key in surplus)
        case "required":
            missing = [key for key in rule if key not in found]
            return f"{where}missing key {' and '.join(missing)}"
        case "enum":
            return f"{where}{unknown(found, rule, allowed)}"
        case "type":
            hint = "" if not _looks_numeric(found) else "; write it as a number, such as 5.0e-5"
            return (
                f"{where}{_short(found)} is not allowed; allowed: {allowed or _kinds(rule)}{hint}"
            )
        case "pattern":
            return f"{where}{found!r} is not allowed; allowed: {allowed}"
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            return f"{where}{found!r} is out of range; {_range(schema)}"
        case "uniqueItems":
            return f"{where}{found!r} names a value twice; each may appear once"
        case "minItems" | "minProperties" | "minLength":
            return f"{where}{found!r} is empty; at least {rule} is needed"
        case "maxLength":
            return f"{where}{found!r} has {len(found)} characters; allowed: at most {rule}"
        case _:
            return f"{where}{error.message}"


def _where(path: list[Any], config: Any) -> str:
    """`rows: first-token: learning_rate: `, with list entries named by id where they have one."""
    parts, node = [], config
    for key in path:
        node = node[key]
        named = isinstance(key, int) and isinstance(node, Mapping) and "id" in node
        parts.append(str(node["id"]) if named else f"[{key}]" if isinstance(key, int) else str(key))
    return "".join(f"{part if part.isprintable() else repr(part)}: " for part in parts)


def unknown(found: object, allowed: Iterable[Any], in_words: str | None = None) -> str:
    """`'frist' (did you mean first?); allowed: last, first`; `in_words` replaces the list."""
    names = [str(name) for name in allowed]
    near = difflib.get_close_matches(str(found), names, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"{found!r}{hint}; allowed: {in_words or ', '.join(names)}"


def misnamed(
    target: str, rows: Collection[str], seeds: Collection[str], kept: Collection[str]
) -> Iterator[str]:
    """What is wrong with a target that should name one of these `rows` and `seeds`.

    `kept` are the rows whose trained models are kept.
    """
    path = os.path.relpath(target or ".")  # as Snakemake names its files
    named = re.match(r"results/(runs|rows|models)/([^/.]+)(?:/seed-([^/.]+)(?:/(.+))?)?", path)
    if not named:
        return
    folder, row, seed, file = named.groups()
    if row not in rows:
        yield f"{target} names no row: {unknown(row, rows)}"
    elif seed is not None and seed not in seeds:
        yield f"{target} names no seed: {unknown(seed, seeds)}"
    elif (folder == "models" or file == "trained.safetensors") and row not in kept:
        yield f"{target}: the row {row} keeps no model; to keep it, set save_model: true in the row"
    elif Path(target).is_absolute():
        yield f"{target} is an absolute path; allowed: {path}, relative to the study's folder"


def elsewhere(file: Path, directory: Path) -> Iterator[str]:
    """A note where a study's folder is not the directory in which it runs and keeps its results."""
    if file.is_relative_to(directory) and file.parent != directory:
        folder = file.parent.relative_to(directory)
        yield (
            f"The results of {folder / file.name} go to results/ of this folder, together with"
            f" those of other studies. To keep them in {folder}/results/, add: --directory"
            f" {shlex.quote(str(folder))}"
        )


def statements(value: Any) -> list[str]:
    """Everything that a typed value says, one text for each key: `training: epochs: 5`.

    Only equal values give the same texts. The order of a list's entries that have an id is a
    separate text, so one more entry does not change the texts of the others.
    """
    return list(_statements(msgspec.to_builtins(value), ""))


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


def _looks_numeric(found: object) -> bool:
    try:
        return isinstance(found, str) and float(found) is not None
    except ValueError:
        return False


def _short(found: object) -> str:
    text = repr(found)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _kinds(types: Any) -> str:
    words = {
        "object": "a mapping of keys to values",
        "array": "a list",
        "string": "a text",
        "integer": "a whole number",
        "number": "a finite number",
        "boolean": "true or false",
        "null": "nothing",
    }
    return " or ".join(words[kind] for kind in ([types] if isinstance(types, str) else types))


def _range(schema: Any) -> str:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    bounds = (f"{word} {schema[key]}" for key, word in words.items() if key in schema)
    return f"allowed: {' and '.join(bounds)}"
