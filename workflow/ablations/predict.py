"""Classifies texts with a model that a row with `save_model: true` kept.

    python -m ablations.predict results/models/baseline/seed-123 "WINNER!! Call now"
    python -m ablations.predict results/models/baseline/seed-123 --file texts.csv --text body
    python -m ablations.predict results/models/baseline/seed-123 < one-text-a-line.txt

Each text is cut and padded as the row's texts were in training, so its prediction does not depend
on the other texts. For one text it prints the probability of each class; for several, CSV with the
line or file of each text, its most probable class and the probability of each.

Files are read and refused as in training: CSV, TSV, JSON lines or an array, Parquet, compressed
with gzip or not. The texts stand in the columns that the model learnt from, whether or not there
are labels. A file of another name, and standard input, has a text on each line, unless --format
tells its format. In a folder, or in the folders in it, each file is a text.
"""

import argparse
import csv
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import torch
from torch import Tensor

from ablations import cli
from ablations.data import content, texts, tokenizer
from ablations.data.sequences import of_texts
from ablations.data.texts import Place, Source
from ablations.data.tokens import Ids
from ablations.errors import UserError
from ablations.kept import model
from ablations.kept.model import Kept
from ablations.machine import device
from ablations.machine.memory import out_of_memory
from ablations.study import door
from ablations.study.dataset import Reading, format_by_name
from ablations.study.settings import Precision
from ablations.study.text_folders import unlabelled
from ablations.training.forward import forward, freeze, token_ids
from ablations.training.inputs import batches

AT_A_TIME = 1024  # texts that the model reads before their classes are written
LINES = "lines"  # the format with a text on each line
STDIN = Path("-")
# Lines that are looked at, and how many of them make a table if all have as many cells.
LOOKED_AT, LEAST_ROWS = 20, 3
OF_FILES = ("file", "columns_of_text", "format", "columns", "separator", "encoding", "quotes")


class Classifier:
    """A kept model on this machine's device."""

    def __init__(self, folder: Path, threads: int, precision: str | None = None) -> None:
        """`precision`: None for the row's. Raises UserError where the folder lacks a file."""
        self.kept = model.about(folder)
        settings = self.kept.settings
        self.machine = device.current(precision or settings.training.precision, threads)
        self._tokenizer = tokenizer.named(self.kept.tokenizer, folder)
        with out_of_memory():
            self._layers = freeze(model.read(folder, self.kept), self.machine)

    def ids(self, texts: Sequence[str], places: Sequence[object] = ()) -> list[Ids]:
        """The token ids of each text, before they are cut.

        Raises UserError, which names the text by its place, for one that the row cannot read.
        """
        kept, row = self.kept, self.kept.settings
        found = self._tokenizer.encode(texts)
        if row.context_length == "variable":
            for number, each in enumerate(found):
                if not 1 <= len(each) <= kept.context_tokens:
                    place = places[number] if places else f"text {number + 1}"
                    raise UserError(
                        f"{place} has {len(each)} tokens; row {row.row} reads texts without"
                        f" padding, allowed: 1 to {kept.context_tokens} tokens"
                    )
        return found

    def logits(self, texts: Sequence[str]) -> Tensor:
        """[texts, classes], float32 on the CPU; raises UserError as `ids` does."""
        return self.logits_of(self.ids(texts))

    def logits_of(self, ids: Sequence[Ids]) -> Tensor:
        """[texts, classes], float32 on the CPU, of texts as `ids` gives them."""
        kept, settings = self.kept, self.kept.settings
        closing = self._tokenizer.closing
        sequences = of_texts(ids, settings.input, kept.context_tokens, kept.padding_id, closing)
        inputs = token_ids(sequences, settings.input.causal_mask)
        logits = torch.empty(len(ids), len(kept.classes))
        parts = list(batches(inputs.lengths()))
        outputs = forward(self._layers, inputs, parts, self.machine)
        with out_of_memory():
            for part, output in zip(parts, outputs, strict=True):
                logits[torch.from_numpy(part)] = output
        return logits


def main(arguments: argparse.Namespace) -> None:
    """Writes the class of each text to standard output."""
    given = [option for option in OF_FILES if getattr(arguments, option) is not None]
    if arguments.given and given:
        option = "text" if given[0] == "columns_of_text" else given[0]
        raise UserError(
            f"text {arguments.given[0]!r:.60} and --{option} are given; allowed: texts as"
            " arguments, or a file and what tells how it is read"
        )
    kept = model.about(arguments.model)
    found = list(_arguments(arguments.given) or _in_file(arguments, kept))
    places, texts = [place for place, _ in found], [text for _, text in found]
    classifier = Classifier(arguments.model, arguments.threads, arguments.precision)
    ids = classifier.ids(texts, places)
    try:
        if len(arguments.given) == 1:
            _write_one(classifier, ids)
        else:
            of_files = arguments.file is not None and arguments.file.is_dir()
            _write_all(classifier, places, texts, ids, of_files)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has stopped reading
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_one(classifier: Classifier, ids: Sequence[Ids]) -> None:
    probabilities = classifier.logits_of(ids)[0].softmax(0)
    width = max(map(len, classifier.kept.classes))
    for label in probabilities.argsort(descending=True).tolist():
        print(f"{classifier.kept.classes[label]:{width}}  {probabilities[label]:7.2%}")


def _write_all(
    classifier: Classifier,
    places: Sequence[Place],
    texts: Sequence[str],
    ids: Sequence[Ids],
    of_files: bool,
) -> None:
    classes = classifier.kept.classes
    lines = csv.writer(sys.stdout, lineterminator="\n")
    header = [
        "file" if of_files else "line",
        "text",
        "class",
        "probability",
        *(f"probability_{name}" for name in classes),
    ]
    lines.writerow(header)
    for first in range(0, len(ids), AT_A_TIME):
        part = slice(first, first + AT_A_TIME)
        shares = classifier.logits_of(ids[part]).softmax(1).tolist()
        for place, text, each in zip(places[part], texts[part], shares, strict=True):
            most = max(each)
            numbers = (f"{share:.6f}" for share in (most, *each))
            where = place.file if of_files else place.number
            lines.writerow([where, text, classes[each.index(most)], *numbers])


# --- what is classified


def _arguments(given: Sequence[str]) -> list[tuple[Place, str]]:
    """The texts of the command line."""
    for number, text in enumerate(given, start=1):
        if not text:
            raise UserError(f"text {number} is empty; allowed: a text")
    return [(Place(f"text {n}", number=n), text) for n, text in enumerate(given, start=1)]


def _in_file(arguments: argparse.Namespace, kept: Kept) -> list[tuple[Place, str]]:
    """The texts of a file or of standard input; raises UserError where there are none."""
    path = arguments.file or STDIN
    name = "standard input" if path == STDIN else str(path)
    format: Any = arguments.format or format_by_name(name) or LINES
    try:
        reading = _reading(arguments, kept)
        if path.is_dir():
            return [texts.whole(file, reading) for file in unlabelled(path)]
        if path == STDIN:
            held = content.unpacked(sys.stdin.buffer.read(), name, format)
        else:
            held = content.read(path, name, format)
        if format == LINES:
            found = _lines(held, name, reading, is_sure=arguments.format == LINES)
        else:
            found = list(texts.read_texts(Source(name, name, format, held), reading))
    except UserError as error:
        raise UserError(_with_options(str(error))) from None
    if not found:
        raise UserError(f"{name} holds no texts; allowed: at least one")
    return found


def _reading(arguments: argparse.Namespace, kept: Kept) -> Reading:
    """How a file is read: the columns are the model's own, unless they are given."""
    quotes = {"true": True, "false": False}.get(arguments.quotes, arguments.quotes)
    stated: dict[str, Any] = {
        "text": arguments.columns_of_text or list(kept.reading.text_columns),
        "label": kept.reading.label_column,
        "columns": arguments.columns and arguments.columns.split(","),
        "separator": arguments.separator,
        "encoding": arguments.encoding,
        "quotes": quotes,
        # what a label may be tells a row from a line of a text
        "classes": list(map(list, kept.reading.named.items())) or list(kept.classes),
    }
    return door.read({key: value for key, value in stated.items() if value is not None}, Reading)


def _lines(held: bytes, name: str, reading: Reading, is_sure: bool) -> list[tuple[Place, str]]:
    """A text on each line; empty lines are none. Refuses what is a table, unless that is denied."""
    lines = content.lines(held, name, reading.encoding)
    found = [(Place(name, "line", n), line.rstrip("\r\n")) for n, line in enumerate(lines, start=1)]
    found = [(place, line) for place, line in found if line.strip()]
    seems = found and not is_sure and _format_of([line for _, line in found[:LOOKED_AT]], reading)
    if seems:
        raise UserError(
            f"{found[0][0]} looks like {seems.upper()}; allowed: --format {seems}, or --format"
            f" {LINES} where each line is a text"
        )
    return found


def _format_of(lines: Sequence[str], reading: Reading) -> str | None:
    """The format that a file's first lines seem to be of; None if they are texts."""
    first = lines[0]
    if re.match(r"\s*(\[\s*)?(\{|$)", first):
        try:
            msgspec.json.decode(first)
        except ValueError:
            return "jsonl" if first.lstrip().startswith("[") else None
        return "jsonl"
    names = {name.lower() for name in reading.text_columns}
    labels = {*reading.named} or set(map(str, reading.classes or ()))
    for format, separator in (("tsv", "\t"), ("csv", ","), ("csv", ";")):
        cells = [cell.strip(' "') for cell in first.split(separator)]
        if names <= {cell.lower() for cell in cells}:  # its line of names
            return format if len(cells) > 1 else "csv"
        if len(cells) > 1 and (cells[-1] in labels or cells[0] in labels):
            return format
        widths = {len(row) for row in csv.reader(lines, delimiter=separator)}
        if len(lines) >= LEAST_ROWS and len(widths) == 1 and widths != {1}:
            return format
    return None


def _with_options(message: str) -> str:
    """A message about keys of `dataset` as one about the options here."""
    keys = "format|columns|separator|encoding|quotes"
    return re.sub(rf"\b(?:({keys}): |the key ({keys})\b)", _option, message)


def _option(found: re.Match[str]) -> str:
    return f"--{found[1]} " if found[1] else f"--{found[2]}"


def _threads(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: a number from 1 on")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", type=Path, help="the folder of a kept model")
    parser.add_argument("given", nargs="*", metavar="text", help="none: those of a file")
    parser.add_argument("--file", type=Path, help="- or none: standard input")
    parser.add_argument(
        *("--text", "--column"),
        dest="columns_of_text",
        action="append",
        metavar="NAME",
        help="the column of the texts; given several times, these are joined",
    )
    formats = ["csv", "tsv", "jsonl", "parquet", LINES]
    parser.add_argument("--format", choices=formats, help="if the file's name does not end so")
    parser.add_argument("--columns", help="names, with commas: of a file without a line of names")
    parser.add_argument("--separator", help="of cells, where it is not the format's")
    parser.add_argument("--encoding", help="where it is not UTF-8")
    parser.add_argument("--quotes", choices=["true", "false", "pandas"], help="see docs/texts.md")
    parser.add_argument(
        "--precision", choices=get_args(Precision), help="the row's own unless given"
    )
    parser.add_argument("--threads", type=_threads, default=torch.get_num_threads())
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
