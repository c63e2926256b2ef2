"""The classes of labelled texts: as the configuration names them, or inferred from the labels."""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from ablations.data.texts import LABELS, label_told, listed
from ablations.errors import UserError
from ablations.study.dataset import WHOLE_NUMBER, Reading, class_names, class_of
from ablations.study.labels import plain

MAX_CLASSES = 1000
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
# What pandas, spreadsheets and databases write where a value is missing or none, in small letters.
MISSING = {
    *("na", "n/a", "#n/a", "#n/a n/a", "#na", "<na>", "nan", "-nan", "nat", "null", "none"),
    *("(null)", "<null>", "\\n", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "#null!"),
    *("#ref!", "#value!", "#name?", "#div/0!", "#num!"),
}


def classes_of(
    texts: pd.DataFrame, reading: Reading, in_schema: Mapping[str, str]
) -> tuple[str, ...]:
    """The classes in the order of their indices; `texts` as `texts.read` gives them.

    `in_schema`: their names where the files have them, and which file. Raises UserError, naming the
    first text, for a label that is no class.
    """
    column = label_told(reading)
    if in_schema and not class_names(reading):
        _refuse_what_makes_none(in_schema, column)
    first = texts.drop_duplicates("Label")  # the first text with each label
    labels = dict(zip(first["Label"], first["where"], strict=True))
    if names := class_names(reading) or tuple(in_schema):
        for label, where in labels.items():
            if class_of(label, names) is None:
                raise UserError(f"{where}: {column} is {label!r}{_no_class(label, names, reading)}")
        return names
    _refuse_numbers_that_are_none(labels, column)
    _refuse_what_makes_none(labels, column)
    if len(labels) > MAX_CLASSES:
        label, where = list(labels.items())[MAX_CLASSES]
        raise UserError(
            f"{where}: {column} holds more than {MAX_CLASSES} different values, such as {label!r};"
            " is it the label?"
        )
    return in_order(labels)


def class_counts(table: pd.DataFrame, classes: Sequence[str]) -> list[int]:
    """The number of texts of each class, by the indices in the column Label."""
    return np.bincount(table["Label"], minlength=len(classes)).tolist()


def _refuse_what_makes_none(labels: Mapping[str, str], column: str) -> None:
    """Raises UserError for labels that `classes` would have to name."""
    _refuse_missing(labels, column)
    _refuse_two_spellings(labels, column)
    if len(labels) == 1:
        raise UserError(f"{column} is {min(labels)!r} in every text; allowed: two classes or more")


def _no_class(label: str, names: Sequence[str], reading: Reading) -> str:
    """What is allowed in place of a label, and what may be meant."""
    allowed = f"; allowed: {listed(names)}, the names in classes"
    near = [name for name in names if plain(name) == plain(label)]
    if near:
        return f"{allowed}; {near[0]!r} differs in blanks, case or Unicode form alone"
    if WHOLE_NUMBER.fullmatch(label) and not any(map(WHOLE_NUMBER.fullmatch, names)):
        return (
            f"{allowed}, or the number of one, counted from 0, which is {names[0]!r}. Where numbers"
            f" mean something else, let classes map them to names: {{{label}: a name, …}}"
        )
    return allowed


def _refuse_numbers_that_are_none(labels: Mapping[str, str], column: str) -> None:
    """Raises UserError where all labels are numbers, and one is missing or has decimals."""
    if not all(NUMBER.fullmatch(label) or _is_missing(label) for label in labels):
        return
    for label, where in labels.items():
        if not _is_missing(label) and re.search(r"[.eE]", label):
            raise UserError(
                f"{where}: {column} is {label}, a number with decimals; allowed: {LABELS}"
            )


def _is_missing(label: str) -> bool:
    return label.casefold() in MISSING and label != "none"  # a class of some collections


def _refuse_missing(labels: Mapping[str, str], column: str) -> None:
    for label, where in labels.items():
        if _is_missing(label):
            raise UserError(
                f"{where}: {column} is {label!r}, as a missing value is written; allowed: a label"
                f" on every line, or {label!r} among the names in classes"
            )


def _refuse_two_spellings(labels: Mapping[str, str], column: str) -> None:
    spelt: dict[str, str] = {}
    for label, where in labels.items():
        other = spelt.setdefault(plain(label), label)
        if other != label:
            raise UserError(
                f"{where}: {column} is {label!r}, but {other!r} in {labels[other]}, which differs"
                " in blanks, case or Unicode form alone; allowed: one spelling, or both of them in"
                " classes, as two names or mapped to one"
            )


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """The order of inferred classes: numerical if all are whole numbers, else alphabetical."""
    names = sorted(labels)
    return tuple(sorted(names, key=int) if all(map(WHOLE_NUMBER.fullmatch, names)) else names)
