"""What a command asks for: which study, which of its files, in which folder."""

import argparse
import itertools
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from ablations.errors import UserError
from ablations.files import as_json
from ablations.study import extends, paths, reading
from ablations.study.extends import GIVEN, Said
from ablations.study.jobs import Jobs
from ablations.study.messages import unknown

CLOCK_SECONDS = 1  # by which two file systems' clocks may differ
OF_ROWS = (paths.RUN, paths.KEPT, paths.ROW)


def add_directory(parser: argparse.ArgumentParser) -> None:
    """The option that names a study."""
    parser.add_argument(
        "--directory", type=Path, default=Path(), help="the study's folder (here, unless given)"
    )


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

    Snakemake's own message does not say which one was meant, and of a folder that is there it says
    that nothing is to be done.
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
    names = path.split("/")[paths.RUN.split("/").index("{row}") + 1 :]
    run = "/".join(names[: 1 + runs[0].count("/")])
    of_kept = pattern == paths.KEPT or path.endswith(Path(paths.TRAINED).name)
    if row not in jobs.rows:
        yield f"{target} names no row: {unknown(row, jobs.rows)}"
    elif run and not any(f"{each}/".startswith(f"{run}/") for each in runs):
        yield f"{target} names no run: {unknown(run, list(dict.fromkeys(runs)))}"
    elif of_kept and not jobs.rows[row].save_model:
        yield f"{target}: the row {row} keeps no model; to keep it, set save_model: true in the row"
    elif pattern != paths.ROW and "/".join(names) == run:
        whole = next(each for each in runs if f"{each}/".startswith(run))
        name = "manifest.json" if pattern == paths.KEPT else "metrics.json"
        example = pattern.format(row=row, run=whole, file=name)
        yield f"{target} is a folder; allowed: a file in it, such as {example}"
    elif Path(target).is_absolute():
        yield f"{target} is an absolute path; allowed: {path}, relative to the study's folder"


def is_edited(file: Path, value: Any, log: Path) -> bool:
    """Whether a file states neither this value nor what was written there, which its log keeps.

    It was changed by hand, or is cut, and jobs would obey it. What states an earlier value is left
    to Snakemake, which names the keys that changed.
    """
    found = _content(file)
    return found not in (None, f"{as_json(value)}\n".encode()) and found != _content(log)


def _content(file: Path) -> bytes | None:
    """None where there is no such file; nothing where it cannot be read."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        return b""


def refuse_files_in_the_way(directory: Path) -> None:
    """Raises UserError where a file, or a link to nothing, has the name of a folder of a study."""
    for name in (paths.RESULTS, paths.LOGS, paths.BENCHMARKS, paths.SNAKEMAKES):
        path = directory / name
        if os.path.lexists(path) and not path.is_dir():
            raise UserError(f"{path} is a file; allowed: a folder, or nothing. Move it elsewhere")


def refuse_home() -> None:
    """Raises UserError where Snakemake would fail because it cannot write its own cache."""
    folder = platformdirs.user_cache_path("snakemake")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"Snakemake keeps files in {folder}, which cannot be written ({error.strerror}); name a"
            " folder that can: export XDG_CACHE_HOME=/some/folder (downloaded models go there too,"
            " unless HF_HOME names another)"
        ) from None


def refuse_without_slurm() -> None:
    """Raises UserError where a program is missing without which no job can be submitted."""
    for program in ("sbatch", "sinfo", "squeue", "scancel"):
        if not shutil.which(program):
            raise UserError(
                f"jobs are to be submitted to SLURM, but {program} is not on PATH; run this on"
                " a login node of the cluster, or without --workflow-profile profiles/slurm"
            )


def refuse_later_than_now(inputs: Iterable[Path]) -> None:
    """Raises UserError where a file that jobs read is dated ahead of the clock.

    What is made of it would be older than it is, so Snakemake would delete that, and each run would
    make it again. The clock is the file system's, which may be another machine's.
    """
    with tempfile.NamedTemporaryFile(dir=paths.SNAKEMAKES) as new:
        now = Path(new.name).stat().st_mtime
    later = sorted((file.stat().st_mtime, str(file)) for file in inputs)
    later = [(date, file) for date, file in later if date > now + CLOCK_SECONDS]
    if later:
        date, file = later[-1]
        found, clock = (time.strftime("%F %T", time.localtime(each)) for each in (date, now))
        here = shlex.quote(str(Path.cwd()))
        raise UserError(
            f"files that this run reads are dated ahead of the clock: {len(later)}, such as {file}"
            f" ({found}; now it is {clock}). Results would be older than what they are made of, and"
            " be deleted. If the clock is wrong, set it. If it is right, date the files now, and"
            " run the same command again:\n"
            f'  find {here} -newermt now -exec touch -d "$(date)" {{}} +'
        )


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
