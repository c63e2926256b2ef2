"""What stages share when they run as programs: log lines, a progress bar, errors as messages."""

import argparse
import errno
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from ablations.errors import UserError

Item = TypeVar("Item")

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "  # begins each line of a log but a traceback's
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, the quota, the user's limit

log = logging.getLogger("ablations")


def parser(description: str | None) -> argparse.ArgumentParser:
    """The parser that every stage starts from: its name as the user calls it, and --log FILE."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    found = argparse.ArgumentParser(
        prog=f"python -m {spec.name}" if spec else None, description=description
    )
    found.add_argument("--log", type=Path, help="write progress lines here instead of to stderr")
    return found


def run(parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace], None]) -> None:
    """Runs a stage; turns a UserError into one message and exit code 1.

    Plain lines go to the log file if there is one, else to stderr; errors go to both. Those in the
    file tell their time.
    """
    arguments = parser.parse_args()
    stderr = logging.StreamHandler()
    if arguments.log:
        arguments.log.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(arguments.log, mode="w")
        file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        log.addHandler(file)
        stderr.setLevel(logging.ERROR)
    log.addHandler(stderr)
    log.setLevel(logging.INFO)
    try:
        main(arguments)
    except UserError as error:
        log.error("error: %s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        log.error("interrupted")
        sys.exit(130)
    except Exception as error:
        if any(os.strerror(full) in str(error) for full in DISK_FULL):  # some libraries' own kind
            log.error("error: %s; %s", error, "make room and run again, nothing was half-written")
            sys.exit(1)
        if arguments.log:  # stderr gets the traceback from Python itself
            log.handlers[0].handle(
                log.makeRecord(log.name, logging.ERROR, "", 0, "failed", (), sys.exc_info())
            )
        raise


def last_line(log: Path) -> str | None:
    """The last line that a stage wrote into its log, without its time; None where there is none."""
    found = _last_line(log)
    return found and re.sub(TIME, "", found)


def failure(log: Path) -> str | None:
    """Why a stage failed, as the last line of its log has it; None where it says no such thing."""
    line = _last_line(log)
    if line is None or (re.match(TIME, line) and " error: " not in line):
        return None
    return re.sub(TIME, "", line).removeprefix("error: ")


def _last_line(log: Path) -> str | None:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line for line in reversed(lines) if line.strip()), None)


def progress(items: Iterable[Item], total: int, unit: str) -> Iterator[Item]:
    """Shows a bar with the time left where stderr is a terminal; elsewhere nothing."""
    yield from tqdm(items, total=total, unit=unit, disable=None, leave=False, dynamic_ncols=True)
