"""Answers a study's questions: table, interpretation, figures, page, and the numbers behind them.

    python -m ablations.answers.write --results results --output results

With --so-far it answers what the rows that are finished can.
"""

import argparse
from pathlib import Path

from ablations import cli
from ablations.answers.compute import Answers, compute
from ablations.answers.finished import load
from ablations.answers.written import figures, interpretation, numbers, page, table, terminal
from ablations.files import whole


def files(answers: Answers) -> dict[str, bytes]:
    """Every file by its path in the folder of the answers."""
    drawn = figures.draw(answers)
    texts = {
        "table.md": table.markdown(answers),
        "table.tex": table.tex(answers),
        "table.csv": numbers.rows(answers),
        "classes.csv": numbers.classes(answers),
        "interpretation.md": interpretation.markdown(answers),
        "comparisons.csv": numbers.comparisons(answers),
        "errors.csv": numbers.errors(answers),
        "summary.txt": terminal.summary(answers),
        "index.html": page.page(answers, drawn, figures.draw_differences(answers)),
    }
    written = {name: text.encode() for name, text in texts.items()}
    return written | {f"figures/{name}.svg": svg for name, svg in drawn.items()}


def main(arguments: argparse.Namespace) -> None:
    """Writes every file, or none."""
    answers = compute(load(arguments.results, arguments.so_far))
    written = files(answers)
    if arguments.png:
        drawn = figures.draw(answers, "png")
        written |= {f"figures/{name}.png": png for name, png in drawn.items()}
    for name, content in written.items():
        with whole(arguments.output / name) as temporary:
            temporary.write_bytes(content)
    rows, comparisons = len(answers.rows), len(answers.comparisons)
    cli.log.info("%s, %s", cli.count(rows, "row"), cli.count(comparisons, "comparison"))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the study's results folder")
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    parser.add_argument(
        "--so-far",
        action="store_true",
        help="answer what the rows that are finished can, and say which are missing",
    )
    parser.add_argument("--png", action="store_true", help="write the figures as PNG too")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
