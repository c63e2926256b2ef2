"""Gets one file from the first of several sources that has it: verified, whole or not at all.

A mirror comes first (the environment variable ABLATIONS_MIRROR, a folder or a URL), then the
original sources in turn.
"""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import quote

import requests
from tqdm import tqdm

from ablations import files
from ablations.errors import UserError

log = logging.getLogger("ablations.sources.download")


class NotThereError(UserError):
    """A source has no such file; another source may have it."""


RETRIES = 2
TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}
CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class Found:
    """A complete local file and its checksum."""

    path: Path
    sha256: str


Source = tuple[str, Callable[[], Found]]
"""A place that may have a file: its address, and what gets the file or raises UserError."""


def mirrored(name: str, sha256: str | None, folder: Path) -> list[Source]:
    """The mirror's copy of a file, as a list of one source; empty if there is no mirror.

    From a mirror on this machine the file is read in place; from a URL it is downloaded into
    `folder`.
    """
    mirror = os.environ.get("ABLATIONS_MIRROR")
    if not mirror:
        return []
    if mirror.startswith(("http://", "https://")):
        url = f"{mirror.rstrip('/')}/{quote(name)}"
        return [(url, partial(fetch, url, Path(name).name, sha256, folder))]
    path = Path(mirror).expanduser() / name
    return [(str(path), partial(_local, path, sha256))]


def first_good(name: str, sources: Sequence[Source], sha256: str | None) -> Found:
    """The file from the first source that has it; each source that fails is logged.

    Raises UserError if none has it, with the reason of each source and what the user can do. It is
    a NotThereError where at least one source answered that there is no such file.
    """
    failures: list[str] = []
    kind: type[UserError] = UserError
    for address, get in sources:
        try:
            found = get()
        except UserError as error:
            failures.append(f"{address}: {error}")
            kind = NotThereError if isinstance(error, NotThereError) else kind
            log.info("%s: not from %s", name, failures[-1])
        else:
            log.info("%s: from %s, %d bytes", name, address, found.path.stat().st_size)
            return found
    checksum = f" (sha256 {sha256})" if sha256 else ""
    raise kind(
        "\n".join(
            [
                f"no source gave {name}:",
                *(f"  {failure}" for failure in failures),
                "Run the same command again once one of them works; or put the file"
                f"{checksum} into a folder as {name}, and name that folder as mirror in the"
                " config or in the environment variable ABLATIONS_MIRROR.",
            ]
        )
    )


def fetch(url: str, name: str, sha256: str | None, folder: Path) -> Found:
    """Downloads one file into a folder and verifies it.

    After a fault that may pass (a dropped connection, 429, 503 …) it tries again, twice. Raises
    UserError with the reason, without the URL.
    """
    timeout, path = _timeout(), folder / name
    for left in reversed(range(RETRIES + 1)):
        try:
            _get(url, path, timeout)
            break
        except requests.Timeout:  # a second try would only take as long again
            raise UserError(f"no answer within {timeout:g} s") from None
        except requests.exceptions.InvalidSchema as error:
            raise UserError(str(error)) from None
        except requests.HTTPError as error:
            response = cast(
                requests.Response, error.response
            )  # always there after raise_for_status
            reason = f"HTTP {response.status_code} {response.reason}"
            if response.status_code == 404:
                raise NotThereError(reason) from None
            if response.status_code not in TRANSIENT_STATUS:
                raise UserError(reason) from None
            if not left:
                raise UserError(f"{reason}, {RETRIES + 1} times") from None
        except requests.RequestException as error:
            reason = f"the connection failed: {root_cause(error)}"
            if not left:
                raise UserError(reason) from None
        log.info("%s: %s; trying again", name, reason)
        time.sleep(1)
    return verified(path, sha256, name)


def _get(url: str, path: Path, timeout: float) -> None:
    """Writes what the URL answers to a file, with a progress bar where stderr is a terminal."""
    with requests.get(url, stream=True, timeout=timeout) as response, path.open("wb") as file:
        response.raise_for_status()
        size = int(response.headers.get("content-length", 0)) or None
        with tqdm(total=size, unit="B", unit_scale=True, disable=None, leave=False) as bar:
            for chunk in response.iter_content(CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))


@contextmanager
def scratch(output: Path) -> Iterator[Path]:
    """An empty folder beside `output` for its downloads, removed afterwards.

    Each job has its own folder, since a job may go on after its Snakemake was killed. The first job
    that succeeds removes the folders of jobs that were killed.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    name = f".{output.name}.download"
    folder = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=output.parent))
    try:
        yield folder
        for left in output.parent.glob(f"{name}.*"):
            shutil.rmtree(left, ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def disk_errors(output: Path) -> Iterator[None]:
    """Turns a full disk, a missing permission and the like into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot make {output}: {error}") from error


def root_cause(error: BaseException) -> str:
    """The message of the innermost exception; HTTP libraries wrap theirs several times."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return str(error) or type(error).__name__


class ToLog(logging.Handler):
    """Passes another library's messages to the log of this job."""

    def emit(self, record: logging.LogRecord) -> None:
        """Logs the message under the library's name."""
        log.info("%s: %s", record.name, record.getMessage())


def _timeout() -> float:
    """Seconds without data after which a download is given up."""
    text = os.environ.get("ABLATIONS_TIMEOUT", "30")
    try:
        return float(text)
    except ValueError:
        raise UserError(f"ABLATIONS_TIMEOUT is {text!r}; expected a number of seconds") from None


def _local(path: Path, sha256: str | None) -> Found:
    if not path.is_file():
        raise NotThereError("no such file")
    return verified(path, sha256, path.name)


def verified(path: Path, expected: str | None, name: str) -> Found:
    """The file with its checksum; raises UserError where another checksum is expected."""
    found = files.sha256(path)
    if expected is None:
        log.info("%s: not verified, as no sha256 is pinned; its sha256 is %s", name, found)
    elif found != expected:
        raise UserError(
            f"{name} is not the expected file: its sha256 is {found} ({path.stat().st_size} bytes),"
            f" expected {expected}"
        )
    return Found(path, found)
