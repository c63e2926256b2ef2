"""Gets one file of a repository of the Hugging Face hub, after the mirror: verified and whole.

A repository holds a model or a dataset (`kind`). Files stay in the user's cache of the hub.
"""

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

from ablations import files
from ablations.errors import UserError
from ablations.sources import download
from ablations.sources.download import Found
from ablations.study import folder as layout

log = logging.getLogger("ablations.sources.hub")

Kind = Literal["model", "dataset"]

ORPHANED_SECONDS = 600  # a download without data ends after about one minute


def fetch(
    repo: str,
    revision: str,
    name: str,
    sha256: str | None,
    folder: Path,
    kind: Kind = "model",
    why_missing: Callable[[], str] = str,
) -> Found:
    """The file, from the mirror's folder of the repository's name or from the hub.

    Without `sha256` the hub's own checksum is used. A download from a mirror's URL is put into
    `folder`. `why_missing` gives the end of the message where the repository lacks the file. Raises
    UserError if no source has it, NotThereError where one answered that there is no such file.
    """
    if not any(key.startswith("HF_XET_") for key in os.environ):
        os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # read when the library is imported
    from huggingface_hub import hf_hub_url

    logging.getLogger("huggingface_hub").handlers = [download.ToLog()]
    try:
        address = hf_hub_url(repo, name, revision=revision, repo_type=kind)
    except ValueError as error:
        raise UserError(f"{repo!r} cannot be a repository of the hub: {error}") from None
    hub = (address, partial(_from_hub, repo, revision, name, sha256, kind, why_missing))
    mirror = download.mirrored(f"{repo}/{name}", sha256, folder)
    return download.first_good(f"{repo}/{name}", [*mirror, hub], sha256)


def fetch_present(repo: str, revision: str, names: Iterable[str], folder: Path) -> Iterator[Path]:
    """Those of these files that a model's repository has; raises UserError as `fetch` does."""
    for name in names:
        with suppress(download.NotThereError):
            yield fetch(repo, revision, name, None, folder).path


def copy_present(repo: str, revision: str, names: Iterable[str], folder: Path) -> None:
    """Puts those of these files that a model's repository has into a folder."""
    for path in fetch_present(repo, revision, names, folder):
        if path.parent != folder:
            shutil.copyfile(path, folder / path.name)


def in_cache(path: Path) -> bool:
    """Whether a file is in the user's hub cache, and not in a mirror."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return path.is_relative_to(HF_HUB_CACHE)


def look_up(
    repo: str, revision: str, name: str, why_missing: Callable[[], str] = str
) -> tuple[str, str | None]:
    """The commit of a model's revision, and the hub's checksum of a file there.

    The checksum of a large file is its sha256. Asks the hub alone, not the mirror, and downloads
    nothing. Raises UserError as `fetch` does.
    """
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    try:
        found = get_hf_file_metadata(hf_hub_url(repo, name, revision=revision))
    except ValueError as error:
        raise UserError(f"{repo!r} cannot be a repository of the hub: {error}") from None
    except Exception as error:  # its own, its HTTP library's and the system's, by version
        there = not isinstance(error, errors.EntryNotFoundError)
        fault = UserError if there else download.NotThereError
        raise fault(_reason(error, repo, revision, name, why_missing)) from None
    if found.commit_hash is None:
        raise UserError(f"the hub does not say which commit of {repo} {revision} is")
    return found.commit_hash, found.etag


def pickle_hint(repo: str, revision: str) -> str:
    """The hint for a repository without safetensors that has a pickle; empty if it has none."""
    from huggingface_hub import file_exists

    with suppress(Exception):  # it is only a hint
        if file_exists(repo, layout.PICKLES[0], revision=revision):
            return f". {layout.pickle_hint(layout.PICKLES[0], repo)}"
    return ""


def _from_hub(
    repo: str,
    revision: str,
    name: str,
    pinned: str | None,
    kind: Kind,
    why_missing: Callable[[], str],
) -> Found:
    """The file in the hub's cache, downloaded if necessary, with the pinned or the hub's sum."""
    _remove_orphans(repo, kind)
    pointer = _cached(repo, revision, name, kind, why_missing)
    found = files.sha256(pointer)
    own = _checksum(pointer)
    if own is not None and own not in (found, _git_sha1(pointer) if len(own) == 40 else None):
        _forget(pointer)
        raise UserError(
            f"{name} was damaged on its way or in the cache: its sha256 is {found}, the hub's"
            f" checksum is {own}; it was removed from the cache, so that the next run downloads"
            " it again"
        )
    if pinned is None and own is None:
        log.info("%s: not verified, as no checksum is known; its sha256 is %s", name, found)
    if pinned is not None and found != pinned:
        if own is None:
            _forget(pointer)
        same = "" if own is None else "; the found one is the hub's own, so check the pin"
        raise UserError(
            f"{name} at revision {revision} is not the expected file: its sha256 is {found},"
            f" expected {pinned}{same}"
        )
    return Found(pointer, found)


def _cached(
    repo: str, revision: str, name: str, kind: Kind, why_missing: Callable[[], str]
) -> Path:
    """A file of the user's hub cache, downloaded if it is not there."""
    from huggingface_hub import (
        errors,
        get_hf_file_metadata,
        hf_hub_download,
        hf_hub_url,
        try_to_load_from_cache,
    )

    try:
        cached = try_to_load_from_cache(repo, name, revision=revision, repo_type=kind)
        if isinstance(cached, str) and re.fullmatch("[0-9a-f]{40}", revision):
            return Path(cached)  # a commit never changes
        if not isinstance(cached, str):
            # Asked here, with retries: the download itself would wait minutes for a host that does
            # not answer, and its error would not give the reason.
            address = hf_hub_url(repo, name, revision=revision, repo_type=kind)
            get_hf_file_metadata(address, retry_on_errors=True)
        return Path(hf_hub_download(repo, name, revision=revision, repo_type=kind))
    except Exception as error:  # its own, its HTTP library's and the system's, by version
        there = not isinstance(error, errors.EntryNotFoundError | errors.OfflineModeIsEnabled)
        fault = UserError if there else download.NotThereError
        raise fault(_reason(error, repo, revision, name, why_missing)) from error


def _reason(
    error: Exception, repo: str, revision: str, name: str, why_missing: Callable[[], str]
) -> str:
    from huggingface_hub import constants, errors

    match error:
        case errors.OfflineModeIsEnabled():
            return f"not in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set"
        case errors.GatedRepoError():
            return f"{repo} is gated: accept its terms on the hub and set HF_TOKEN"
        case errors.RepositoryNotFoundError():
            return f"the hub has no repository {repo}, or it is private and HF_TOKEN is needed"
        case errors.RevisionNotFoundError():
            return f"{repo} has no revision {revision}"
        case errors.RemoteEntryNotFoundError():
            return f"{repo} has no {name} at revision {revision}, which is required{why_missing()}"
        case errors.HfHubHTTPError():
            return f"HTTP {error.response.status_code} {error.response.reason_phrase}"
        case OSError() if error.errno is not None:  # the disk
            raise error
        case _:
            return f"{type(error).__name__}: {download.root_cause(error).splitlines()[0]}"


def _checksum(pointer: Path) -> str | None:
    """The hub's checksum of a cached file, which is the name of the blob that it links to.

    It is the sha256 of a large file and git's blob id of another; None where the cache cannot use
    links.
    """
    name = pointer.readlink().name if pointer.is_symlink() else ""
    return name if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", name) else None


def _git_sha1(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _remove_orphans(repo: str, kind: Kind) -> None:
    """Removes what killed downloads left in the hub's cache; the library never does this.

    A file is removed only if nothing was written to it for ORPHANED_SECONDS, since another process
    may be downloading it.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    blobs = Path(HF_HUB_CACHE, f"{kind}s--{repo.replace('/', '--')}", "blobs")
    for path in blobs.glob("*.incomplete"):
        with suppress(OSError):  # another process removed it, or this one may not
            if time.time() - path.stat().st_mtime > ORPHANED_SECONDS:
                path.unlink()
                log.info("removed %s, left by a download that was killed", path)


def _forget(pointer: Path) -> None:
    """Removes a file and its blob from the hub's cache."""
    blob = pointer.resolve()
    pointer.unlink()
    blob.unlink(missing_ok=True)
