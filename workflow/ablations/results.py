"""Reads the study and its finished runs into typed values, checked against each other.

Table, interpretation, figures and the list of errors all start from here. Knows no statistics.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablations.errors import UserError

SPLITS = ("train", "validation", "test")
COLUMNS = ("model", "weights", "trainable_token", "trainable_layers", "context_length")

Value = TypeVar("Value")


@dataclass(frozen=True)
class Accuracy:
    """Fractions of messages classified right."""

    train: float
    validation: float
    test: float


@dataclass(frozen=True)
class Published:
    """What was published for a row: fractions and minutes."""

    accuracy: Accuracy
    training_time_min: float | None
    device: str | None


@dataclass(frozen=True)
class Evaluation:
    """Mean losses on a few batches after the update of a step, counted from 0."""

    step: int
    train_loss: float
    validation_loss: float


@dataclass(frozen=True)
class Run:
    """One row trained with one seed."""

    seed: int
    accuracy: Accuracy
    history: tuple[Evaluation, ...]
    context_tokens: int
    training_time_seconds: float
    trunk_time_seconds: float
    device: str
    threads: int
    precision: str
    shared_device: bool
    predicted: NDArray[np.int_]  # label of each test message, [messages]


@dataclass(frozen=True)
class Row:
    """One line of the table with its runs, one for each seed."""

    id: str
    settings: dict[str, Any]
    published: Published | None
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Question:
    """A comparison as the configuration states it; baseline and variant are row ids."""

    id: str
    question: str
    baseline: str
    variant: str
    claim: str | None


@dataclass(frozen=True)
class TestMessages:
    """The test set, and which of its texts stand verbatim in the other two."""

    __test__ = False  # not a test, whatever pytest thinks of the name

    texts: tuple[str, ...]
    labels: NDArray[np.int_]  # [messages]
    in_train: NDArray[np.bool_]  # [messages]
    in_validation: NDArray[np.bool_]  # [messages]

    def __len__(self) -> int:
        """The number of messages."""
        return len(self.texts)


@dataclass(frozen=True)
class Results:
    """A finished study."""

    title: str
    notes: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    questions: tuple[Question, ...]
    test: TestMessages
    sizes: dict[str, int]  # messages in each split

    def row(self, id: str) -> Row:
        """The row with this id."""
        return next(row for row in self.rows if row.id == id)

    def evaluated(self, row: Row, split: str) -> int:
        """How many messages a split's accuracy is over: of training ones, whole batches only."""
        if split != "train":
            return self.sizes[split]
        batch = int(row.settings["batch_size"])
        return max(self.sizes[split] // batch * batch, 1)

    def right(self, row: Row) -> NDArray[np.bool_]:
        """Which test messages each of a row's runs gets right, [seeds, messages]."""
        return np.stack([run.predicted == self.test.labels for run in row.runs])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options by which a program is told where a study lies; see `load`."""
    parser.add_argument("--study", type=Path, required=True, help="study.json")
    parser.add_argument("--runs", type=Path, required=True, help="folder of finished runs")
    parser.add_argument("--data", type=Path, required=True, help="folder of the three splits")


def load(study: Path, runs: Path, data: Path) -> Results:
    """Reads study.json, runs/<row id>/seed-<seed>/ and data/{train,validation,test}.csv.

    Raises UserError, naming the file, where one is missing, damaged or belongs to something else.
    """
    messages = {split: _messages(data / f"{split}.csv") for split in SPLITS}
    test = _test_messages(messages)
    facts = _json(study)
    with _understood(study):
        seeds = tuple(facts["seeds"])
        return Results(
            title=facts["title"],
            notes=tuple(facts["notes"]),
            seeds=seeds,
            rows=tuple(
                Row(
                    id=row["id"],
                    settings=_in_order(row["settings"]),
                    published=_optional(row["published"], _published),
                    runs=tuple(
                        _run(runs / row["id"] / f"seed-{seed}", row["id"], seed, test)
                        for seed in seeds
                    ),
                )
                for row in facts["rows"]
            ),
            questions=tuple(Question(**entry) for entry in facts["comparisons"]),
            test=test,
            sizes={split: len(frame) for split, frame in messages.items()},
        )


def _test_messages(messages: dict[str, pd.DataFrame]) -> TestMessages:
    test = messages["test"]
    return TestMessages(
        texts=tuple(test["Text"]),
        labels=test["Label"].to_numpy(int),
        in_train=test["Text"].isin(messages["train"]["Text"]).to_numpy(),
        in_validation=test["Text"].isin(messages["validation"]["Text"]).to_numpy(),
    )


def _messages(path: Path) -> pd.DataFrame:
    """Columns Label and Text; a text that reads NA or 12 stays the text it is."""
    with _understood(path):
        frame = pd.read_csv(path, dtype={"Text": str}, keep_default_na=False)
        if frame.empty:
            raise UserError(f"{path} holds no messages; expected at least one")
        return frame[["Label", "Text"]].astype({"Label": int})


def _run(folder: Path, row: str, seed: int, test: TestMessages) -> Run:
    path = folder / "metrics.json"
    metrics = _json(path)
    with _understood(path):
        if (metrics["row"], metrics["seed"]) != (row, seed):
            raise UserError(
                f"{path} is of row {metrics['row']}, seed {metrics['seed']};"
                f" expected row {row}, seed {seed}"
            )
        run = Run(
            seed=seed,
            accuracy=_accuracy(metrics["accuracy"]),
            history=tuple(
                Evaluation(entry["step"], entry["train_loss"], entry["validation_loss"])
                for entry in metrics["history"]
            ),
            context_tokens=metrics["context_tokens"],
            training_time_seconds=float(metrics["training_time_seconds"]),
            trunk_time_seconds=float(metrics["trunk_time_seconds"]),
            device=metrics["device"],
            threads=metrics["threads"],
            precision=metrics["precision"],
            shared_device=metrics.get("shared_device", False),
            predicted=_predictions(folder / "predictions.csv", test),
        )
    measured = float((run.predicted == test.labels).mean())
    if abs(measured - run.accuracy.test) > 1e-4:
        raise UserError(
            f"{path}: accuracy: test is {run.accuracy.test}, but predictions.csv beside it gives"
            f" {measured:.6f}; both must come from the same run"
        )
    return run


def _predictions(path: Path, test: TestMessages) -> NDArray[np.int_]:
    """The predicted label of each test message, in the order of test.csv."""
    with _understood(path):
        frame = pd.read_csv(path, usecols=["split", "index", "label", "predicted"])
        frame = frame[frame["split"] == "test"].sort_values("index")
        if list(frame["index"]) != list(range(len(test))):
            raise UserError(
                f"{path} has {len(frame)} test messages; expected each index from 0 to"
                f" {len(test) - 1} of test.csv once"
            )
        if not np.array_equal(frame["label"], test.labels):
            raise UserError(f"{path}: the labels of the test messages are not those of test.csv")
        return frame["predicted"].to_numpy(int)


def _accuracy(entry: dict[str, Any]) -> Accuracy:
    return Accuracy(*(float(entry[split]) for split in SPLITS))


def _published(entry: dict[str, Any]) -> Published:
    return Published(_accuracy(entry), entry["training_time_min"], entry["device"])


def _in_order(settings: dict[str, Any]) -> dict[str, Any]:
    """The table's columns first, in its order, then what belongs to training."""
    return {name: settings[name] for name in COLUMNS} | settings


def _optional(value: Any, read: Callable[[Any], Value]) -> Value | None:
    return None if value is None else read(value)


def _json(path: Path) -> Any:
    with _understood(path):
        return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def _understood(path: Path) -> Iterator[None]:
    """Says which file could not be read, and why."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except KeyError as error:
        raise UserError(f"{path}: {error.args[0]} is missing") from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is not what it should be: {error}") from None
