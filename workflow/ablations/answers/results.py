"""Reads the study and its finished runs into typed values, checked against each other.

Table, interpretation, figures and the list of errors all start from here. Knows no statistics.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from scipy.special import log_softmax

from ablations import cli
from ablations.answers import selection
from ablations.answers.near_duplicates import first_near
from ablations.data.split_files import read_split
from ablations.data.tokens import About, read_about
from ablations.errors import UserError
from ablations.files import read_json
from ablations.study import settings
from ablations.study.dataset import SPLITS
from ablations.study.entries import Published, Question
from ablations.study.grid import Grid, ask
from ablations.study.outline import Outline
from ablations.study.settings import Settings
from ablations.training import logs, predictions
from ablations.training.metrics import Metrics

Labels = NDArray[np.int_]


@dataclass(frozen=True)
class Run:
    """One row trained with one seed."""

    metrics: Metrics
    predicted: Labels  # of each test message, [messages]
    # Mean cross-entropy (nats) of each split over all its messages, after the last step.
    log_loss: dict[str, float]


@dataclass(frozen=True)
class TrainedRow:
    """One line of the table with its runs, one for each seed."""

    number: int  # its line in the table of the whole study, from 1
    id: str
    settings: Settings
    published: Published | None
    runs: tuple[Run, ...]
    chosen_from: int | None = None  # as the best on validation of this many rows of a grid

    @property
    def context_tokens(self) -> int:
        """The length of its padded inputs."""
        return self.runs[0].metrics.context_tokens

    def accuracies(self, split: str) -> list[float]:
        """Of each run on a split."""
        return [getattr(run.metrics.accuracy, split) for run in self.runs]

    def times(self) -> list[float]:
        """Of each run's training, in seconds."""
        return [run.metrics.training_time_seconds for run in self.runs]

    def published_times(self) -> list[float]:
        """The published training time in seconds, where there is one."""
        if self.published is None or self.published.training_time_min is None:
            return []
        return [60 * self.published.training_time_min]


@dataclass(frozen=True)
class Unfinished:
    """A run that a table of what is finished lacks."""

    number: int  # its row's line in the table of the whole study, from 1
    row: str
    seed: int
    reason: str  # "not finished", why it failed, or whose its files are


@dataclass(frozen=True)
class TestMessages:
    """The test set, and which of its texts are in the other two."""

    __test__ = False  # pytest would take it for a test by its name

    classes: tuple[str, ...]  # in the order of their labels
    texts: tuple[str, ...]
    labels: Labels  # [messages]
    in_train: NDArray[np.bool_]  # verbatim, [messages]
    in_validation: NDArray[np.bool_]  # verbatim, [messages]
    near_train: NDArray[np.bool_]  # verbatim or nearly so (see near_duplicates.py), [messages]

    def __len__(self) -> int:
        """The number of messages."""
        return len(self.texts)

    @property
    def majority(self) -> tuple[str, float]:
        """The most frequent class, the last of several, and its share."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        label = int(np.flatnonzero(counts == counts.max())[-1])
        return self.classes[label], float(counts[label] / len(self))


@dataclass(frozen=True)
class Results:
    """A finished study, or what is finished of it."""

    title: str
    notes: tuple[str, ...]
    data: str  # where the texts come from
    remarks: tuple[str, ...]  # what is to be known of the texts, such as a class that a split lacks
    seeds: tuple[int, ...]
    rows: tuple[TrainedRow, ...]  # those whose runs are all finished
    grids: tuple[Grid, ...]
    questions: tuple[Question, ...]  # those whose two rows are among them
    asked: int  # how many questions the whole study has
    margin: float  # of equivalence, as a fraction
    test: TestMessages
    sizes: dict[str, int]  # messages in each split
    validation_in_train: int  # validation messages that are in the training set verbatim
    stated: dict[str, Settings]  # of each row of the whole study's table, by id
    unfinished: tuple[Unfinished, ...] = ()

    @property
    def baseline(self) -> Settings | None:
        """The settings of the row `baseline`; None where nothing of it is there yet."""
        return self.stated.get("baseline")

    def row(self, id: str) -> TrainedRow:
        """The row with this id."""
        return next(row for row in self.rows if row.id == id)

    def evaluated(self, row: TrainedRow, split: str) -> int:
        """How many messages a split's accuracy is over: of training ones, whole batches only."""
        if split != "train":
            return self.sizes[split]
        batch = row.settings.training.batch_size
        return max(self.sizes[split] // batch * batch, 1)

    def right(self, row: TrainedRow) -> NDArray[np.bool_]:
        """Which test messages each of a row's runs gets right, [seeds, messages]."""
        return np.stack([run.predicted == self.test.labels for run in row.runs])

    def confusion(self, row: TrainedRow) -> Labels:
        """Test messages by class and prediction, for each run: [seeds, class, predicted]."""
        size = len(self.test.classes)
        cells = [self.test.labels * size + run.predicted for run in row.runs]
        counts = [np.bincount(cell, minlength=size * size) for cell in cells]
        return np.stack(counts).reshape(len(cells), size, size)

    def recall(self, row: TrainedRow) -> NDArray[np.float64]:
        """Share of each class's test messages that a run finds, [seeds, classes].

        NaN for a class that no test message has.
        """
        counts = self.confusion(row)
        return _ratio(np.diagonal(counts, axis1=1, axis2=2), counts.sum(2))

    def precision(self, row: TrainedRow) -> NDArray[np.float64]:
        """Share of the test messages predicted as a class that are of it, [seeds, classes].

        NaN for a class that a run never predicts.
        """
        counts = self.confusion(row)
        return _ratio(np.diagonal(counts, axis1=1, axis2=2), counts.sum(1))

    def f1(self, row: TrainedRow) -> NDArray[np.float64]:
        """The harmonic mean of precision and recall of each class, [seeds, classes].

        0 for a class of which a run finds no message; NaN where the test set has none of it.
        """
        counts = self.confusion(row)
        both = 2 * np.diagonal(counts, axis1=1, axis2=2)
        f1 = _ratio(both, counts.sum(1) + counts.sum(2))
        return np.where(counts.sum(2) > 0, f1, np.nan)

    def macro_f1(self, row: TrainedRow) -> NDArray[np.float64]:
        """The mean of F1 over the classes that the test set has, [seeds]."""
        return np.asarray(np.nanmean(self.f1(row), axis=1))


def _ratio(part: Labels, whole: Labels) -> NDArray[np.float64]:
    nothing = np.full(whole.shape, np.nan)
    return np.asarray(np.divide(part, whole, out=nothing, where=whole > 0))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say what to read; see `load`."""
    parser.add_argument("--results", type=Path, required=True, help="the study's results folder")
    parser.add_argument(
        "--so-far",
        action="store_true",
        help="read the rows that are finished, and say which are missing",
    )


class _Missing(UserError):
    """A run that is not there, or belongs to an older state of the study; `reason` says which."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def load(folder: Path, so_far: bool = False) -> Results:
    """Reads study.json, rows/, runs/ and data/ of a results folder.

    Of a grid with `choose` one row is in the table. With `so_far`, a row is left out where one of
    its runs has no metrics.json yet, or one of other settings or of another dataset than the study
    has now. A grid to choose from is left out where any of its rows is. `Results.unfinished` names
    those runs.
    Raises UserError, naming the file, where one is missing, damaged or belongs to something else,
    and where no row is finished.
    """
    outline = read_json(folder / "study.json", Outline)
    if outline.notes:  # nothing published is shown beside stand-ins
        outline = _without_published(outline)
    if so_far and not any(folder.glob("runs/*/*/metrics.json")):
        raise _none_finished(folder)
    data = folder / "data"
    about = read_about(data / "tokens.safetensors")
    labels, texts = {}, {}
    for split in SPLITS:
        numbers, texts[split] = read_split(data / f"{split}.csv")
        if not numbers:
            raise UserError(f"{data / split}.csv holds no messages; expected at least one")
        labels[split] = np.array(numbers)
        if not np.isin(labels[split], range(len(about.classes))).all():
            raise UserError(
                f"{data / split}.csv: a label is no class of tokens.safetensors; allowed: 0 to"
                f" {len(about.classes) - 1}"
            )
    line_numbers = _line_numbers(outline)
    found, stated, unfinished = {}, {}, []
    for line in outline.rows:
        number, row = line_numbers[line.id], _settings(folder, line.id, so_far)
        if row:
            stated[line.id] = row
        runs = []
        for seed in outline.seeds:
            try:
                runs.append(_run(folder, line.id, row, seed, about, labels))
            except _Missing as missing:
                if not so_far:
                    raise
                unfinished.append(Unfinished(number, line.id, seed, missing.reason))
        if row and len(runs) == len(outline.seeds):
            found[line.id] = TrainedRow(number, line.id, row, line.published, tuple(runs))
    rows, chosen = _choose(outline.grids, found)
    if not rows:
        raise _none_finished(folder)
    finished = {row.id for row in rows}
    questions = tuple(ask(outline.questions, outline.grids, chosen))
    beaten = _not_chosen(outline.grids, chosen)
    return Results(
        title=outline.title,
        notes=outline.notes + outline.models,
        data=outline.data,
        remarks=read_json(data / "notes.json", tuple[str, ...]),
        seeds=outline.seeds,
        rows=rows,
        grids=outline.grids,
        questions=tuple(
            question for question in questions if {question.baseline, question.variant} <= finished
        ),
        asked=len(questions),
        margin=outline.margin / 100,
        test=TestMessages(
            classes=about.classes,
            texts=tuple(texts["test"]),
            labels=labels["test"],
            in_train=_among(texts["test"], texts["train"]),
            in_validation=_among(texts["test"], texts["validation"]),
            near_train=first_near(texts["test"], texts["train"]) < len(texts["train"]),
        ),
        sizes={split: len(found) for split, found in texts.items()},
        validation_in_train=int(_among(texts["validation"], texts["train"]).sum()),
        stated={id: row for id, row in stated.items() if id not in beaten},
        unfinished=tuple(unfinished),
    )


def _among(texts: list[str], others: list[str]) -> NDArray[np.bool_]:
    """Which texts are among the others; numpy's isin would make all as long as the longest."""
    known = set(others)
    return np.array([text in known for text in texts], bool)


def _without_published(outline: Outline) -> Outline:
    rows = (structs.replace(line, published=None) for line in outline.rows)
    questions = (structs.replace(question, claim=None) for question in outline.questions)
    return structs.replace(outline, rows=tuple(rows), questions=tuple(questions))


def _line_numbers(outline: Outline) -> dict[str, int]:
    """Each row's line in the table of the whole study; rows of which one is chosen share it."""
    line_of = {row: grid.id for grid in outline.grids if grid.choose for row in grid.rows}
    lines = list(dict.fromkeys(line_of.get(row.id, row.id) for row in outline.rows))
    return {row.id: lines.index(line_of.get(row.id, row.id)) + 1 for row in outline.rows}


def _choose(
    grids: tuple[Grid, ...], found: dict[str, TrainedRow]
) -> tuple[tuple[TrainedRow, ...], dict[str, str]]:
    """The rows of the table, and which row was chosen of each finished grid with `choose`."""
    whole = [grid for grid in grids if grid.choose and grid.rows.keys() <= found.keys()]
    chosen = selection.choose(
        whole,
        {row.id: [run.metrics for run in row.runs] for row in found.values()},
        lambda id: float(np.mean([run.log_loss["validation"] for run in found[id].runs])),
    )
    number = {chosen[grid.id]: len(grid) for grid in whole}
    beaten = _not_chosen(grids, chosen)
    rows = (replace(row, chosen_from=number.get(row.id)) for row in found.values())
    return tuple(row for row in rows if row.id not in beaten), chosen


def _not_chosen(grids: tuple[Grid, ...], chosen: dict[str, str]) -> set[str]:
    """The rows of grids with `choose` that are not in the table, of an unfinished one all."""
    return {row for grid in grids if grid.choose for row in grid.rows} - set(chosen.values())


def _none_finished(folder: Path) -> UserError:
    return UserError(
        f"{folder}: no row is finished yet; a table so far needs one row with all its seeds"
    )


def _settings(folder: Path, id: str, so_far: bool) -> Settings | None:
    """A row's settings; None where its file is not there yet and need not be."""
    path = folder / "rows" / f"{id}.json"
    return None if so_far and not path.exists() else settings.read(path)


def _run(
    folder: Path, id: str, row: Settings | None, seed: int, about: About, labels: dict[str, Labels]
) -> Run:
    """A run's files; raises _Missing where they are not there, or not of this row as it is now."""
    run = folder / "runs" / id / f"seed-{seed}"
    path = run / "metrics.json"
    if row is None or not path.exists():
        raise _Missing(
            _why_unfinished(folder, row, seed),
            f"{path} does not exist; run the workflow to make it",
        )
    metrics = read_json(path, Metrics)
    if (metrics.row, metrics.seed) != (id, seed):
        raise UserError(
            f"{path} is of row {metrics.row}, seed {metrics.seed}; expected row {id}, seed {seed}"
        )
    if metrics.settings != row:
        raise _Missing(
            "of other settings",
            f"{path} is of other settings than rows/{id}.json; run the workflow again",
        )
    if (metrics.dataset_sha256, metrics.classes) != (about.dataset_sha256, about.classes):
        raise _Missing(
            "of another dataset",
            f"{path} is of another dataset (classes {', '.join(metrics.classes)}; sha256"
            f" {metrics.dataset_sha256[:12]}…) than data/tokens.safetensors (classes"
            f" {', '.join(about.classes)}; sha256 {about.dataset_sha256[:12]}…); run the workflow"
            " again",
        )
    predicted, log_loss = _answers(run / "predictions.csv", labels, len(about.classes))
    measured = float((predicted == labels["test"]).mean())
    if abs(measured - metrics.accuracy.test) > 1e-4:
        raise UserError(
            f"{path}: accuracy: test is {metrics.accuracy.test}, but predictions.csv beside it"
            f" gives {measured:.6f}; both must come from the same run"
        )
    return Run(metrics, predicted, log_loss)


def _why_unfinished(folder: Path, row: Settings | None, seed: int) -> str:
    log = row and logs.current(folder, row, seed)
    reason = log and cli.failure(log)
    return f"failed: {reason.splitlines()[0]}" if reason else "not finished"


def _answers(
    path: Path, labels: dict[str, Labels], classes: int
) -> tuple[Labels, dict[str, float]]:
    """The predicted label of each test message, in the order of test.csv; each split's log-loss."""
    found = predictions.read(path, classes)
    log_loss = {}
    for split, expected in labels.items():
        if split not in found or len(found[split].labels) != len(expected):
            number = len(found[split].labels) if split in found else 0
            raise UserError(f"{path} has {number} {split} messages; expected {len(expected)}")
        if not np.array_equal(found[split].labels, expected):
            raise UserError(
                f"{path}: the labels of the {split} messages are not those of {split}.csv"
            )
        of_classes = log_softmax(found[split].logits, axis=1)
        log_loss[split] = float(-of_classes[np.arange(len(expected)), expected].mean())
    return found["test"].predicted, log_loss
