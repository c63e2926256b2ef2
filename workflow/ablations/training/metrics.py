"""The result of a run: the content of metrics.json."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from ablations.errors import UserError
from ablations.files import read_json
from ablations.study import paths
from ablations.study.settings import Settings, names

Share = Annotated[float, Meta(ge=0, le=1)]


class Evaluation(Struct, frozen=True, kw_only=True):
    """Mean losses on a few batches after a step; steps count from 0, epochs from 1."""

    epoch: int
    step: int
    train_loss: float
    validation_loss: float


class EpochAccuracy(Struct, frozen=True, kw_only=True):
    """Fractions of a few batches classified right at an epoch's end."""

    train: Share
    validation: Share


class Accuracy(Struct, frozen=True, kw_only=True):
    """Fractions of messages classified right after the last step."""

    train: Share
    validation: Share
    test: Share


class Metrics(Settings, frozen=True, kw_only=True, omit_defaults=True):
    """The row's settings, and the results of training it with one seed, on one fold.

    The times, `peak_memory_bytes`, `device`, `shared_device` and `versions` may differ between
    identical runs. On one machine everything else is equal.
    """

    seed: int
    fold: int | None  # counted from 1; None where the texts are cut once
    classes: tuple[str, ...]
    context_tokens: int
    accuracy: Accuracy
    history: tuple[Evaluation, ...]
    epoch_accuracy: tuple[EpochAccuracy, ...]
    trainable_parameters: int
    training_time_seconds: float
    trunk_time_seconds: float
    device: str
    shared_device: bool
    threads: int
    precision: str
    peak_memory_bytes: int
    checkpoint_sha256: str | None
    dataset_sha256: str
    versions: dict[str, str]

    @property
    def settings(self) -> Settings:
        """The settings of the run's row."""
        return Settings(**{name: getattr(self, name) for name in names(Settings)})


class NotFinished(UserError):
    """A run's metrics are not there, or of another state of the study; `reason` says of which."""

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason


def read(results: Path, row: Settings, seed: int, fold: int | None) -> Metrics:
    """The metrics.json of a run of a study's results, of the row as it is now.

    Raises NotFinished where it is not there or of other settings, UserError where it is damaged or
    of another run.
    """
    path = paths.at(results, paths.METRICS, row=row.row, run=paths.run(seed, fold))
    if not path.exists():
        raise NotFinished(f"{path} does not exist; run the workflow to make it")
    found = read_json(path, Metrics)
    if (found.row, found.seed, found.fold) != (row.row, seed, fold):
        raise UserError(
            f"{path} is of row {found.row}, {paths.run(found.seed, found.fold)}; expected row"
            f" {row.row}, {paths.run(seed, fold)}"
        )
    if found.settings != row:
        message = f"{path} is of other settings than rows/{row.row}.json; run the workflow again"
        raise NotFinished(message, "of other settings")
    return found
