"""The CSV files of the splits: Label (the index of a class) and Text, a line for each text."""

import csv
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ablations.errors import UserError
from ablations.files import whole


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
    try:
        frame = pd.read_csv(path, dtype=str, na_filter=False)
        return frame["Label"].astype("int64").tolist(), frame["Text"].tolist()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; the split stage writes it") from None
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{path}: {error}; expected a CSV file with the columns Label (a number) and Text"
        ) from None
