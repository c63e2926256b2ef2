"""What is wrong with a value of config.yaml, in plain words: what was found, what is allowed."""

import difflib
from collections.abc import Iterable
from typing import Any, get_args

from ablations.study.kinds import Kind

IN_WORDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}
EXAMPLES = {int: "5", float: "5.0e-5"}  # YAML reads 5e-5 as a text


def unknown(found: object, allowed: Iterable[Any], in_words: str | None = None) -> str:
    """`'frist' (did you mean first?); allowed: last, first`; `in_words` replaces the list."""
    names = [str(name) for name in allowed]
    near = difflib.get_close_matches(str(found), names, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"{found!r}{hint}; allowed: {in_words or ', '.join(names)}"


def described(found: Any, kinds: list[Kind]) -> str:
    """What is wrong with a value that no type takes."""
    allowed = next(filter(None, (kind.told("allowed") for kind in kinds)), None)
    choices = [kind.type for kind in kinds if kind.shape == "choice"]
    for kind in kinds:
        if kind.type in (int, float) and kind.may_hold(found):
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
    example = next((EXAMPLES[kind.type] for kind in kinds if kind.type in EXAMPLES), None)
    numeric = example and _looks_numeric(found)
    hint = f"; write it as a number, such as {example}" if numeric else ""
    return f"{_short(found)} is not allowed; allowed: {allowed or _in_words(kinds)}{hint}"


def _range(kind: Kind) -> str:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    bounds = {said: kind.told(name) for name, said in words.items()}
    told = (f"{said} {bound}" for said, bound in bounds.items() if bound is not None)
    return f"allowed: {' and '.join(told)}"


def _in_words(kinds: list[Kind]) -> str:
    found = []
    for kind in kinds:
        if kind.shape in ("entry", "mapping"):
            found.append("a mapping of keys to values")
        elif kind.shape == "list":
            found.append("a list")
        elif kind.shape == "choice":
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
