"""Fetches the SMS Spam Collection and GPT-2's vocabulary files, verified, whole or not at all.

A mirror comes first (the environment variable ABLATIONS_MIRROR, a folder or a URL), then the
original sources in turn. Checkpoints are fetched by checkpoint.py, which shares `mirrored`,
`first_good` and `scratch` with the programs here.
"""

import argparse
import logging
import os
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pooch
import requests

from ablations import cli, files
from ablations.errors import UserError

log = logging.getLogger("ablations.download")

ARCHIVE = "sms+spam+collection.zip"
MEMBER = "SMSSpamCollection"

# GPT-2's byte-pair encoding as its authors published it; tiktoken pins the same checksums.
VOCABULARY_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main"
VOCABULARY_SHA256 = {
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}

RETRIES = 2
TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Found:
    """A complete local file and its checksum."""

    path: Path
    sha256: str


Source = tuple[str, Callable[[], Found]]
"""A place that may have a file: its address, and what gets the file from there, or a UserError."""


def collection(urls: Sequence[str], sha256: str, member_sha256: str | None, output: Path) -> None:
    """Writes the collection's one member from the archive at the mirror or one of the URLs.

    `sha256` is the archive's, `member_sha256` the member's. Raises UserError with every source's
    own reason if none has the archive, or if the archive lacks the member.
    """
    with scratch(output) as folder:
        originals = [(url, partial(fetch, url, ARCHIVE, sha256, folder)) for url in urls]
        archive = first_good(ARCHIVE, [*mirrored(ARCHIVE, sha256, folder), *originals], sha256)
        content = _member(archive.path)
        with files.whole(output) as temporary:
            temporary.write_bytes(content)
            _verified(temporary, member_sha256, f"{MEMBER} in {ARCHIVE}")


def vocabulary(folder: Path) -> None:
    """Writes vocab.bpe and encoder.json into a folder; raises UserError if no source has them."""
    for name, sha256 in VOCABULARY_SHA256.items():
        with scratch(folder / name) as temporary_folder:
            mirror = mirrored(f"gpt2-bpe/{name}", sha256, temporary_folder)
            url = f"{VOCABULARY_URL}/{name}"
            original = (url, partial(fetch, url, name, sha256, temporary_folder))
            found = first_good(f"gpt2-bpe/{name}", [*mirror, original], sha256)
            with files.whole(folder / name) as temporary:
                shutil.copyfile(found.path, temporary)


# --- sources, shared with checkpoint.py


def mirrored(name: str, sha256: str | None, folder: Path) -> list[Source]:
    """The mirror's copy of a file, as the only source in a list; empty if there is no mirror.

    A mirror on this machine is read in place; from a URL the file is downloaded into `folder`.
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
    """The file from the first source that has it; a failed source costs a log line.

    Raises UserError if none has it, with each source's reason and what the user can do.
    """
    failures = []
    for address, get in sources:
        try:
            found = get()
        except UserError as error:
            failures.append(f"{address}: {error}")
            log.info("%s: not from %s", name, failures[-1])
        else:
            log.info("%s: from %s, %d bytes", name, address, found.path.stat().st_size)
            return found
    checksum = f" (sha256 {sha256})" if sha256 else ""
    raise UserError(
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

    What is transient (a dropped connection, 429, 503 …) is tried again, twice. Raises UserError
    with the reason, without the URL.
    """
    timeout = _timeout()
    http = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), chunk_size=1 << 18, timeout=timeout
    )

    def downloader(url: str, output: str, registry: Any) -> None:
        # Pooch tries everything again; these would only fail again, or take as long again.
        try:
            http(url, output, registry)
        except requests.Timeout:
            raise UserError(f"no answer within {timeout:g} s") from None
        except requests.exceptions.InvalidSchema as error:
            raise UserError(str(error)) from None
        except requests.HTTPError as error:
            if _response(error).status_code in TRANSIENT_STATUS:
                raise
            raise UserError(_http_status(error)) from None

    pooch.get_logger().handlers = [ToLog()]
    # Verified here and not by Pooch, which would download a wrong file three times.
    registry = pooch.create(
        path=folder,
        base_url="",
        registry={name: None},
        urls={name: url},
        retry_if_failed=RETRIES,
    )
    (folder / name).unlink(missing_ok=True)  # another source's, found wrong
    try:
        path = Path(registry.fetch(name, downloader=downloader))
    except requests.HTTPError as error:
        raise UserError(f"{_http_status(error)}, {RETRIES + 1} times") from None
    except requests.RequestException as error:
        raise UserError(f"the connection failed: {root_cause(error)}") from None
    return _verified(path, sha256, name)


@contextmanager
def scratch(output: Path) -> Iterator[Path]:
    """An empty folder beside `output` for its downloads, removed afterwards.

    Each run has its own, since a job may outlive a Snakemake that was killed; the first that
    succeeds removes what killed ones left.
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


def log_argument() -> argparse.ArgumentParser:
    """The --log of cli.run, for a parser whose subcommands should take it too."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--log", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


@contextmanager
def disk_errors(output: Path) -> Iterator[None]:
    """Turns a full disk, a missing permission and the like into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot make {output}: {error}") from error


def root_cause(error: BaseException) -> str:
    """The innermost of a chain of exceptions, which HTTP libraries wrap several layers deep."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return str(error) or type(error).__name__


class ToLog(logging.Handler):
    """Passes another library's messages on to the log of this run."""

    def emit(self, record: logging.LogRecord) -> None:
        """Logs the message under the library's name."""
        log.info("%s: %s", record.name, record.getMessage())


def _timeout() -> float:
    """Seconds without data after which a host counts as hanging."""
    text = os.environ.get("ABLATIONS_TIMEOUT", "30")
    try:
        return float(text)
    except ValueError:
        raise UserError(f"ABLATIONS_TIMEOUT is {text!r}; expected a number of seconds") from None


def _local(path: Path, sha256: str | None) -> Found:
    if not path.is_file():
        raise UserError("no such file")
    return _verified(path, sha256, path.name)


def _verified(path: Path, expected: str | None, name: str) -> Found:
    found = files.sha256(path)
    if expected is None:
        log.info("%s: not verified, as no sha256 is pinned; its sha256 is %s", name, found)
    elif found != expected:
        raise UserError(
            f"{name} is not the expected file: its sha256 is {found} ({path.stat().st_size} bytes),"
            f" expected {expected}"
        )
    return Found(path, found)


def _http_status(error: requests.HTTPError) -> str:
    return f"HTTP {_response(error).status_code} {_response(error).reason}"


def _response(error: requests.HTTPError) -> requests.Response:
    return cast(requests.Response, error.response)  # always there after raise_for_status


def _member(archive: Path) -> bytes:
    try:
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
            if MEMBER not in names:
                raise UserError(
                    f"{ARCHIVE} holds no member {MEMBER}; it holds: {', '.join(names) or 'nothing'}"
                )
            return opened.read(MEMBER)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise UserError(f"{ARCHIVE} is not a zip archive that can be read: {error}") from None


def _main(arguments: argparse.Namespace) -> None:
    if arguments.what == "collection":
        with disk_errors(arguments.output):
            collection(
                arguments.url, arguments.sha256, arguments.member_sha256, output=arguments.output
            )
    else:
        with disk_errors(arguments.output_dir):
            vocabulary(arguments.output_dir)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ablations.download", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    common = [log_argument()]
    command = commands.add_parser("collection", help="the SMS Spam Collection", parents=common)
    command.add_argument("--url", action="append", required=True, help="several: tried in turn")
    command.add_argument("--sha256", required=True, help="of the archive")
    command.add_argument("--member-sha256", help=f"of {MEMBER} in the archive")
    command.add_argument("--output", type=Path, required=True)
    command = commands.add_parser(
        "vocabulary", help="GPT-2's vocab.bpe and encoder.json", parents=common
    )
    command.add_argument("--output-dir", type=Path, required=True)
    return parser


if __name__ == "__main__":
    cli.run(_parser(), _main)
