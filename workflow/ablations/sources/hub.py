"""Gets files of a repository of the Hugging Face hub, after the mirror: verified and whole.

huggingface_hub downloads, resumes where a connection broke, tries again, and keeps files in the
user's cache. It does not compare a file with its checksum, nor remove what a killed download left,
nor tell in a line why a file could not be had; that is done here.
"""

import logging
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from huggingface_hub import (
    HfFileMetadata,
    constants,
    errors,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.utils.sha import git_hash

from ablations import cli, files
from ablations.cli import log
from ablations.errors import UserError
from ablations.sources import download
from ablations.sources.download import Found
from ablations.study import folder as layout

ORPHANED_SECONDS = 600  # a download without data ends after about one minute

# Plain HTTP, of which each fault is tested, unless the user has settings for the other protocol.
if not any(key.startswith(("HF_XET_", "HF_HUB_DISABLE_XET")) for key in os.environ):
    constants.HF_HUB_DISABLE_XET = True


class Repository(NamedTuple):
    """A repository of the hub at one revision."""

    name: str
    revision: str
    kind: Literal["model", "dataset"] = "model"


def fetch(
    repo: Repository, name: str, folder: Path, sha256: str | None = None, mirror_alone: bool = False
) -> Found:
    """The file, from the mirror's folder of the repository's name or from the hub.

    Without `sha256` the hub's own checksum is used. `folder` gets the file, or a link to it where
    it lies in the mirror or the hub's cache. Raises UserError if no source has it, NotThereError
    where one answered that there is no such file.
    """
    logging.getLogger("huggingface_hub").handlers = log.handlers
    full_name = f"{repo.name}/{name}"
    with _explained(repo, name):
        address = hf_hub_url(repo.name, name, revision=repo.revision, repo_type=repo.kind)
    sources = download.mirrored(full_name, sha256, folder)
    if not mirror_alone:
        sources.append((address, partial(_from_hub, repo, name, sha256)))
    found = download.first_good(full_name, sources, sha256)
    link = folder / Path(name).name
    if found.path != link:
        link.unlink(missing_ok=True)
        link.symlink_to(found.path.absolute())
    return found


def fetch_present(
    repo: Repository, names: Iterable[str], folder: Path, beside: Found | None = None
) -> None:
    """Puts those of these files that a repository has into a folder, as `fetch` does.

    A mirror that has the file `beside` them is taken as complete: it is for machines without
    network, where asking the hub takes long.
    """
    complete = beside is not None and not beside.path.is_relative_to(constants.HF_HUB_CACHE)
    for name in names:
        with suppress(download.NotThereError):
            fetch(repo, name, folder, mirror_alone=complete)


def look_up(repo: Repository, name: str) -> HfFileMetadata:
    """What the hub says of a repository's file: its commit, its size; a large one's etag is sha256.

    Asks the hub alone, not the mirror, and downloads nothing. Raises UserError as `fetch` does.
    """
    with _explained(repo, name):
        address = hf_hub_url(repo.name, name, revision=repo.revision, repo_type=repo.kind)
        timeout = constants.HF_HUB_ETAG_TIMEOUT
        found = get_hf_file_metadata(address, timeout=timeout, retry_on_errors=True)
    if found.commit_hash is None:
        raise UserError(f"the hub does not say which commit of {repo.name} {repo.revision} is")
    return found


def pickle_hint(repo: Repository) -> str:
    """The hint for a repository without safetensors that has a pickle; empty if it has none."""
    with suppress(UserError):  # it is only a hint
        look_up(repo, layout.PICKLES[0])
        return layout.pickle_hint(layout.PICKLES[0], repo.name)
    return ""


def _from_hub(repo: Repository, name: str, pinned: str | None) -> Found:
    """The file in the hub's cache, downloaded if necessary, with the pinned or the hub's sum."""
    _remove_orphans(repo)
    path = _cached(repo, name)
    found, own = files.sha256(path), _checksum(path)
    if own is None and pinned is None:
        log.info("%s: not verified, as no checksum is known; its sha256 is %s", name, found)
    expected = own or pinned or found
    if expected not in (found, git_hash(path.read_bytes()) if len(expected) == 40 else None):
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise UserError(
            f"{name} was damaged on its way or in the cache: its sha256 is {found}, expected"
            f" {expected}; it was removed from the cache, so that the next run downloads it again"
        )
    if pinned not in (None, found):
        raise UserError(
            f"{name} at revision {repo.revision} is not the expected file: its sha256 is {found},"
            f" expected {pinned}; the found one is the hub's own, so check the pin"
        )
    return Found(path, found)


def _cached(repo: Repository, name: str) -> Path:
    """A file of the user's hub cache, downloaded if it is not there."""
    revision, kind = repo.revision, repo.kind
    with _explained(repo, name):
        cached = try_to_load_from_cache(repo.name, name, revision=revision, repo_type=kind)
        if not isinstance(cached, str):
            # Asked here, with retries: the download itself would wait minutes for a host that does
            # not answer, and its error would not give the reason.
            look_up(repo, name)
        return Path(hf_hub_download(repo.name, name, revision=revision, repo_type=kind))


@contextmanager
def _explained(repo: Repository, name: str) -> Iterator[None]:
    """Turns what the library raises, its own and its HTTP library's, into a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        there = not isinstance(error, errors.EntryNotFoundError | errors.OfflineModeIsEnabled)
        raise (UserError if there else download.NotThereError)(_reason(error, repo, name)) from None


def _reason(error: Exception, repo: Repository, name: str) -> str:
    match error:
        case errors.HFValidationError():
            return f"{repo.name!r} cannot be a repository of the hub: {error}"
        case errors.OfflineModeIsEnabled():
            return f"not in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set"
        case errors.GatedRepoError():
            return f"{repo.name} is gated: accept its terms on the hub and set HF_TOKEN"
        case errors.RepositoryNotFoundError():
            return f"the hub has no repository {repo.name}, or it is private and HF_TOKEN is needed"
        case errors.RevisionNotFoundError():
            return f"{repo.name} has no revision {repo.revision}"
        case errors.RemoteEntryNotFoundError():
            return f"{repo.name} has no {name} at revision {repo.revision}, which is required"
        case errors.HfHubHTTPError():
            found = f"HTTP {error.response.status_code} {error.response.reason_phrase}"
            return f"{found}{download.by_proxy(constants.ENDPOINT)}"
        case OSError() if error.filename and error.errno not in cli.DISK_FULL:
            return (
                f"the cache {constants.HF_HUB_CACHE} cannot be used ({error.strerror}); name a"
                " folder that can be written: export HF_HOME=/some/folder"
            )
        case OSError() if error.errno is not None:  # the disk
            raise error
        case _:
            found = f"{type(error).__name__}: {download.root_cause(error).splitlines()[0]}"
            return f"{found}{download.by_proxy(constants.ENDPOINT)}"


def _checksum(path: Path) -> str | None:
    """The hub's checksum of a cached file, which is the name of the blob that it links to.

    It is the sha256 of a large file and git's blob id of another; None where the cache cannot use
    links.
    """
    name = path.readlink().name if path.is_symlink() else ""
    return name if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", name) else None


def _remove_orphans(repo: Repository) -> None:
    """Removes what killed downloads left in the hub's cache; the library never does this.

    A file is removed only if nothing was written to it for ORPHANED_SECONDS, since another process
    may be downloading it.
    """
    folder = f"{repo.kind}s--{repo.name.replace('/', '--')}"
    for path in Path(constants.HF_HUB_CACHE, folder, "blobs").glob("*.incomplete"):
        with suppress(OSError):  # another process removed it, or this one may not
            if time.time() - path.stat().st_mtime > ORPHANED_SECONDS:
                path.unlink()
                log.info("removed %s, left by a download that was killed", path)
