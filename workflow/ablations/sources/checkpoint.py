"""The files of a checkpoint in the Hugging Face layout: fetched, and put where stages read them.

What they hold is checked by model/fetch.py. Only safetensors are fetched, never pickles.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ablations import files
from ablations.errors import UserError
from ablations.sources import hub
from ablations.sources.download import Found, NotThereError
from ablations.sources.hub import Repository
from ablations.study import folder as layout
from ablations.study.folder import CONFIG, INDEX, WEIGHTS


def fetch_weights(repo: Repository, sha256: str | None, folder: Path) -> list[Found]:
    """The files that hold a repository's weights, put into a folder, the index that names them too.

    `sha256` is that of model.safetensors; without it the hub's own checksums are used. Raises
    UserError if no source has them.
    """
    try:
        return [hub.fetch(repo, WEIGHTS, folder, sha256)]
    except NotThereError as error:
        reasons = str(error)
    try:
        hub.fetch(repo, INDEX, folder)
    except NotThereError:
        raise UserError("\n".join(filter(None, [reasons, hub.pickle_hint(repo)]))) from None
    if sha256 is not None:
        raise UserError(
            f"{repo.name} has no {WEIGHTS} at revision {repo.revision}, but several files; remove"
            " sha256 from the model's entry: the hub's checksum of each is used"
        )
    names = layout.indexed_files(folder / INDEX, f"{repo.name}/{INDEX}")
    return [hub.fetch(repo, name, folder) for name in names]


def place(folder: Path, weights: Sequence[Found], output: Path, scratch: bool = False) -> None:
    """Puts a folder's config.json and weights beside a manifest, which the caller writes last.

    Weights are linked to. `scratch`: the folder is only for downloads, so those in it are moved.
    """
    output.unlink(missing_ok=True)  # it is not true while the other files change
    with suppress(UserError):  # of a damaged index: its files are overwritten, or not named
        for old in layout.weight_files(output.parent):
            old.unlink(missing_ok=True)
    (output.parent / INDEX).unlink(missing_ok=True)
    one = weights[0].path.name == WEIGHTS
    for name in [CONFIG] if one else [CONFIG, INDEX]:
        files.copy(folder / name, output.parent / name)
    for path, _ in weights:
        with path.open("rb") as file:  # on the disk before the manifest
            os.fsync(file.fileno())
        if scratch and path.parent == folder:
            path.replace(output.parent / path.name)
        else:
            _link(path, output.parent / path.name)


def _link(target: Path, link: Path) -> None:
    """A symbolic link, relative if the target's path is, so that both can move together."""
    text = os.path.relpath(Path.cwd() / target, link.parent.resolve())
    if target.is_absolute() or not (link.parent / text).exists():
        text = str(target.absolute())
    temporary = link.with_name(f".{link.name}.link")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(text)
    temporary.replace(link)
