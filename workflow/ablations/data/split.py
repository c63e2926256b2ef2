"""The texts: read, balanced where asked, and cut into train, validation and test, once or in folds.

Beside the collection's texts.csv, classes.json names the classes in order, and notes.json holds
what a reader of the results must know about the splits.
"""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ablations import cli
from ablations.data import collection, remarks, texts
from ablations.data.classes import classes_of
from ablations.data.cuts import balanced, folds, shuffled, split
from ablations.data.near_copies import groups
from ablations.errors import Message, UserError
from ablations.files import from_json, write_json
from ablations.sources import manifest
from ablations.sources.manifest import File
from ablations.study.dataset import SPLITS, Reading, Shares, class_of, column, numbered


def gather(files: Sequence[File], reading: Reading) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """All texts, as `texts.read` gives them but each label as the index of its class; the classes.

    Raises UserError at the first text that is not allowed, for a split without texts, and for a
    class without texts where classes are balanced.
    """
    table = texts.read(files, reading)
    in_schema = texts.names_in_schema(files, reading)
    classes = classes_of(table, reading, in_schema) if len(table) else ()
    table["Label"] = table["Label"].map(lambda label: class_of(label, classes))
    for name in dict.fromkeys(file.split for file in files):
        if not (table["split"] == name).any():
            names = ", ".join(file.name for file in files if file.split == name)
            raise UserError(f"{names} holds no texts; allowed: at least one in every split")
    for name, count in zip(classes, _counts(table, classes), strict=True):
        if reading.balance and not count:
            names = ", ".join(file.name for file in files)
            raise UserError(
                f"{names}: {texts.label_told(reading)} is {name!r} in 0 of"
                f" {len(table)} texts; balance: true needs texts of each class"
            )
    return table, classes


def cut(table: pd.DataFrame, reading: Reading, classes: Sequence[str]) -> pd.DataFrame:
    """The collection: its texts in order, with a column that says how each fold cuts them."""
    shares = reading.split
    given = {str(name): part for name, part in table.groupby("split")}
    if shares is None:
        return pd.concat([given[name] for name in SPLITS], ignore_index=True)
    if shares.train is None and shares.folds is None:
        train = shuffled(given["train"], shares.seed)
        ours = {"validation": shares.validation}
        train["split"] = split(train["Label"].to_numpy(), ours, "train", reading.stratify)
        return pd.concat([train, given["test"]], ignore_index=True)
    chosen = table
    if reading.balance:
        chosen = balanced(table, shares.seed)
        cli.log.info("%s after balancing", len(chosen))
    chosen = shuffled(chosen, shares.seed)
    try:
        return _cut(chosen, shares, reading)
    except UserError as error:
        if not reading.balance:
            raise
        counts = _counts(table, classes)
        fewest = classes[counts.index(min(counts))]
        raise UserError(
            f"{error}; balance: true left {len(chosen)} of {len(table)}, since {fewest!r} has"
            f" {cli.count(min(counts), 'text')}"
        ) from None


def _cut(texts: pd.DataFrame, shares: Shares, reading: Reading) -> pd.DataFrame:
    if shares.folds:
        rules = shares.validation, reading.stratify, reading.keep_together
        return folds(texts, shares.folds, *rules)
    assert shares.train
    both = {"train": shares.train, "validation": shares.validation}
    found = split(texts["Label"].to_numpy(), both, "test", reading.stratify)
    return texts.assign(split=found)


def notes(
    table: pd.DataFrame, texts: pd.DataFrame, classes: Sequence[str], reading: Reading
) -> Iterator[str]:
    """What a reader of the results must know: the classes that a split of the collection lacks.

    `table`: all texts that were read; `texts`: the collection. Raises UserError where training
    lacks a class, since no model could learn it.
    """
    for fold, name in itertools.product(numbered(reading.split), SPLITS):
        of_fold = f" of fold {fold}" if fold else ""
        counts = _counts(texts[texts[column(fold)] == name], classes)
        lacking = [label for label, count in enumerate(counts) if not count]
        if lacking and name == "train":
            label = lacking[0]
            places = table["where"][table["Label"] == label].tolist()
            raise UserError(
                f"the training split{of_fold} has no text of the class {classes[label]!r};"
                f" {places[0] if places else 'no text'} has it; allowed: every class in training"
                f"{_hint(texts, label, reading)}"
            )
        if lacking:
            names = ", ".join(repr(classes[label]) for label in lacking)
            nothing = f"has no text of {names}, so it says nothing about that"
            none = "; folders that are no class are left out where classes names those that are"
            nothing += none if reading.label is None else ""
            yield f"The {name} split{of_fold} {nothing}."


def _hint(texts: pd.DataFrame, label: int, reading: Reading) -> Message:
    """How a class gets into the training split, or what keeps it out.

    Empty where that is not cut from its texts.
    """
    shares = reading.split
    if shares is None:
        return ""
    own, puts = texts["Label"] == label, " (stratify: true puts each class there)"
    if shares.folds:
        size = several = int(own.sum())
        if reading.keep_together:
            several = len(np.unique(groups(texts["Text"].tolist())[own]))
        if several >= shares.folds and not reading.stratify:
            return puts
        if several == size:
            return ""
        return (
            f" (keep_together: true leaves near-copies whole, and its {size} texts are in"
            f" {cli.count(several, 'group')} of them)"
        )
    share = shares.train or 1
    size = int((own if shares.train else own & (texts["split"] != "test")).sum())
    if size == 0:
        return ""
    # there is such a number, since the training split is not empty
    enough = next(number for number in itertools.count(1) if int(number * share))
    if size >= enough:
        return puts
    after = ", once balanced" if reading.balance else ""
    return (
        f" (with stratify: true, train {share:g} takes one of {enough} texts of a class; this one"
        f" has {size}{after})"
    )


def main(arguments: argparse.Namespace) -> None:
    """Reads the texts, writes the collection, the classes and the notes."""
    reading = from_json(arguments.dataset, Reading, "--dataset")
    table, classes = gather(manifest.read(arguments.collection), reading)
    cli.log.info("%s texts: %s", len(table), _counted(table, classes))
    found, numbers = cut(table, reading, classes), numbered(reading.split)
    told = [*remarks.balance(table, found, classes)] if reading.balance else []
    told += [*notes(table, found, classes, reading), *remarks.two_labels(found, classes)]
    for fold, name in itertools.product(numbers, SPLITS):
        part = found[found[column(fold)] == name]
        where = f"fold {fold}, {name}" if fold else name
        cli.log.info("%s: %s texts: %s", where, len(part), _counted(part, classes))
    for note in told:
        cli.log.warning("%s", note)
    columns = {name: found[name].tolist() for name in map(column, numbers)}
    path = arguments.output_dir / "texts.csv"
    collection.write(path, found["Label"].tolist(), found["Text"].tolist(), columns)
    write_json(arguments.output_dir / "classes.json", classes)
    write_json(arguments.output_dir / "notes.json", told)


def _counts(table: pd.DataFrame, classes: Sequence[str]) -> list[int]:
    """The number of texts of each class."""
    return np.bincount(table["Label"], minlength=len(classes)).tolist()


def _counted(table: pd.DataFrame, classes: Sequence[str]) -> str:
    """`4825 ham, 747 spam`."""
    counts = zip(_counts(table, classes), classes, strict=True)
    return ", ".join(f"{number} {name}" for number, name in counts)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--collection", type=Path, required=True, help="…/collection.json")
    parser.add_argument(
        "--dataset", required=True, help="what to read of it and how to cut it, as JSON"
    )
    parser.add_argument("--output-dir", type=Path, required=True, help="for texts.csv")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
