"""Files of labelled texts for the stages that read them, and those stages as programs."""

import functools
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np

from ablations import files
from ablations.data import byte_pairs, collection, tokenizer, tokens
from ablations.data.tokenizer import Tokenizer
from ablations.data.tokens import Tokens
from ablations.sources.manifest import File
from ablations.study.dataset import PUBLISHED, SPLITS, Format
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


@functools.cache
def gpt2() -> Tokenizer:
    """GPT-2's tokenizer."""
    return tokenizer.of_merges(byte_pairs.read(gpt2_bpe() / "vocab.bpe"))


def mirror() -> Path:
    """The folder with both, as `mirror` names it."""
    shared("data/sms+spam+collection.zip")
    return gpt2_bpe().parent


def file(path: Path, split: str = "all", format: Format | None = None) -> File:
    """A file as collection.json names it; of no content where it does not exist."""
    sha256 = files.sha256(path) if path.is_file() else "0" * 64
    found: Any = format or path.suffix[1:]
    return File(path.name, str(path), sha256, found, split)


def as_tokens(
    ids: Mapping[str, Sequence[Any]],
    labels: Mapping[str, Any] | None = None,
    classes: tuple[str, ...] = ("a", "b"),
    padding: int = 256,
    **told: Any,
) -> Tokens:
    """Texts of these ids by split, cut once; all of the first class unless told otherwise.

    What else About holds may be told too.
    """
    made_up = {"tokenizer": "bytes", "vocab_size": padding + 1, "dataset_sha256": "0" * 64}
    about = tokens.About(**made_up | told, padding_id=padding, classes=classes)
    found = [np.array(text, np.int32) for split in SPLITS for text in ids[split]]
    cut = np.repeat(range(3), [len(ids[split]) for split in SPLITS]).astype(np.int8)
    of_texts = np.zeros(len(found), np.int64)
    if labels:
        of_texts = np.concatenate([labels[split] for split in SPLITS]).astype(np.int64)
    return Tokens(about, found, of_texts, {"split": cut})


def write_texts(path: Path, labels: Mapping[str, Any], texts: Mapping[str, Sequence[str]]) -> None:
    """Writes texts.csv, cut once."""
    cut = [split for split in SPLITS for _ in texts[split]]
    of_texts = [int(label) for split in SPLITS for label in labels[split]]
    every = [text for split in SPLITS for text in texts[split]]
    collection.write(path, of_texts, every, {"split": cut})


def replace_texts(path: Path, split: str, labels: Sequence[int], texts: Sequence[str]) -> None:
    """Puts other texts into one split of texts.csv, which is cut once."""
    before = read_splits(path) | {split: (list(labels), list(texts))}
    found = {name: part for name, (part, _) in before.items()}
    write_texts(path, found, {name: part for name, (_, part) in before.items()})


def read_splits(path: Path) -> dict[str, tuple[list[int], list[str]]]:
    """The labels and texts of each split of texts.csv, which is cut once."""
    found = collection.read(path)
    return {
        split: (found.labels[own].tolist(), [found.texts[line] for line in own])
        for split, own in collection.lines(found.cuts["split"]).items()
    }


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
