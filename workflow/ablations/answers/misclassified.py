"""The test messages that rows get wrong, so that a reader sees what a difference is made of."""

import argparse
from pathlib import Path

import numpy as np

from ablations import cli
from ablations.answers import formats
from ablations.answers.results import Results, add_arguments, load, most_frequent
from ablations.files import write_text


def comma_separated(results: Results) -> str:
    """errors.csv: the messages that at least one run gets wrong, the most often missed first.

    `rows_wrong` counts rows, a row by its share of seeds. Each row has a column that says what it
    predicted, and with which share of its seeds where they differ.
    """
    test = results.test
    missed = sum(1 - results.right(row).mean(0) for row in results.rows)  # [messages]
    predicted = {row.id: np.stack([run.predicted for run in row.runs]) for row in results.rows}
    one = len(results.seeds) == 1
    lines = [
        {
            "index": index,
            "text": test.texts[index],
            "label": test.classes[test.labels[index]],
            "in_training": str(bool(test.in_train[index])).lower(),
            "rows_wrong": f"{missed[index]:g}" if one else f"{missed[index]:.2f}",
        }
        | {
            f"predicted_{id}": _prediction(*most_frequent(labels[:, index], test.classes))
            for id, labels in predicted.items()
        }
        for index in np.argsort(-missed, kind="stable").tolist()
        if missed[index] > 1e-9
    ]
    headings = ["index", "text", "label", "in_training", "rows_wrong"]
    return formats.comma_separated(lines, headings + [f"predicted_{id}" for id in predicted])


def _prediction(name: str, share: float) -> str:
    return name if share == 1 else f"{name} {share:.2f}"


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
