"""Checks a study's configuration and prints what a run will do; starts and writes nothing."""

import argparse
import itertools
import shlex
from collections.abc import Iterator
from pathlib import Path

from ablations import cli
from ablations.errors import UserError
from ablations.study import command, extends, jobs, needs, paths
from ablations.study.config import Study
from ablations.study.dataset import Shares
from ablations.study.grid import ask
from ablations.study.jobs import Jobs

GIGABYTE = 10**9
STATES = paths.STATE.split("{")[0]


def outlined(study: Study, directory: Path) -> Iterator[str]:
    """Lines that say what a run will do."""
    work = jobs.of_study(study)
    times = [(len(study.rows), "row")]
    times += [(len(study.folds), "fold")] if study.folds != (None,) else []
    times += [(len(study.seeds), "seed")]
    questions = sum(1 for _ in ask(study.questions, study.grids, {}))
    yield study.title.strip()
    yield (
        f"  to train: {' × '.join(itertools.starmap(cli.count, times))}"
        f" = {cli.count(len(work.runs), 'run')}; to answer: {cli.count(questions, 'question')}"
    )
    if (split := study.dataset.split) and split.folds:
        yield f"  each fold {_sizes(split, needs.count_to_cut(study.dataset))}"
    if study.references:
        yield f"  references that count, beside them: {', '.join(study.references)}"
    for grid in study.grids:
        varying = ", ".join(f"{len(values)} of {key}" for key, values in grid.values.items())
        yield f"  the grid {grid.id}: {cli.count(len(grid), 'row')} ({varying})"
    kinds = {
        "downloaded unless they are in the cache": [m.name for m in work.starts_from if m.hub],
        "pretrained here": [m.name for m in work.starts_from if m.pretrain],
        "read from your folders": [m.name for m in work.starts_from if m.folder],
    }
    for what, names in kinds.items():
        if names:
            yield f"  models {what}: {', '.join(names)}"
    yield f"  texts: {study.dataset.description}"
    yield from _estimated(work)
    yield f"  results go to {directory / paths.RESULTS}/"


def _sizes(split: Shares, count: int | None) -> str:
    """What a fold trains on, validates on and tests; shares where the texts are not counted yet."""
    validated, tested = split.validation, 1 / (split.folds or 1)
    if count is None:
        told = f"{split.training:.0%} of the texts", f"{validated:.0%}", f"{tested:.0%}"
    else:
        validation, test = int(validated * count), round(tested * count)
        told = f"{count - validation - test:,} texts", f"{validation:,}", f"{test:,}"
    return "trains on about {}, validates on {}, tests {}".format(*told)


def _estimated(work: Jobs) -> Iterator[str]:
    """What the study costs where there are no results yet."""
    found, study = work.total(), work.study
    minutes = found.seconds / 60
    time = f"about {minutes / 60:.0f} h" if minutes > 90 else f"about {minutes:.0f} minutes"
    parts = [
        f"{'a few minutes' if minutes < 10 else time} on two CPU cores (a GPU was not measured)",
        f"{found.memory_mb / 1000:.0f} GB of memory at most ({found.largest})",
        f"{_gigabytes(found.hidden_states_bytes)} of hidden states in {study.cache_dir}/",
    ]
    if found.state_bytes > GIGABYTE / 20:
        parts.append(
            f"up to {_gigabytes(found.state_bytes)} in {STATES} for the progress of each run"
            f" while it trains ({found.state_of})"
        )
    if found.download_bytes:
        parts.append(f"{_gigabytes(found.download_bytes)} of checkpoints to download")
    of_texts = ""
    if work.assumed:
        texts = work.texts
        of_texts = f", if there are {texts.count:,} texts of at most {texts.longest} tokens"
    yield f"  estimated, for a first run{of_texts}: {'; '.join(parts)}"
    if 0 < study.cache_gb < found.hidden_states_bytes / GIGABYTE:
        yield (
            f"  cache_gb: {study.cache_gb:g} does not hold all hidden states: some are deleted to"
            " make space for others, and computed again for a row that changes"
        )


def _gigabytes(size: int) -> str:
    return f"{size / GIGABYTE:.1f} GB"


def main(arguments: argparse.Namespace) -> None:
    """Prints what a run will do."""
    directory = arguments.directory
    study = extends.read_study(directory)
    command.refuse_home()
    command.refuse_files_in_the_way(directory)
    if any((directory / paths.LOCKS).glob("*")):
        option = "" if directory == Path() else f" --directory {shlex.quote(str(directory))}"
        raise UserError(
            f"{directory.absolute()} is locked: another run is working there, or a run was killed."
            " If none is working, run this first, then the same command again:\n"
            f"  .venv/bin/snakemake --unlock{option}"
        )
    print(*outlined(study, directory), sep="\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    command.add_directory(parser)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
