"""What a reader of the results must know of the texts themselves, a sentence each."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ablations import cli
from ablations.data.classes import class_counts
from ablations.data.near_copies import groups
from ablations.data.texts import short
from ablations.errors import Message, UserError
from ablations.study.dataset import SPLITS, Reading, column, numbered

LEAST_KEPT = 1 / 4  # of the texts; the published study keeps a little more


def balance(found: pd.DataFrame, used: pd.DataFrame, classes: Sequence[str]) -> Iterator[str]:
    """A sentence where balancing leaves few of the texts that were found."""
    if len(used) < LEAST_KEPT * len(found):
        counts = found["Label"].value_counts().sort_values()
        yield (
            f"Balanced: {len(used):,} of {len(found):,} texts are used, as many of each class as"
            f" {classes[counts.index[0]]!r} has ({counts.iloc[0]:,})."
        )


def missing_classes(
    table: pd.DataFrame, texts: pd.DataFrame, classes: Sequence[str], reading: Reading
) -> Iterator[str]:
    """A sentence for each split of the collection that lacks classes.

    `table`: all texts that were read; `texts`: the collection. Raises UserError where training
    lacks a class, since no model could learn it.
    """
    for fold, name in itertools.product(numbered(reading.split), SPLITS):
        of_fold = f" of fold {fold}" if fold else ""
        counts = class_counts(texts[texts[column(fold)] == name], classes)
        lacking = [label for label, count in enumerate(counts) if not count]
        if lacking and name == "train":
            label = lacking[0]
            places = table["where"][table["Label"] == label].tolist()
            raise UserError(
                f"the training split{of_fold} has no text of the class {classes[label]!r};"
                f" {places[0] if places else 'no text'} has it; allowed: every class in training"
                f"{_hint(texts, label, reading)}"
            )
        if lacking:
            names = ", ".join(repr(classes[label]) for label in lacking)
            nothing = f"has no text of {names}, so it says nothing about that"
            none = "; folders that are no class are left out where classes names those that are"
            nothing += none if reading.label is None else ""
            yield f"The {name} split{of_fold} {nothing}."


def _hint(texts: pd.DataFrame, label: int, reading: Reading) -> Message:
    """How a class gets into the training split, or what keeps it out.

    Empty where that is not cut from its texts.
    """
    shares = reading.split
    if shares is None:
        return ""
    own, puts = texts["Label"] == label, " (stratify: true puts each class there)"
    if shares.folds:
        size = several = int(own.sum())
        if reading.keep_together:
            several = len(np.unique(groups(texts["Text"].tolist())[own]))
        if several >= shares.folds and not reading.stratify:
            return puts
        if several == size:
            return ""
        return (
            f" (keep_together: true leaves near-copies whole, and its {size} texts are in"
            f" {cli.count(several, 'group')} of them)"
        )
    share = shares.train or 1
    size = int((own if shares.train else own & (texts["split"] != "test")).sum())
    if size == 0:
        return ""
    # there is such a number, since the training split is not empty
    enough = next(number for number in itertools.count(1) if int(number * share))
    if size >= enough:
        return puts
    after = ", once balanced" if reading.balance else ""
    return (
        f" (with stratify: true, train {share:g} takes one of {enough} texts of a class; this one"
        f" has {size}{after})"
    )


def two_labels(used: pd.DataFrame, classes: Sequence[str]) -> Iterator[str]:
    """A sentence where the same text stands there with several labels; the first is an example."""
    labels = used.groupby("Text", sort=False)["Label"].nunique()
    several = labels[labels > 1]
    if several.empty:
        return
    text = several.index[0]
    example = used[used["Text"] == text].drop_duplicates("Label")
    where = zip(example["Label"], example["where"], strict=True)
    told = ", ".join(f"{classes[label]!r} in {place}" for label, place in where)
    stand = "stands" if len(several) == 1 else "stand"
    yield (
        f"{cli.count(len(several), 'text')} {stand} there with more than one label, such as"
        f" {short(text)} ({told})."
    )
