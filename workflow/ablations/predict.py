"""Classifies texts with a model that a row with `save_model: true` kept.

    python -m ablations.predict results/models/baseline/seed-123 "WINNER!! Call now"
    python -m ablations.predict results/models/baseline/seed-123 --file texts.csv --column body
    python -m ablations.predict results/models/baseline/seed-123 < one-text-a-line.txt

Each text is cut and padded as the row's texts were in training, so its prediction does not depend
on the other texts. For one text it prints the probability of each class; for several, CSV with the
most probable class of each text.
"""

import argparse
import csv
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO, get_args

import torch
from torch import Tensor

from ablations import cli
from ablations.data import vocabulary
from ablations.data.encode import encode
from ablations.data.sequences import of_texts
from ablations.errors import UserError
from ablations.kept import model
from ablations.machine import device
from ablations.machine.memory import out_of_memory
from ablations.study.folder import IDS, MERGES
from ablations.study.settings import Precision
from ablations.training.forward import forward, freeze, token_ids
from ablations.training.inputs import batches

AT_A_TIME = 1024  # texts held in memory


class Classifier:
    """A kept model on this machine's device."""

    def __init__(self, folder: Path, threads: int, precision: str | None = None) -> None:
        """`precision`: None for the row's. Raises UserError where the folder lacks a file."""
        self.kept = model.about(folder)
        settings = self.kept.settings
        self.machine = device.current(precision or settings.training.precision, threads)
        words = vocabulary.read(folder / IDS, folder / MERGES)
        self._encoding = words.encoding(self.kept.tokenizer)
        with out_of_memory():
            self._layers = freeze(model.read(folder, self.kept), self.machine)

    def logits(self, texts: Sequence[str], first: int = 1) -> Tensor:
        """[texts, classes], float32 on the CPU.

        Raises UserError for a text that the row cannot read; texts are counted from `first`.
        """
        kept, settings = self.kept, self.kept.settings
        ids = encode(self._encoding, list(texts))
        if settings.context_length == "variable":
            for number, found in enumerate(ids, start=first):
                if not 1 <= len(found) <= kept.context_tokens:
                    raise UserError(
                        f"text {number} has {len(found)} tokens; row {settings.row} reads texts"
                        f" without padding, allowed: 1 to {kept.context_tokens} tokens"
                    )
        sequences = of_texts(ids, settings.input, kept.context_tokens, kept.padding_id)
        inputs = token_ids(sequences, settings.causal_mask)
        logits = torch.empty(len(texts), len(kept.classes))
        parts = list(batches(inputs.lengths()))
        outputs = forward(self._layers, inputs, parts, self.machine)
        with out_of_memory():
            for part, output in zip(parts, outputs, strict=True):
                logits[torch.from_numpy(part)] = output
        return logits


def main(arguments: argparse.Namespace) -> None:
    """Writes the class of each text to standard output."""
    for option in ("file", "column"):
        if arguments.text and getattr(arguments, option) is not None:
            raise UserError(
                f"text {arguments.text[0]!r:.60} and --{option} are given; allowed: texts as"
                " arguments, or --file and --column"
            )
    classifier = Classifier(arguments.model, arguments.threads, arguments.precision)
    try:
        if len(arguments.text) == 1:
            _write_one(classifier, arguments.text[0])
        else:
            _write_all(classifier, arguments.text or _texts(arguments.file, arguments.column))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has stopped reading
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_one(classifier: Classifier, text: str) -> None:
    probabilities = classifier.logits([text])[0].softmax(0)
    width = max(map(len, classifier.kept.classes))
    for label in probabilities.argsort(descending=True).tolist():
        print(f"{classifier.kept.classes[label]:{width}}  {probabilities[label]:7.2%}")


def _write_all(classifier: Classifier, texts: Iterable[str]) -> None:
    lines = csv.writer(sys.stdout, lineterminator="\n")
    left, number = iter(texts), 1
    while part := list(itertools.islice(left, AT_A_TIME)):
        found, labels = classifier.logits(part, number).softmax(1).max(1)
        if number == 1:  # not before the first texts were read without an error
            lines.writerow(["text", "class", "probability"])
        for text, probability, label in zip(part, found.tolist(), labels.tolist(), strict=True):
            lines.writerow([text, classifier.kept.classes[label], f"{probability:.6f}"])
        number += len(part)


def _texts(path: Path | None, column: str | None) -> Iterator[str]:
    """The texts of a file or of standard input: a column of CSV, or lines."""
    name = str(path or "standard input")
    try:
        if path is None:
            sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict", newline="")  # type: ignore[union-attr]
            yield from _read(sys.stdin, name, column, table=column is not None)
        else:
            with path.open(encoding="utf-8-sig", newline="") as file:
                table = column is not None or path.suffix.lower() == ".csv"
                yield from _read(file, name, column, table)
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 text: {error}") from None
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}") from None


def _read(file: TextIO, name: str, column: str | None, table: bool) -> Iterator[str]:
    if not table:
        yield from (line.rstrip("\r\n") for line in file)
        return
    csv.field_size_limit(sys.maxsize)
    lines = csv.DictReader(file)
    wanted = (column or "text").lower()
    try:
        columns = list(lines.fieldnames or [])
        key = next((each for each in columns if each == column), None)
        key = key or next((each for each in columns if each.lower() == wanted), None)
        if key is None:
            raise UserError(
                f"{name} has no column {column or 'text'}; found: {', '.join(columns) or 'nothing'}"
                " (--column names the one with the texts)"
            )
        for line in lines:
            yield line[key] or ""  # None where a line is short
    except csv.Error as error:
        raise UserError(f"{name}, line {lines.line_num}: {error}") from None


def _threads(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: a number from 1 on")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", type=Path, help="the folder of a kept model")
    parser.add_argument("text", nargs="*", help="none: those of --file or standard input")
    parser.add_argument("--file", type=Path, help="CSV where its name ends so, else lines")
    parser.add_argument("--column", help="of CSV, also on standard input; text unless given")
    parser.add_argument(
        "--precision", choices=get_args(Precision), help="the row's own unless given"
    )
    parser.add_argument("--threads", type=_threads, default=torch.get_num_threads())
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
