"""The collection: a study's texts in one table, texts.csv, with a column for each fold.

The columns are Label (the index of a class), Text, and one for each way to cut the texts, which
says train, validation or test: `split` where there is one, `fold-1` … `fold-K` where every text is
tested once.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablations.errors import UserError
from ablations.files import whole
from ablations.study.dataset import SPLITS

Numbers = NDArray[np.int64]
Cut = NDArray[np.int8]  # for each text the index of its split in SPLITS, [texts]

TRAIN, _, TEST = range(len(SPLITS))


@dataclass(frozen=True)
class Collection:
    """The texts in their order, the index of each one's class, and the cuts by their columns."""

    labels: Numbers  # [texts]
    texts: tuple[str, ...]
    cuts: dict[str, Cut]


def lines(cut: Cut) -> dict[str, Numbers]:
    """The lines of each split's texts, from 0, in the order in which the split has them."""
    order = ring(cut == TEST)
    return {split: order[cut[order] == number] for number, split in enumerate(SPLITS)}


def ring(tested: NDArray[np.bool_]) -> Numbers:
    """The order of a fold: the table's as a ring, which begins after the last tested text."""
    return np.roll(np.arange(len(tested)), -(np.flatnonzero(tested)[-1] + 1))


def ever_trained(cuts: Mapping[str, Cut]) -> NDArray[np.bool_]:
    """Which texts are training texts of at least one cut: with folds all of them."""
    return np.any([cut == TRAIN for cut in cuts.values()], axis=0)


def write(
    path: Path, labels: Sequence[int], texts: Sequence[str], cuts: Mapping[str, Sequence[str]]
) -> None:
    """Writes texts.csv, whole or not at all; `cuts` name each text's split by column."""
    with whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(["Label", "Text", *cuts]) + "\n")
        # every text is quoted: before Python 3.13 a bare carriage return is not by default
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerows(zip(labels, texts, *cuts.values(), strict=True))


def read(path: Path) -> Collection:
    """The texts exactly as they were written.

    Raises UserError if the file is missing or not such a table, and where a split of a cut has no
    text.
    """
    import pandas as pd  # here: who reads tokens needs the rest of this alone

    try:
        frame = pd.read_csv(path, dtype=str, na_filter=False)
        labels = frame.pop("Label").to_numpy("int64")
        texts = tuple(frame.pop("Text"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; the split stage writes it") from None
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{path}: {error}; expected a CSV file with the columns Label (a number) and Text, and"
            " one for each way to cut the texts"
        ) from None
    cuts = {str(name): _cut(path, name, found.to_numpy()) for name, found in frame.items()}
    if not cuts:
        raise UserError(f"{path} has no column that says how its texts are cut; expected split")
    return Collection(labels, texts, cuts)


def _cut(path: Path, name: object, found: NDArray[np.object_]) -> Cut:
    cut = np.select([found == split for split in SPLITS], range(len(SPLITS)), -1).astype(np.int8)
    if -1 in cut:
        wrong = found[cut == -1][0]
        raise UserError(f"{path}: {name}: {wrong!r} is no split; allowed: {', '.join(SPLITS)}")
    for number, split in enumerate(SPLITS):
        if number not in cut:
            raise UserError(f"{path}: {name}: no text is {split}; expected at least one")
    return cut
