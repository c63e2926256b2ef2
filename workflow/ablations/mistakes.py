"""The test messages that rows get wrong, so that a reader sees what a difference is made of."""

import argparse
from pathlib import Path

import numpy as np

from ablations import cli, formats, results
from ablations.files import write_text
from ablations.results import Results

NAMES = {0: "ham", 1: "spam"}


def comma_separated(study: Results) -> str:
    """errors.csv: the messages that at least one run gets wrong, the most often missed first.

    `rows_wrong` counts rows, a row by its share of seeds. Each row has a column that says what it
    predicted: ham, spam, or the share of its seeds that said spam.
    """
    test = study.test
    missed = sum(1 - study.right(row).mean(0) for row in study.rows)  # [messages]
    spam = {row.id: np.mean([run.predicted for run in row.runs], 0) for row in study.rows}
    lines = [
        {
            "index": index,
            "text": test.texts[index],
            "label": NAMES[int(test.labels[index])],
            "in_training": str(bool(test.in_train[index])).lower(),
            "rows_wrong": f"{missed[index]:g}" if len(study.seeds) == 1 else f"{missed[index]:.2f}",
        }
        | {f"predicted_{id}": _prediction(float(share[index])) for id, share in spam.items()}
        for index in np.argsort(-missed, kind="stable").tolist()
        if missed[index] > 1e-9
    ]
    headings = ["index", "text", "label", "in_training", "rows_wrong"]
    return formats.comma_separated(lines, headings + [f"predicted_{id}" for id in spam])


def _prediction(spam: float) -> str:
    return NAMES[int(spam)] if spam in NAMES else f"{spam:.2f}"


def main(arguments: argparse.Namespace) -> None:
    """Writes errors.csv."""
    study = results.load(arguments.study, arguments.runs, arguments.data)
    write_text(arguments.output, comma_separated(study))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m ablations.mistakes", description=__doc__)
    results.add_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="errors.csv to write")
    cli.run(parser, main)
