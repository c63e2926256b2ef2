"""Reads the study and its finished runs into typed values, checked against each other.

Table, interpretation, figures and the list of errors all start from here. Knows no statistics.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from msgspec import structs
from numpy.typing import NDArray
from scipy.special import logsumexp

from ablations.answers import selection
from ablations.answers.near_duplicates import near_duplicates
from ablations.data.split import SPLITS, read_split
from ablations.data.tokens import read_about
from ablations.errors import UserError
from ablations.files import read_json
from ablations.study import settings
from ablations.study.grid import Grid, ask
from ablations.study.outline import Outline
from ablations.study.schema import Published, Question
from ablations.study.settings import Settings
from ablations.training.metrics import Metrics


@dataclass(frozen=True)
class Run:
    """One row trained with one seed."""

    metrics: Metrics
    predicted: NDArray[np.int_]  # label of each test message, [messages]


@dataclass(frozen=True)
class TrainedRow:
    """One line of the table with its runs, one for each seed."""

    id: str
    settings: Settings
    published: Published | None
    runs: tuple[Run, ...]
    chosen_from: int | None = None  # so many rows of a grid, by their validation accuracy


@dataclass(frozen=True)
class TestMessages:
    """The test set, and which of its texts stand verbatim in the other two."""

    __test__ = False  # not a test, whatever pytest thinks of the name

    classes: tuple[str, ...]  # in the order of their labels
    texts: tuple[str, ...]
    labels: NDArray[np.int_]  # [messages]
    in_train: NDArray[np.bool_]  # [messages]
    in_validation: NDArray[np.bool_]  # [messages]
    near_train: NDArray[np.bool_]  # verbatim or nearly so (see near_duplicates), [messages]

    def __len__(self) -> int:
        """The number of messages."""
        return len(self.texts)

    @property
    def majority(self) -> tuple[str, float]:
        """The most frequent class, and its share."""
        return most_frequent(self.labels, self.classes)


@dataclass(frozen=True)
class Results:
    """A finished study."""

    title: str
    notes: tuple[str, ...]
    data: str  # where the texts come from
    remarks: tuple[str, ...]  # what is to be known of the texts, such as a class that a split lacks
    seeds: tuple[int, ...]
    rows: tuple[TrainedRow, ...]
    grids: tuple[Grid, ...]
    questions: tuple[Question, ...]
    margin: float  # of equivalence, as a fraction
    test: TestMessages
    sizes: dict[str, int]  # messages in each split

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


def most_frequent(labels: NDArray[np.int_], classes: tuple[str, ...]) -> tuple[str, float]:
    """The class that most of these labels name, the last of several, and its share."""
    counts = np.bincount(labels, minlength=len(classes))
    label = int(np.flatnonzero(counts == counts.max())[-1])
    return classes[label], float(counts[label] / len(labels))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The option by which a program is told where a finished study lies; see `load`."""
    parser.add_argument("--results", type=Path, required=True, help="the study's results folder")


def load(folder: Path) -> Results:
    """Reads study.json, rows/, runs/ and data/ of a results folder.

    Raises UserError, naming the file, where one is missing, damaged or belongs to something else.
    """
    outline = read_json(folder / "study.json", Outline)
    if outline.notes:  # nothing published is shown beside stand-ins
        outline = _without_published(outline)
    data = folder / "data"
    labels, texts = {}, {}
    for split in SPLITS:
        labels[split], texts[split] = read_split(data / f"{split}.csv")
        if not texts[split]:
            raise UserError(f"{data / split}.csv holds no messages; expected at least one")
    test = TestMessages(
        classes=read_about(data / "tokens.safetensors").classes,
        texts=tuple(texts["test"]),
        labels=np.array(labels["test"]),
        in_train=np.isin(texts["test"], texts["train"]),
        in_validation=np.isin(texts["test"], texts["validation"]),
        near_train=near_duplicates(texts["test"], texts["train"]),
    )
    rows = []
    for line in outline.rows:
        row = settings.read(folder / "rows" / f"{line.id}.json")
        runs = folder / "runs" / line.id
        found = tuple(_run(runs / f"seed-{seed}", row, seed, test) for seed in outline.seeds)
        rows.append(TrainedRow(line.id, row, line.published, found))
    chosen = selection.choose(
        outline.grids,
        {row.id: [run.metrics for run in row.runs] for row in rows},
        lambda id: _validation_loss([folder / "runs" / id / f"seed-{s}" for s in outline.seeds]),
    )
    number = {chosen[grid.id]: len(grid) for grid in outline.grids if grid.choose}
    beaten = {row for grid in outline.grids if grid.choose for row in grid.rows} - number.keys()
    return Results(
        title=outline.title,
        notes=outline.notes,
        data=outline.data,
        remarks=read_json(data / "notes.json", tuple[str, ...]),
        seeds=outline.seeds,
        rows=tuple(
            replace(row, chosen_from=number.get(row.id)) for row in rows if row.id not in beaten
        ),
        grids=outline.grids,
        questions=tuple(ask(outline.questions, outline.grids, chosen)),
        margin=outline.margin / 100,
        test=test,
        sizes={split: len(found) for split, found in texts.items()},
    )


def _without_published(outline: Outline) -> Outline:
    rows = (structs.replace(line, published=None) for line in outline.rows)
    questions = (structs.replace(question, claim=None) for question in outline.questions)
    return structs.replace(outline, rows=tuple(rows), questions=tuple(questions))


def _run(folder: Path, row: Settings, seed: int, test: TestMessages) -> Run:
    path = folder / "metrics.json"
    metrics = read_json(path, Metrics)
    if (metrics.row, metrics.seed) != (row.row, seed):
        raise UserError(
            f"{path} is of row {metrics.row}, seed {metrics.seed};"
            f" expected row {row.row}, seed {seed}"
        )
    if metrics.settings != row:
        raise UserError(
            f"{path} is of other settings than rows/{row.row}.json; run the workflow again"
        )
    predicted = _predictions(folder / "predictions.csv", test)
    measured = float((predicted == test.labels).mean())
    if abs(measured - metrics.accuracy.test) > 1e-4:
        raise UserError(
            f"{path}: accuracy: test is {metrics.accuracy.test}, but predictions.csv beside it"
            f" gives {measured:.6f}; both must come from the same run"
        )
    return Run(metrics, predicted)


def _validation_loss(runs: Iterable[Path]) -> float:
    """The mean log-loss on the validation messages, over all of them and over the runs."""
    losses = []
    for run in runs:
        frame = pd.read_csv(run / "predictions.csv")
        frame = frame[frame["split"] == "validation"]
        logits = frame.filter(regex=r"^logit_\d+$").to_numpy()
        own = logits[np.arange(len(frame)), frame["label"]]
        losses.append((logsumexp(logits, axis=1) - own).mean())
    return float(np.mean(losses))


def _predictions(path: Path, test: TestMessages) -> NDArray[np.int_]:
    """The predicted label of each test message, in the order of test.csv."""
    try:
        frame = pd.read_csv(path, usecols=["split", "index", "label", "predicted"])
        frame = frame[frame["split"] == "test"].sort_values("index")
        predicted = frame["predicted"].to_numpy(int)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is not what it should be: {error}") from None
    if list(frame["index"]) != list(range(len(test))):
        raise UserError(
            f"{path} has {len(frame)} test messages; expected each index from 0 to"
            f" {len(test) - 1} of test.csv once"
        )
    if not np.array_equal(frame["label"], test.labels):
        raise UserError(f"{path}: the labels of the test messages are not those of test.csv")
    if not np.isin(predicted, range(len(test.classes))).all():
        raise UserError(
            f"{path}: a predicted label is no class; allowed: 0 to {len(test.classes) - 1}"
        )
    return predicted
