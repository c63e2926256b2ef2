"""The texts: read, balanced where asked, and cut into train, validation and test, once or in folds.

Beside the collection's texts.csv, classes.json names the classes in order, and notes.json holds
what a reader of the results must know about the splits.
"""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ablations import cli
from ablations.data import collection, remarks, texts
from ablations.data.classes import class_counts, classes_of
from ablations.data.cuts import balanced, folds, shuffled, split
from ablations.errors import UserError
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
    for name, count in zip(classes, class_counts(table, classes), strict=True):
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
        counts = class_counts(table, classes)
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


def main(arguments: argparse.Namespace) -> None:
    """Reads the texts, writes the collection, the classes and the notes."""
    reading = from_json(arguments.dataset, Reading, "--dataset")
    table, classes = gather(manifest.read(arguments.collection), reading)
    cli.log.info("%s texts: %s", len(table), _counted(table, classes))
    found, numbers = cut(table, reading, classes), numbered(reading.split)
    told = [*remarks.balance(table, found, classes)] if reading.balance else []
    told += remarks.missing_classes(table, found, classes, reading)
    told += remarks.two_labels(found, classes)
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


def _counted(table: pd.DataFrame, classes: Sequence[str]) -> str:
    """`4825 ham, 747 spam`."""
    counts = zip(class_counts(table, classes), classes, strict=True)
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
