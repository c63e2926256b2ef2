"""Gets one file from the first of several sources that has it: verified, whole or not at all.

A mirror comes first (the environment variable ABLATIONS_MIRROR, a folder or a URL), then the
original sources in turn.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import requests
from requests.utils import get_environ_proxies, select_proxy
from tqdm import tqdm

from ablations import files
from ablations.cli import log
from ablations.errors import UserError


class NotThereError(UserError):
    """A source has no such file; another source may have it."""


RETRIES = 2
TIMEOUT = 30.0  # seconds without data after which a download is given up
TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}
CHUNK_BYTES = 1 << 18


class Found(NamedTuple):
    """A complete local file and its checksum."""

    path: Path
    sha256: str


Source = tuple[str, Callable[[], Found]]
"""A place that may have a file: its address, and what gets the file or raises UserError."""


def from_urls(name: str, urls: Sequence[str], sha256: str, folder: Path) -> Found:
    """A file from the mirror or else from one of its URLs; a download is put into `folder`."""
    path = folder / Path(name).name
    originals = [(url, partial(fetch, url, path, sha256)) for url in urls]
    return first_good(name, [*mirrored(name, sha256, folder), *originals], sha256)


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
        return [(url, partial(fetch, url, folder / Path(name).name, sha256))]
    path = Path(mirror).expanduser() / name
    return [(str(path), partial(verified, path, sha256, path.name))]


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


def fetch(url: str, path: Path, sha256: str | None) -> Found:
    """Downloads one file and verifies it.

    After a fault that may pass (a dropped connection, 429, 503 …) it tries again, twice. Raises
    UserError with the reason, without the URL.
    """
    tries = 0
    while True:
        tries += 1
        try:
            with files.whole(path) as temporary:
                _get(url, temporary)
                return Found(path, verified(temporary, sha256, path.name).sha256)
        except requests.RequestException as error:
            fault, may_pass = _explained(error)
            if not may_pass:
                raise type(fault)(f"{fault}{by_proxy(url)}") from None
            if tries > RETRIES:
                raise UserError(f"{fault}, {tries} times{by_proxy(url)}") from None
            log.info("%s: %s; trying again", path.name, fault)
            time.sleep(1)


def _get(url: str, path: Path) -> None:
    """Writes what the URL answers to a file, with a progress bar where stderr is a terminal."""
    with requests.get(url, stream=True, timeout=TIMEOUT) as response, path.open("wb") as file:
        response.raise_for_status()
        size = int(response.headers.get("content-length", 0)) or None
        with tqdm(total=size, unit="B", unit_scale=True, disable=None, leave=False) as bar:
            for chunk in response.iter_content(CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))


def _explained(error: requests.RequestException) -> tuple[UserError, bool]:
    """What went wrong, and whether another try may go well."""
    match error:
        case requests.HTTPError(response=requests.Response() as response):
            kind = NotThereError if response.status_code == 404 else UserError
            fault = kind(f"HTTP {response.status_code} {response.reason}")
            return fault, response.status_code in TRANSIENT_STATUS
        case requests.Timeout():  # a second try would only take as long again
            return UserError(f"no answer within {TIMEOUT:g} s"), False
        case ValueError():  # the address is none
            return UserError(str(error)), False
        case _:
            return UserError(f"the connection failed: {root_cause(error)}"), True


def by_proxy(url: str) -> str:
    """The end of a sentence that names the proxy of this address, without its password."""
    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return ""
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    names = (name for name, value in os.environ.items() if value == proxy)
    setting = next((name for name in names if name.lower().endswith("_proxy")), "the system")
    return f" (by the proxy {parts.hostname}:{parts.port or 80}, as {setting} says)"


def verified(path: Path, expected: str | None, name: str) -> Found:
    """The file with its checksum; raises UserError if it is missing or has not the expected one."""
    if not path.is_file():
        raise NotThereError("no such file")
    found = files.sha256(path)
    if expected is None:
        log.info("%s: not verified, as no sha256 is pinned; its sha256 is %s", name, found)
    elif found != expected:
        raise UserError(
            f"{name} is not the expected file: its sha256 is {found} ({path.stat().st_size} bytes),"
            f" expected {expected}"
        )
    return Found(path, found)


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
