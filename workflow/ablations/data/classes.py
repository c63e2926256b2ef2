"""The classes of labelled texts: as the configuration names them, or inferred from the labels."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

import pandas as pd

from ablations.data.texts import LABELS
from ablations.errors import UserError
from ablations.study.dataset import Reading, class_names

MAX_CLASSES = 1000
WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)")
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|nan|NaN")


def classes_of(texts: pd.DataFrame, reading: Reading) -> tuple[str, ...]:
    """The classes in the order of their indices; `texts` as `texts.read` gives them.

    Raises UserError, naming the first text, for a label that is no class.
    """
    first = texts.drop_duplicates("label")  # the first text with each label
    labels = dict(zip(first["label"], first["where"], strict=True))
    column = f"the column {reading.label!r} (label)"
    if names := class_names(reading):
        for label, where in labels.items():
            if class_of(label, names) is None:
                raise UserError(
                    f"{where}: {column} is {label!r}; allowed: {', '.join(map(repr, names))}, the"
                    " names in classes"
                )
        return names
    if all(map(NUMBER.fullmatch, labels)):
        for label, where in labels.items():
            if label.lower() == "nan":  # as a missing number is written
                raise UserError(
                    f"{where}: {column} is {label}, which is no label; allowed: a label on every"
                    " line"
                )
            if re.search(r"[.eE]", label):
                raise UserError(
                    f"{where}: {column} is {label}, a number with decimals; allowed: {LABELS}"
                )
    spelt: dict[str, str] = {}
    for label, where in labels.items():
        other = spelt.setdefault(unicodedata.normalize("NFKC", label).casefold(), label)
        if other != label:
            raise UserError(
                f"{where}: {column} is {label!r}, but {other!r} in {labels[other]}, which differs"
                " in case or Unicode form alone; allowed: one spelling, or both of them in classes"
            )
    if len(labels) > MAX_CLASSES:
        label, where = list(labels.items())[MAX_CLASSES]
        raise UserError(
            f"{where}: {column} holds more than {MAX_CLASSES} different values, such as {label!r};"
            " is it the label?"
        )
    if len(labels) == 1:
        raise UserError(f"{column} is {min(labels)!r} in every text; allowed: two classes or more")
    return in_order(labels)


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """The order of inferred classes: numerical if all are whole numbers, else alphabetical."""
    names = sorted(labels)
    return tuple(sorted(names, key=int) if all(map(WHOLE_NUMBER.fullmatch, names)) else names)


def class_of(label: str, classes: Sequence[str]) -> int | None:
    """The index of a label's class; None where it has none.

    A whole number is itself the index, unless a class has a whole number as its name.
    """
    if label in classes:
        return classes.index(label)
    if WHOLE_NUMBER.fullmatch(label) and not any(map(WHOLE_NUMBER.fullmatch, classes)):
        return int(label) if 0 <= int(label) < len(classes) else None
    return None
