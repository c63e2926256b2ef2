"""What must hold between the keys of `dataset`: a line for each mistake."""

from collections.abc import Iterator
from pathlib import Path

from ablations.files import is_file, unreadable
from ablations.study.dataset import (
    ALL,
    SUFFIXES,
    Download,
    Generated,
    Splits,
    Texts,
    class_names,
    file_name,
)


def mistakes(found: Texts | Generated) -> Iterator[str]:
    """What the types of the keys cannot say, a line for each mistake."""
    if isinstance(found, Texts):
        yield from _place_mistakes(found)
        yield from _file_mistakes(found)
        yield from _column_mistakes(found)
    yield from _split_mistakes(found)


def _place_mistakes(texts: Texts) -> Iterator[str]:
    for first, second in (("urls", "sha256"), ("repo", "revision")):
        for key, other in ((first, second), (second, first)):
            if getattr(texts, key) and not getattr(texts, other):
                yield f"dataset: missing key {other}, which {key} needs"
    if texts.urls and texts.repo:
        yield "dataset: urls and repo name two places for the files; allowed: one of the two"
    if not texts.files and (texts.repo or not texts.urls):
        yield "dataset: missing key files, which names the files that hold the texts"
    if texts.member_sha256 and not (texts.urls and isinstance(texts.files, str)):
        yield "dataset: member_sha256 is for one file in an archive; allowed with urls and one file"


def _file_mistakes(texts: Texts) -> Iterator[str]:
    for split, files in texts.parts.items():
        where = "dataset: files: " + ("" if split == ALL else f"{split}: ")
        for file in files:
            name = file_name(file)
            if isinstance(file, Download) and (texts.repo or (texts.urls and texts.files)):
                yield f"{where}{name}: urls are given beside another place of the files"
            if not texts.format_of(file):
                yield (
                    f"{where}{name}: the name does not tell the format; allowed:"
                    f" {', '.join(SUFFIXES)}, or the key format: csv, tsv, jsonl or parquet"
                )
    for path in texts.local:
        if not is_file(path):
            yield (
                f"dataset: files: there is no file {str(path)!r} in {Path.cwd()}; allowed: files,"
                " relative to the working directory, which is the study's folder with make run"
                " STUDY=… or --directory"
            )
        elif why := unreadable(path):
            yield f"dataset: files: {str(path)!r} cannot be read: {why}"


def _column_mistakes(texts: Texts) -> Iterator[str]:
    if texts.text == texts.label:
        yield f"dataset: text and label both name the column {texts.text!r}; name two"
    formats = {texts.format_of(file) for files in texts.parts.values() for file in files}
    for key, is_set in (("columns", texts.columns), ("quotes", not texts.quotes)):
        if is_set and formats - {"csv", "tsv"}:
            yield f"dataset: {key} is for csv and tsv files; in others every text names its columns"
    for key in ("text", "label") if texts.columns else ():
        times = list(texts.columns or ()).count(getattr(texts, key))
        if times != 1:
            yield (
                f"dataset: {key}: {getattr(texts, key)!r} appears {times} times in columns;"
                f" allowed: once ({', '.join(texts.columns or ())})"
            )
    names = class_names(texts)
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"dataset: classes: {name!r} appears {names.count(name)} times; each may appear once"


def _split_mistakes(found: Texts | Generated) -> Iterator[str]:
    files = None if isinstance(found, Generated) else found.files
    given, split = isinstance(files, Splits), found.split
    if isinstance(files, Splits) and files.validation:
        if split:
            yield "dataset: split: every split has files; leave out one of the two"
    elif split is None:
        yield "dataset: missing key split, which says how the texts are cut"
    elif given and split.train is not None:
        yield "dataset: split: train has files; allowed: validation, its share of them, and seed"
    elif not given and split.train is None:
        yield "dataset: split: missing key train"
    elif (split.train or 0) + split.validation >= 1:
        yield (
            f"dataset: split: train {split.train:g} and validation {split.validation:g} leave"
            " nothing for the test set; allowed: a sum below 1"
        )
    if isinstance(found, Texts):
        if found.balance and given:
            yield "dataset: balance: splits that have files are taken as they are; leave it out"
        if found.stratify and not split:
            yield "dataset: stratify: every split has files, so nothing is cut; leave it out"
