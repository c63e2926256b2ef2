"""Reads labelled texts from CSV, TSV, JSON and Parquet files into one table.

From here on a label is text: the number 3 is "3", and a truth value is "True" or "False", as in a
CSV file. Which labels are classes, and how texts are cut, is not known here.
"""

import codecs
import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from ablations.errors import UserError
from ablations.sources.manifest import File
from ablations.study.dataset import Reading

MAX_CHARACTERS = 10_000_000  # of a text; no model here reads more than the first few thousand
MAX_LABEL_CHARACTERS = 100

LABELS = "texts, whole numbers or truth values"
GZIP = b"\x1f\x8b"
# How other files begin that hold the texts, or stand for the file that does.
NO_TEXTS = {
    b"PK\x03\x04": "is a zip archive; unpack it",
    b"BZh": "is compressed with bzip2; unpack it, or use gzip",
    b"\xfd7zXZ": "is compressed with xz; unpack it, or use gzip",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; unpack it, or use gzip",
    b"version https://git-lfs": "stands for a file that Git LFS holds; git lfs pull gets it",
}
JOINERS = "\u200c\u200d"  # cannot be printed, and belong to words of some languages


def read(files: Sequence[File], reading: Reading) -> pd.DataFrame:
    """The texts of all files in their order: the columns `file`, `where`, `label` and `text`.

    `file` is the number of its file, `where` the place that messages name, such as
    "reviews.csv: line 3". Raises UserError, which names file, line and column, at the first text
    that is not allowed.
    """
    found = [
        (number, where, _label(where, label, reading), _text(where, text, reading))
        for number, file in enumerate(files)
        for where, label, text in _cells(file, reading)
    ]
    return pd.DataFrame(found, columns=["file", "where", "label", "text"])


Cells = Iterator[tuple[str, Any, Any]]  # where, label, text


def _cells(file: File, reading: Reading) -> Cells:
    if file.format == "parquet":
        return _parquet(file, reading)
    if file.format == "jsonl":
        return _json(file, reading)
    return _separated(file, reading)


def _separated(file: File, reading: Reading) -> Cells:
    """Comma- or tab-separated cells: quoted by ", as pandas reads them by default."""
    lines = [*_lines(file), "\n"]  # an empty line at the end, unless a quote is open there
    csv.field_size_limit(sys.maxsize)
    rows = csv.reader(
        lines,
        delimiter="," if file.format == "csv" else "\t",
        quoting=csv.QUOTE_MINIMAL if reading.quotes else csv.QUOTE_NONE,
    )
    columns, last = reading.columns, 0
    for cells in rows:
        first, last = last + 1, rows.line_num
        where = f"{file.name}: line {first}"
        if first < last == len(lines):
            raise UserError(
                f'{where}: a quote is opened and never closed; allowed: texts in ", or'
                " quotes: false where a quote is an ordinary character"
            )
        if len(cells) < 2 and lines[last - 1].isspace():  # an empty line
            continue
        if columns is None:
            columns = tuple(cells)
            _check_columns(file, columns, reading)
        elif len(cells) != len(columns):
            raise UserError(
                f"{where} has {len(cells)} column{'' if len(cells) == 1 else 's'}; allowed:"
                f" {len(columns)}, as {_listed(columns)}"
            )
        else:
            yield where, cells[columns.index(reading.label)], cells[columns.index(reading.text)]
    if columns is None:
        raise UserError(f"{file.name} is empty; allowed: a line with the names of the columns")


def _check_columns(file: File, columns: Sequence[str], reading: Reading) -> None:
    """Refuses a file that lacks one of the two columns, or has it twice."""
    for key, column in (("text", reading.text), ("label", reading.label)):
        if columns.count(column) != 1:
            found = "appears more than once" if column in columns else "is missing"
            raise UserError(
                f"{file.name}: the column {column!r} ({key}) {found}; the columns are:"
                f" {_listed(columns)}"
            )


def _json(file: File, reading: Reading) -> Cells:
    for where, found in _json_values(file):
        if not isinstance(found, dict):
            raise UserError(
                f"{where} is {_short(found)}; allowed: a JSON object with the keys"
                f" {reading.text} and {reading.label}"
            )
        for key in (reading.text, reading.label):
            if key not in found:
                raise UserError(
                    f"{where}: the key {key!r} is missing; its keys are: {_listed(list(found))}"
                )
        yield where, found[reading.label], found[reading.text]


def _json_values(file: File) -> Iterator[tuple[str, Any]]:
    """The values on the lines of a file, or those of its array."""
    lines = _lines(file)
    is_array = next(filter(str.strip, lines), "").lstrip().startswith("[")
    parts = ["".join(lines)] if is_array else lines
    for number, part in enumerate(parts, start=1):
        where = file.name if is_array else f"{file.name}: line {number}"
        if not part.strip():
            continue
        try:
            found = msgspec.json.decode(part)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where} is not JSON: {error}") from None
        if not is_array:
            yield where, found
            continue
        for index, value in enumerate(found, start=1):
            yield f"{where}: object {index}", value


def _parquet(file: File, reading: Reading) -> Cells:
    """The rows of an Apache Parquet file, counted from 1."""
    import pyarrow.parquet  # slow to import, and rarely needed

    content = io.BytesIO(_content(file))
    try:
        _check_columns(file, pyarrow.parquet.read_schema(content).names, reading)
        table = pyarrow.parquet.read_table(content, columns=[reading.label, reading.text])
        labels, texts = (table[name].to_pylist() for name in (reading.label, reading.text))
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"{file.name} cannot be read as Parquet: {error}") from None
    for number, (label, text) in enumerate(zip(labels, texts, strict=True), start=1):
        yield f"{file.name}: row {number}", label, text


def _lines(file: File) -> list[str]:
    """The lines of a text file, which is UTF-8 with or without a byte order mark."""
    content = _content(file).removeprefix(codecs.BOM_UTF8)
    lines = []
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError as error:
            found = f"is not UTF-8 (byte 0x{line[error.start]:02x})"
            if error.reason == "unexpected end of data":
                found = "ends within a character"
            raise UserError(
                f"{file.name}: line {number} {found}; allowed: a file saved as UTF-8"
            ) from None
    return lines


def _content(file: File) -> bytes:
    """What a file holds, unpacked where it is compressed with gzip."""
    try:
        content = Path(file.path).read_bytes()
        if content.startswith(GZIP):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{file.name} cannot be read: {_reason(error)}") from None
    for begin, found in NO_TEXTS.items():
        if content.startswith(begin):
            raise UserError(f"{file.name} {found}")
    return content


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


# --- one cell


def _label(where: str, found: Any, reading: Reading) -> str:
    column = f"{where}: the column {reading.label!r} (label)"
    if found is None or found != found or not str(found).strip():  # NaN differs from itself
        raise UserError(f"{column} is empty; allowed: a label on every line")
    if isinstance(found, float):
        raise UserError(f"{column} is {found}, a number with decimals; allowed: {LABELS}")
    if not isinstance(found, str | int):
        raise UserError(f"{column} is {_short(found)}; allowed: {LABELS}")
    label = str(found).strip()
    printed = label.translate(dict.fromkeys(map(ord, JOINERS)))
    if len(label) > MAX_LABEL_CHARACTERS or not printed.isprintable():
        raise UserError(
            f"{column} is {_short(label)}; allowed: at most {MAX_LABEL_CHARACTERS} characters that"
            " can be printed"
        )
    return label


def _text(where: str, found: Any, reading: Reading) -> str:
    column = f"{where}: the column {reading.text!r} (text)"
    if found is None or found == "":
        raise UserError(f"{column} is empty; allowed: a text on every line")
    if not isinstance(found, str):
        raise UserError(f"{column} is {_short(found)}; allowed: a text")
    if len(found) > MAX_CHARACTERS:
        raise UserError(
            f"{column} has {len(found):,} characters; allowed: at most {MAX_CHARACTERS:,}. Is a"
            " quote not closed? Where a quote is an ordinary character, set quotes: false"
        )
    return found


def _short(found: object) -> str:
    text = repr(found)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(_short, names[:20]))
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"
