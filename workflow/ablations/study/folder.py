"""A checkpoint's folder in the Hugging Face layout: its files' names, and whether all are there.

Only names and the index are checked here; model/fetch.py checks what the files hold.
"""

import re
from pathlib import Path

from msgspec import Struct

from ablations import files
from ablations.errors import Message, UserError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
HEAD = "head.safetensors"  # of a kept model that is no GPT-2
PICKLES = ("pytorch_model.bin", "pytorch_model.pt", "model.pt", "model.pth", "model.bin")


class Index(Struct, frozen=True):
    """The content of model.safetensors.index.json: which file has which tensor."""

    weight_map: dict[str, str]


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a folder's weights: model.safetensors, or those that an index names.

    They may be missing. Raises UserError where the index is damaged.
    """
    if files.is_file(folder / WEIGHTS) or not files.is_file(folder / INDEX):
        return [folder / WEIGHTS]
    return [folder / name for name in indexed_files(folder / INDEX, str(folder / INDEX))]


def indexed_files(path: Path, name: str) -> list[str]:
    """The files that an index names; raises UserError, which calls it `name`, if it is wrong.

    Only names of files in the index's own folder are allowed: an index is a download, and it may
    hold any path.
    """
    try:
        found = sorted(set(files.read_json(path, Index).weight_map.values()))
    except UserError as error:
        raise UserError(str(error).replace(str(path), name)) from None
    if wrong := [file for file in found if not re.fullmatch(r"\w[\w.-]*\.safetensors", file)]:
        raise UserError(
            f"{name} names {wrong[0]!r:.80}; allowed: names of .safetensors files in its folder"
        )
    if not found:
        raise UserError(f"{name} names no file in its weight_map")
    return found


def missing(folder: Path) -> Message | None:
    """What a folder lacks to be a checkpoint, as the end of a sentence; None if nothing."""
    for path in (folder / CONFIG, *weight_files(folder)):
        if not files.is_file(path):
            pickles = [name for name in PICKLES if files.is_file(folder / name)]
            hint = f". {pickle_hint(pickles[0], str(folder))}" if pickles else ""
            return (
                f"holds no {path.name}; expected a folder in the Hugging Face layout, relative to"
                f" {Path.cwd()}, with {CONFIG} and {WEIGHTS} (or {INDEX} and the files"
                f" that it names){hint}"
            )
        if why := files.unreadable(path):
            return f"holds a {path.name} that cannot be read: {why}"
    return None


def pickle_hint(name: str, source: str) -> Message:
    """Why a pickle is not read, and how to convert it to safetensors."""
    return (
        f"Its {name} is a pickle, which is never loaded, as it can run any code. If you trust it,"
        ' convert it: python -c "from transformers import AutoModel;'
        f" AutoModel.from_pretrained('{source}').save_pretrained('converted')\""
        " (pip install transformers), and name that folder as path"
    )
