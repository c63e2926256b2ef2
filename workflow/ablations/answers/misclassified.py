"""The test messages that rows get wrong: which messages a difference comes from."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablations import cli
from ablations.answers import formats
from ablations.answers.results import Labels, Results, TrainedRow, add_arguments, load
from ablations.files import write_text


def comma_separated(results: Results) -> str:
    """errors.csv: the messages that at least one run gets wrong, the most often missed first.

    `rows_wrong` counts rows, a row by its share of seeds. Each row has a column that says what it
    predicted, and with which share of its seeds where they differ.
    """
    test = results.test
    missed = rows_wrong(results)
    listed = most_often_missed(missed)
    one = len(results.seeds) == 1
    columns: dict[str, Sequence[Any]] = {
        "index": listed.tolist(),
        "text": [test.texts[index] for index in listed],
        "label": [test.classes[label] for label in test.labels[listed]],
        "in_training": [str(found).lower() for found in test.in_train[listed].tolist()],
        "near_training": [str(found).lower() for found in test.near_train[listed].tolist()],
        "rows_wrong": [f"{number:g}" if one else f"{number:.2f}" for number in missed[listed]],
    }
    for row in results.rows:
        columns[f"predicted_{row.id}"] = _predictions(row, listed, test.classes)
    lines = [dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)]
    return formats.comma_separated(lines, list(columns))


def rows_wrong(results: Results) -> NDArray[np.float64]:
    """How many rows get each test message wrong, a row by its share of seeds, [messages]."""
    return np.sum([1 - results.right(row).mean(0) for row in results.rows], axis=0)


def most_often_missed(missed: NDArray[np.float64]) -> Labels:
    """The test messages that any run gets wrong, the most often missed first."""
    order = np.argsort(-missed, kind="stable")
    return order[missed[order] > 1e-9]


def _predictions(row: TrainedRow, listed: Labels, classes: tuple[str, ...]) -> list[str]:
    """The class that most seeds predict for each of these messages, and their share if not all."""
    predicted = np.stack([run.predicted[listed] for run in row.runs])  # [seeds, listed]
    counts = np.stack([(predicted == label).sum(0) for label in range(len(classes))])
    most = len(classes) - 1 - counts[::-1].argmax(0)  # the last of several
    shares = counts.max(0) / len(predicted)
    return [
        classes[label] if share == 1 else f"{classes[label]} {share:.2f}"
        for label, share in zip(most, shares, strict=True)
    ]


def main(arguments: argparse.Namespace) -> None:
    """Writes errors.csv."""
    results = load(arguments.results, arguments.so_far)
    write_text(arguments.output, comma_separated(results))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    add_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="errors.csv to write")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
