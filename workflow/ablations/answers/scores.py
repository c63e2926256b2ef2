"""Each row's numbers: accuracies with their intervals, recall, losses, times."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ablations.answers import statistics
from ablations.answers.finished import Trained, TrainedReference, TrainedRow
from ablations.answers.noise import Floats, Prior
from ablations.answers.selection import Selected
from ablations.answers.tested import Labels, Texts
from ablations.study import words
from ablations.study.dataset import SPLITS


@dataclass(frozen=True)
class Measured:
    """A number of a row, and of each of its runs, fold by fold.

    What is measured on the tested texts is over all of them at once (Forman and Scholz 2010), which
    a mean over folds of different sizes is not.
    """

    mean: float
    runs: tuple[float, ...]

    @classmethod
    def of(cls, *runs: float) -> Self:
        """What is no share of texts: the mean over runs."""
        return cls(float(np.mean(runs)), runs)

    @property
    def sd(self) -> float | None:
        """The standard deviation between the runs."""
        return float(np.std(self.runs, ddof=1)) if len(self.runs) > 1 else None


@dataclass(frozen=True)
class Accuracy(Measured):
    """On one split, with its 95% interval."""

    texts: tuple[int, ...]  # that a run's is over, in each fold
    low: float
    high: float


@dataclass(frozen=True)
class Confusion:
    """Texts by class and prediction, several times: for each seed, or for each run."""

    counts: Labels  # [times, class, predicted]

    @property
    def recall(self) -> Floats:
        """Share of each class's texts that are found, [times, classes]; NaN without texts."""
        return _ratio(self._found, self.counts.sum(2))

    @property
    def precision(self) -> Floats:
        """Share of the texts predicted as a class that are of it; NaN for one never predicted."""
        return _ratio(self._found, self.counts.sum(1))

    @property
    def f1(self) -> Floats:
        """The harmonic mean of precision and recall of each class, [times, classes].

        0 for a class of which no text is found; NaN where none is tested.
        """
        f1 = _ratio(2 * self._found, self.counts.sum(1) + self.counts.sum(2))
        return np.where(self.counts.sum(2) > 0, f1, np.nan)

    @property
    def macro_f1(self) -> Floats:
        """The mean of F1 over the classes that are tested, [times]."""
        return np.asarray(np.nanmean(self.f1, axis=1))

    @property
    def _found(self) -> Labels:
        return np.diagonal(self.counts, axis1=1, axis2=2)


def _ratio(part: Labels, whole: Labels) -> Floats:
    nothing = np.full(whole.shape, np.nan)
    return np.asarray(np.divide(part, whole, out=nothing, where=whole > 0))


@dataclass(frozen=True)
class Part:
    """The accuracy on some of the tested texts; None where there are none."""

    texts: int
    accuracy: Measured | None


@dataclass(frozen=True)
class Machine:
    """What times are measured on."""

    device: str
    threads: int


@dataclass(frozen=True)
class Scores:
    """The numbers of a line of the table, of a row or a reference."""

    accuracy: dict[str, Accuracy]  # by split
    unseen: Part  # the texts that it has not learned from verbatim
    distinct: Part  # those that it has not learned from nearly so either
    confusion: Confusion  # of all tested texts, for each seed
    by_run: Confusion  # of the texts that each run tests
    recall: tuple[Measured | None, ...]  # of each class; None where none of it is tested
    macro_f1: Measured | None
    answers: Labels  # what most seeds predict, the last of several, [tested]
    agreement: Floats  # the share of the seeds that do, [tested]
    log_loss: dict[str, Measured]  # by split
    seconds: Measured  # of training


@dataclass(frozen=True)
class Reference(Scores, TrainedReference):
    """A reference with everything that is told of it."""


@dataclass(frozen=True)
class Row(Scores, TrainedRow):
    """A row with everything that is told of it."""

    changes: tuple[str, ...] | None  # against the baseline, in words; None where it is not there
    chosen_from: int | None  # as the best on validation of this many rows of a grid
    incomparable: str | None  # why its time cannot be compared with the others'
    devices: tuple[str, ...]

    @property
    def reuses_frozen(self) -> bool:
        """Whether the output of frozen layers was computed once and reused."""
        return any(run.metrics.trunk_time_seconds for run in self.runs)

    @property
    def shared_device(self) -> bool:
        """Whether other jobs ran beside one of its runs."""
        return any(run.metrics.shared_device for run in self.runs)

    @property
    def published_seconds(self) -> Measured | None:
        """The published training time, where there is one."""
        minutes = self.published and self.published.training_time_min
        return Measured.of(60 * minutes) if minutes else None


def score(
    selected: Selected, texts: Texts, prior: Prior | None, machine: Machine
) -> tuple[Row, ...]:
    """The rows of the table with their numbers; times compare on this machine."""
    baseline = selected.stated.get("baseline")
    rows = []
    for row in selected.rows:
        changes = words.changes(row.settings, baseline, row.context_tokens) if baseline else None
        rows.append(
            Row(
                **vars(row),
                **vars(_scores(row, texts, prior)),
                changes=None if changes is None else tuple(changes),
                chosen_from=selected.chosen_from.get(row.id),
                incomparable=_incomparable(row, machine),
                devices=tuple(dict.fromkeys(run.metrics.device for run in row.runs)),
            )
        )
    return tuple(rows)


def score_references(
    trained: Sequence[TrainedReference], texts: Texts, prior: Prior | None
) -> tuple[Reference, ...]:
    """The references with their numbers."""
    return tuple(Reference(**vars(each), **vars(_scores(each, texts, prior))) for each in trained)


def _scores(row: Trained[Any], texts: Texts, prior: Prior | None) -> Scores:
    answers, agreement = _answers(row, len(texts.classes))
    by_run = _by_run(row, texts)
    # of a seed's runs together, which fold by fold test every text
    counts = by_run.counts.reshape(texts.folds, -1, *by_run.counts.shape[1:]).sum(0)
    confusion = Confusion(counts)
    return Scores(
        accuracy={split: _accuracy(row, texts, split, prior) for split in SPLITS},
        unseen=_right_on(row, texts, texts.copied >= row.train_size),
        distinct=_right_on(row, texts, texts.near >= row.train_size),
        confusion=confusion,
        by_run=by_run,
        recall=tuple(map(_measured, confusion.recall.T, by_run.recall.T)),
        macro_f1=_measured(confusion.macro_f1, by_run.macro_f1),
        answers=answers,
        agreement=agreement,
        log_loss={split: _log_loss(row, split) for split in SPLITS},
        seconds=Measured.of(*(run.metrics.training_time_seconds for run in row.runs)),
    )


def _accuracy(row: Trained[Any], texts: Texts, split: str, prior: Prior | None) -> Accuracy:
    """The interval on tested texts counts what the runs tell of training, if they are enough.

    That of the other splits is Wilson's for one run's texts: folds share them.
    """
    runs = tuple(getattr(run.metrics.accuracy, split) for run in row.runs)
    sizes = row.evaluated(texts, split)
    if split == "test":
        mean = row.right.mean()
        low, high = statistics.mean_accuracy_interval(row.right, prior, texts.fold)
    else:
        mean = np.mean(runs)
        low, high = statistics.wilson(mean, min(sizes))
    return Accuracy(float(mean), runs, sizes, float(low), float(high))


def _measured(of_seeds: Floats, of_runs: Floats) -> Measured | None:
    """The mean over seeds, each over all tested texts; None where that is of nothing.

    Runs without a value, such as the recall of a class of which their fold tests no text, are left
    out.
    """
    if np.isnan(of_seeds).any():
        return None
    return Measured(float(np.mean(of_seeds)), tuple(of_runs[~np.isnan(of_runs)].tolist()))


def _right_on(row: Trained[Any], texts: Texts, some: NDArray[np.bool_]) -> Part:
    folds = [some & (texts.fold == fold) for fold in range(texts.folds)]
    runs = [row.right[:, fold].mean(1) for fold in folds if fold.any()]
    number = int(some.sum())
    if not number:
        return Part(0, None)
    return Part(number, _measured(row.right[:, some].mean(1), np.concatenate(runs)))


def _by_run(row: Trained[Any], texts: Texts) -> Confusion:
    size = len(texts.classes)
    cells = [texts.labels[texts.fold == run.fold] * size + run.predicted for run in row.runs]
    counts = [np.bincount(cell, minlength=size * size) for cell in cells]
    return Confusion(np.stack(counts).reshape(len(cells), size, size))


def _log_loss(row: Trained[Any], split: str) -> Measured:
    runs = [run.log_loss[split] for run in row.runs]
    texts = [len(run.predicted) for run in row.runs]
    mean = np.average(runs, weights=texts if split == "test" else None)
    return Measured(float(mean), tuple(runs))


def _answers(row: Trained[Any], classes: int) -> tuple[Labels, Floats]:
    counts = np.stack([(row.predicted == label).sum(0) for label in range(classes)])
    return classes - 1 - counts[::-1].argmax(0), counts.max(0) / len(row.predicted)


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
