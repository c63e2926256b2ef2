"""Texts in a folder, a folder for each class: `train/pos/0_9.txt` is a text of the class pos.

Files that lie beside the folders are no texts, nor are hidden ones. With `classes`, other folders
are left out.
"""

from collections.abc import Iterator
from pathlib import Path

from ablations import files
from ablations.errors import UserError
from ablations.study.dataset import Reading


def text_files(folder: Path, reading: Reading) -> list[Path]:
    """The files with texts, in the order of their names; raises UserError if there are none."""
    found = [path for each in _folders(folder, reading) for path in _files(each)]
    if not found:
        classes = "" if reading.classes is None else " that is named as one of classes"
        raise UserError(
            f"the folder {folder} holds no folder{classes} with texts; allowed: a folder for each"
            " class, a file for each text"
        )
    return found


def left_out(folder: Path, reading: Reading) -> list[str]:
    """The names of the folders that are no class."""
    kept = set(_folders(folder, reading))
    return [path.name for path in _visible(folder) if path.is_dir() and path not in kept]


def sha256(folder: Path, reading: Reading) -> str:
    """One checksum of the names and the content of all texts."""
    texts = text_files(folder, reading)
    lines = (f"{path.relative_to(folder).as_posix()} {files.sha256(path)}" for path in texts)
    return files.joint_sha256(["folder", *lines])


def _folders(folder: Path, reading: Reading) -> Iterator[Path]:
    for path in _visible(folder):
        if path.is_dir() and reading.takes(path.name):
            yield path


def _files(folder: Path) -> Iterator[Path]:
    for path in _visible(folder):
        if path.is_dir():
            raise UserError(f"{path} is a folder; allowed in {folder}: a file for each text")
        yield path


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
