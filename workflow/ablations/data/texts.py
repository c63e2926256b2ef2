"""Reads labelled texts from CSV, TSV, JSON lines and Parquet, a few at a time.

Whatever a file's size, little of it is in memory. From here on a label is text: the number 3 is
"3", and a truth value is "True" or "False", as in a CSV file.
"""

import codecs
import csv
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import msgspec

from ablations.errors import UserError
from ablations.sources.manifest import File
from ablations.study.dataset import Reading

# The limit of a line, and of a text in quotes over several lines. No model here reads more than the
# first few thousand characters. Without a limit, one open quote would read the whole file.
MAX_CHARACTERS = 10_000_000
MAX_LABEL_CHARACTERS = 100
ROWS_AT_A_TIME = 1000  # of Parquet

LABELS = "texts, whole numbers or truth values"


class Labelled(NamedTuple):
    """A text with its label, and its place: the number of its line or row, counted from 1."""

    place: int
    label: str
    text: str


def read(file: File, reading: Reading) -> Iterator[Labelled]:
    """A file's texts in its own order.

    Raises UserError, which names file, line and column, at the first that is not allowed.
    """
    path = Path(file.path)
    if file.format == "parquet":
        cells = _parquet(file, path, reading)
    elif file.format == "jsonl":
        cells = _json_lines(file, path, reading)
    else:
        cells = _separated(file, path, reading)
    for place, label, text in cells:
        yield Labelled(
            place, _label(file, place, label, reading), _text(file, place, text, reading)
        )


def where(file: File, place: int) -> str:
    """How a message names a place in a file."""
    return f"{file.name}: {'row' if file.format == 'parquet' else 'line'} {place}"


Cells = Iterator[tuple[int, Any, Any]]


def _columns(count: int) -> str:
    return f"{count} column{'' if count == 1 else 's'}"


def _separated(file: File, path: Path, reading: Reading) -> Cells:
    """The cells of comma- or tab-separated text: quoted by ", as pandas reads it by default."""
    csv.field_size_limit(MAX_CHARACTERS)
    with _opened(file, path) as opened:
        lines = _Lines(file, opened)
        rows = csv.reader(
            lines,
            delimiter="," if file.format == "csv" else "\t",
            quoting=csv.QUOTE_MINIMAL if reading.quotes else csv.QUOTE_NONE,
        )
        columns: Sequence[str] | None = reading.columns
        started = 1
        try:
            for cells in rows:
                if lines.ended:
                    raise UserError(
                        f"{where(file, started)}: a quote is opened and never closed; allowed:"
                        ' texts in ", or quotes: false where a quote is an ordinary character'
                    )
                if len(cells) < 2 and lines.last.isspace():  # an empty line
                    pass
                elif columns is None:
                    columns = cells
                    _check_columns(file, columns, reading)
                else:
                    if len(cells) != len(columns):
                        raise UserError(
                            f"{where(file, started)} has {_columns(len(cells))}; allowed:"
                            f" {len(columns)}, as {_listed(columns)}"
                        )
                    label, text = columns.index(reading.label), columns.index(reading.text)
                    yield started, cells[label], cells[text]
                started = rows.line_num + 1
        except csv.Error as error:
            raise UserError(f"{where(file, started)}: {_too_long(str(error))}") from None
    if columns is None:
        raise UserError(f"{file.name} is empty; allowed: a line with the names of the columns")


def _too_long(error: str) -> str:
    if "field limit" in error:
        return (
            f"a text has more than {MAX_CHARACTERS:,} characters; is a quote not closed? Where a"
            " quote is an ordinary character, set quotes: false"
        )
    return error


class _Lines:
    """A text file's lines, of limited length: the `last` one, and whether they have `ended`."""

    def __init__(self, file: File, opened: TextIO) -> None:
        self.file, self.opened = file, opened
        self.last, self.ended = "", False

    def __iter__(self) -> Iterator[str]:
        read = partial(self.opened.readline, MAX_CHARACTERS + 1)
        for number, line in enumerate(iter(read, ""), start=1):
            if len(line) > MAX_CHARACTERS:
                raise UserError(
                    f"{where(self.file, number)} has more than {MAX_CHARACTERS:,} characters; is"
                    " this a file of lines?"
                )
            self.last = line
            yield line
        self.ended = True


def _check_columns(file: File, columns: Sequence[str], reading: Reading) -> None:
    """Refuses a file that lacks one of the two columns, or has it twice."""
    for key, column in (("text", reading.text), ("label", reading.label)):
        if columns.count(column) != 1:
            found = "appears more than once" if column in columns else "is missing"
            raise UserError(
                f"{file.name}: the column {column!r} ({key}) {found}; the columns are:"
                f" {_listed(columns)}"
            )


def _json_lines(file: File, path: Path, reading: Reading) -> Cells:
    """The cells of JSON objects, one on each line."""
    with _opened(file, path) as opened:
        for place, line in enumerate(_Lines(file, opened), start=1):
            if not line.strip():
                continue
            try:
                found = msgspec.json.decode(line)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{where(file, place)} is not JSON: {error}") from None
            if not isinstance(found, dict):
                raise UserError(
                    f"{where(file, place)} is {_short(found)}; allowed: a JSON object"
                    f" with the keys {reading.text} and {reading.label}"
                )
            for key in (reading.text, reading.label):
                if key not in found:
                    raise UserError(
                        f"{where(file, place)}: the key {key!r} is missing; its keys are:"
                        f" {_listed(list(found))}"
                    )
            yield place, found[reading.label], found[reading.text]


def _parquet(file: File, path: Path, reading: Reading) -> Cells:
    """The cells of an Apache Parquet file, by rows, counted from 1."""
    import pyarrow.parquet  # slow to import, and rarely needed

    try:
        with pyarrow.parquet.ParquetFile(path) as opened:
            _check_columns(file, opened.schema_arrow.names, reading)
            columns, places = [reading.label, reading.text], itertools.count(1)
            for batch in opened.iter_batches(ROWS_AT_A_TIME, columns=columns):
                labels, texts = (batch.column(column).to_pylist() for column in columns)
                for label, text in zip(labels, texts, strict=True):
                    yield next(places), label, text
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file.name} cannot be read as Parquet: {error}") from None


# --- one cell


def _label(file: File, place: int, found: Any, reading: Reading) -> str:
    column = f"{where(file, place)}: the column {reading.label!r} (label)"
    if found is None or found == "" or found != found:  # NaN, which differs from itself
        raise UserError(f"{column} is empty; allowed: a label on every line")
    if isinstance(found, float):
        raise UserError(f"{column} is {found}, a number with decimals; allowed: {LABELS}")
    if not isinstance(found, str | int):
        raise UserError(f"{column} is {_short(found)}; allowed: {LABELS}")
    label = str(found)
    if len(label) > MAX_LABEL_CHARACTERS or not label.isprintable():
        raise UserError(
            f"{column} is {_short(label)}; allowed: at most {MAX_LABEL_CHARACTERS} characters that"
            " can be printed"
        )
    return label


def _text(file: File, place: int, found: Any, reading: Reading) -> str:
    column = f"{where(file, place)}: the column {reading.text!r} (text)"
    if found is None or found == "":
        raise UserError(f"{column} is empty; allowed: a text on every line")
    if not isinstance(found, str):
        raise UserError(f"{column} is {_short(found)}; allowed: a text")
    if len(found) > MAX_CHARACTERS:
        raise UserError(
            f"{column} has {len(found):,} characters; allowed: at most {MAX_CHARACTERS:,}"
        )
    return found


def _short(found: object) -> str:
    text = repr(found)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(_short, names[:20]))
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"


# --- files of lines


@contextmanager
def _opened(file: File, path: Path) -> Iterator[TextIO]:
    """A text file, as UTF-8 with or without a byte order mark."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            yield opened
    except UnicodeDecodeError:
        raise UserError(_not_utf8(file, path)) from None
    except OSError as error:
        raise UserError(f"{file.name} cannot be read: {error.strerror or error}") from None


def _not_utf8(file: File, path: Path) -> str:
    """The message about the first byte that is not UTF-8, found by reading the file again.

    The first reading was ahead of the line, so it does not know the line's number.
    """
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    with path.open("rb") as opened:
        for piece in iter(partial(opened.readline, MAX_CHARACTERS), b""):
            try:
                decoder.decode(piece)
            except UnicodeDecodeError as error:
                found = f"byte 0x{error.object[error.start]:02x}"
                return f"{where(file, line)} is not UTF-8 ({found}); allowed: a file saved as UTF-8"
            line += piece.endswith(b"\n")
    return f"{where(file, line)} ends within a character; allowed: a file saved as UTF-8"
