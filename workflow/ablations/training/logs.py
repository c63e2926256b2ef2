"""Where a run's log is, and whether it is of the row as it is now."""

from pathlib import Path

from ablations.study import paths, settings
from ablations.study.settings import Settings


def current(results: Path, row: Settings, seed: int, fold: int | None) -> Path | None:
    """The log of a run of a study's results; None where it is not there, or of an older row."""
    log = paths.at(results, paths.RUN_LOG, row=row.row, run=paths.run(seed, fold))
    if not log.is_file():
        return None
    stated = paths.at(results, paths.ROW, row=row.row)  # written before the run starts
    if stated.is_file():
        older = log.stat().st_mtime < stated.stat().st_mtime
        if older or settings.read(stated) != row:
            return None
    return log
