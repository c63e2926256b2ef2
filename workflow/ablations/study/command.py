"""What a command asks for: which study, which of its files, in which folder."""

import itertools
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ablations.errors import UserError
from ablations.study import extends, paths, reading
from ablations.study.extends import GIVEN, Said
from ablations.study.jobs import Jobs
from ablations.study.messages import unknown

OF_ROWS = (paths.RUN, paths.KEPT, paths.ROW)


def configuration(
    found: dict[str, Any], files: Sequence[Path], given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Said]]:
    """The whole configuration, and what says which part of it; raises UserError.

    `found`: as Snakemake has merged it from `files` and `--config`, which gives `given`. What these
    extend lies below it.
    """
    if "rows" in given:
        raise UserError("--config cannot give rows; write them into a --configfile")
    # within lists and mappings Snakemake leaves numbers as text: seeds=[1,2]
    typed = {key: reading.typed(value) for key, value in given.items()}
    chains = [extends.read(file) for file in files]
    if typed:
        chains.append([*extends.below(typed, Path(GIVEN)), Said(GIVEN, typed)])
    extended = [each.found for chain in chains for each in chain[:-1]]
    return extends.merged([*extended, found, typed]), list(itertools.chain(*chains))


def imported(found: dict[str, Any], files: Iterable[Path]) -> tuple[dict[str, Any], list[Said]]:
    """The same, as another workflow gives it, perhaps from one of its `files`."""
    file = own = Path("the configuration")
    if extends.KEY in found:
        says = (file for file in files if extends.says(reading.read(file), found[extends.KEY]))
        file = next(says, own)
    said = [*extends.below(found, file), Said(str(own), found)]
    return extends.merged(each.found for each in said), said


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
    row, runs = named["row"], [run.name for run in jobs.runs.values()]
    names = path.split("/")[path.split("/").index(row) + 1 :] if pattern != paths.ROW else []
    run = "/".join(names[: 1 + runs[0].count("/")])
    of_kept = pattern == paths.KEPT or path.endswith(Path(paths.TRAINED).name)
    if row not in jobs.rows:
        yield f"{target} names no row: {unknown(row, jobs.rows)}"
    elif run and not any(f"{each}/".startswith(f"{run}/") for each in runs):
        yield f"{target} names no run: {unknown(run, list(dict.fromkeys(runs)))}"
    elif of_kept and not jobs.rows[row].save_model:
        yield f"{target}: the row {row} keeps no model; to keep it, set save_model: true in the row"
    elif Path(target).is_absolute():
        yield f"{target} is an absolute path; allowed: {path}, relative to the study's folder"


def elsewhere(files: Iterable[Path], directory: Path) -> Iterator[str]:
    """A note where a study's folder is not the directory in which it runs and keeps its results."""
    for file in files:
        below = file.is_relative_to(directory) and file.parent != directory
        if below and any("rows" in each.found for each in extends.read(file)):
            folder = file.parent.relative_to(directory)
            yield (
                f"The results of {folder / file.name} go to {paths.RESULTS}/ of this folder,"
                f" together with those of other studies. To keep them in {folder}/{paths.RESULTS}/,"
                f" add: --directory {shlex.quote(str(folder))}"
            )
