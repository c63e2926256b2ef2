"""The texts that are tested, and where they are in the other splits of their fold.

Knows nothing of runs.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablations.data import collection
from ablations.data.near_copies import NOWHERE, first_copy, first_near
from ablations.errors import UserError
from ablations.files import read_json
from ablations.sources import manifest
from ablations.study import paths
from ablations.study.dataset import column

Labels = NDArray[np.int_]


@dataclass(frozen=True)
class Texts:
    """The texts that are tested, and where they are in the other splits of the fold that does.

    With one split they are its test texts in their order, with folds all texts in the table's.
    """

    dataset_sha256: str  # of the files that they are from
    classes: tuple[str, ...]  # in the order of their labels
    tested: tuple[str, ...]
    labels: Labels  # [tested]
    lines: Labels  # in texts.csv, from 0, [tested]
    fold: Labels  # the index of the fold that tests each, [tested]; all 0 with one split
    # Where the first text equal to it, and the first equal or nearly so (near_copies.py), is
    # among the fold's training texts; NOWHERE if there is none. [tested]
    copied: Labels
    near: Labels
    in_validation: NDArray[np.bool_]  # verbatim, [tested]
    sizes: tuple[dict[str, int], ...]  # of each fold's splits
    validation_in_train: int  # validation texts that are in the training set verbatim, of all folds
    remarks: tuple[str, ...]  # what is to be known of them, such as a class that a split lacks

    @property
    def folds(self) -> int:
        """How many there are; 1 with one split."""
        return len(self.sizes)

    @property
    def collection(self) -> int:
        """How many texts there are in all splits."""
        return sum(self.sizes[0].values())

    @property
    def in_train(self) -> NDArray[np.bool_]:
        """Which are in the training set of their fold verbatim, [tested]."""
        return self.copied < NOWHERE

    @property
    def near_train(self) -> NDArray[np.bool_]:
        """Which are there verbatim or nearly so, [tested]."""
        return self.near < NOWHERE

    @property
    def majority(self) -> tuple[str, float]:
        """The most frequent class of the tested texts, the last of several, and its share."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        label = int(np.flatnonzero(counts == counts.max())[-1])
        return self.classes[label], float(counts[label] / len(self.labels))


@dataclass(frozen=True)
class Cut:
    """How a fold cuts the texts: the lines in texts.csv by split, and the labels of all texts."""

    fold: int  # its index; 0 with one split
    number: int | None  # its number in paths; None with one split
    lines: dict[str, Labels]
    labels: Labels  # [texts]


def read(results: Path, folds: int | None) -> tuple[list[Cut], Texts]:
    """Each fold's cut, and the texts that are tested."""
    classes = read_json(paths.at(results, paths.CLASSES), tuple[str, ...])
    path = paths.at(results, paths.TEXTS)
    found, numbers = collection.read(path), range(1, folds + 1) if folds else [None]
    if not np.isin(found.labels, range(len(classes))).all():
        raise UserError(
            f"{path}: a label is no class of classes.json; allowed: 0 to {len(classes) - 1}"
        )
    if list(found.cuts) != list(map(column, numbers)):
        raise UserError(
            f"{path} has the columns {', '.join(found.cuts)}; expected"
            f" {', '.join(map(column, numbers))}; run the workflow again"
        )
    cuts = [
        Cut(fold, number, collection.lines(found.cuts[column(number)]), found.labels)
        for fold, number in enumerate(numbers)
    ]
    tested = np.sort(np.concatenate([cut.lines["test"] for cut in cuts]))
    fold, copied, near = (np.zeros(len(found.texts), np.int64) for _ in range(3))
    in_validation, again = np.zeros(len(found.texts), bool), 0
    for cut in cuts:
        own = {split: [found.texts[line] for line in at] for split, at in cut.lines.items()}
        test = cut.lines["test"]
        fold[test], copied[test] = cut.fold, first_copy(own["test"], own["train"])
        near[test] = first_near(own["test"], own["train"])
        in_validation[test] = first_copy(own["test"], own["validation"]) < NOWHERE
        again += int((first_copy(own["validation"], own["train"]) < NOWHERE).sum())
    tested_texts = Texts(
        dataset_sha256=manifest.sha256(paths.at(results, paths.COLLECTION)),
        classes=classes,
        tested=tuple(found.texts[line] for line in tested),
        labels=found.labels[tested],
        lines=tested,
        fold=fold[tested],
        copied=copied[tested],
        near=near[tested],
        in_validation=in_validation[tested],
        sizes=tuple({split: len(at) for split, at in cut.lines.items()} for cut in cuts),
        validation_in_train=again,
        remarks=read_json(paths.at(results, paths.NOTES), tuple[str, ...]),
    )
    return cuts, tested_texts
