"""Each row's numbers: accuracies with their intervals, recall, losses, times."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablations.answers import statistics
from ablations.answers.finished import Labels, Run, Texts, TrainedRow
from ablations.answers.selection import Selected
from ablations.answers.statistics import Floats, RunNoise
from ablations.study import words
from ablations.study.dataset import SPLITS


@dataclass(frozen=True)
class Accuracy:
    """Of each run on one split, and the 95% interval of their mean."""

    runs: tuple[float, ...]
    texts: int  # that it is over
    low: float
    high: float

    @property
    def mean(self) -> float:
        """Over the runs."""
        return float(np.mean(self.runs))


@dataclass(frozen=True)
class Confusion:
    """Test texts by class and prediction, for each run."""

    counts: Labels  # [seeds, class, predicted]

    @property
    def recall(self) -> Floats:
        """Share of each class's texts that a run finds, [seeds, classes]; NaN without texts."""
        return _ratio(self._found, self.counts.sum(2))

    @property
    def precision(self) -> Floats:
        """Share of the texts predicted as a class that are of it; NaN for one never predicted."""
        return _ratio(self._found, self.counts.sum(1))

    @property
    def f1(self) -> Floats:
        """The harmonic mean of precision and recall of each class, [seeds, classes].

        0 for a class of which a run finds no text; NaN where the test set has none of it.
        """
        f1 = _ratio(2 * self._found, self.counts.sum(1) + self.counts.sum(2))
        return np.where(self.counts.sum(2) > 0, f1, np.nan)

    @property
    def macro_f1(self) -> Floats:
        """The mean of F1 over the classes that the test set has, [seeds]."""
        return np.asarray(np.nanmean(self.f1, axis=1))

    @property
    def _found(self) -> Labels:
        return np.diagonal(self.counts, axis1=1, axis2=2)


def _ratio(part: Labels, whole: Labels) -> Floats:
    nothing = np.full(whole.shape, np.nan)
    return np.asarray(np.divide(part, whole, out=nothing, where=whole > 0))


@dataclass(frozen=True)
class Machine:
    """What times are measured on."""

    device: str
    threads: int


@dataclass(frozen=True)
class Row(TrainedRow):
    """A line of the table with everything that is told of it."""

    changes: tuple[str, ...] | None  # against the baseline, in words; None where it is not there
    chosen_from: int | None  # as the best on validation of this many rows of a grid
    accuracy: dict[str, Accuracy]  # by split
    unseen: tuple[float, ...]  # each run's accuracy on texts not in training verbatim; or none
    distinct: tuple[float, ...]  # the same on those that are not nearly in training either
    confusion: Confusion
    answers: Labels  # what most seeds predict, the last of several, [texts]
    agreement: Floats  # the share of the seeds that do, [texts]
    log_loss: dict[str, tuple[float, ...]]  # of each run, by split
    seconds: tuple[float, ...]  # of each run's training
    incomparable: str | None  # why its time cannot be compared with the others'
    devices: tuple[str, ...]

    @property
    def mean_seconds(self) -> float:
        """Training time over the runs."""
        return float(np.mean(self.seconds))

    @property
    def worst(self) -> Run:
        """The run with the lowest test accuracy."""
        return min(self.runs, key=lambda run: run.metrics.accuracy.test)

    @property
    def reuses_frozen(self) -> bool:
        """Whether the output of frozen layers was computed once and reused."""
        return any(run.metrics.trunk_time_seconds for run in self.runs)

    @property
    def shared_device(self) -> bool:
        """Whether other jobs ran beside one of its runs."""
        return any(run.metrics.shared_device for run in self.runs)

    @property
    def published_seconds(self) -> tuple[float, ...]:
        """The published training time, where there is one."""
        minutes = self.published and self.published.training_time_min
        return (60 * minutes,) if minutes else ()


def score(
    selected: Selected, texts: Texts, noise: RunNoise | None, machine: Machine
) -> tuple[Row, ...]:
    """The rows of the table with their numbers; times compare on this machine."""
    baseline = selected.stated.get("baseline")
    rows = []
    for row in selected.rows:
        changes = words.changes(row.settings, baseline, row.context_tokens) if baseline else None
        answers, agreement = _answers(row, len(texts.classes))
        rows.append(
            Row(
                **vars(row),
                changes=None if changes is None else tuple(changes),
                chosen_from=selected.chosen_from.get(row.id),
                accuracy={split: _accuracy(row, texts, split, noise) for split in SPLITS},
                unseen=_right_on(row, ~texts.in_train),
                distinct=_right_on(row, ~texts.near_train),
                confusion=_confusion(row, texts),
                answers=answers,
                agreement=agreement,
                log_loss={
                    split: tuple(run.log_loss[split] for run in row.runs) for split in SPLITS
                },
                seconds=tuple(run.metrics.training_time_seconds for run in row.runs),
                incomparable=_incomparable(row, machine),
                devices=tuple(dict.fromkeys(run.metrics.device for run in row.runs)),
            )
        )
    return tuple(rows)


def _accuracy(row: TrainedRow, texts: Texts, split: str, noise: RunNoise | None) -> Accuracy:
    """The interval on the test texts counts what the seeds tell of training, if they are enough."""
    runs = tuple(getattr(run.metrics.accuracy, split) for run in row.runs)
    number = texts.evaluated(row.settings, split)
    if split == "test":
        low, high = statistics.mean_accuracy_interval(row.right, noise)
    else:
        low, high = statistics.wilson(float(np.mean(runs)), number)
    return Accuracy(runs, number, float(low), float(high))


def _right_on(row: TrainedRow, some: NDArray[np.bool_]) -> tuple[float, ...]:
    return tuple(row.right[:, some].mean(1).tolist()) if some.any() else ()


def _confusion(row: TrainedRow, texts: Texts) -> Confusion:
    size = len(texts.classes)
    cells = [texts.labels * size + run.predicted for run in row.runs]
    counts = [np.bincount(cell, minlength=size * size) for cell in cells]
    return Confusion(np.stack(counts).reshape(len(cells), size, size))


def _answers(row: TrainedRow, classes: int) -> tuple[Labels, Floats]:
    predicted = np.stack([run.predicted for run in row.runs])  # [seeds, texts]
    counts = np.stack([(predicted == label).sum(0) for label in range(classes)])
    return classes - 1 - counts[::-1].argmax(0), counts.max(0) / len(predicted)


def usual_machine(rows: Sequence[TrainedRow]) -> Machine:
    """The most common device and number of threads, among runs that ran alone if there are any."""
    runs = [run.metrics for row in rows for run in row.runs]
    alone = [run for run in runs if not run.shared_device] or runs
    (machine, _), *_ = Counter((run.device, run.threads) for run in alone).most_common(1)
    return Machine(*machine)


def _incomparable(row: TrainedRow, machine: Machine) -> str | None:
    runs = [run.metrics for run in row.runs]
    if any(run.shared_device for run in runs):
        return "device shared with other jobs"
    if any(run.device != machine.device for run in runs):
        return "another device"
    if any(run.threads != machine.threads for run in runs):
        return "another number of threads"
    return None
