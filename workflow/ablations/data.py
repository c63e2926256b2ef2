"""The messages: the labelled collection, balanced and split into train, validation and test.

The collection has a message per line, `ham` or `spam`, a tab, the text. A split is a CSV file with
the columns Label (0 ham, 1 spam) and Text. Any text survives: whatever was written is read back.
"""

import argparse
import csv
from pathlib import Path

import pandas as pd

from ablations import cli
from ablations.errors import UserError
from ablations.files import whole

LABELS = {"ham": 0, "spam": 1}
SPLITS = ("train", "validation", "test")


def read_collection(path: Path) -> pd.DataFrame:
    """The collection's messages in its own order: columns Label (0 ham, 1 spam) and Text.

    Read with pandas' default quoting, as the published study did: a quote at the start of a text
    joins lines until the next quote. Raises UserError where the file is anything else.
    """
    expected = "expected UTF-8 text with a message per line: ham or spam, a tab, the text"
    try:
        # na_filter: a message may well say "null"
        frame = pd.read_csv(path, sep="\t", header=None, dtype=str, na_filter=False)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {expected}") from None
    except ValueError as error:  # pandas' own errors and those of decoding are ValueErrors
        raise UserError(f"{path}: {str(error).strip()}; {expected}") from None
    if frame.shape[1] != 2:
        raise UserError(
            f"{path} is not tab-separated into two columns, found {frame.shape[1]}; {expected}"
        )
    frame.columns = pd.Index(["Label", "Text"])
    unknown = frame.index[~frame["Label"].isin(list(LABELS))]
    if len(unknown):
        label = frame["Label"][unknown[0]]
        raise UserError(
            f"{path}: message {unknown[0] + 1} has the unknown label {label[:40]!r}; {expected}"
        )
    return frame.assign(Label=frame["Label"].map(LABELS).astype("int64"))


def balanced(messages: pd.DataFrame, seed: int) -> pd.DataFrame:
    """As many messages of one class as of the other, shuffled: a sample of the larger class.

    Raises UserError if a class is missing.
    """
    ham, spam = (messages[messages["Label"] == label] for label in LABELS.values())
    for name, found in (("ham", ham), ("spam", spam)):
        if found.empty:
            raise UserError(f"the collection holds no {name}; both ham and spam are needed")
    size = min(len(ham), len(spam))
    ham = ham.sample(size, random_state=seed)
    if len(spam) > size:  # else all spam in its own order, as in the published study
        spam = spam.sample(size, random_state=seed)
    return pd.concat([ham, spam]).sample(frac=1, random_state=seed).reset_index(drop=True)


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
            f"{path}: {error}; expected a CSV file with the columns Label (0 or 1) and Text"
        ) from None


def main(arguments: argparse.Namespace) -> None:
    """Reads the collection, writes the three splits."""
    messages = read_collection(arguments.collection)
    chosen = balanced(messages, arguments.seed)
    cli.log.info(
        "%s messages, %s ham and %s spam; %s after balancing",
        len(messages),
        sum(messages["Label"] == LABELS["ham"]),
        sum(messages["Label"] == LABELS["spam"]),
        len(chosen),
    )
    parts = split(chosen, arguments.train, arguments.validation, arguments.seed)
    for name, part in parts.items():
        path = arguments.output_dir / f"{name}.csv"
        write_split(path, part["Label"].tolist(), part["Text"].tolist())
        cli.log.info("%s: %s messages", path, len(part))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m ablations.data", description=__doc__)
    parser.add_argument("command", choices=["split"])
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--train", type=float, required=True, help="fraction of the messages")
    parser.add_argument("--validation", type=float, required=True, help="fraction of the messages")
    parser.add_argument("--seed", type=int, required=True, help="decides the sample and the order")
    parser.add_argument("--output-dir", type=Path, required=True, help="for the three CSV files")
    cli.run(parser, main)
