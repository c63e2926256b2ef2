"""Files of labelled texts for the stages that read them, and those stages as programs."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np

from ablations import files
from ablations.data import tokens
from ablations.data.tokens import Tokens
from ablations.sources.manifest import File
from ablations.study.dataset import PUBLISHED, Format
from commands import program, shared

SPLIT = {"train": 0.7, "validation": 0.1, "seed": 123}
# How the SMS Spam Collection is read, balanced and cut.
SMS: dict[str, Any] = {key: PUBLISHED[key] for key in PUBLISHED if key != "files"} | {
    "split": SPLIT
}


def sms_collection(folder: Path) -> Path:
    """The SMS Spam Collection itself, unpacked into a folder."""
    with zipfile.ZipFile(shared("data/sms+spam+collection.zip")) as archive:
        return Path(archive.extract("SMSSpamCollection", folder))


def gpt2_bpe() -> Path:
    """The folder with the two files of GPT-2's tokenizer."""
    shared("data/gpt2-bpe/vocab.bpe")
    return shared("data/gpt2-bpe/encoder.json").parent


def mirror() -> Path:
    """The folder with both, as `mirror` names it."""
    shared("data/sms+spam+collection.zip")
    return gpt2_bpe().parent


def file(path: Path, split: str = "all", format: Format | None = None) -> File:
    """A file as collection.json names it; of no content where it does not exist."""
    sha256 = files.sha256(path) if path.is_file() else "0" * 64
    found: Any = format or path.suffix[1:]
    return File(path.name, str(path), sha256, found, split)


def as_tokens(ids: Mapping[str, Sequence[Sequence[int]]], padding: int = 256) -> Tokens:
    """Texts of these ids by split, all of the first class."""
    about = tokens.About(
        tokenizer="made up",
        vocab_size=padding + 1,
        padding_id=padding,
        classes=("a", "b"),
        dataset_sha256="0" * 64,
        splits=tuple(ids),
    )
    arrays = {split: [np.array(text, np.int32) for text in found] for split, found in ids.items()}
    labels = {split: np.zeros(len(found), np.int64) for split, found in ids.items()}
    return Tokens(about, arrays, labels)


def run_split(
    folder: Path, *given: Path | File, dataset: dict[str, Any] = SMS
) -> CompletedProcess[str]:
    """Splits these files into a folder, as the rule does."""
    return program("data.split", *split_arguments(folder, *given, dataset=dataset))


def split_arguments(
    folder: Path, *given: Path | File, dataset: dict[str, Any] = SMS
) -> tuple[str | Path, ...]:
    """The command line that splits these files into a folder."""
    listed = folder.parent / f"{folder.name}.collection.json"
    files.write_json(listed, [file(each) if isinstance(each, Path) else each for each in given])
    return (
        *("--collection", listed, "--dataset", files.as_json(dataset)),
        *("--output-dir", folder),
    )
