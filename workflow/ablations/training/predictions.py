"""predictions.csv: what a run answers to every text, with a logit for each class."""

import io
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
    """A run's answers to one split's texts."""

    lines: NDArray[np.int64]  # in texts.csv, [texts]
    labels: NDArray[np.int64]  # [texts]
    predicted: NDArray[np.int64]  # [texts]
    logits: NDArray[np.floating[Any]]  # [texts, classes]

    @classmethod
    def of(
        cls,
        lines: NDArray[np.int64],
        labels: NDArray[np.int64],
        logits: NDArray[np.floating[Any]],
    ) -> "Predictions":
        """Each text is predicted as the class with the largest logit, the first of several."""
        return cls(lines, labels, logits.argmax(1), logits)


def _logits(classes: int) -> list[str]:
    return [f"logit_{label}" for label in range(classes)]


def write(path: Path, answers: Mapping[str, Predictions]) -> None:
    """Writes the file, from the answers to each split's texts."""
    (classes,) = {found.logits.shape[1] for found in answers.values()}
    lines = [",".join([*COLUMNS, *_logits(classes)])]
    for split, found in answers.items():
        columns = (found.lines, found.labels, found.predicted, found.logits)
        for line, label, predicted, values in zip(*map(np.ndarray.tolist, columns), strict=True):
            written = ",".join(f"{value:.6f}" for value in values)
            lines.append(f"{split},{line},{label},{predicted},{written}")
    write_text(path, "\n".join(lines) + "\n")


def read(path: Path, classes: int) -> dict[str, Predictions]:
    """Each split's answers, in the order of their lines.

    Raises UserError, naming the file, where it cannot be read or is cut, its columns or numbers are
    not these, or an answer is no class or not that of its logits.
    """
    import pandas as pd  # here: training writes the file and does not need it

    logits = _logits(classes)
    types = (
        {"split": "str"} | dict.fromkeys(COLUMNS[1:], "int64") | dict.fromkeys(logits, "float64")
    )
    try:
        content = path.read_bytes()
        frame = pd.read_csv(io.BytesIO(content), usecols=list(types), dtype=types)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is not what it should be: {error}") from None
    if not content.endswith(b"\n"):
        raise UserError(f"{path} is cut: its last line has no end")
    if not frame["predicted"].between(0, classes - 1).all():
        raise UserError(f"{path}: a predicted label is no class; allowed: 0 to {classes - 1}")
    found = frame[logits].to_numpy()
    if not np.isfinite(found).all():
        raise UserError(f"{path}: a logit is no finite number")
    # several may be the largest, once they are rounded
    if (found[np.arange(len(found)), frame["predicted"]] < found.max(axis=1)).any():
        raise UserError(f"{path}: a predicted label is not that of the largest logit")
    return {
        str(split): Predictions(
            lines=part["index"].to_numpy(),
            labels=part["label"].to_numpy(),
            predicted=part["predicted"].to_numpy(),
            logits=part[logits].to_numpy(),
        )
        for split, part in frame.sort_values("index").groupby("split")
    }
