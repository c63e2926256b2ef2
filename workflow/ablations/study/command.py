"""What a command asks for: which study, which of its files, in which folder."""

import os
import shlex
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from ablations.errors import UserError
from ablations.study import config, paths, reading
from ablations.study.config import Study
from ablations.study.jobs import Jobs
from ablations.study.messages import unknown

OF_ROWS = (paths.RUN, paths.KEPT, paths.ROW)


def study(found: dict[str, Any], given: Collection[str], files: Iterable[Path]) -> Study:
    """The study of a configuration as Snakemake has merged it from `files` and `--config`.

    `given`: the keys of `--config`, whose values are typed in `found`, too. Raises UserError.
    """
    for key in given & found.keys():
        if key == "rows":
            raise UserError("--config cannot give rows; write them into a --configfile")
        # within lists and mappings Snakemake leaves numbers as text: seeds=[1,2]
        found[key] = reading.typed(found[key])
    for file in files:
        reading.read(file)  # Snakemake accepts a key that appears twice
    return config.parse(found)


def misnamed(targets: Iterable[str], jobs: Jobs) -> Iterator[str]:
    """What is wrong with targets that should name a row, or one of its runs.

    Snakemake's own message does not say which one was meant.
    """
    for target in targets:
        path = os.path.relpath(target or ".")  # as Snakemake names its files
        for pattern in OF_ROWS:
            if named := paths.read(path, pattern):
                yield from _misnamed(target, path, pattern, named, jobs)


def _misnamed(
    target: str, path: str, pattern: str, named: dict[str, str], jobs: Jobs
) -> Iterator[str]:
    row, seeds = named["row"], list(map(str, jobs.study.seeds))
    of_kept = pattern == paths.KEPT or path.endswith(Path(paths.TRAINED).name)
    if row not in jobs.rows:
        yield f"{target} names no row: {unknown(row, jobs.rows)}"
    elif named.get("seed", seeds[0]) not in seeds:
        yield f"{target} names no seed: {unknown(named['seed'], seeds)}"
    elif of_kept and not jobs.rows[row].save_model:
        yield f"{target}: the row {row} keeps no model; to keep it, set save_model: true in the row"
    elif Path(target).is_absolute():
        yield f"{target} is an absolute path; allowed: {path}, relative to the study's folder"


def elsewhere(files: Iterable[Path], directory: Path) -> Iterator[str]:
    """A note where a study's folder is not the directory in which it runs and keeps its results."""
    for file in files:
        below = file.is_relative_to(directory) and file.parent != directory
        if below and "rows" in reading.read(file):
            folder = file.parent.relative_to(directory)
            yield (
                f"The results of {folder / file.name} go to {paths.RESULTS}/ of this folder,"
                f" together with those of other studies. To keep them in {folder}/{paths.RESULTS}/,"
                f" add: --directory {shlex.quote(str(folder))}"
            )
