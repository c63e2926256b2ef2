"""The texts: read, balanced where asked, and split into train, validation and test.

Beside the splits' CSV files, classes.json names the classes in order, and notes.json holds what a
reader of the results must know about the splits.
"""

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ablations import cli
from ablations.data import remarks, texts
from ablations.data.classes import classes_of
from ablations.data.cuts import balanced, split
from ablations.data.split_files import write_split
from ablations.errors import UserError
from ablations.files import from_json, write_json
from ablations.sources import manifest
from ablations.sources.manifest import File
from ablations.study.dataset import ALL, SPLITS, Reading, class_of


def gather(files: Sequence[File], reading: Reading) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """All texts, in a table with the columns Label, Text, `where` and `split`, and the classes.

    Raises UserError at the first text that is not allowed, for a split without texts, and for a
    class without texts where classes are balanced.
    """
    read = texts.read(files, reading)
    in_schema = texts.names_in_schema(files, reading)
    classes = classes_of(read, reading, in_schema) if len(read) else ()
    table = pd.DataFrame(
        {
            "Label": read["label"].map(lambda label: class_of(label, classes)),
            "Text": read["text"],
            "where": read["where"],
            "split": read["file"].map(lambda number: files[number].split),
        }
    )
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


def cut(table: pd.DataFrame, reading: Reading, classes: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The three splits: those that have files unchanged, the others cut from the texts."""
    parts = {str(name): part for name, part in table.groupby("split")}
    shares = reading.split
    if shares is None:
        return parts
    if shares.train is None:
        ours = {"validation": shares.validation}
        return parts | split(parts["train"], ours, "train", shares.seed, reading.stratify)
    both = {"train": shares.train, "validation": shares.validation}
    if not reading.balance:
        return split(parts[ALL], both, "test", shares.seed, reading.stratify)
    chosen = balanced(table, shares.seed)
    cli.log.info("%s after balancing", len(chosen))
    try:
        return split(chosen, both, "test", shares.seed, reading.stratify)
    except UserError as error:
        counts = _counts(table, classes)
        fewest = classes[counts.index(min(counts))]
        raise UserError(
            f"{error}; balance: true left {len(chosen)} of {len(table)}, since {fewest!r} has"
            f" {cli.count(min(counts), 'text')}"
        ) from None


def notes(
    table: pd.DataFrame, parts: Mapping[str, pd.DataFrame], classes: Sequence[str], reading: Reading
) -> Iterator[str]:
    """What a reader of the results must know: the classes that a split lacks.

    Raises UserError where training lacks one, since no model could learn it.
    """
    for name in SPLITS:
        counts = _counts(parts[name], classes)
        lacking = [label for label, count in enumerate(counts) if not count]
        if lacking and name == "train":
            label = lacking[0]
            places = table["where"][table["Label"] == label].tolist()
            raise UserError(
                f"the training split has no text of the class {classes[label]!r};"
                f" {places[0] if places else 'no text'} has it; allowed: every class in training"
                f"{_hint(parts, label, reading)}"
            )
        if lacking:
            names = ", ".join(repr(classes[label]) for label in lacking)
            yield f"The {name} split has no text of {names}, so it says nothing about that."


def _hint(parts: Mapping[str, pd.DataFrame], label: int, reading: Reading) -> str:
    """How a class gets into the training split; empty where that is not cut from its texts."""
    shares = reading.split
    if shares is None:
        return ""
    cut_here, share = (SPLITS, shares.train) if shares.train else (SPLITS[:2], 1)
    size = sum(parts[name]["Label"].tolist().count(label) for name in cut_here)
    if size == 0:
        return ""
    # there is such a number, since the training split is not empty
    enough = next(number for number in itertools.count(1) if int(number * share))
    if size >= enough:
        return " (stratify: true puts each class there)"
    after = ", once balanced" if reading.balance else ""
    return (
        f" (with stratify: true, train {share:g} takes one of {enough} texts of a class; this one"
        f" has {size}{after})"
    )


def main(arguments: argparse.Namespace) -> None:
    """Reads the texts, writes the three splits, the classes and the notes."""
    reading = from_json(arguments.dataset, Reading, "--dataset")
    table, classes = gather(manifest.read(arguments.collection), reading)
    cli.log.info("%s texts: %s", len(table), _counted(table, classes))
    parts = cut(table, reading, classes)
    used = pd.concat(parts.values())
    told = [*remarks.balance(table, used, classes)] if reading.balance else []
    told += [*notes(table, parts, classes, reading), *remarks.two_labels(used, classes)]
    for name in SPLITS:
        path, part = arguments.output_dir / f"{name}.csv", parts[name]
        write_split(path, part["Label"].tolist(), part["Text"].tolist())
        cli.log.info("%s: %s texts: %s", path, len(part), _counted(part, classes))
    for note in told:
        cli.log.warning("%s", note)
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
    parser.add_argument("--output-dir", type=Path, required=True, help="for the three CSV files")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
