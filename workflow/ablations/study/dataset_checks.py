"""What must hold between the keys of `dataset`: a line for each mistake."""

import itertools
from collections.abc import Collection, Iterator
from pathlib import Path

from ablations.errors import UserError
from ablations.files import is_dir, is_file, unreadable
from ablations.study.dataset import (
    ALL,
    SUFFIXES,
    Download,
    Generated,
    Reading,
    Splits,
    Texts,
    class_names,
    file_name,
)
from ablations.study.labels import LONGEST_NAME, is_class_name
from ablations.study.text_folders import text_files

# What files are whose names end so, if their format is not stated.
ARCHIVE = "an archive; allowed: its files, packed with gzip (.gz) or not packed"
SPREADSHEET = "a spreadsheet's; allowed: its table, saved as CSV"
OTHERS = dict.fromkeys((".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar"), ARCHIVE)
OTHERS |= dict.fromkeys((".bz2", ".xz", ".zst", ".lz4"), ARCHIVE.replace("an archive", "packed"))
OTHERS |= dict.fromkeys((".xlsx", ".xls", ".ods"), SPREADSHEET)

# The formats of files that have no columns.
COLUMNLESS = {"folder": "a folder of texts", "lines": "a file with a text on each line"}


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
            if other := next((end for end in OTHERS if name.lower().endswith(end)), None):
                yield f"{where}{name}: {other} is {OTHERS[other]}"
            elif not texts.format_of(file):
                yield (
                    f"{where}{name}: the name does not tell the format; allowed:"
                    f" {', '.join(SUFFIXES)}, with .gz or without, a folder, or the key format:"
                    " csv, tsv, jsonl or parquet"
                )
    for path in texts.local:
        if is_dir(path) and texts.format in (None, "folder"):
            try:
                text_files(path, texts)
            except UserError as error:
                yield f"dataset: files: {error}"
        elif not is_file(path):
            yield (
                f"dataset: files: there is no file {str(path)!r} in {Path.cwd()}; allowed: files,"
                " relative to the working directory, which is the study's folder with make run"
                " STUDY=… or --directory"
            )
        elif why := unreadable(path):
            yield f"dataset: files: {str(path)!r} cannot be read: {why}"


def _column_mistakes(texts: Texts) -> Iterator[str]:
    formats = {texts.format_of(file) for files in texts.parts.values() for file in files}
    missing = [key for key in ("text", "label") if getattr(texts, key) is None]
    if missing and formats != {"folder"}:
        yield f"dataset: missing key {' and '.join(missing)}"
    for mistake in reading_mistakes(texts, formats, labelled=True):
        yield f"dataset: {mistake}"
    yield from _class_mistakes(texts)


def reading_mistakes(
    reading: Reading, formats: Collection[str | None], labelled: bool
) -> Iterator[str]:
    """What in files of these formats cannot be read as stated, a line for each mistake.

    `labelled`: whether labels are read too.
    """
    for format, key in itertools.product(COLUMNLESS.keys() & {*formats}, ("text", "label")):
        if getattr(reading, key) is not None:
            yield f"{key} names a column; {COLUMNLESS[format]} has none, so leave it out"
    wanted = [("text", name) for name in reading.text_columns]
    wanted += [("label", reading.label_column)] * labelled
    columns = [name for _, name in wanted]
    for name in sorted({name for name in columns if columns.count(name) > 1}):
        if labelled and name == reading.label_column:
            yield f"text and label both name the column {name!r}; name different ones"
        else:
            yield f"text names the column {name!r} twice; name different ones"
    others = sorted(each for each in formats if each not in ("csv", "tsv", None))
    for key in ("columns", "separator", "quotes"):
        if getattr(reading, key) is not None and others:
            yield f"{key} is for csv and tsv files, not for {' and '.join(others)}"
    if reading.encoding and "parquet" in formats:
        yield "encoding is for files of text; a Parquet file has its own"
    all_columns = reading.column_names or ()
    for key, name in wanted:
        if all_columns and all_columns.count(name) != 1:
            yield (
                f"{key}: {name!r} appears {all_columns.count(name)} times in columns; allowed: once"
                f" ({', '.join(all_columns)})"
            )
    if reading.encoding and not _is_encoding(reading.encoding):
        yield (
            f"encoding: {reading.encoding!r} is none that Python knows; allowed: its name, such as"
            " latin-1, cp1252 or utf-16"
        )


def _class_mistakes(texts: Texts) -> Iterator[str]:
    names = class_names(texts)
    if texts.named and any(not isinstance(each, tuple) for each in texts.classes or ()):
        yield "dataset: classes: names and pairs; allowed: a list of names, or a mapping to names"
        return
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"dataset: classes: {name!r} appears {names.count(name)} times; each may appear once"
    labels = [str(pair[0]).strip() for pair in texts.classes or () if isinstance(pair, tuple)]
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        yield (
            f"dataset: classes: the label {label!r} appears {labels.count(label)} times, without"
            " the blanks around it; each may appear once"
        )
    for name in names:
        if not is_class_name(name):
            yield (
                f"dataset: classes: {name[:LONGEST_NAME]!r} cannot be a name; allowed: 1 to"
                f" {LONGEST_NAME} characters that can be printed"
            )
    if texts.named and len(names) < 2:
        yield f"dataset: classes: all texts are {names[0]!r}; allowed: two names or more"


def _is_encoding(name: str) -> bool:
    """Whether it is an encoding of text: Python has others too, such as base64."""
    try:
        return isinstance("".encode(name), bytes)
    except (LookupError, ValueError, TypeError):
        return False


def _split_mistakes(found: Texts | Generated) -> Iterator[str]:
    files = None if isinstance(found, Generated) else found.files
    given, split = isinstance(files, Splits), found.split
    if isinstance(files, Splits) and files.validation:
        if split:
            yield "dataset: split: every split has files; leave out one of the two"
    elif split is None:
        yield "dataset: missing key split, which says how the texts are cut"
    elif split.folds:
        if given:
            yield "dataset: split: folds: the splits have files; allowed: validation and seed"
        elif split.validation + 1 / split.folds >= 1:
            yield (
                f"dataset: split: folds {split.folds} and validation {split.validation:g} leave"
                " nothing to train on; allowed: a sum of validation and 1 / folds below 1"
            )
    elif given and split.train is not None:
        yield "dataset: split: train has files; allowed: validation, its share of them, and seed"
    elif not given and split.train is None:
        yield "dataset: split: missing key train"
    elif (split.train or 0) + split.validation >= 1:
        yield (
            f"dataset: split: train {split.train:g} and validation {split.validation:g} leave"
            " nothing for the test set; allowed: a sum below 1"
        )
    if found.keep_together and not (split and split.folds):
        yield "dataset: keep_together: nothing is cut into folds; allowed with split: folds"
    if found.stratify and not split:
        yield "dataset: stratify: every split has files, so nothing is cut; leave it out"
    if isinstance(found, Texts) and found.balance and given:
        yield "dataset: balance: splits that have files are taken as they are; leave it out"
