"""The texts: the labelled collection, balanced and split into train, validation and test.

A split is a CSV file with the columns Label (the index of a class) and Text; classes.json beside
them names the classes in order. Any text survives: whatever was written is read back.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ablations import cli
from ablations.data import sms
from ablations.errors import UserError
from ablations.files import whole, write_json

SPLITS = ("train", "validation", "test")


def balanced(texts: pd.DataFrame, classes: Sequence[str], seed: int) -> pd.DataFrame:
    """As many texts of one class as of every other, shuffled: samples of the larger classes.

    Raises UserError if a class is missing.
    """
    parts = [texts[texts["Label"] == label] for label in range(len(classes))]
    for name, part in zip(classes, parts, strict=True):
        if part.empty:
            raise UserError(
                f"the collection holds no {name}; every one of {', '.join(classes)} is needed"
            )
    size = min(map(len, parts))
    # the last class in its own order where nothing of it is left out, as in the published study
    keep = len(parts) - 1 if len(parts[-1]) == size else None
    chosen = [
        part if label == keep else part.sample(size, random_state=seed)
        for label, part in enumerate(parts)
    ]
    return pd.concat(chosen).sample(frac=1, random_state=seed).reset_index(drop=True)


def split(
    messages: pd.DataFrame, train: float, validation: float, seed: int
) -> dict[str, pd.DataFrame]:
    """Shuffles and cuts: `train` and `validation` are fractions, the test set is the rest.

    Raises UserError if a split would be empty.
    """
    shuffled = messages.sample(frac=1, random_state=seed).reset_index(drop=True)
    first = int(len(shuffled) * train)
    second = first + int(len(shuffled) * validation)
    parts = (shuffled[:first], shuffled[first:second], shuffled[second:])
    for name, part in zip(SPLITS, parts, strict=True):
        if part.empty:
            raise UserError(
                f"the {name} split is empty: {len(shuffled)} messages after balancing are too few"
                f" for train {train} and validation {validation}"
            )
    return dict(zip(SPLITS, parts, strict=True))


def write_split(path: Path, labels: list[int], texts: list[str]) -> None:
    """Writes a split's CSV file, whole or not at all."""
    with whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write("Label,Text\n")
        # every text is quoted: before Python 3.13 a bare carriage return is not by default
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerows(zip(labels, texts, strict=True))


def read_split(path: Path) -> tuple[list[int], list[str]]:
    """A split's labels and texts, exactly as they were written.

    Raises UserError if the file is missing or no such CSV file.
    """
    try:
        frame = pd.read_csv(path, dtype=str, na_filter=False)
        return frame["Label"].astype("int64").tolist(), frame["Text"].tolist()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; the split stage writes it") from None
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{path}: {error}; expected a CSV file with the columns Label (a number) and Text"
        ) from None


def main(arguments: argparse.Namespace) -> None:
    """Reads the collection, writes the three splits and the classes."""
    texts, classes = sms.read(arguments.collection), sms.CLASSES
    chosen = balanced(texts, classes, arguments.seed)
    counts = texts["Label"].value_counts()
    cli.log.info(
        "%s messages (%s); %s after balancing",
        len(texts),
        ", ".join(f"{counts[label]} {name}" for label, name in enumerate(classes)),
        len(chosen),
    )
    parts = split(chosen, arguments.train, arguments.validation, arguments.seed)
    for name, part in parts.items():
        path = arguments.output_dir / f"{name}.csv"
        write_split(path, part["Label"].tolist(), part["Text"].tolist())
        cli.log.info("%s: %s messages", path, len(part))
    write_json(arguments.output_dir / "classes.json", classes)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--train", type=float, required=True, help="fraction of the messages")
    parser.add_argument("--validation", type=float, required=True, help="fraction of the messages")
    parser.add_argument("--seed", type=int, required=True, help="decides the sample and the order")
    parser.add_argument("--output-dir", type=Path, required=True, help="for the three CSV files")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
