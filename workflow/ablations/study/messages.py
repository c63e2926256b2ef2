"""What is wrong with a configuration, in plain words.

A line for each mistake: the key (for an entry of a list its id), what was found, what is allowed.
"""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jsonschema


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
