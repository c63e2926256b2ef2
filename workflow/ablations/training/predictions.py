"""predictions.csv: what a run answers to every text, with a logit for each class."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablations.errors import UserError
from ablations.files import write_text

COLUMNS = ("split", "index", "label", "predicted")


@dataclass(frozen=True)
class Predictions:
    """A run's answers to one split's texts, in the order of the split."""

    labels: NDArray[np.int64]  # [texts]
    predicted: NDArray[np.int64]  # [texts]
    logits: NDArray[np.float64]  # [texts, classes]


def _logits(classes: int) -> list[str]:
    return [f"logit_{label}" for label in range(classes)]


def write(
    path: Path, labels: Mapping[str, NDArray[Any]], logits: Mapping[str, NDArray[Any]]
) -> None:
    """Writes the file, from each split's labels [texts] and logits [texts, classes]."""
    (classes,) = {found.shape[1] for found in logits.values()}
    lines = [",".join([*COLUMNS, *_logits(classes)])]
    for split, found in logits.items():
        rows = zip(labels[split].tolist(), found.argmax(1).tolist(), found.tolist(), strict=True)
        for index, (label, predicted, values) in enumerate(rows):
            written = ",".join(f"{value:.6f}" for value in values)
            lines.append(f"{split},{index},{label},{predicted},{written}")
    write_text(path, "\n".join(lines) + "\n")


def read(path: Path, classes: int) -> dict[str, Predictions]:
    """Each split's answers.

    Raises UserError, naming the file, where it cannot be read, its columns or numbers are not
    these, a split's indexes are not 0, 1, …, each once, or an answer is no class.
    """
    import pandas as pd  # here: training writes the file and does not need it

    logits = _logits(classes)
    types = (
        {"split": "str"} | dict.fromkeys(COLUMNS[1:], "int64") | dict.fromkeys(logits, "float64")
    )
    try:
        frame = pd.read_csv(path, usecols=list(types), dtype=types)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is not what it should be: {error}") from None
    if not frame["predicted"].between(0, classes - 1).all():
        raise UserError(f"{path}: a predicted label is no class; allowed: 0 to {classes - 1}")
    if not np.isfinite(frame[logits].to_numpy()).all():
        raise UserError(f"{path}: a logit is no finite number")
    found = {}
    for split, part in frame.groupby("split", sort=False):
        part = part.sort_values("index")
        if not np.array_equal(part["index"], np.arange(len(part))):
            raise UserError(
                f"{path}: the indexes of the {len(part)} {split} texts are not 0 to"
                f" {len(part) - 1}, each once"
            )
        found[str(split)] = Predictions(
            part["label"].to_numpy(), part["predicted"].to_numpy(), part[logits].to_numpy()
        )
    return found
