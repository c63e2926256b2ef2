"""Which runs of a study are finished, and for each other run whether it waits, runs or failed.

It reads only files, so it works while Snakemake runs, here or on a cluster, and after Snakemake was
killed.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from ablations import cli
from ablations.errors import UserError
from ablations.study import command, extends, jobs, paths
from ablations.study.config import Study
from ablations.study.jobs import Run
from ablations.training import logs, metrics


def lines(study: Study, folder: Path) -> Iterator[str]:
    """How many runs in a study's folder are finished, and a line for each other run.

    Then raises UserError if no run is finished, since there is no table without one.
    """
    results, runs = folder / paths.RESULTS, jobs.of_study(study).runs.values()
    waiting = [run for run in runs if not _is_finished(results, run)]
    yield f"{len(runs) - len(waiting)} of {len(runs)} runs are finished."
    at_work = any(paths.at(results, paths.LOCKS).glob("*"))
    for run in waiting:
        log = logs.current(results, run.row.settings, run.seed, run.fold)
        state = _state(log, at_work) if log else "has not started"
        yield f"  {run.row.id}, {run.in_words}: {state}"
    for log in sorted((folder / paths.LOGS).rglob("*.log")):
        is_other = log.relative_to(folder / paths.LOGS).parts[0] not in ("train", "so-far")
        if is_other and (reason := _failure(log)):
            yield f"  failed, not a run: {reason}; its log: {log}"
    if len(waiting) == len(runs):
        raise UserError(f"no run of {folder} is finished yet, so there is no table so far")


def _is_finished(results: Path, run: Run) -> bool:
    """Whether a run's metrics exist and belong to the row as it is now."""
    try:
        metrics.read(results, run.row.settings, run.seed, run.fold)
    except UserError:
        return False
    return True


def _state(log: Path, at_work: bool) -> str:
    if reason := _failure(log):
        return f"failed: {reason}; its log: {log}"
    said = cli.last_line(log) or "nothing yet"
    if not at_work:
        return f"was interrupted; its log ends with: {said}; its log: {log}"
    age = time.time() - log.stat().st_mtime
    ago = f"{age:.0f} s" if age < 120 else f"{age / 60:.0f} min"
    return f"has started; {ago} ago its log said: {said}; its log: {log}"


def _failure(log: Path) -> str | None:
    """The reason of a failure, with further lines indented; None where the log has none."""
    found = cli.failure(log)
    return found and "\n      ".join(found.splitlines())


def main(arguments: argparse.Namespace) -> None:
    """Prints the state of a study."""
    study = extends.read_study(arguments.directory)
    for line in lines(study, arguments.directory):
        print(line, flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    command.add_directory(parser)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
