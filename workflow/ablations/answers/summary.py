"""A finished study on one screen: its first table, a line for each answer, where to look next.

Reads what the table and the interpretation wrote, and says nothing that they do not.
"""

import argparse
import csv
import io
import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from ablations import cli
from ablations.answers import formats
from ablations.errors import UserError

PAGES = {
    "index.html": "table, answers and figures on one page, for a browser",
    "table.md": "the whole table, and what to know before believing it",
    "interpretation.md": "each answer, and what it rests on",
}
ONE_SEED = "One seed: a verdict is about two trained models, not about settings in general."


def lines(results: Path) -> Iterator[str]:
    """The summary. Raises UserError where table.md or comparisons.csv is missing."""
    yield from _first_table(_text(results / "table.md"))
    yield ""
    answers = list(_answers(results / "comparisons.csv"))
    yield from [*answers, ""] if answers else []
    for name, what in PAGES.items():
        if (results / name).is_file():
            yield f"{results / name}: {what}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror or error}; a run that finishes writes it"
        ) from None


def _first_table(markdown: str) -> Iterator[str]:
    """All of a Markdown text up to the end of its first table."""
    found = iter(markdown.splitlines())
    for line in found:
        if line.startswith("|"):
            yield line
            break
        plain = line.removeprefix("# ").removeprefix("> **").removesuffix("**")
        yield re.sub(r"\\(.)", r"\1", plain)  # as formats.text was given it
    yield from takewhile(lambda line: line.startswith("|"), found)


def _answers(path: Path) -> Iterator[str]:
    """`first-token against baseline: −26.86 points (−35.72 to −17.68): worse`, line by line."""
    answers = list(csv.DictReader(io.StringIO(_text(path), newline="")))
    if answers and answers[0]["seeds"] == "1":  # the same in every line
        yield ONE_SEED
    for found in answers:
        ends = ("difference", "difference_low", "difference_high")
        difference, low, high = (formats.points(float(found[end])) for end in ends)
        said = f"{difference} points ({low} to {high}): {found['verdict']}"
        if found["equivalent"] == "true":
            said += f", equivalent within ±{100 * float(found['margin']):g} points"
        if found["confounded"] == "true":
            said += " (they differ in more than one setting)"
        if found["claim"]:
            said += f"; published as {found['claim']}: {found['outcome']}"
        yield f"{found['variant']} against {found['baseline']}: {said}"


def main(arguments: argparse.Namespace) -> None:
    """Prints the summary."""
    print(*lines(arguments.results), sep="\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the study's results folder")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
