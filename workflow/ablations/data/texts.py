"""Reads texts from CSV, TSV, JSON and Parquet files and from folders, for training and `predict`.

From here on a label is text: the number 3 is "3", and a truth value is "True" or "False", as in a
CSV file. Which labels are classes, and how texts are cut, is not known here.
"""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pandas as pd

from ablations.data import content, separated
from ablations.errors import Message, UserError
from ablations.sources.manifest import File
from ablations.study.dataset import Format, Reading, class_names
from ablations.study.labels import LONGEST_NAME, is_class_name, plain
from ablations.study.text_folders import text_files

MAX_CHARACTERS = 10_000_000  # of a text; no model here reads more than the first few thousand

LABELS = "texts, whole numbers or truth values"


class Place(NamedTuple):
    """Where a text stands, as messages name it: `reviews.csv: line 3`."""

    file: str
    unit: str = ""  # what is counted: line, row, object
    number: int = 1

    def __str__(self) -> str:
        return f"{self.file}: {self.unit} {self.number}" if self.unit else self.file


class Source(NamedTuple):
    """A file: its name in messages, its path, its format, and its content; of a folder none."""

    name: str
    path: str
    format: Format
    content: bytes


def read(files: Sequence[File], reading: Reading) -> pd.DataFrame:
    """The texts of all files in their order: the columns `Label`, `Text`, `where` and `split`.

    `where` is the place that messages name, such as "reviews.csv: line 3", `split` that of its
    file. Raises UserError, which names file, line and column, at the first text that is not
    allowed.
    """
    found = [
        (_label(place, label, reading), _text(place, cells, reading), str(place), file.split)
        for file in files
        for place, label, cells in _cells(_source(file), reading, labelled=True)
    ]
    return pd.DataFrame(found, columns=["Label", "Text", "where", "split"])


def read_texts(source: Source, reading: Reading) -> Iterator[tuple[Place, str]]:
    """The texts of a file and their places, whether or not they have labels.

    Raises UserError as `read` does.
    """
    for place, _, cells in _cells(source, reading, labelled=False):
        yield place, _text(place, cells, reading)


def names_in_schema(files: Sequence[File], reading: Reading) -> dict[str, str]:
    """The classes as the schema of Parquet files of the hub names them, and the first that does.

    None where it does not. Raises UserError where two files have other names.
    """
    found: dict[tuple[str, ...], str] = {}
    for file in files:
        if file.format == "parquet" and (
            names := _class_label(file.name, _schema(_source(file)), reading)
        ):
            found.setdefault(names, file.name)
    if len(found) > 1:
        (names, one), (others, other), *_ = found.items()
        raise UserError(
            f"{other}: its schema names the classes {listed(others)}, and that of {one}"
            f" {listed(names)}; allowed: the same names, or the key classes"
        )
    return {name: f"{file}: its schema" for names, file in found.items() for name in names}


def _source(file: File) -> Source:
    path = Path(file.path)
    held = b"" if file.format == "folder" else content.read(path, file.name, file.format)
    return Source(file.name, file.path, file.format, held)


Cells = Iterator[tuple[Place, Any, list[Any]]]  # place, label, what the columns of a text hold


def _cells(source: Source, reading: Reading, labelled: bool) -> Cells:
    if source.format == "folder":
        return _folder(source, reading)
    if source.format == "parquet":
        return _parquet(source, reading, labelled)
    if source.format == "jsonl":
        return _json(source, reading, labelled)
    return _separated(source, reading, labelled)


def _wanted(reading: Reading, labelled: bool) -> list[tuple[str, str]]:
    """The keys of the columns to read, and their names: the label last."""
    columns = [("text", column) for column in reading.text_columns]
    return [*columns, ("label", reading.label_column)] if labelled else columns


def _separated(source: Source, reading: Reading, labelled: bool) -> Cells:
    """Cells that are separated by commas, tabs or another character."""
    separator = reading.separator or ("," if source.format == "csv" else "\t")
    lines = content.lines(source.content, source.name, reading.encoding)
    wanted = _wanted(reading, labelled)
    rows = separated.rows(source.name, lines, separator, reading)
    columns = next(rows).cells
    _check_columns(source, columns, wanted, separator)
    at = [columns.index(name) for _, name in wanted]
    for row in rows:
        cells = [row.cells[number] for number in at]
        yield Place(source.name, "line", row.first), cells[-1], cells[: len(reading.text_columns)]


def _check_columns(
    source: Source, columns: Sequence[str], wanted: Sequence[tuple[str, str]], separator: str = ""
) -> None:
    """Refuses a file that lacks a column, or has it twice."""
    for key, column in wanted:
        if columns.count(column) == 1:
            continue
        found = "appears more than once" if column in columns else "is missing"
        hint = ""
        if alike := _alike(column, columns):
            hint = alike
        elif len(columns) == 1 and separator:
            other = next((each for each in ",;\t|" if each in columns[0]), None)
            hint = f'. Are they separated by {other!r}? Set separator: "{other}"' if other else ""
            hint = hint.replace("\t", "\\t")
        elif separator and column not in columns:
            hint = ". The first line names them; where it does not, set columns: [a name for each]"
        raise UserError(
            f"{source.name}: the column {column!r} ({key}) {found}; the columns are:"
            f" {listed(columns)}{hint}"
        )


def _alike(name: str, names: Sequence[str]) -> Message:
    """Which of the names was meant, if one only looks different from `name`."""
    near = next((each for each in names if each != name and plain(each) == plain(name)), None)
    return f". {near!r} differs in blanks, case or Unicode form alone" if near else ""


def _json(source: Source, reading: Reading, labelled: bool) -> Cells:
    wanted = [name for _, name in _wanted(reading, labelled)]
    for place, found in _json_values(source, reading, wanted):
        if not isinstance(found, dict):
            raise UserError(
                f"{place} is {short(found)}; allowed: a JSON object with the keys"
                f" {' and '.join(wanted)}"
            )
        for key in wanted:
            if key not in found:
                raise UserError(
                    f"{place}: the key {key!r} is missing; its keys are: {listed(list(found))}"
                    f"{_alike(key, list(found))}"
                )
        cells = [found[key] for key in wanted]
        yield place, cells[-1], cells[: len(reading.text_columns)]


def _json_values(
    source: Source, reading: Reading, keys: Sequence[str]
) -> Iterator[tuple[Place, Any]]:
    """The values on the lines of a file, or those of its array."""
    lines = content.lines(source.content, source.name, reading.encoding)
    is_array = next(filter(str.strip, lines), "").lstrip().startswith("[")
    parts = ["".join(lines)] if is_array else lines
    for number, part in enumerate(parts, start=1):
        place = Place(source.name) if is_array else Place(source.name, "line", number)
        if not part.strip():
            continue
        try:
            found = msgspec.json.decode(part)
            _check_keys_once(place, part, keys)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{place} is not JSON: {error}; allowed: an object on each line, or an array of"
                " objects"
            ) from None
        values = found if is_array else [found]
        for index, value in enumerate(values, start=1):
            yield (Place(source.name, "object", index) if is_array else place), value


def _check_keys_once(place: Place, part: str, keys: Sequence[str]) -> None:
    """Refuses an object that has one of these keys twice; a reader would take the last.

    The keys as they are meant: their letters may be escaped.
    """

    def once(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        for key in keys:
            if names.count(key) > 1:
                raise UserError(f"{place}: the key {key!r} appears more than once in an object")

    json.loads(part, object_pairs_hook=once)


def _parquet(source: Source, reading: Reading, labelled: bool) -> Cells:
    """The rows of an Apache Parquet file, counted from 1."""
    import pyarrow.parquet  # slow to import, and rarely needed

    schema, wanted = _schema(source), _wanted(reading, labelled)
    _check_columns(source, schema.names, wanted)
    names = [name for _, name in wanted]
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(source.content), columns=names)
        columns = [table[name].to_pylist() for name in names]
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"{source.name} cannot be read as Parquet: {error}") from None
    classes = dict(enumerate(_class_label(source.name, schema, reading) if labelled else ()))
    for number, cells in enumerate(zip(*columns, strict=True), start=1):
        label = classes.get(cells[-1], cells[-1]) if type(cells[-1]) is int else cells[-1]
        yield Place(source.name, "row", number), label, list(cells[: len(reading.text_columns)])


def _schema(source: Source) -> Any:
    """The schema of a Parquet file."""
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_schema(io.BytesIO(source.content))
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"{source.name} cannot be read as Parquet: {error}") from None


def _class_label(file: str, schema: Any, reading: Reading) -> tuple[str, ...]:
    """The names that a file of the library `datasets` gives the numbers in its labels' column.

    None where `classes` has others: then they are what it says.
    """
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        names = features[reading.label_column]["names"]
    except (TypeError, KeyError, ValueError):  # no such metadata, or of another kind
        return ()
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    own = {*reading.named} or {*class_names(reading)}
    if not is_list or (own and not own >= {*map(str.strip, names)}):
        return ()
    names = [name.strip() for name in names]
    for name in names:
        if names.count(name) > 1 or not is_class_name(name):
            raise UserError(
                f"{file}: its schema names the class {short(name)}"
                f"{' twice' * (names.count(name) > 1)}; allowed: each once, with 1 to"
                f" {LONGEST_NAME} characters that can be printed, or the key classes with others"
            )
    return tuple(names)


def _folder(source: Source, reading: Reading) -> Cells:
    """The files of the folders in a folder, which are named as their classes are."""
    for path in text_files(Path(source.path), reading):
        place, text = whole(path, reading)
        yield place, path.parent.name, [text]


def whole(path: Path, reading: Reading) -> tuple[Place, str]:
    """A file that is one text; raises UserError if it is empty or no text."""
    place = Place(path.as_posix())
    held = content.text(content.read(path, place.file, "folder"), place.file, reading.encoding)
    text = held.removesuffix("\n").removesuffix("\r")  # the last line's end
    if not text:
        raise UserError(f"{place} is empty; allowed: a text in every file")
    return place, _text(place, [text], reading)


# --- one cell


def _label(place: Place, found: Any, reading: Reading) -> str:
    column = f"{place}: {label_told(reading)}"
    if found is None or found != found or not str(found).strip():  # NaN differs from itself
        raise UserError(f"{column} is empty; allowed: a label on every line")
    if isinstance(found, float):
        raise UserError(f"{column} is {found}, a number with decimals; allowed: {LABELS}")
    if not isinstance(found, str | int):
        raise UserError(f"{column} is {short(found)}; allowed: {LABELS}")
    label = str(found).strip()
    if label in reading.named:
        return reading.named[label]
    if not is_class_name(label):
        raise UserError(
            f"{column} is {short(label)}; allowed: at most {LONGEST_NAME} characters that"
            " can be printed"
        )
    if reading.named:
        raise UserError(
            f"{column} is {label!r}; allowed: {listed(list(reading.named))}, which classes maps to"
            " names"
        )
    return label


def _text(place: Place, cells: Sequence[Any], reading: Reading) -> str:
    """The text that some columns hold, joined by line breaks; empty cells are left out.

    Beside others a cell of blanks is empty; alone it is a text.
    """
    parts = [cell for cell in cells if cell is not None and cell != ""]
    if len(cells) > 1:
        parts = [part for part in parts if not isinstance(part, str) or part.strip()]
    column = f"{place}: the column {' and '.join(map(repr, reading.text_columns))} (text)"
    if not parts:
        raise UserError(f"{column} is empty; allowed: a text on every line")
    for part in parts:
        if not isinstance(part, str):
            raise UserError(f"{column} is {short(part)}; allowed: a text")
    text = "\n".join(parts)
    if len(text) > MAX_CHARACTERS:
        raise UserError(
            f"{column} has {len(text):,} characters; allowed: at most {MAX_CHARACTERS:,}. Is a"
            " quote not closed? Where a quote is an ordinary character, set quotes: false"
        )
    return text


def label_told(reading: Reading) -> str:
    """What a label is called in messages: a column, or the name of a folder."""
    return f"the column {reading.label!r} (label)" if reading.label else "the folder (label)"


def short(found: object) -> str:
    """A value as a message shows it."""
    text = repr(found)
    return text if len(text) <= 60 else f"{text[:59]}…"


def listed(names: Sequence[str]) -> str:
    """Names as a message shows them."""
    shown = ", ".join(map(short, names[:20]))
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"
