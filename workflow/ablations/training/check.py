"""Checks all rows against the texts, once the texts are encoded and before anything is computed.

    python -m ablations.training.check --rows results/rows/*.json --tokens … --output …

Each run checks its own row again. This program reports all rows at once, and hours earlier.
"""

import argparse
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from ablations import cli
from ablations.data import tokens
from ablations.data.sequences import sequences
from ablations.errors import UserError
from ablations.files import write_json
from ablations.study import cut, settings
from ablations.study.settings import Input, Settings
from ablations.training import limits


def mistakes(rows: Sequence[Settings], encoded: Sequence[Path], gigabytes: float) -> Iterator[str]:
    """A line for each row that the texts do not allow, with its first mistake.

    `encoded`: the file of each row's tokens.
    """
    read = functools.cache(tokens.read)

    @functools.cache
    def tokens_read(path: Path, input: Input) -> int:
        return len(sequences(read(path), input).ids)

    for row, path in zip(rows, encoded, strict=True):
        try:
            limits.refuse_training(row, read(path))
            size = limits.hidden_states_bytes(tokens_read(path, row.input), row.dimensions.n_embd)
            if cut.trunk(row, seed=0):
                limits.refuse_hidden_states(size, gigabytes)
        except UserError as error:
            yield f"rows: {row.row}: {error}"


def main(arguments: argparse.Namespace) -> None:
    """Refuses rows that these texts do not allow; writes the ids of the rows."""
    rows = [settings.read(path) for path in arguments.rows]
    found = list(mistakes(rows, arguments.tokens, arguments.cache_gb))
    if found:
        raise UserError("\n".join(["these rows do not fit the texts:", *found]))
    write_json(arguments.output, [row.row for row in rows])


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--rows", type=Path, nargs="+", required=True, help="the row files")
    parser.add_argument("--tokens", type=Path, nargs="+", required=True, help="those of each row")
    parser.add_argument("--cache-gb", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
