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

NO_KEY = "is no key with a colon and a space after it"
COLON = "a colon where no key can be"
QUOTES = "must be in quotes"
BELOW = "this does not continue what is above"
TWICE = "appears a second time, after line"
MISTAKES = {
    "a tab": ("a:\n\tb: 1\n", (2, 1), "a tab; indent with spaces"),
    "a colon in a text": ("title: Demo: nano\n", (1, 12), COLON),
    "a key too far right": ("a: 1\n  b: 2\n", (2, 4), COLON),
    "an item's key too far left": ("rows:\n  - id: a\n   model: b\n", (3, 4), BELOW),
    "a question in brackets": ("a: {b: Why?, c: 1}\n", (1, 11), "question mark must be in quotes"),
    "an open list": ("a: [1, 2\nb: 3\n", (2, 2), "the bracket that begins in line 1 is not closed"),
    "an open mapping": ("a: {b: 1\nc: 2\n", (2, 2), "the bracket that begins in line 1 is not"),
    "an open list at the end": ("a: [1,\n", (2, 1), "a bracket is not closed"),
    "a bracket too many": ("a: [1]]\n", (1, 7), "']' closes no bracket"),
    "a comma too many": ("a: 1\nseeds: [1,, 2]\n", (2, 11), "',' where a value must be"),
    "an open quote": ("a: 'x\nb: 2\n", (1, 4), "the quote that begins this text is not closed"),
    "a quote within quotes": ("a: 'it's'\n", (1, 8), BELOW),
    "no space after the colon": ("a: 1\nseeds:[1]\n\nb: 1\n", (2, 1), f"'seeds:[1]' {NO_KEY}"),
    "no space after the first colon": ("a:x\nb: 1\n", (2, 2), "or the line above has no space"),
    "no colon": ("a: 1\nb\nc: 1\n", (2, 1), f"'b' {NO_KEY}"),
    "no space after a dash": ("a:\n  - b: 1\n  -b: 1\n", (3, 3), "a dash or colon has a space"),
    "a first line too far right": ("  a: 1\nb: 2\n", (2, 1), BELOW),
    "a backslash": ('a: "C:\\data"\n', (1, 8), "a backslash that begins no escape"),
    "a text that begins with *": ("a: *x\n", (1, 4), f"a text that begins with '*' {QUOTES}"),
    "a text that begins with **": ("a: **x\n", (1, 4), f"a text that begins with '*' {QUOTES}"),
    "a text that begins with >": ("a: >5%\n", (1, 4), f"a text that begins with '>' {QUOTES}"),
    "a text that begins with @": ("a: @x\n", (1, 4), f"a text that begins with '@' {QUOTES}"),
    "a type of Python's": ("a: !!python/name:os.system\n", (1, 4), f"begins with '!' {QUOTES}"),
    "a second document": ("a: 1\n---\nb: 2\n", (2, 1), "found another document"),
    "a date that does not exist": ("a: 2024-13-45\n", (1, 4), "'2024-13-45' cannot be read"),
    "a control character": ("a: 1\nb: \x01\n", (2,), "the character '\\x01' is not allowed"),
    "too deep": ("[" * 100_000, (), "is nested too deeply"),
    "nothing": ("# a: 1\n", (), "is empty; expected keys with values"),
    "a list": ("- a\n", (), "is no mapping; expected keys with values"),
    "a key twice": ("a: 1\nrows: []\nb: 2\nrows: [3]\n", (4, 1), f"the key rows {TWICE} 2; keep"),
    "a key twice, within": ("rows:\n  - a: 1\n    b: 1\n    b: 2\n", (4, 5), f"key b {TWICE} 3"),
    "a key twice, in quotes": ("a: 1\n'a': 2\n", (2, 1), f"the key a {TWICE} 1"),
    "a key twice, in JSON": ('{"a": 1,\n"a": 2}', (2, 1), f"the key a {TWICE} 1"),
}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        reading.read(path)
    text = str(caught.value)
    assert str(path) in text and "\n" not in text
    return text


@pytest.mark.parametrize(("text", "place", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_that_says_where(
    text: str, place: tuple[int, ...], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    where = zip(("line", "column"), place, strict=False)
    parts = [f"{path}", *(f"{name} {number}" for name, number in where)]
    found = refusal(path)
    assert found.startswith(", ".join(parts)) and said in found


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


# --- what the command line gives: texts alone, as Snakemake reads a list or a mapping


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["1", "auto", "5.0e-5", "true"], [1, "auto", 5e-5, True]),
        ({"epochs": "2", "within": ["1"]}, {"epochs": 2, "within": [1]}),
        ({"question": "Which: a or b?"}, {"question": "Which: a or b?"}),
        (["[1", "a: b: c", "2024-13-45"], ["[1", "a: b: c", "2024-13-45"]),
        ("1", "1"),
    ],
)
def test_numbers_within_lists_and_mappings_are_numbers(given: Any, meant: Any) -> None:
    assert reading.typed(given) == meant
