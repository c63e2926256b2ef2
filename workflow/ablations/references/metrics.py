"""The result of a reference on one fold: the content of its metrics.json."""

from msgspec import Struct

from ablations.study.references import ReferenceName
from ablations.training.metrics import Accuracy


class Metrics(Struct, frozen=True, kw_only=True):
    """What a reference reaches; its training accuracy is over all training texts.

    `training_time_seconds` and `versions` may differ between identical jobs, nothing else does.
    """

    reference: ReferenceName
    fold: int | None  # from 1; None with one split
    classes: tuple[str, ...]
    accuracy: Accuracy
    training_time_seconds: float
    dataset_sha256: str
    versions: dict[str, str]
