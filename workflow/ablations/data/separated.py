"""The cells of CSV and TSV files: each as it is meant, or a message that names line and key.

A cell may be in quotes, as CSV has them. Where `quotes` is not set, a file whose quotes may be
ordinary characters is refused: nothing tells a text in quotes from one that begins with a quote
but what stands around it.
"""

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ablations.data.content import LINE
from ablations.errors import UserError
from ablations.study.dataset import Reading, class_names

LITERAL = "quotes: false where a quote is an ordinary character"
BLANKS = " \t\u00a0"


class Row(NamedTuple):
    """The cells of a row, and the numbers of its first and last line."""

    first: int
    last: int
    cells: list[str]


def rows(name: str, lines: Sequence[str], separator: str, reading: Reading) -> Iterator[Row]:
    """The names of the columns as the first row, then the rows that hold texts.

    `lines` have their ends. Raises UserError at the first line that is none of the table's.
    """
    if lines and (excel := re.fullmatch(r'"?sep=(.)"?\s*', lines[0])):
        raise UserError(
            f"{name}: line 1 tells Excel which character separates cells; leave it out, and set"
            f' separator: "{excel[1]}" where it is not the format\'s'
        )
    found = _parsed(name, lines, separator, reading.quotes)
    named = [Row(0, 0, list(map(str, reading.columns)))] if reading.columns else found
    header = next(iter(named), None)
    if header is None:
        raise UserError(f"{name} is empty; allowed: a line with the names of the columns")
    yield header
    doubts = Doubts(name, lines, separator, header.cells, reading)
    telling = _telling(header.cells, reading)
    names = [_name(header.cells[number]) for number in telling]
    for row in found:
        if len(row.cells) > max(telling) and names == [_name(row.cells[each]) for each in telling]:
            first = reading.columns and row.first == 1
            allowed = "leave out the key columns, which is for files without such a line"
            raise UserError(
                f"{name}: line {row.first} holds the names of the columns;"
                f" {allowed if first else 'allowed: texts and labels there'}"
            )
        if len(row.cells) != len(header.cells):
            raise UserError(_wrong_count(f"{name}: line {row.first}", row, header.cells, lines))
        if reading.quotes is None:
            doubts.see(row)
        yield row
    doubts.settle()


def _telling(columns: Sequence[str], reading: Reading) -> Sequence[int]:
    """The columns that tell a line of names, such as where one file follows another.

    Those with text and label. Where there is no label, all: a text may be the name of its column.
    """
    wanted = {*reading.text_columns, reading.label_column}
    found = [number for number, name in enumerate(columns) if name in wanted]
    return found if reading.label_column in columns else range(len(columns))


def _name(cell: str) -> str:
    """A cell as the name of a column is compared; a file that follows another begins with a BOM."""
    return cell.strip('\ufeff "').lower()


def _parsed(name: str, lines: Sequence[str], separator: str, quotes: object) -> Iterator[Row]:
    """The rows without empty lines."""
    lines = [*lines, "\n"]  # an empty line at the end, unless a quote is open there
    csv.field_size_limit(sys.maxsize)
    found = csv.reader(
        lines,
        delimiter=separator,
        quoting=csv.QUOTE_NONE if quotes is False else csv.QUOTE_MINIMAL,
        strict=quotes != "pandas",
    )
    last = 0
    while True:
        first = last + 1
        try:
            cells = next(found, None)
        except csv.Error as error:
            if "unexpected end" not in str(error):
                wrong = _after_quote(name, lines, first, found.line_num, separator)
                raise UserError(wrong) from None
            cells = []
        if cells is None:
            return
        last = found.line_num
        if first < last == len(lines):
            raise UserError(
                f"{name}: line {first}: a quote is opened and never closed; allowed: cells in"
                f" quotes, or {LITERAL}"
            )
        if len(cells) >= 2 or not lines[last - 1].isspace():
            yield Row(first, last, cells)


def _after_quote(name: str, lines: Sequence[str], first: int, last: int, separator: str) -> str:
    """What is wrong with a cell that goes on after its closing quote."""
    raw, begin = "".join(lines[first - 1 : last]), 0
    sep = re.escape(separator)
    cell = re.compile(rf'"(?:[^"]|"")*+"|[^{sep}\r\n]*+')
    while (found := cell.match(raw, begin)) and raw[found.end() : found.end() + 1] == separator:
        begin = found.end() + 1
    end = found.end() if found else begin
    opened, closed = (first + len(LINE.findall(raw[: at + 1])) - 1 for at in (begin, end))
    which = "" if opened == closed else f", which begins in line {opened}"
    written = 'a quote within it is written twice ("")'
    if raw[end - 2 : end] == '\\"':
        written += (
            ', not \\", as pandas.read_csv(FILE, escapechar="\\\\").to_csv(FILE, index=False)'
            " writes it"
        )
    return (
        f"{name}: line {closed}: {raw[end : end + 20].rstrip()!r} follows the quote that ends a"
        f" cell{which}; allowed: cells in quotes to their end, where {written}, or {LITERAL}"
    )


def _wrong_count(where: str, row: Row, columns: Sequence[str], lines: Sequence[str]) -> str:
    found = len(row.cells)
    names = ", ".join(map(repr, columns[:20]))
    hint = ""
    if row.first < row.last:
        hint = f"; a quote joins it with the lines to {row.last}: {LITERAL}"
    elif '"' in lines[row.first - 1]:
        hint = f"; a cell in quotes begins and ends with its quote, without blanks; {LITERAL}"
    have = f"{found} column{'' if found == 1 else 's'}"
    return f"{where} has {have}; allowed: {len(columns)}, as {names}{hint}"


class Doubts:
    """Whether the quotes of a file may be ordinary characters."""

    def __init__(
        self,
        name: str,
        lines: Sequence[str],
        separator: str,
        columns: Sequence[str],
        reading: Reading,
    ) -> None:
        self.name, self.lines, self.separator = name, lines, separator
        self.texts = [columns.index(each) for each in reading.text_columns if each in columns]
        label = [number for number, each in enumerate(columns) if each == reading.label_column]
        # the columns that tell a row from a line of a text
        self.tell = label or [n for n in range(len(columns)) if n not in self.texts]
        names = class_names(reading)
        self.known = {number: {*names, *reading.named} for number in self.tell}
        self.numbers = dict.fromkeys(() if label else self.tell, True)
        self.width = len(columns)
        self.joined: list[Row] = []  # over several lines
        # The first lines with a text in quotes, in quotes that it does not need, with a quote in a
        # text that is not in quotes, and with a text that is not
        self.quoted = self.needless = self.stray = self.bare = 0
        self.ends: dict[str, int] = {}  # how lines end, and the first that does so

    def see(self, row: Row) -> None:
        """Takes note of a row; raises UserError where a blank stands before a cell's quotes."""
        for number in self.tell:
            self.known[number].add(row.cells[number].strip())
            if number in self.numbers and row.first == row.last:
                self.numbers[number] &= row.cells[number].strip().isdecimal()
        if row.first < row.last:
            self.joined.append(row)
            return
        line = self.lines[row.first - 1]
        self.ends.setdefault(line[-1], row.first)
        raw = line.rstrip("\r\n")
        if '"' not in raw:
            self.bare = self.bare or row.first
            return
        cells = raw.split(self.separator)
        for cell in cells:
            inner = cell.strip(BLANKS)
            if inner != cell and len(inner) > 1 and inner[0] == inner[-1] == '"' != cell[0]:
                raise UserError(
                    f"{self.name}: line {row.first}: a blank stands before the quotes of a cell, so"
                    f" they are part of it; allowed: no blank there, or {LITERAL}"
                )
        for cell in (cells[number] for number in self.texts if len(cells) == self.width):
            if cell.startswith('"'):
                self.quoted = self.quoted or row.first
                self.needless = self.needless or ('"' not in cell[1:-1]) * row.first
            else:
                self.bare = self.bare or row.first
                self.stray = self.stray or ('"' in cell) * row.first

    def settle(self) -> None:
        """Raises UserError where the whole file leaves a doubt."""
        for row in self.joined:
            within = [n for n in range(row.first, row.last + 1) if self._is_row(n)]
            if len(within) > 1:
                raise UserError(
                    f"{self.name}: line {row.first}: a quote joins it with the lines to {row.last},"
                    f" of which line {within[1]} looks like a row of its own; allowed: {LITERAL},"
                    " or quotes: true where these lines are one text"
                )
        if {"\r", "\n"} <= self.ends.keys():
            raise UserError(
                f"{self.name}: line {self.ends[chr(13)]} ends with a carriage return, and others"
                " end with a line feed; allowed: a text with line breaks in quotes, or quotes: true"
                " where both end a line"
            )
        where = other = 0
        if self.quoted and self.stray:  # who writes quotes around texts puts them there too
            where, other = self.quoted, self.stray
        elif self.separator == "\t" and self.needless and self.bare:
            where, other = self.needless, self.bare
        if where:
            has = "a quote within a text" if other == self.stray else "a text"
            raise UserError(
                f"{self.name}: line {where}: the text is in quotes, and line {other} has {has} that"
                f" is not in quotes; allowed: {LITERAL}, or quotes: true where those around a text"
                " are no part of it"
            )

    def _is_row(self, number: int) -> bool:
        """Whether a line could be a row by itself; the lines of a text seldom have tabs."""
        cells = self.lines[number - 1].rstrip("\r\n").split(self.separator)
        if len(cells) != self.width or self.width == 1:
            return False
        alike = all(self._is_like(cells[each].strip(' "'), each) for each in self.tell)
        return self.separator == "\t" or (alike and bool(self.tell))

    def _is_like(self, cell: str, column: int) -> bool:
        """Whether a cell is like the others in its column."""
        return cell in self.known[column] or (self.numbers.get(column, False) and cell.isdecimal())
