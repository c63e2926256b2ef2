"""A folder in the Hugging Face layout: its files' names, and whether they are all there.

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
TOKENIZER, IDS, MERGES = "tokenizer.json", "vocab.json", "merges.txt"
SETTINGS, SPECIAL, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
END_OF_TEXT = "<|endoftext|>"
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


def path_sha256(folder: Path, cache: Path) -> str:
    """One checksum for the config.json and the weights of a user's folder."""
    return files.contents_sha256([folder / CONFIG, *weight_files(folder)], cache)


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


def tokenizer_files(folder: Path) -> list[Path]:
    """The tokenizer's files in a folder; none where it has no tokenizer."""
    if files.is_file(folder / TOKENIZER):
        return [folder / TOKENIZER]
    both = [folder / IDS, folder / MERGES]
    return both if all(map(files.is_file, both)) else []


def special_tokens(folder: Path) -> set[str]:
    """The special tokens that a tokenizer's settings name: in a text, their spelling is text."""
    found: set[str] = set()
    for path in (folder / SETTINGS, folder / SPECIAL):
        settings = files.read_keys(path) if files.is_file(path) else {}
        for key, value in settings.items():
            if key.endswith(("_token", "_special_tokens")):
                for token in value if isinstance(value, list) else [value]:
                    content = token.get("content") if isinstance(token, dict) else token
                    found |= {content} if isinstance(content, str) else set()
    return found


def vocab_size(folder: Path) -> int:
    """The number of ids that texts can have: the highest and one. Raises UserError if none.

    Special tokens beyond them count for nothing, as no text becomes one.
    """
    found = tokenizer_files(folder)
    if not found:
        raise UserError(
            f"{folder} holds no tokenizer; expected {TOKENIZER}, or {IDS} and {MERGES}, relative to"
            f" {Path.cwd()}"
        )
    for path in found:
        if why := files.unreadable(path):
            raise UserError(f"{path} cannot be read: {why}")
    content = files.read_keys(found[0], expected="an id for each token")
    try:
        if found[0].name == IDS:
            ids, special = content, special_tokens(folder)
        else:
            added = {token["content"]: token["id"] for token in content.get("added_tokens", ())}
            ids, special = content["model"]["vocab"] | added, set(added)
        return int(max(ids[token] for token in ids.keys() - (special - {END_OF_TEXT}))) + 1
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{found[0]} is no tokenizer of GPT-2's kind, which gives each token an id"
            f" ({type(error).__name__}: {error})"
        ) from None


def pickle_hint(name: str, source: str) -> Message:
    """Why a pickle is not read, and how to convert it to safetensors."""
    return (
        f"Its {name} is a pickle, which is never loaded, as it can run any code. If you trust it,"
        ' convert it: python -c "from transformers import AutoModel;'
        f" AutoModel.from_pretrained('{source}').save_pretrained('converted')\""
        " (pip install transformers), and name that folder as path"
    )
