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
tells its format. In a folder, and in the folders in it, each file is a text.
"""

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from ablations import cli
from ablations.data import tokenizer
from ablations.data.sequences import of_texts
from ablations.data.texts import Place
from ablations.data.tokens import Ids
from ablations.errors import UserError
from ablations.files import is_dir
from ablations.kept import given, model
from ablations.machine import device
from ablations.machine.memory import out_of_memory
from ablations.study.settings import Precision
from ablations.training.forward import freeze, token_ids, vectors

AT_A_TIME = 1024  # texts that the model reads before their classes are written


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

    def ids(self, texts: Sequence[str], places: Sequence[Place]) -> list[Ids]:
        """The token ids of each text, before they are cut.

        Raises UserError, which names the text by its place, for one that the row cannot read.
        """
        kept, row = self.kept, self.kept.settings
        found = self._tokenizer.encode(texts)
        if row.context_length == "variable":
            for place, each in zip(places, found, strict=True):
                if not 1 <= len(each) <= kept.context_tokens:
                    raise UserError(
                        f"{place} has {len(each)} tokens; row {row.row} reads texts without"
                        f" padding, allowed: 1 to {kept.context_tokens} tokens"
                    )
        return found

    def logits(self, ids: Sequence[Ids]) -> Tensor:
        """[texts, classes], float32 on the CPU, of texts as `ids` gives them."""
        kept, settings = self.kept, self.kept.settings
        closing = self._tokenizer.closing
        sequences = of_texts(ids, settings.input, kept.context_tokens, kept.padding_id, closing)
        inputs = token_ids(sequences, settings.input.causal_mask)
        with out_of_memory():
            return vectors(self._layers, inputs, len(kept.classes), self.machine)


def main(arguments: argparse.Namespace) -> None:
    """Writes the class of each text to standard output."""
    kept = model.about(arguments.model)
    found = given.found(arguments, kept)
    places, texts = [place for place, _ in found], [text for _, text in found]
    classifier = Classifier(arguments.model, arguments.threads, arguments.precision)
    ids = classifier.ids(texts, places)
    try:
        if len(arguments.given) == 1:
            _write_one(classifier, ids)
        else:
            of_files = arguments.file is not None and is_dir(arguments.file)
            _write_all(classifier, places, texts, ids, of_files)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has stopped reading
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_one(classifier: Classifier, ids: Sequence[Ids]) -> None:
    probabilities = classifier.logits(ids)[0].softmax(0)
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
        shares = classifier.logits(ids[part]).softmax(1).tolist()
        for place, text, each in zip(places[part], texts[part], shares, strict=True):
            most = max(each)
            numbers = (f"{share:.6f}" for share in (most, *each))
            where = place.file if of_files else place.number
            lines.writerow([where, text, classes[each.index(most)], *numbers])


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
    parser.add_argument(
        "--format", choices=given.FORMATS, help="if the file's name does not end so"
    )
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
