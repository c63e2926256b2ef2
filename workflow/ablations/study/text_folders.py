"""Texts in a folder, a folder for each class: `train/pos/0_9.txt` is a text of the class pos.

Files that lie beside the folders are no texts, nor are hidden ones. With `classes`, other folders
are left out, unless their names only look different.
"""

import os
from pathlib import Path
from typing import NamedTuple

from ablations import files
from ablations.errors import UserError
from ablations.study.dataset import Reading, class_names
from ablations.study.labels import plain

OF_WINDOWS = ("thumbs.db", "desktop.ini")  # as hidden there as what begins with a dot is elsewhere


class Entry(NamedTuple):
    """What is in a folder. A folder's list knows these kinds; each path would look them up."""

    name: str
    is_folder: bool
    is_file: bool


def text_files(folder: Path, reading: Reading) -> list[Path]:
    """The files with texts, in the order of their names; raises UserError if there are none."""
    found: list[Path] = []
    for each in _folders(folder):
        if reading.takes(each.name):
            found += _files(each)
        else:
            _refuse_alike(each, reading)
    if not found:
        classes = "" if reading.classes is None else " that is named as one of classes"
        raise UserError(
            f"the folder {folder} holds no folder{classes} with texts; allowed: a folder for each"
            " class, a file for each text"
        )
    return found


def _refuse_alike(folder: Path, reading: Reading) -> None:
    """Raises UserError for a folder that seems to be meant for a class, but is not named so."""
    for name in [*reading.named] or class_names(reading):
        if plain(name) == plain(folder.name):
            raise UserError(
                f"the folder {folder} is left out, but {name!r} of classes differs from its name in"
                " blanks, case or Unicode form alone; allowed: one spelling"
            )


def left_out(folder: Path, reading: Reading) -> list[str]:
    """The names of the folders that are no class."""
    return [path.name for path in _folders(folder) if not reading.takes(path.name)]


def unlabelled(folder: Path) -> list[Path]:
    """The files of a folder, and those of the folders in it, whatever their names."""
    own = [_file(folder, entry) for entry in _visible(folder) if not entry.is_folder]
    return own + [path for each in _folders(folder) for path in _files(each)]


def sha256(folder: Path, reading: Reading) -> str:
    """One checksum of the names and the content of all texts."""
    texts = text_files(folder, reading)
    lines = (f"{path.relative_to(folder).as_posix()} {files.sha256(path)}" for path in texts)
    return files.joint_sha256(["folder", *lines])


def _folders(folder: Path) -> list[Path]:
    return [_path(folder, entry.name) for entry in _visible(folder) if entry.is_folder]


def _files(folder: Path) -> list[Path]:
    return [_file(folder, entry) for entry in _visible(folder)]


def _file(folder: Path, entry: Entry) -> Path:
    path = _path(folder, entry.name)
    if entry.is_folder:
        raise UserError(f"{path} is a folder; allowed in {folder}: a file for each text")
    if not entry.is_file:
        raise UserError(f"{path} is no file, or a link to none; allowed: a file for each text")
    return path


def _path(folder: Path, name: str) -> Path:
    """What has this name; raises UserError where it is not UTF-8, as all that is written is."""
    if not name.isprintable() and any("\udc80" <= letter <= "\udcff" for letter in name):
        raise UserError(f"{folder}: the name {name!r} is not UTF-8; allowed: a name in UTF-8")
    return folder / name


def _visible(folder: Path) -> list[Entry]:
    """What is in a folder, in the order of names, without what a system puts there."""
    try:
        with os.scandir(folder) as entries:
            found = [
                Entry(each.name, each.is_dir(), each.is_file())
                for each in entries
                if not each.name.startswith(".") and each.name.lower() not in OF_WINDOWS
            ]
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror or error}") from None
    return sorted(found)
