"""The texts: read, balanced where asked, and split into train, validation and test.

A split is a CSV file with the columns Label (the index of a class) and Text. In the same folder,
classes.json names the classes in order, and notes.json holds what a reader of the results must know
about the splits. Any text is read back as it was written. Texts go from file to file; of each text
only its label and its place are in memory.
"""

import argparse
import csv
import itertools
import re
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from ablations import cli
from ablations.data.texts import LABELS, read, where
from ablations.errors import UserError
from ablations.files import whole, write_json
from ablations.sources import manifest
from ablations.sources.manifest import File
from ablations.study.dataset import ALL, Reading, class_names
from ablations.study.dataset import SPLITS as SPLITS

MAX_CLASSES = 1000
WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)")
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|nan|NaN")


# --- classes


class First(NamedTuple):
    """The first text with a label: the label's number in the order of appearance, and its place."""

    number: int
    where: str


class Seen:
    """The labels seen so far, each with its first text."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.names = class_names(reading)
        self.first: dict[str, First] = {}

    def number(self, label: str, file: File, place: int) -> int:
        """A label's number, in the order of appearance; refuses one that is no class."""
        known = self.first.get(label)
        if known is None:
            known = First(len(self.first), where(file, place))
            if self.names and class_of(label, self.names) is None:
                raise UserError(
                    f"{known.where}: the column {self.reading.label!r} (label) is {label!r};"
                    f" allowed: {', '.join(map(repr, self.names))}, the names in classes"
                )
            self.first[label] = known
            if not self.names and len(self.first) > MAX_CLASSES:
                self._refuse_numbers()
                raise UserError(
                    f"{known.where}: the column {self.reading.label!r} (label) holds more than"
                    f" {MAX_CLASSES} different values, such as {label!r}; is it the label?"
                )
        return known.number

    def classes(self) -> tuple[str, ...]:
        """The classes in the order of their labels: as named, or as `in_order` infers them."""
        if self.names:
            return self.names
        self._refuse_numbers()
        if len(self.first) == 1:
            (label,) = self.first
            raise UserError(
                f"the column {self.reading.label!r} (label) is {label!r} in every text; allowed:"
                " two classes or more"
            )
        return in_order(self.first)

    def labels(self, classes: Sequence[str]) -> npt.NDArray[np.int64]:
        """The label of each number that `number` gave."""
        return np.array([class_of(label, classes) for label in self.first], np.int64)

    def _refuse_numbers(self) -> None:
        """Refuses a column of numbers where one has decimals, or is NaN, as a missing one is."""
        if not all(map(NUMBER.fullmatch, self.first)):
            return
        for label, first in self.first.items():
            column = f"{first.where}: the column {self.reading.label!r} (label) is {label}"
            if label.lower() == "nan":
                raise UserError(f"{column}, which is no label; allowed: a label on every line")
            if re.search(r"[.eE]", label):
                raise UserError(f"{column}, a number with decimals; allowed: {LABELS}")


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """The order of inferred classes: numerical if all are whole numbers, else alphabetical."""
    names = sorted(labels)
    return tuple(sorted(names, key=int) if all(map(WHOLE_NUMBER.fullmatch, names)) else names)


def class_of(label: str, classes: Sequence[str]) -> int | None:
    """The index of a label's class; None where it has none.

    A whole number is itself the index, unless a class has a whole number as its name.
    """
    if label in classes:
        return list(classes).index(label)
    if WHOLE_NUMBER.fullmatch(label) and not any(map(WHOLE_NUMBER.fullmatch, classes)):
        return int(label) if 0 <= int(label) < len(classes) else None
    return None


# --- balance and cuts, of any table with a column Label


def balanced(texts: pd.DataFrame, classes: Sequence[str], seed: int) -> pd.DataFrame:
    """The same number of texts of each class, shuffled; larger classes are sampled."""
    parts = [texts[texts["Label"] == label] for label in range(len(classes))]
    size = min(map(len, parts))
    # the last class keeps its order where all of it is used, as in the published study
    keep = len(parts) - 1 if len(parts[-1]) == size else None
    chosen = [
        part if label == keep else part.sample(size, random_state=seed)
        for label, part in enumerate(parts)
    ]
    return pd.concat(chosen).sample(frac=1, random_state=seed).reset_index(drop=True)


def split(
    texts: pd.DataFrame,
    shares: Mapping[str, float],
    rest: str,
    seed: int,
    stratify: bool = False,
    why: str = "",
) -> dict[str, pd.DataFrame]:
    """Shuffles and cuts: `shares` are fractions by split, in order; `rest` names the last split.

    With `stratify`, each class is cut by these fractions. Raises UserError if a split would be
    empty; `why`: why there are so few texts, as the end of its message.
    """
    shuffled = texts.sample(frac=1, random_state=seed).reset_index(drop=True)
    group = shuffled["Label"] if stratify else pd.Series(0, index=shuffled.index)
    rank = group.groupby(group).cumcount()
    size = group.groupby(group).transform("size")
    parts, begin = {}, 0 * size
    for name, share in shares.items():
        end = begin + (size * share).astype(int)
        parts[name] = shuffled[(begin <= rank) & (rank < end)]
        begin = end
    parts[rest] = shuffled[begin <= rank]
    for name, part in parts.items():
        if part.empty:
            cuts = " and ".join(f"{name} {share:g}" for name, share in shares.items())
            cuts += " of each class" if stratify else ""
            raise UserError(
                f"the {name} split is empty: {len(shuffled)} texts are too few for {cuts}{why}"
            )
    return parts


# --- the CSV files


def write_split(path: Path, labels: Iterable[int], texts: Iterable[str]) -> None:
    """Writes a split's CSV file, whole or not at all."""
    with whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write("Label,Text\n")
        # every text is quoted: before Python 3.13 a bare carriage return is not by default
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerows(zip(labels, texts, strict=True))


def read_split(path: Path) -> tuple[list[int], list[str]]:
    """A split's labels and texts, exactly as they were written.

    Raises UserError if the file is missing or not such a CSV file.
    """
    labels: list[int] = []
    texts: list[str] = []
    for some, more in read_split_in_parts(path):
        labels += some
        texts += more
    return labels, texts


def read_split_in_parts(path: Path) -> Iterator[tuple[list[int], list[str]]]:
    """The same, a few thousand texts at a time."""
    try:
        with pd.read_csv(path, dtype=str, na_filter=False, chunksize=4096) as parts:
            for part in parts:
                yield part["Label"].astype("int64").tolist(), part["Text"].tolist()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; the split stage writes it") from None
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{path}: {error}; expected a CSV file with the columns Label (a number) and Text"
        ) from None


# --- from files to splits


@dataclass
class Spool:
    """Texts in a temporary file, in the order in which they were added."""

    file: BinaryIO
    ends: "array[int]"

    def add(self, text: str) -> None:
        """One more text."""
        self.file.write(text.encode())
        self.ends.append(self.file.tell())

    def __getitem__(self, number: int) -> str:
        """The text with this number, counted from 0."""
        start = self.ends[number - 1] if number else 0
        self.file.seek(start)
        return self.file.read(self.ends[number] - start).decode()


def gather(
    files: Sequence[File], reading: Reading, spool: Spool
) -> tuple[dict[str, pd.DataFrame], Seen, tuple[str, ...]]:
    """Reads every file: each split's labels and its texts' numbers in the spool, and the classes.

    Raises UserError at the first text that is not allowed, and for a class without texts where
    classes are balanced.
    """
    seen = Seen(reading)
    numbers = {file.split: array("q") for file in files}
    begins: dict[str, int] = {}
    for file in files:  # a split's files follow one another
        begins.setdefault(file.split, len(spool.ends))
        for place, label, text in read(file, reading):
            numbers[file.split].append(seen.number(label, file, place))
            spool.add(text)
    for name, found in numbers.items():
        if not found:
            names = ", ".join(file.name for file in files if file.split == name)
            raise UserError(f"{names} holds no texts; allowed: at least one in every split")
    classes = seen.classes()
    labels = seen.labels(classes)
    for number, name in enumerate(classes if reading.balance else ()):
        if number not in labels:
            names = ", ".join(file.name for file in files)
            raise UserError(
                f"{names}: the column {reading.label!r} (label) is {name!r} in 0 of"
                f" {len(spool.ends)} texts; balance: true needs texts of each class"
            )
    parts = {
        name: pd.DataFrame({"Label": labels[found], "Text": begins[name] + np.arange(len(found))})
        for name, found in numbers.items()
    }
    return parts, seen, classes


def cut(
    parts: dict[str, pd.DataFrame], reading: Reading, classes: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """The three splits: those that have files unchanged, the others cut from the texts."""
    shares = reading.split
    if shares is None:
        return parts
    if shares.train is None:
        ours = {"validation": shares.validation}
        return parts | split(parts["train"], ours, "train", shares.seed, reading.stratify)
    texts, why = parts[ALL], ""
    if reading.balance:
        counts, before = np.bincount(texts["Label"], minlength=len(classes)).tolist(), len(texts)
        texts = balanced(texts, classes, shares.seed)
        cli.log.info("%s after balancing", len(texts))
        why = (
            f"; balance: true left {len(texts)} of {before}, since"
            f" {classes[counts.index(min(counts))]!r} has {cli.count(min(counts), 'text')}"
        )
    both = {"train": shares.train, "validation": shares.validation}
    return split(texts, both, "test", shares.seed, reading.stratify, why)


def notes(parts: Mapping[str, pd.DataFrame], classes: Sequence[str], seen: Seen) -> Iterator[str]:
    """What a reader of the results must know: the classes that a split lacks.

    Raises UserError where training lacks one, since no model could learn it.
    """
    lacking = {
        split: [name for label, name in enumerate(classes) if label not in set(part["Label"])]
        for split, part in parts.items()
    }
    for name in lacking["train"][:1]:
        label = classes.index(name)
        places = [
            first.where for own, first in seen.first.items() if class_of(own, classes) == label
        ]
        found = f"{places[0]} has it" if places else "no text has it"
        raise UserError(
            f"the training split has no text of the class {name!r}; {found}; allowed: every class"
            f" in training{_hint(parts, label, seen.reading)}"
        )
    for split in ("validation", "test"):
        if lacking[split]:
            names = ", ".join(map(repr, lacking[split]))
            yield f"The {split} split has no text of {names}, so it says nothing about that."


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
    try:
        reading = msgspec.json.decode(arguments.dataset, type=Reading)
    except msgspec.DecodeError as error:
        raise UserError(f"--dataset is not what it should be: {error}") from None
    files, folder = manifest.read(arguments.collection), arguments.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as temporary:
        spool = Spool(temporary, array("q"))
        found, seen, classes = gather(files, reading, spool)
        cli.log.info("%s texts: %s", len(spool.ends), _counted(found.values(), classes))
        parts = cut(found, reading, classes)
        told = list(notes(parts, classes, seen))
        for name in SPLITS:
            path, part = folder / f"{name}.csv", parts[name]
            write_split(path, part["Label"].tolist(), map(spool.__getitem__, part["Text"]))
            cli.log.info("%s: %s texts: %s", path, len(part), _counted([part], classes))
    for note in told:
        cli.log.info("%s", note)
    write_json(folder / "classes.json", classes)
    write_json(folder / "notes.json", told)


def _counted(parts: Iterable[pd.DataFrame], classes: Sequence[str]) -> str:
    """`4825 ham, 747 spam`."""
    counts = np.bincount(pd.concat(parts)["Label"], minlength=len(classes))
    return ", ".join(f"{n} {name}" for n, name in zip(counts.tolist(), classes, strict=True))


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
