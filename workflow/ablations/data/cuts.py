"""Balances a table of texts and cuts it: one split, or folds that test every text once.

A table has a column Label, the index of each text's class.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ablations import cli
from ablations.data.collection import Numbers, ring
from ablations.data.near_copies import groups
from ablations.errors import UserError
from ablations.study.dataset import column


def balanced(texts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same number of texts of each class, shuffled; larger classes are sampled."""
    parts = [part for _, part in texts.groupby("Label")]
    size = min(map(len, parts))
    # the last class keeps its order where all of it is used, as in the published study
    keep = len(parts) - 1 if len(parts[-1]) == size else None
    chosen = [
        part if label == keep else part.sample(size, random_state=seed)
        for label, part in enumerate(parts)
    ]
    return pd.concat(chosen).sample(frac=1, random_state=seed).reset_index(drop=True)


def shuffled(texts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same texts in another order."""
    return texts.sample(frac=1, random_state=seed).reset_index(drop=True)


def split(labels: Numbers, shares: Mapping[str, float], rest: str, stratify: bool) -> list[str]:
    """The split of each text, in order; `shares` are fractions by split, `rest` the last split.

    With `stratify`, each class is cut by these fractions. Raises UserError if a split would be
    empty.
    """
    group = pd.Series(labels if stratify else np.zeros_like(labels))
    rank = group.groupby(group).cumcount()
    size = group.groupby(group).transform("size")
    found, begin = np.full(len(labels), rest, object), 0 * size
    for name, share in shares.items():
        end = begin + (size * share).astype(int)
        found[(begin <= rank) & (rank < end)] = name
        begin = end
    for name in (*shares, rest):
        if name not in found:
            cuts = " and ".join(f"{name} {share:g}" for name, share in shares.items())
            cuts += " of each class" if stratify else ""
            few = f"{len(labels)} texts are too few for {cuts}"
            raise UserError(f"the {name} split is empty: {few}")
    return list(found)


# --- folds


def folds(
    table: pd.DataFrame, number: int, validation: float, stratify: bool, keep_together: bool
) -> pd.DataFrame:
    """The table as a ring of `number` parts, with the columns fold-1, fold-2, …

    Fold k tests part k, validates on the next texts of the ring, a share of all, and trains on the
    rest. With `stratify` each class is cut so; with `keep_together` near-copies are in one part,
    and go to validation together. Raises UserError where a fold would lack texts.
    """
    labels = table["Label"].to_numpy()
    together = groups(table["Text"].tolist()) if keep_together else np.arange(len(table))
    classes = labels if stratify else np.zeros_like(labels)
    if stratify and (fewest := np.bincount(labels).min()) < number:
        raise UserError(
            f"split: folds: {number} is more than the {fewest} texts of the smallest class;"
            " allowed with stratify: true: at most as many folds"
        )
    sizes = np.unique(together, return_counts=True)[1]
    if len(sizes) < number:
        several = cli.count(len(sizes), "group" if keep_together else "text")
        copies = " of near-copies, which keep_together: true leaves whole" if keep_together else ""
        raise UserError(
            f"split: folds: {number} is more than the {several}{copies}; allowed: at most as many"
            " folds"
        )
    part = _whole_groups(together, classes, number) if keep_together else _even(classes, number)
    order = np.argsort(part, kind="stable")
    cut = table.iloc[order].reset_index(drop=True)
    part, classes, together = part[order], classes[order], together[order]
    for fold in range(number):
        tested = part == fold
        found = np.where(tested, "test", "train").astype(object)
        others = ring(tested)[: np.count_nonzero(~tested)]
        found[_next(others, classes, together, validation)] = "validation"
        for name in ("train", "validation"):
            if name not in found:
                share = f"folds {number} and validation {validation:g}"
                why = f"{len(cut)} texts are too few for {share}"
                if sizes.max() > 1 and (room := _room(classes, validation).total()):
                    why = (
                        f"keep_together: true leaves near-copies whole, and {len(sizes)} groups of"
                        f" {sizes.min()} to {sizes.max()} texts do not fit {share} ({room} of"
                        f" {len(cut)} texts)"
                    )
                raise UserError(f"split: fold {fold + 1} has no {name} text: {why}")
        cut[column(fold + 1)] = found
    return cut


def _even(classes: Numbers, number: int) -> Numbers:
    """The part of each text: each class in order, in parts as equal as can be, and all of them too.

    With one class these are numpy's array_split.
    """
    part, first = np.zeros_like(classes), 0
    for each in np.unique(classes):
        own = np.flatnonzero(classes == each)
        sizes = np.full(number, len(own) // number)
        extra = (first + np.arange(len(own) % number)) % number  # where the class before ended
        sizes[extra] += 1
        first = (first + len(extra)) % number
        part[own] = np.repeat(np.arange(number), sizes)
    return part


def _whole_groups(together: Numbers, classes: Numbers, number: int) -> Numbers:
    """The part of each text: groups go as a whole, in order, to the part that is smallest so far.

    The smallest in texts of the class of the group's first text, then in all texts.
    """
    part = np.zeros_like(together)
    sizes = np.zeros((classes.max() + 1, number), int)
    for members in _members(together):
        own = classes[members]
        smallest = np.lexsort((sizes.sum(0), sizes[own[0]]))[0]
        part[members] = smallest
        np.add.at(sizes, (own, smallest), 1)
    return part


def _next(others: Numbers, classes: Numbers, together: Numbers, share: float) -> list[int]:
    """The next texts for validation: of each class this share of all its texts, in whole groups."""
    room = _room(classes, share)
    found: list[int] = []
    for members in _members(together[others]):
        group = others[members]
        needed = Counter(classes[group].tolist())
        if needed <= room:
            room -= needed
            found += group.tolist()
    return found


def _room(classes: Numbers, share: float) -> Counter[int]:
    """How many texts of each class go to validation, at most."""
    return Counter({each: int(share * size) for each, size in Counter(classes.tolist()).items()})


def _members(together: Numbers) -> Sequence[Numbers]:
    """The texts of each group, the group with the first text first."""
    found: dict[int, list[int]] = {}
    for text, group in enumerate(together.tolist()):
        found.setdefault(group, []).append(text)
    return [np.array(members) for members in found.values()]
