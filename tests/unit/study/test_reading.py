"""A configuration file that is none: one message that names the file, and the line if it can."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ablations.errors import UserError
from ablations.study import reading
from commands import ROOT

MISTAKES = {
    "a tab": ("a:\n\tb: 1\n", "line 2, column 1: a tab; indent with spaces"),
    "a colon in a text": ("title: Demo: nano\n", "line 1, column 12: a colon where no key can be"),
    "a key too far right": ("a: 1\n  b: 2\n", "line 2, column 4: a colon where no key can be"),
    "an item's key too far left": (
        "rows:\n  - id: a\n   model: b\n",
        "line 3, column 4: this does not continue the list that begins in line 2",
    ),
    "an open list": ("a: [1, 2\nb: 3\n", "the list that begins in line 1, or its bracket"),
    "an open mapping": ("a: {b: 1\nc: 2\n", "is missing in the mapping that begins in line 1"),
    "an open quote": ("a: 'x\nb: 2\n", "line 1, column 4: the quote that begins this text is not"),
    "an open quote before another": (
        "a: 'x\nb: '2'\n",
        "line 1, column 4: this text in quotes ends in line 2; is its quote closed?",
    ),
    "an open list at the end": ("a: [1,\n", "line 1, column 4: this bracket is not closed"),
    "a bracket too many": ("a: [1]]\n", "line 1, column 7: ']' closes no bracket"),
    "a comma too many": ("a: 1\nseeds: [1,, 2]\n", "line 2, column 11: a comma too many"),
    "a comma too many in a mapping": ("seeds: {1: , ,}\n", "line 1, column 14: a comma too many"),
    "no space after the colon": (
        "a: 1\nseeds:[1]\n\n# c\nb: 1\n",
        "line 2, column 1: 'seeds:[1]' is no key with a colon and a space after it",
    ),
    "no space after the first colon": ("a:x\nb: 1\n", "line 1, column 1: 'a:x' is no key with a"),
    "no space in an item": ("- id:a\n  b: 1\n", "line 1, column 3: 'id:a' is no key with a colon"),
    "no colon": ("a: 1\nb\nc: 1\n", "line 2, column 1: 'b' is no key with a colon"),
    "no space after a key in quotes": ("'a':1\n", "line 1, column 4: a space is missing after"),
    "no space after a dash": ("a:\n  - b: 1\n  -b: 1\n", "line 3, column 3: a space is missing"),
    "no space after the first dash": (
        "rows:\n  -id: a\n    model: b\n",
        "line 2, column 8: a space is missing after the dash of this line",
    ),
    "a list beside its key": ("a: - b\n", "line 1, column 4: a dash where no list can begin"),
    "a first line too far right": (
        "  a: 1\nb: 2\n",
        "line 2, column 1: this does not continue what",
    ),
    "a backslash": ('a: "C:\\data"\n', "line 1, column 8: a backslash that begins no escape"),
    "a text that begins with *": ("a: *x\n", "line 1, column 4: a text that begins with '*' must"),
    "a text that begins with **": (
        "a: **x\n",
        "line 1, column 4: a text that begins with '*' must",
    ),
    "a text that begins with &": ("a: & x\n", "line 1, column 4: a text that begins with '&' must"),
    "a text that begins with >": ("a: >5%\n", "line 1, column 4: a text that begins with '>' must"),
    "a line that begins with %": (
        "a: 1\n%x\nb: 1\n",
        "line 2, column 1: a text that begins with '%' must",
    ),
    "an anchor twice": ("a: &x 1\nb: &x 2\n", "line 2, column 4: this anchor appears a second"),
    "no mapping merged": ("x: &a 1\ny: {<<: *a}\n", "line 1, column 4: << takes a mapping"),
    "a list as a key": ("a: {[1]: 2}\n", "line 1, column 5: a list or a mapping cannot be a key"),
    "a quote within quotes": ("a: 'it's'\n", "line 1, column 8: this does not continue"),
    "a text that begins with @": ("a: @x\n", "line 1, column 4: a text that begins with '@' must"),
    "a second document": ("a: 1\n---\nb: 2\n", "line 2, column 1: found another document"),
    "a type of Python's": (
        "a: !!python/name:os.system\n",
        "line 1, column 4: a text that begins with '!'",
    ),
    "a date that does not exist": ("a: 2024-13-45\n", "line 1, column 4: '2024-13-45' cannot be"),
    "a control character": ("a: 1\nb: \x01\n", "line 2: the character '\\x01' is not allowed"),
    "too deep": ("[" * 100_000, "is nested too deeply"),
    "nothing": ("", "is empty; expected keys with values"),
    "only comments": ("# a: 1\n", "is empty; expected keys with values"),
    "a list": ("- a\n", "is no mapping; expected keys with values"),
    "a key twice": (
        "a: 1\nrows: []\nb: 2\nrows: [3]\n",
        "line 4, column 1: the key rows appears a second time, after line 2; keep one",
    ),
    "a key twice, within": (
        "rows:\n  - id: a\n    epochs: 1\n    epochs: 2\n",
        "line 4, column 5: the key epochs appears a second time, after line 3; keep one",
    ),
    "a key twice, on a line": ("a: {b: 1, b: 2}\n", "column 11: the key b appears a second time"),
    "a key twice, in quotes": ("a: 1\n'a': 2\n", "line 2, column 1: the key a appears a second"),
    "a key twice, in JSON": (
        '{"a": 1,\n"a": 2}',
        "line 2, column 1: the key a appears a second time",
    ),
}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        reading.read(path)
    text = str(caught.value)
    assert str(path) in text and "\n" not in text
    return text


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_that_says_where(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert message in refusal(path)


def test_what_is_no_text_of_a_configurations_size_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "missing.yaml")
    assert "Is a directory" in refusal(tmp_path)
    binary, large = tmp_path / "binary.yaml", tmp_path / "large.yaml"
    binary.write_bytes(b"a: \xff\x00")
    assert "no text in UTF-8 (byte 4)" in refusal(binary)
    large.write_bytes(b"#" * (reading.LARGEST + 1))
    assert "at most 10,000,000" in refusal(large)


def test_merged_keys_and_equal_keys_of_two_mappings_are_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("x: &a {b: 1}\ny: {<<: *a, b: 2}\n")
    assert reading.read(path) == {"x": {"b": 1}, "y": {"b": 2}}


@pytest.mark.parametrize("name", ["config.yaml", "demo/config.yaml"])
def test_the_projects_own_read_as_any_reader_has_them(name: str) -> None:
    assert reading.read(ROOT / name) == yaml.safe_load((ROOT / name).read_text())


def test_json_is_read_as_json(tmp_path: Path) -> None:
    """In which 1e-4 is a number, and a tab an indentation."""
    path = tmp_path / "config.json"
    path.write_text('{\n\t"learning_rate": 1e-4}')
    assert reading.read(path) == {"learning_rate": 1e-4}


KEYS = st.text("abc", min_size=1, max_size=2)
VALUES = st.recursive(
    st.none() | st.integers() | st.booleans() | st.text("xyz: -'\n", max_size=5),
    lambda within: st.lists(within) | st.dictionaries(KEYS, within, min_size=1),
    max_leaves=8,
)


@given(found=st.dictionaries(KEYS, VALUES, min_size=1))
def test_what_is_written_is_read(found: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("read") / "config.yaml"
    for text in (yaml.safe_dump(found, default_flow_style=False), json.dumps(found)):
        path.write_text(text)
        assert reading.read(path) == found
