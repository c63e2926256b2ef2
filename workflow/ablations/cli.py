"""What stages share when they run as programs: log lines, a progress bar, errors as messages."""

import argparse
import errno
import io
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

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "  # begins each entry of a log
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, the quota, the user's limit

# Set in the environment by a program that reads a failed stage's log and prints the reason itself,
# as `--logger progress` does. The stage then writes the reason to its log alone.
REASON_IS_SHOWN = "ABLATIONS_REASON_IS_SHOWN"

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

    Plain lines go to the log file if there is one, else to stderr. Warnings and errors go to both,
    errors not where REASON_IS_SHOWN is set. Lines in the file begin with the time.
    """
    speak_utf8()
    arguments = parser.parse_args()
    stderr = logging.StreamHandler()
    if arguments.log:
        arguments.log.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(arguments.log, mode="w", encoding="utf-8", errors="replace")
        file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        log.addHandler(file)
        stderr.setLevel(logging.WARNING)
    log.addHandler(stderr)
    log.setLevel(logging.INFO)
    try:
        main(arguments)
    except KeyboardInterrupt:
        log.error("interrupted")
        sys.exit(130)
    except Exception as error:
        in_log_alone = arguments.log and REASON_IS_SHOWN in os.environ
        if in_log_alone:
            log.removeHandler(stderr)
        if isinstance(error, UserError):
            log.error("error: %s", error)
        elif any(os.strerror(full) in str(error) for full in DISK_FULL):  # some libraries' own kind
            log.error("error: %s; free some space and run again; no file is incomplete", error)
        else:
            if arguments.log:  # stderr gets the traceback from Python itself
                log.handlers[0].handle(
                    log.makeRecord(log.name, logging.ERROR, "", 0, "failed", (), sys.exc_info())
                )
            if not in_log_alone:
                raise
        sys.exit(1)


def speak_utf8() -> None:
    """Lets no character be an error, whatever the locale: ours are in UTF-8.

    A terminal that lacks one shows another in its place; a file or a pipe gets it as it is.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            if stream.isatty():
                stream.reconfigure(errors="replace")
            else:
                stream.reconfigure(encoding="utf-8", errors="surrogateescape")


def last_line(log: Path) -> str | None:
    """The last line that a stage wrote into its log, without its time; None where there is none."""
    lines = _read(log).splitlines()
    return re.sub(f"^{TIME}", "", lines[-1]) if lines else None


def failure(log: Path) -> str | None:
    """Why a stage failed, from the end of its log; None where the log does not say so.

    The whole message of an error, which may have several lines; of a traceback the last line.
    """
    before, *entries = re.split(f"^{TIME}", _read(log), flags=re.MULTILINE)
    if entries and entries[-1].startswith("error: "):
        return entries[-1].removeprefix("error: ")
    # a line without a time is a traceback's, or of a program that writes no times
    lines = entries[-1].splitlines()[1:] if entries else before.splitlines()
    return lines[-1] if lines else None


def _read(log: Path) -> str:
    """The content of a log, without empty lines at its end; empty if it cannot be read."""
    try:
        return log.read_text(encoding="utf-8", errors="replace").rstrip()
    except OSError:
        return ""


def progress(items: Iterable[Item], unit: str) -> Iterator[Item]:
    """Shows a bar with the time left where stderr is a terminal; elsewhere nothing."""
    yield from tqdm(items, unit=unit, disable=None, leave=False, dynamic_ncols=True)


def count(number: int, noun: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
