"""Quotes: a CSV or TSV file is read as it is meant, or refused with the line and the key."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablations.data import texts
from ablations.errors import UserError
from ablations.study.dataset import Reading
from texts import file

HEAD = {"csv": "text,label\n", "tsv": "label\ttext\n", "ids.csv": "id,label,text\n"}


def read(folder: Path, name: str, content: str, **keys: Any) -> list[tuple[str, str]]:
    path = folder / f"a.{name}"
    path.write_text(HEAD[name] + content, newline="")
    found = texts.read([file(path)], Reading(text="text", label="label", **keys))
    return list(zip(found["Label"], found["Text"], strict=True))


# --- what is meant

MEANT: dict[str, tuple[str, str, dict[str, Any], list[tuple[str, str]]]] = {
    "quotes around what needs them": (
        "csv", '"a, b",ham\n"say ""x""",spam\nplain,ham\n', {},
        [("ham", "a, b"), ("spam", 'say "x"'), ("ham", "plain")]),
    "quotes around all": ("tsv", '"ham"\t"a"\n"spam"\t"b"\n', {}, [("ham", "a"), ("spam", "b")]),
    "quotes around some cells of a CSV file": (
        "csv", '"a",ham\nb,"spam"\n', {}, [("ham", "a"), ("spam", "b")]),
    "a quote within a cell": (
        "csv", "a 5\" screen,ham\nthe \"best\",spam\n", {},
        [("ham", 'a 5" screen'), ("spam", 'the "best"')]),
    "a text of several lines": (
        "csv", '"Dear team,\n\nthe lamp, as I said,\nis broken",ham\n"x\ny",spam\n', {},
        [("ham", "Dear team,\n\nthe lamp, as I said,\nis broken"), ("spam", "x\ny")]),
    "a text of several lines behind its label": (
        "tsv", 'ham\t"x\ny"\nspam\tz\n', {}, [("ham", "x\ny"), ("spam", "z")]),
    "lines like rows, on purpose": (
        "csv", '"x,ham\ny",ham\nz,spam\n', {"quotes": True}, [("ham", "x,ham\ny"), ("spam", "z")]),
    "a backslash at the end": ("csv", '"C:\\, D:\\",ham\n', {}, [("ham", "C:\\, D:\\")]),
    "JSON as a text": (
        "csv", '"{""a"": ""say \\""x\\""""}",ham\n', {}, [("ham", '{"a": "say \\"x\\""}')]),
    "no quotes at all": (
        "tsv", 'ham\t"a\nspam\t"b"\nham\t"c" d\n', {"quotes": False},
        [("ham", '"a'), ("spam", '"b"'), ("ham", '"c" d')]),
    "as pandas reads": (
        "tsv", 'ham\t"a" b\nspam\t"c\nham\td"\n', {"quotes": "pandas"},
        [("ham", "a b"), ("spam", "c\nham\td")]),
    "a blank and a quote, on purpose": (
        "tsv", 'ham\t "a"\n', {"quotes": False}, [("ham", ' "a"')]),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "keys", "expected"), MEANT.values(), ids=MEANT)
def test_what_is_meant(tmp_path, name, content, keys, expected):
    assert read(tmp_path, name, content, **keys) == expected


# --- what may be meant otherwise

FALSE = "quotes: false where a quote is an ordinary character"
REFUSED: dict[str, tuple[str, str, str]] = {
    "rows of a TSV swallowed": (
        "tsv", 'ham\ta\nham\t"Good morning\nspam\tb\nham\tc\nspam\tshe left"\nspam\td\n',
        "a.tsv: line 3: a quote joins it with the lines to 6, of which line 4 looks like a row of"
        f" its own; allowed: {FALSE}, or quotes: true where these lines are one text"),
    "one row swallowed": (
        "tsv", 'ham\t"Good morning\nham\tshe left"\nspam\td\n', "line 2: a quote joins it with"),
    "rows of a CSV swallowed": (
        "csv", 'a,ham\n"Good morning,ham\nb,spam\nshe left",ham\nc,spam\n',
        "a.csv: line 3: a quote joins it with the lines to 5"),
    "rows with empty lines between": (
        "csv", 'a,ham\n\n"Good morning,ham\n\nb,spam\n\nshe left",ham\n\nc,spam\n',
        "line 4: a quote joins"),
    "rows of three columns": (
        "ids.csv", '1,ham,a\n2,spam,"b\n3,ham,c"\n4,spam,d\n', "line 3: a quote joins it with the"),
    "rows swallowed to another number of columns": (
        "csv", '"a,ham\nb",spam,\n', "line 2 has 3 columns; allowed: 2, as 'text', 'label'; a quote"
        f" joins it with the lines to 3: {FALSE}"),
    "a quote closed by the next one": (
        "tsv", 'ham\t"a\nspam\t"b"\nham\tc\n', "line 3: 'b\"' follows the quote that ends a cell,"
        " which begins in line 2; allowed: cells in quotes to their end"),
    "quotes with a backslash": (
        "csv", '"He said \\"x\\" again",ham\n', "line 2: 'x\\\\\" again\",ham' follows the"
        " quote that ends a cell; allowed: cells in quotes to their end, where a quote within it is"
        ' written twice (""), not \\", as pandas.read_csv(FILE, escapechar="\\\\").to_csv(FILE,'
        f" index=False) writes it, or {FALSE}"),
    "quotes with a backslash at the end": (
        "csv", '"He said \\"",ham\n"She said \\"",spam\n', "follows the quote that ends a cell"),
    "quotes with a backslash beside a comma": (
        "csv", '"He said \\", x",ham\n', "line 2 has 3 columns"),
    "unescaped quotes": ("csv", '"the "best" one",ham\n', "line 2: 'best\" one\",ham' follows"),
    "a text after a quote": ("csv", '"a" b,ham\n', "line 2: ' b,ham' follows the quote"),
    "a blank after a quote": ("csv", '"a" ,ham\n', "line 2: ' ,ham' follows the quote"),
    "a blank before a quote": ("csv", 'a, "ham"\n', "line 2: a blank stands before the quotes"),
    "a blank and a comma": ("ids.csv", '1,ham, "a, b"\n', "line 2 has 4 columns; allowed: 3, as"
                            " 'id', 'label', 'text'; a cell in quotes begins and ends with its"),
    "never closed": ("csv", 'a,ham\n"b,ham\nc,spam\n', "line 3: a quote is opened and never closed;"
                     f" allowed: cells in quotes, or {FALSE}"),
    "a carriage return within a text": (
        "csv", 'a,ham\nb\r1,ham\nc,ham\n', "line 3 has 1 column"),
    "a carriage return between what looks like rows": (
        "csv", 'a,ham\nb,1\r1,ham\nc,ham\n', "line 3 ends with a carriage return, and others"),
    "quotes that a TSV does not need": (
        "tsv", 'ham\ta\nspam\t"b"\n', "a.tsv: line 3: the text is in quotes, and line 2 has a text"
        f" that is not in quotes; allowed: {FALSE}, or quotes: true where those around a text are"),
    "quotes around a text and within another": (
        "csv", '"a",ham\na 5" screen,ham\n', "a.csv: line 2: the text is in quotes, and line 3 has"
        " a quote within a text that is not in quotes; allowed:"),
    "a row of a TSV with a label that no other has": (
        "tsv", 'ham\t"a\nspam\tb"\n', "line 2: a quote joins it with the lines to 3"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), REFUSED.values(), ids=REFUSED)
def test_what_may_be_meant_otherwise_is_refused(tmp_path, name, content, message):
    with pytest.raises(UserError) as raised:
        read(tmp_path, name, content)
    assert message in str(raised.value) and "\n" not in str(raised.value)


# --- any table, in any dialect, is read as it was written, or refused

# without a carriage return, which not all writers put in quotes
any_text = st.text(
    st.sampled_from("ab \"\\'\t,;\n01")
    | st.characters(exclude_categories=["Cs"], exclude_characters="\r"),
    min_size=1,
)
any_table = st.lists(
    st.tuples(st.sampled_from(["0", "1", "a b"]), any_text), min_size=1, max_size=8
)
DIALECTS: dict[str, dict[str, Any]] = {
    "minimal": {},
    "all": {"quoting": csv.QUOTE_ALL},
    "nonnumeric": {"quoting": csv.QUOTE_NONNUMERIC},
    "backslash": {"doublequote": False, "escapechar": "\\"},
    "backslash, all": {"doublequote": False, "escapechar": "\\", "quoting": csv.QUOTE_ALL},
    "apostrophes": {"quotechar": "'"},
    "none": {"quoting": csv.QUOTE_NONE, "escapechar": "\\"},
}


def as_csv(rows: Iterable[Iterable[str]], **dialect: Any) -> str:
    written = io.StringIO(newline="")
    csv.writer(written, **dialect).writerows(rows)
    return written.getvalue()


@pytest.mark.parametrize("dialect", ["minimal", "all", "nonnumeric"])
@given(any_table, st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=60)
def test_what_csv_writers_write_is_read_where_quotes_are_vouched_for(
    tmp_path_factory, dialect, table, separator, end
):
    content = as_csv(table, delimiter=separator, lineterminator=end, **DIALECTS[dialect])
    reading = {"columns": ("label", "text"), "separator": separator}
    assert _read(tmp_path_factory, content, quotes=True, **reading) == table
    found = _read_or_refuse(tmp_path_factory, content, **reading)
    assert found in (table, None)


@pytest.mark.parametrize("dialect", ["backslash", "backslash, all", "none", "apostrophes"])
@given(any_table, st.sampled_from(",\t"))
@settings(max_examples=60)
def test_quotes_of_another_dialect_are_refused(tmp_path_factory, dialect, table, separator):
    """What it escapes with a character that is none of ours is not told from a text with it."""
    content = as_csv(table, delimiter=separator, **DIALECTS[dialect])
    reading = {"columns": ("label", "text"), "separator": separator}
    found = _read_or_refuse(tmp_path_factory, content, **reading)
    if found and found != table and len(found) == len(table):
        marks = {"\\", "'"}
        assert all(
            mine == its or marks & {*mine} for (_, mine), (_, its) in zip(found, table, strict=True)
        )


def _read(tmp_path_factory: Any, content: str, **keys: Any) -> list[tuple[str, str]]:
    path = tmp_path_factory.getbasetemp() / "dialect.csv"
    path.write_text(content, newline="", encoding="utf-8")
    found = texts.read([file(path)], Reading(text="text", label="label", **keys))
    return list(zip(found["Label"], found["Text"], strict=True))


def _read_or_refuse(
    tmp_path_factory: Any, content: str, **keys: Any
) -> list[tuple[str, str]] | None:
    try:
        return _read(tmp_path_factory, content, **keys)
    except UserError as error:
        assert "dialect.csv" in str(error)
        return None
