"""What is wrong with a file that a user asks for, or with the folder that a study runs in."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from ablations.study import paths
from ablations.study.jobs import Jobs
from ablations.study.messages import unknown

OF_ROWS = (paths.RUN, paths.KEPT, paths.ROW)


def misnamed(target: str, jobs: Jobs) -> Iterator[str]:
    """What is wrong with a target that should name a row, or one of its runs.

    Snakemake's own message does not say which one was meant.
    """
    path = os.path.relpath(target or ".")  # as Snakemake names its files
    named = {pattern: found for pattern in OF_ROWS if (found := paths.read(path, pattern))}
    if not named:
        return
    ((pattern, found),) = named.items()
    row, seeds = found["row"], list(map(str, jobs.study.seeds))
    of_kept = pattern == paths.KEPT or path.endswith(Path(paths.TRAINED).name)
    if row not in jobs.rows:
        yield f"{target} names no row: {unknown(row, jobs.rows)}"
    elif found.get("seed", seeds[0]) not in seeds:
        yield f"{target} names no seed: {unknown(found['seed'], seeds)}"
    elif of_kept and not jobs.rows[row].save_model:
        yield f"{target}: the row {row} keeps no model; to keep it, set save_model: true in the row"
    elif Path(target).is_absolute():
        yield f"{target} is an absolute path; allowed: {path}, relative to the study's folder"


def elsewhere(file: Path, directory: Path) -> Iterator[str]:
    """A note where a study's folder is not the directory in which it runs and keeps its results."""
    if file.is_relative_to(directory) and file.parent != directory:
        folder = file.parent.relative_to(directory)
        yield (
            f"The results of {folder / file.name} go to {paths.RESULTS}/ of this folder, together"
            f" with those of other studies. To keep them in {folder}/{paths.RESULTS}/, add:"
            f" --directory {shlex.quote(str(folder))}"
        )
