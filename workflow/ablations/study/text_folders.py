"""Texts in a folder, a folder for each class: `train/pos/0_9.txt` is a text of the class pos.

Files that lie beside the folders are no texts, nor are hidden ones. With `classes`, other folders
are left out.
"""

import os
from pathlib import Path

from ablations import files
from ablations.errors import UserError
from ablations.study.dataset import Reading


def text_files(folder: Path, reading: Reading) -> list[Path]:
    """The files with texts, in the order of their names; raises UserError if there are none."""
    found = [path for each in _folders(folder) if reading.takes(each.name) for path in _files(each)]
    if not found:
        classes = "" if reading.classes is None else " that is named as one of classes"
        raise UserError(
            f"the folder {folder} holds no folder{classes} with texts; allowed: a folder for each"
            " class, a file for each text"
        )
    return found


def left_out(folder: Path, reading: Reading) -> list[str]:
    """The names of the folders that are no class."""
    return [path.name for path in _folders(folder) if not reading.takes(path.name)]


def unlabelled(folder: Path) -> list[Path]:
    """The files of a folder, and those of the folders in it, whatever their names."""
    own = [folder / entry.name for entry in _visible(folder) if not entry.is_dir()]
    return own + [path for each in _folders(folder) for path in _files(each)]


def sha256(folder: Path, reading: Reading) -> str:
    """One checksum of the names and the content of all texts."""
    texts = text_files(folder, reading)
    lines = (f"{path.relative_to(folder).as_posix()} {files.sha256(path)}" for path in texts)
    return files.joint_sha256(["folder", *lines])


def _folders(folder: Path) -> list[Path]:
    return [folder / entry.name for entry in _visible(folder) if entry.is_dir()]


def _files(folder: Path) -> list[Path]:
    found = _visible(folder)
    for entry in found:
        if entry.is_dir():
            raise UserError(
                f"{folder / entry.name} is a folder; allowed in {folder}: a file for each text"
            )
    return [folder / entry.name for entry in found]


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, in the order of names. An entry knows its kind; a path looks it up."""
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror or error}") from None
    return sorted(found, key=lambda entry: entry.name)
