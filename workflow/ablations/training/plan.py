"""Checks a study's configuration and says what a run of it will do; starts and writes nothing."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

from ablations import cli
from ablations.errors import UserError
from ablations.study import config, reading
from ablations.study.config import Study


def read_study(file: Path, base: Path, directory: Path) -> Study:
    """The study of a configuration file, as the Snakefile reads it.

    Without rows it changes `base`; models in folders are relative to `directory`. Raises UserError
    with a line for each mistake.
    """
    found = reading.read(file)
    if "rows" not in found:
        found = reading.overlay(reading.read(base), found)
    if not directory.is_dir():
        raise UserError(f"{directory} is no folder; --directory names the study's")
    try:
        with contextlib.chdir(directory):
            return config.parse(found)
    except config.ConfigError as error:
        raise UserError(f"{file} is not valid:\n{error}") from None


def outlined(study: Study, directory: Path) -> Iterator[str]:
    """Lines that say what a run will do."""
    rows, seeds = len(study.rows), len(study.seeds)
    yield study.title.strip()
    yield (
        f"  to train: {_count(rows, 'row')} × {_count(seeds, 'seed')}"
        f" = {_count(rows * seeds, 'run')}; to answer: {_count(len(study.questions), 'question')}"
    )
    models = {
        row.model.name: row.model for row in study.rows if row.settings.weights == "pretrained"
    }
    kinds = {
        "downloaded unless they are here": [m.name for m in models.values() if m.hub],
        "pretrained here": [m.name for m in models.values() if m.pretrain],
        "read from your folders": [m.name for m in models.values() if m.folder],
    }
    for what, names in kinds.items():
        if names:
            yield f"  models {what}: {', '.join(names)}"
    yield f"  texts: {study.dataset.description}"
    yield f"  results go to {directory / 'results'}/"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def main(arguments: argparse.Namespace) -> None:
    """Prints what a run will do."""
    study = read_study(arguments.configfile, arguments.base, arguments.directory)
    print(*outlined(study, arguments.directory), sep="\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--configfile", type=Path, required=True, help="the study's config.yaml")
    parser.add_argument(
        "--base",
        type=Path,
        default=Path("config.yaml"),
        help="what a configuration without rows changes (config.yaml)",
    )
    parser.add_argument(
        "--directory", type=Path, default=Path(), help="the study's folder (here, unless given)"
    )
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
