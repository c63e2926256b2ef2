"""Where a run's log is, and whether it is of the row as it is now."""

from pathlib import Path

from ablations.study import settings
from ablations.study.settings import Settings


def current(study: Path, row: Settings, seed: int) -> Path | None:
    """The log of a run in a study's folder; None where it is not there, or of an older row."""
    log = study / f"logs/train/{row.row}/seed-{seed}.log"
    if not log.is_file():
        return None
    stated = study / f"results/rows/{row.row}.json"  # written before the run starts
    if stated.is_file():
        older = log.stat().st_mtime < stated.stat().st_mtime
        if older or settings.read(stated) != row:
            return None
    return log
