"""The texts that `predict` is given: as arguments, or in a file, on standard input or in a folder.

Files are read and refused as in training, by the same code. Messages name options of the command
line where training's name keys of `dataset`.
"""

import argparse
import csv
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

from ablations.data import content, texts
from ablations.data.texts import Place, Source
from ablations.errors import UserError
from ablations.files import is_dir
from ablations.kept.model import Kept
from ablations.study import door
from ablations.study.dataset import Format, Reading, format_by_name
from ablations.study.dataset_checks import COLUMNLESS, reading_mistakes
from ablations.study.text_folders import unlabelled

FORMATS = ("csv", "tsv", "jsonl", "parquet", "lines")
LINES = "lines"  # the format with a text on each line
OF_FILES = ("file", "columns_of_text", "format", "columns", "separator", "encoding", "quotes")
STDIN = Path("-")
# Rows that are looked at, and how many lines make a table if all its rows have as many cells.
LOOKED_AT, LEAST_LINES = 20, 3
# How the first line of JSON begins: of an object, or of an array of objects or texts.
JSON = re.compile(r'\s*(\{\s*("|\}?\s*$)|\[\s*(\{|"|\]?\s*$))')
KEYS = "format|columns|separator|encoding|quotes"
KEY = re.compile(rf"^({KEYS}|text)(?:: | (?=is |names ))|\b({KEYS}): |the key ({KEYS})\b", re.M)


def found(given: argparse.Namespace, kept: Kept) -> list[tuple[Place, str]]:
    """The texts with their places, of which there is one at least.

    `given`: the command line, with the texts as `given`. Raises UserError for what is no text.
    """
    options = [option for option in OF_FILES if getattr(given, option) is not None]
    if given.given and options:
        option = "text" if options[0] == "columns_of_text" else options[0]
        raise UserError(
            f"text {given.given[0]!r:.60} and --{option} are given; allowed: texts as"
            " arguments, or a file and what tells how it is read"
        )
    try:
        return list(_arguments(given.given)) or _in_file(given, kept)
    except UserError as error:
        raise UserError(KEY.sub(_option, str(error))) from None


def _option(key: re.Match[str]) -> str:
    """A key of `dataset` as an option of the command line."""
    name = key[1] or key[2] or key[3]
    return f"--{name}{' ' * key[0].endswith(' ')}"


def _arguments(given: Sequence[str]) -> Iterator[tuple[Place, str]]:
    for number, text in enumerate(given, start=1):
        if not text:
            raise UserError(f"text {number} is empty; allowed: a text")
        if byte := re.search("[\udc80-\udcff]", text):  # how Python holds what it cannot decode
            raise UserError(
                f"text {number} is not {sys.getfilesystemencoding().upper()} (byte"
                f" 0x{ord(byte[0]) - 0xDC00:02x}); allowed: a text in this encoding, or a file and"
                " --encoding"
            )
        yield Place(f"text {number}", number=number), text


def _in_file(given: argparse.Namespace, kept: Kept) -> list[tuple[Place, str]]:
    """The texts of a file, of standard input or of a folder."""
    path = given.file or STDIN
    name = "standard input" if path == STDIN else str(path)
    is_folder = is_dir(path)
    if is_folder and given.format:
        raise UserError(f"--format is for a file; {name} is a folder, in which each file is a text")
    format = "folder" if is_folder else given.format or format_by_name(name) or LINES
    reading = _reading(given, kept, format)
    mistakes = reading_mistakes(reading, {format}, labelled=False)
    hint = "; is it a table? Set --format csv" if format == LINES != given.format else ""
    door.refuse(each if each.startswith("encoding") else each + hint for each in mistakes)
    if is_folder:
        there = list(_in_folder(path, reading, kept))
    else:
        if path == STDIN:
            held = content.unpacked(sys.stdin.buffer.read(), name, format)
        else:
            held = content.read(path, name, format)
        if format == LINES:
            there = _lines(held, name, reading.encoding, None if given.format else kept)
        else:
            source = Source(name, name, cast(Format, format), held)
            there = list(texts.read_texts(source, reading))
    if not there:
        raise UserError(f"{name} holds no texts; allowed: at least one")
    return there


def _reading(given: argparse.Namespace, kept: Kept, format: str) -> Reading:
    """How a file is read: the columns are the model's own, unless they are given."""
    own, columns = kept.reading, given.columns_of_text
    stated: dict[str, Any] = {
        "text": columns,
        "columns": given.columns and given.columns.split(","),
        "separator": given.separator,
        "encoding": given.encoding,
        "quotes": {"true": True, "false": False}.get(given.quotes, given.quotes),
        # what a label may be tells a row from a line of a text
        "classes": list(map(list, own.named.items())) or list(kept.classes),
    }
    if format not in COLUMNLESS:
        stated |= {"text": columns or list(own.text_columns), "label": own.label_column}
    # "pandas" is for one file: it would pass over the mistakes of another
    if format in ("csv", "tsv") and given.quotes is None and own.quotes != "pandas":
        stated["quotes"] = own.quotes
    return door.read({key: value for key, value in stated.items() if value is not None}, Reading)


def _in_folder(folder: Path, reading: Reading, kept: Kept) -> Iterator[tuple[Place, str]]:
    """Each file as a text, whatever its name if the model learnt from such files."""
    for path in unlabelled(folder):
        if kept.reading.text is not None and (told := format_by_name(path.name)):
            raise UserError(
                f"{path}: the name tells the format {told}; allowed in a folder: a file for each"
                " text. A file with several is read as --file by itself"
            )
        yield texts.whole(path, reading)


def _lines(
    held: bytes, name: str, encoding: str | None, of_model: Kept | None
) -> list[tuple[Place, str]]:
    """A text on each line; empty lines are none.

    `of_model`: refuses what looks like a table that it may classify; None: a line is a text.
    """
    lines = content.lines(held, name, encoding)
    found = [(Place(name, "line", n), line.rstrip("\r\n")) for n, line in enumerate(lines, start=1)]
    found = [(place, line) for place, line in found if line.strip()]
    seems = found and of_model and _format_of([line for _, line in found], of_model)
    if seems:
        raise UserError(
            f"{found[0][0]} looks like {seems.partition(' ')[0].upper()}; allowed: --format"
            f" {seems}, or --format {LINES} where each line is a text"
        )
    return found


def _format_of(lines: Sequence[str], kept: Kept) -> str | None:
    """The format that a file seems to be of, with the options it needs; None if it is of texts."""
    columns = kept.reading.text_columns
    if JSON.match(lines[0]):
        return "jsonl"
    if [lines[0].strip(' "').lower()] == [name.lower() for name in columns]:
        return "csv"  # its line of names
    for format, separator in (("tsv", "\t"), ("csv", ","), ("csv", ";"), ("csv", "|")):
        if _is_table(lines, separator, kept):
            return format if separator in "\t," else f'{format} --separator "{separator}"'
    begin = [line.strip() for line in lines[:LOOKED_AT]]
    if len(begin) > 1 and all(line[0] == line[-1] == '"' != line for line in begin):
        return f"csv --columns {','.join(columns)}"
    return None


def _is_table(lines: Sequence[str], separator: str, kept: Kept) -> bool:
    """Whether lines begin as the rows of a table do: with names, a label, or as many cells."""
    first = [cell.strip(' "') for cell in lines[0].split(separator)]
    labels = {*kept.reading.named} or {*kept.classes}
    names = {name.lower() for name in kept.reading.text_columns}
    if len(first) > 1 and (
        names <= {cell.lower() for cell in first} or labels & {*first[:: len(first) - 1]}
    ):
        return True
    csv.field_size_limit(sys.maxsize)
    joined = islice(csv.reader(lines, delimiter=separator), LOOKED_AT)  # lines of a cell in quotes
    single = (line.split(separator) for line in lines[:LOOKED_AT])
    return len(lines) >= LEAST_LINES and any(map(_are_alike, (joined, single)))


def _are_alike(rows: Iterator[list[str]]) -> bool:
    """Whether several rows all have the same number of cells, and more than one."""
    widths = [len(row) for row in rows]
    return len(widths) > 1 and {*widths} == {max(widths[0], 2)}
