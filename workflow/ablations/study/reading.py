"""A configuration file as a mapping, or one message that names file, line and column."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
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
    mark, problem = _diagnosed(text, error)
    where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{path}{where}: {problem}"


def _diagnosed(text: str, error: yaml.MarkedYAMLError) -> tuple[yaml.Mark | None, str]:
    """Where the mistake is, and what it is; PyYAML says where it could not go on."""
    mark, begin = error.problem_mark, error.context_mark
    problem, context = str(error.problem).removeprefix("but "), str(error.context)
    if mark is None or type(error) is yaml.MarkedYAMLError:  # _Loader's own
        return mark, problem
    if "double-quoted" in context:
        return mark, "a backslash that begins no escape; put the text in single quotes"
    if "quoted" in context:
        return begin, "the quote that begins this text is not closed"
    if begin and "simple key" in context:
        return begin, _no_key(text, begin)
    if begin and isinstance(error, yaml.scanner.ScannerError):
        mark = begin  # of an alias, a tag and the like
    tokens = [token for token in _tokens(text) if token.start_mark.index < mark.index]
    if "mapping values" in problem:
        return _colon(text, mark, tokens)
    opened = f" that begins in line {begin.line + 1}" if begin else ""
    what = "list" if "sequence" in context or "collection" in context else "mapping"
    found = text[mark.index : mark.index + 2]
    if found.startswith("\t"):
        return mark, "a tab; indent with spaces"
    if "duplicate anchor" in context:
        return mark, f"this anchor appears a second time, after the one{opened}"
    if "for merging" in problem:
        return mark, "<< takes a mapping, and this is none"
    if "unhashable" in problem:
        return mark, "a list or a mapping cannot be a key"
    if "<stream end>" in problem:
        return _open_bracket(tokens) or mark, "this bracket is not closed"
    if "expected ','" in problem:
        missing = "a comma" if what == "list" else "a comma or a colon"
        return mark, f"{missing} is missing in the {what}{opened}, or its bracket is not closed"
    if found.startswith(",") and "flow" in context:
        return mark, "a comma too many: there is no value before it"
    if found.startswith(("]", "}")):
        return mark, f"{found[0]!r} closes no bracket that is open here"
    if found.startswith(tuple("*&!|>@`%?,")):
        return mark, f"a text that begins with {found[0]!r} must be in quotes"
    if "node content" in problem:
        return mark, f"{found[:1]!r} where a value must be"
    if "sequence entries" in problem:
        return mark, "a dash where no list can begin; it begins on a line of its own"
    if "<document start>" in problem:
        for token in tokens:
            if isinstance(token, yaml.DirectiveToken):
                return token.start_mark, "a text that begins with '%' must be in quotes"
        if found.startswith(":"):
            return mark, "a space is missing after the colon"
        return mark, "this does not continue what is above; its lines must begin in the same column"
    if "expected <block end>" in problem:
        if re.match(r"-[^\s\d-]", found):
            return mark, "a space is missing after the dash"
        if (quoted := _running_on(tokens, mark)) and quoted.style:
            end = mark.line + 1
            return (
                quoted.start_mark,
                f"this text in quotes ends in line {end}; is its quote closed?",
            )
        return mark, (
            f"this does not continue the {what}{opened}; its lines must begin in the same column,"
            " and a text with quotes in it must be in quotes itself"
        )
    return mark, problem


def _colon(text: str, mark: yaml.Mark, tokens: list[yaml.Token]) -> tuple[yaml.Mark, str]:
    """A colon after what is no key, often since a line above has none and its text runs on."""
    if above := _running_on(tokens, mark):
        begin = above.start_mark
        before = text[begin.index - begin.column : begin.index]
        if not before.strip(" -"):
            return begin, _no_key(text, begin)
        if re.match(r" *-[^\s\d-]", before):
            return begin, "a space is missing after the dash of this line"
    return mark, (
        "a colon where no key can be; a text with a colon must be in quotes, and a key begins"
        " in the same column as the keys beside it"
    )


def _no_key(text: str, begin: yaml.Mark) -> str:
    found = text[begin.index :].partition("\n")[0][:40]
    return f"{found!r} is no key with a colon and a space after it, such as `seeds: [123]`"


def _running_on(tokens: list[yaml.Token], mark: yaml.Mark) -> yaml.ScalarToken | None:
    """The last text, if it ends in this line and begins in one above."""
    texts = (token for token in reversed(tokens) if isinstance(token, yaml.ScalarToken))
    last = next(texts, None)
    runs_on = last and last.start_mark.line < mark.line == last.end_mark.line
    return last if runs_on else None


def _open_bracket(tokens: list[yaml.Token]) -> yaml.Mark | None:
    """The last bracket that is not closed."""
    found: list[yaml.Mark] = []
    for token in tokens:
        if isinstance(token, yaml.FlowSequenceStartToken | yaml.FlowMappingStartToken):
            found.append(token.start_mark)
        elif isinstance(token, yaml.FlowSequenceEndToken | yaml.FlowMappingEndToken):
            found.pop()
    return found[-1] if found else None


def _tokens(text: str) -> Iterator[yaml.Token]:
    """The tokens, until one cannot be read."""
    with suppress(yaml.YAMLError):
        yield from yaml.scan(text)


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
