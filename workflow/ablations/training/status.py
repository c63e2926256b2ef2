"""Which runs of a study are finished, and of each other one whether it waits, runs or failed.

Reads results and logs alone, so it can be asked while Snakemake runs, here or on a cluster, and
when it was killed.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from ablations import cli
from ablations.errors import UserError
from ablations.files import read_json
from ablations.study.config import Row, Study
from ablations.training import plan
from ablations.training.metrics import Metrics


def lines(study: Study, folder: Path) -> Iterator[str]:
    """What is finished in a study's folder, and a line for each run that is not.

    Raises UserError after them where none is: then there is no table of them either.
    """
    runs = [(row, seed) for row in study.rows for seed in study.seeds]
    logs = {
        f"{row.id}, seed {seed}": folder / f"logs/train/{row.id}/seed-{seed}.log"
        for row, seed in runs
        if not _is_finished(folder / f"results/runs/{row.id}/seed-{seed}/metrics.json", row)
    }
    yield f"{len(runs) - len(logs)} of {len(runs)} runs are finished."
    for name, log in logs.items():
        yield f"  {name}: {_state(log)}"
    for log in sorted((folder / "logs").rglob("*.log")):
        if log not in logs.values() and (reason := _failure(log)):
            yield f"  failed, not a run: {reason}; its log: {log}"
    if len(logs) == len(runs):
        raise UserError(f"no run of {folder} is finished yet, so there is no table so far")


def _is_finished(path: Path, row: Row) -> bool:
    """Whether a run's metrics are there, and of the row as it is now."""
    try:
        return read_json(path, Metrics).settings == row.settings
    except UserError:
        return False


def _state(log: Path) -> str:
    if reason := _failure(log):
        return f"failed: {reason}; its log: {log}"
    try:
        age = time.time() - log.stat().st_mtime
    except OSError:
        return "waits for its turn"
    said = cli.last_line(log)
    ago = f"{age:.0f} s" if age < 120 else f"{age / 60:.0f} min"
    return f"has started; {ago} ago its log said: {said or 'nothing yet'}; its log: {log}"


def _failure(log: Path) -> str | None:
    """Why it failed, further lines indented; None where the log does not say so."""
    found = cli.failure(log)
    return found and "\n      ".join(found.splitlines())


def main(arguments: argparse.Namespace) -> None:
    """Prints the state of a study."""
    study = plan.read_study(arguments.configfile, arguments.base, arguments.directory)
    for line in lines(study, arguments.directory):
        print(line, flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    plan.add_arguments(parser)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
