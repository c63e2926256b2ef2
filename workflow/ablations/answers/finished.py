"""Reads a study and its finished runs into typed values, checked against each other.

Every answer starts from here. Knows no statistics.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from scipy.special import log_softmax

from ablations import cli
from ablations.answers.near_duplicates import first_near
from ablations.data.split_files import read_split
from ablations.data.tokens import About, read_about
from ablations.errors import UserError
from ablations.files import read_json
from ablations.study import paths, settings
from ablations.study.dataset import SPLITS
from ablations.study.entries import Published
from ablations.study.outline import Outline
from ablations.study.settings import Settings
from ablations.training import logs, metrics, predictions
from ablations.training.metrics import Metrics, NotFinished

Labels = NDArray[np.int_]

NONE_FINISHED = "no row is finished yet; a table so far needs one row with all its seeds"


@dataclass(frozen=True)
class Run:
    """One row trained with one seed."""

    metrics: Metrics
    predicted: Labels  # of each test text, [texts]
    log_loss: dict[str, float]  # mean cross-entropy (nats) of each split, after the last step


@dataclass(frozen=True)
class TrainedRow:
    """One line of the table with its runs, one for each seed."""

    number: int  # its line in the table of the whole study, from 1
    id: str
    settings: Settings
    published: Published | None
    runs: tuple[Run, ...]
    right: NDArray[np.bool_]  # which test texts each run gets right, [seeds, texts]

    @property
    def context_tokens(self) -> int:
        """The length of its padded inputs."""
        return self.runs[0].metrics.context_tokens


@dataclass(frozen=True)
class Unfinished:
    """A run that a table of what is finished lacks."""

    number: int  # its row's line in the table of the whole study, from 1
    row: str
    seed: int
    reason: str  # "not finished", why it failed, or whose its files are


@dataclass(frozen=True)
class Texts:
    """The test texts, and which of them are in the other two splits."""

    classes: tuple[str, ...]  # in the order of their labels
    test: tuple[str, ...]
    labels: Labels  # [texts]
    in_train: NDArray[np.bool_]  # verbatim, [texts]
    in_validation: NDArray[np.bool_]  # verbatim, [texts]
    near_train: NDArray[np.bool_]  # verbatim or nearly so (see near_duplicates.py), [texts]
    sizes: dict[str, int]  # of each split
    validation_in_train: int  # how many validation texts are in the training set verbatim
    remarks: tuple[str, ...]  # what is to be known of them, such as a class that a split lacks

    @property
    def majority(self) -> tuple[str, float]:
        """The most frequent class of the test set, the last of several, and its share."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        label = int(np.flatnonzero(counts == counts.max())[-1])
        return self.classes[label], float(counts[label] / len(self.labels))

    def evaluated(self, row: Settings, split: str) -> int:
        """How many texts a split's accuracy is over: of training ones, whole batches only."""
        if split != "train":
            return self.sizes[split]
        batch = row.training.batch_size
        return max(self.sizes[split] // batch * batch, 1)


@dataclass(frozen=True)
class Finished:
    """A finished study, or what is finished of it."""

    outline: Outline
    texts: Texts
    rows: dict[str, TrainedRow]  # those whose runs are all finished, by id
    stated: dict[str, Settings]  # of each row whose file is there, by id
    unfinished: tuple[Unfinished, ...]


def load(results: Path, so_far: bool = False) -> Finished:
    """Reads study.json, rows/, runs/ and data/ of a results folder.

    With `so_far`, a row is left out where one of its runs has no metrics.json yet, or one of other
    settings or of another dataset than the study has now; `unfinished` names those runs.
    Raises UserError, naming the file, where one is missing, damaged or belongs to something else.
    """
    outline = read_json(paths.at(results, paths.OUTLINE), Outline)
    if outline.notes:  # nothing published is shown beside stand-ins
        outline = _without_published(outline)
    any_run = paths.at(results, paths.METRICS, row="*", seed="*").relative_to(results)
    if so_far and not any(results.glob(str(any_run))):
        raise UserError(NONE_FINISHED)
    about, labels, texts = _texts(results)
    numbers = _line_numbers(outline)
    rows, stated, unfinished = {}, {}, []
    for line in outline.rows:
        row, runs = _settings(results, line.id, so_far), []
        if row:
            stated[line.id] = row
        for seed in outline.seeds:
            try:
                runs.append(_run(results, line.id, row, seed, about, labels))
            except NotFinished as missing:
                if not so_far:
                    raise
                reason = missing.reason or _why_unfinished(results, row, seed)
                unfinished.append(Unfinished(numbers[line.id], line.id, seed, reason))
        if row and len(runs) == len(outline.seeds):
            right = np.stack([run.predicted == texts.labels for run in runs])
            rows[line.id] = TrainedRow(
                numbers[line.id], line.id, row, line.published, tuple(runs), right
            )
    return Finished(outline, texts, rows, stated, tuple(unfinished))


def _without_published(outline: Outline) -> Outline:
    rows = (structs.replace(line, published=None) for line in outline.rows)
    questions = (structs.replace(question, claim=None) for question in outline.questions)
    return structs.replace(outline, rows=tuple(rows), questions=tuple(questions))


def _line_numbers(outline: Outline) -> dict[str, int]:
    """Each row's line in the table of the whole study; rows of which one is chosen share it."""
    line_of = {row: grid.id for grid in outline.grids if grid.choose for row in grid.rows}
    lines = list(dict.fromkeys(line_of.get(row.id, row.id) for row in outline.rows))
    return {row.id: lines.index(line_of.get(row.id, row.id)) + 1 for row in outline.rows}


# --- texts


def _texts(results: Path) -> tuple[About, dict[str, Labels], Texts]:
    """What the tokens say of the texts, each split's labels, and the texts."""
    about = read_about(paths.at(results, paths.TOKENS))
    labels, texts = {}, {}
    for split in SPLITS:
        path = paths.at(results, paths.SPLIT, split=split)
        numbers, texts[split] = read_split(path)
        if not numbers:
            raise UserError(f"{path} holds no texts; expected at least one")
        labels[split] = np.array(numbers)
        if not np.isin(labels[split], range(len(about.classes))).all():
            raise UserError(
                f"{path}: a label is no class of tokens.safetensors; allowed: 0 to"
                f" {len(about.classes) - 1}"
            )
    read = Texts(
        classes=about.classes,
        test=tuple(texts["test"]),
        labels=labels["test"],
        in_train=_among(texts["test"], texts["train"]),
        in_validation=_among(texts["test"], texts["validation"]),
        near_train=first_near(texts["test"], texts["train"]) < len(texts["train"]),
        sizes={split: len(found) for split, found in texts.items()},
        validation_in_train=int(_among(texts["validation"], texts["train"]).sum()),
        remarks=read_json(paths.at(results, paths.NOTES), tuple[str, ...]),
    )
    return about, labels, read


def _among(texts: list[str], others: list[str]) -> NDArray[np.bool_]:
    """Which texts are among the others; numpy's isin would make all as long as the longest."""
    known = set(others)
    return np.array([text in known for text in texts], bool)


# --- runs


def _settings(results: Path, id: str, so_far: bool) -> Settings | None:
    """A row's settings; None where its file is not there yet and need not be."""
    path = paths.at(results, paths.ROW, row=id)
    return None if so_far and not path.exists() else settings.read(path)


def _run(
    results: Path, id: str, row: Settings | None, seed: int, about: About, labels: dict[str, Labels]
) -> Run:
    """A run's files; raises NotFinished where they are not there, or not of the study as it is."""
    if row is None:
        raise NotFinished(f"row {id} has no file; run the workflow to make it")
    found = metrics.read(results, row, seed)
    path = paths.at(results, paths.METRICS, row=id, seed=seed)
    if (found.dataset_sha256, found.classes) != (about.dataset_sha256, about.classes):
        message = (
            f"{path} is of another dataset (classes {', '.join(found.classes)}; sha256"
            f" {found.dataset_sha256[:12]}…) than data/tokens.safetensors (classes"
            f" {', '.join(about.classes)}; sha256 {about.dataset_sha256[:12]}…); run the workflow"
            " again"
        )
        raise NotFinished(message, "of another dataset")
    answers = paths.at(results, paths.PREDICTIONS, row=id, seed=seed)
    predicted, log_loss = _predictions(answers, labels, len(about.classes))
    measured = float((predicted == labels["test"]).mean())
    if abs(measured - found.accuracy.test) > 1e-4:
        raise UserError(
            f"{path}: accuracy: test is {found.accuracy.test}, but predictions.csv beside it"
            f" gives {measured:.6f}; both must come from the same run"
        )
    return Run(found, predicted, log_loss)


def _why_unfinished(results: Path, row: Settings | None, seed: int) -> str:
    log = row and logs.current(results, row, seed)
    reason = log and cli.failure(log)
    return f"failed: {reason.splitlines()[0]}" if reason else "not finished"


def _predictions(
    path: Path, labels: dict[str, Labels], classes: int
) -> tuple[Labels, dict[str, float]]:
    """The predicted label of each test text, in the order of test.csv; each split's log-loss."""
    found = predictions.read(path, classes)
    log_loss = {}
    for split, expected in labels.items():
        number = len(found[split].labels) if split in found else 0
        if number != len(expected):
            raise UserError(f"{path} has {number} {split} texts; expected {len(expected)}")
        if not np.array_equal(found[split].labels, expected):
            raise UserError(f"{path}: the labels of the {split} texts are not those of {split}.csv")
        of_classes = log_softmax(found[split].logits, axis=1)
        log_loss[split] = float(-of_classes[np.arange(number), expected].mean())
    return found["test"].predicted, log_loss
