"""The result of a run: the content of metrics.json."""

from msgspec import Struct

from ablations.study.settings import Settings, names


class Evaluation(Struct, frozen=True, kw_only=True):
    """Mean losses on a few batches after a step; steps count from 0, epochs from 1."""

    epoch: int
    step: int
    train_loss: float
    validation_loss: float


class EpochAccuracy(Struct, frozen=True, kw_only=True):
    """Fractions of a few batches classified right at an epoch's end."""

    train: float
    validation: float


class Accuracy(Struct, frozen=True, kw_only=True):
    """Fractions of messages classified right after the last step."""

    train: float
    validation: float
    test: float


class Metrics(Settings, frozen=True, kw_only=True, omit_defaults=True):
    """The row's settings, and the results of training it with one seed.

    The times, `peak_memory_bytes`, `device`, `shared_device` and `versions` may differ between
    identical runs. On one machine everything else is equal.
    """

    seed: int
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
