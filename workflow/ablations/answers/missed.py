"""The tested texts that rows get wrong: which texts a difference comes from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ablations.answers.scores import Row
from ablations.answers.tested import Texts


@dataclass(frozen=True)
class Missed:
    """A tested text that at least one run gets wrong."""

    index: int  # among the tested texts
    rows_wrong: float  # a row by its share of seeds
    rows: tuple[str, ...]  # the rows with a seed that is wrong, by id
    taken_for: int  # the wrong label that most runs predict


def missed(rows: Sequence[Row], texts: Texts) -> tuple[Missed, ...]:
    """The most often missed first."""
    number = np.sum([1 - row.right.mean(0) for row in rows], axis=0)  # [tested]
    order = np.argsort(-number, kind="stable")
    listed = order[number[order] > 1e-9]
    wrong = np.stack([~row.right[:, listed].all(0) for row in rows])  # [rows, listed]
    predicted = np.concatenate([row.predicted[:, listed] for row in rows])
    found = []
    for at, index in enumerate(listed.tolist()):
        mistaken = predicted[:, at][predicted[:, at] != texts.labels[index]]
        ids = tuple(row.id for row, is_wrong in zip(rows, wrong[:, at], strict=True) if is_wrong)
        found.append(Missed(index, float(number[index]), ids, int(np.bincount(mistaken).argmax())))
    return tuple(found)
