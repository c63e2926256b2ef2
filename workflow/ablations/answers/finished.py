"""Reads a study and its finished runs into typed values, checked against each other.

Every answer starts from here. Knows no statistics.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from ablations import cli
from ablations.data import collection
from ablations.data.near_copies import first_near
from ablations.data.tokens import About, read_about
from ablations.errors import UserError
from ablations.files import read_json
from ablations.study import paths, settings
from ablations.study.dataset import column
from ablations.study.entries import Published
from ablations.study.outline import Outline
from ablations.study.settings import Settings
from ablations.training import logs, metrics, predictions
from ablations.training.metrics import Metrics, NotFinished
from ablations.training.predictions import Predictions

Labels = NDArray[np.int_]

NONE_FINISHED = "no row is finished yet; a table so far needs one row with all its runs"
NOWHERE = np.iinfo(np.int64).max  # the position of a text that is not in a list


@dataclass(frozen=True)
class Run:
    """One row trained with one seed on one fold."""

    fold: int  # its index; 0 with one split
    metrics: Metrics
    predicted: Labels  # of each text that its fold tests, [texts]
    log_loss: dict[str, float]  # mean cross-entropy (nats) of each split, after the last step


@dataclass(frozen=True)
class TrainedRow:
    """One line of the table with its runs: fold by fold, one for each seed."""

    number: int  # its line in the table of the whole study, from 1
    id: str
    settings: Settings
    published: Published | None
    runs: tuple[Run, ...]
    predicted: Labels  # of each tested text, [seeds, tested]
    right: NDArray[np.bool_]  # whether that is its label, [seeds, tested]

    @property
    def context_tokens(self) -> int:
        """The length of its padded inputs."""
        return self.runs[0].metrics.context_tokens

    @property
    def train_size(self) -> int:
        """How many training texts it learns from at most: the first of its fold's."""
        return self.settings.train_size or NOWHERE


@dataclass(frozen=True)
class Unfinished:
    """A run that a table of what is finished lacks."""

    number: int  # its row's line in the table of the whole study, from 1
    row: str
    fold: int  # its index; 0 with one split
    seed: int
    reason: str  # "not finished", why it failed, or whose its files are


@dataclass(frozen=True)
class Texts:
    """The texts that are tested, and where they are in the other splits of the fold that does.

    With one split they are its test texts in their order, with folds all texts in the table's.
    """

    classes: tuple[str, ...]  # in the order of their labels
    tested: tuple[str, ...]
    labels: Labels  # [tested]
    lines: Labels  # in texts.csv, from 0, [tested]
    fold: Labels  # the index of the fold that tests each, [tested]; all 0 with one split
    # Where the first text equal to it, and the first equal or nearly so (near_copies.py), is
    # among the fold's training texts; NOWHERE if there is none. [tested]
    copied: Labels
    near: Labels
    in_validation: NDArray[np.bool_]  # verbatim, [tested]
    sizes: tuple[dict[str, int], ...]  # of each fold's splits
    validation_in_train: int  # validation texts that are in the training set verbatim, of all folds
    remarks: tuple[str, ...]  # what is to be known of them, such as a class that a split lacks

    @property
    def folds(self) -> int:
        """How many there are; 1 with one split."""
        return len(self.sizes)

    @property
    def collection(self) -> int:
        """How many texts there are in all splits."""
        return sum(self.sizes[0].values())

    @property
    def in_train(self) -> NDArray[np.bool_]:
        """Which are in the training set of their fold verbatim, [tested]."""
        return self.copied < NOWHERE

    @property
    def near_train(self) -> NDArray[np.bool_]:
        """Which are there verbatim or nearly so, [tested]."""
        return self.near < NOWHERE

    @property
    def majority(self) -> tuple[str, float]:
        """The most frequent class of the tested texts, the last of several, and its share."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        label = int(np.flatnonzero(counts == counts.max())[-1])
        return self.classes[label], float(counts[label] / len(self.labels))

    def evaluated(self, row: TrainedRow, split: str) -> tuple[int, ...]:
        """How many texts a split's accuracy is over, in each fold; in training whole batches."""
        sizes = [fold[split] for fold in self.sizes]
        if split == "train":
            batch = row.settings.training.batch_size
            sizes = [max(min(size, row.train_size) // batch * batch, 1) for size in sizes]
        return tuple(sizes)


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
    any_run = paths.at(results, paths.METRICS, row="*", run="**").relative_to(results)
    if so_far and not any(results.glob(str(any_run))):
        raise UserError(NONE_FINISHED)
    about, cuts, texts = _texts(results, outline.folds)
    numbers = _line_numbers(outline)
    rows, stated, unfinished = {}, {}, []
    for line in outline.rows:
        row, runs = _settings(results, line.id, so_far), []
        if row:
            stated[line.id] = row
        for cut, seed in itertools.product(cuts, outline.seeds):
            try:
                runs.append(_run(results, line.id, row, seed, about, cut))
            except UserError as error:
                if not so_far or not isinstance(error, NotFinished):
                    raise _with_a_way_out(error, results, line.id, seed, cut) from None
                reason = error.reason or _why_unfinished(results, row, seed, cut.number)
                unfinished.append(Unfinished(numbers[line.id], line.id, cut.fold, seed, reason))
        if row and len(runs) == texts.folds * len(outline.seeds):
            predicted = _predicted(runs, texts)
            rows[line.id] = TrainedRow(
                number=numbers[line.id],
                id=line.id,
                settings=row,
                published=line.published,
                runs=tuple(runs),
                predicted=predicted,
                right=predicted == texts.labels,
            )
    return Finished(outline, texts, rows, stated, tuple(unfinished))


def _line_numbers(outline: Outline) -> dict[str, int]:
    """Each row's line in the table of the whole study; rows of which one is chosen share it."""
    line_of = {row: grid.id for grid in outline.grids if grid.choose for row in grid.rows}
    lines = list(dict.fromkeys(line_of.get(row.id, row.id) for row in outline.rows))
    return {row.id: lines.index(line_of.get(row.id, row.id)) + 1 for row in outline.rows}


def _predicted(runs: Sequence[Run], texts: Texts) -> Labels:
    """What a row's runs, fold by fold, answer to every tested text, [seeds, tested]."""
    seeds = len(runs) // texts.folds
    predicted = np.empty((seeds, len(texts.labels)), np.int64)
    for number, run in enumerate(runs):
        predicted[number % seeds, texts.fold == run.fold] = run.predicted
    return predicted


# --- texts


@dataclass(frozen=True)
class Cut:
    """How a fold cuts the texts: the lines in texts.csv by split, and the labels of all texts."""

    fold: int  # its index; 0 with one split
    number: int | None  # its number in paths; None with one split
    lines: dict[str, Labels]
    labels: Labels  # [texts]


def _texts(results: Path, folds: int | None) -> tuple[About, list[Cut], Texts]:
    """What the tokens say of the texts, each fold's cut, and the texts that are tested."""
    about = read_about(paths.at(results, paths.TOKENS))
    path = paths.at(results, paths.TEXTS)
    found, numbers = collection.read(path), range(1, folds + 1) if folds else [None]
    if not np.isin(found.labels, range(len(about.classes))).all():
        raise UserError(
            f"{path}: a label is no class of tokens.safetensors; allowed: 0 to"
            f" {len(about.classes) - 1}"
        )
    if list(found.cuts) != list(map(column, numbers)):
        raise UserError(
            f"{path} has the columns {', '.join(found.cuts)}; expected"
            f" {', '.join(map(column, numbers))}; run the workflow again"
        )
    cuts = [
        Cut(fold, number, collection.lines(found.cuts[column(number)]), found.labels)
        for fold, number in enumerate(numbers)
    ]
    tested = np.sort(np.concatenate([cut.lines["test"] for cut in cuts]))
    fold, copied, near = (np.zeros(len(found.texts), np.int64) for _ in range(3))
    in_validation, again = np.zeros(len(found.texts), bool), 0
    for cut in cuts:
        own = {split: [found.texts[line] for line in at] for split, at in cut.lines.items()}
        test, first = cut.lines["test"], first_near(own["test"], own["train"])
        fold[test], copied[test] = cut.fold, _first_copy(own["test"], own["train"])
        near[test] = np.where(first < len(own["train"]), first, NOWHERE)
        in_validation[test] = _first_copy(own["test"], own["validation"]) < NOWHERE
        again += int((_first_copy(own["validation"], own["train"]) < NOWHERE).sum())
    read = Texts(
        classes=about.classes,
        tested=tuple(found.texts[line] for line in tested),
        labels=found.labels[tested],
        lines=tested,
        fold=fold[tested],
        copied=copied[tested],
        near=near[tested],
        in_validation=in_validation[tested],
        sizes=tuple({split: len(at) for split, at in cut.lines.items()} for cut in cuts),
        validation_in_train=again,
        remarks=read_json(paths.at(results, paths.NOTES), tuple[str, ...]),
    )
    return about, cuts, read


def _first_copy(texts: Sequence[str], others: Sequence[str]) -> Labels:
    """Where the first of the others is that is equal to each text; NOWHERE if none is, [texts]."""
    position = {other: index for index, other in reversed(list(enumerate(others)))}
    return np.array([position.get(text, NOWHERE) for text in texts], np.int64)


# --- runs


def _settings(results: Path, id: str, so_far: bool) -> Settings | None:
    """A row's settings; None where its file is not there yet and need not be."""
    path = paths.at(results, paths.ROW, row=id)
    return None if so_far and not path.exists() else settings.read(path)


def _run(
    results: Path,
    id: str,
    row: Settings | None,
    seed: int,
    about: About,
    cut: Cut,
) -> Run:
    """A run's files; raises NotFinished where they are not there, or not of the study as it is."""
    if row is None:
        raise NotFinished(f"row {id} has no file; run the workflow to make it")
    found, run = metrics.read(results, row, seed, cut.number), paths.run(seed, cut.number)
    path = paths.at(results, paths.METRICS, row=id, run=run)
    if (found.dataset_sha256, found.classes) != (about.dataset_sha256, about.classes):
        message = (
            f"{path} is of another dataset (classes {', '.join(found.classes)}; sha256"
            f" {found.dataset_sha256[:12]}…) than data/tokens.safetensors (classes"
            f" {', '.join(about.classes)}; sha256 {about.dataset_sha256[:12]}…); run the workflow"
            " again"
        )
        raise NotFinished(message, "of another dataset")
    answers = paths.at(results, paths.PREDICTIONS, row=id, run=run)
    own = cut.lines | {"train": cut.lines["train"][: row.train_size]}
    read = _predictions(answers, own, cut.labels, len(about.classes))
    measured = float((read["test"].predicted == read["test"].labels).mean())
    if abs(measured - found.accuracy.test) > 1e-4:
        raise UserError(
            f"{path}: accuracy: test is {found.accuracy.test}, but predictions.csv beside it"
            f" gives {measured:.6f}; both must come from the same run"
        )
    log_loss = {split: _loss(of) for split, of in read.items()}
    return Run(cut.fold, found, read["test"].predicted, log_loss)


def _with_a_way_out(error: UserError, results: Path, id: str, seed: int, cut: Cut) -> UserError:
    """What is wrong with a run's files, and how it is trained again."""
    folder = paths.at(results, paths.METRICS, row=id, run=paths.run(seed, cut.number)).parent
    return UserError(
        f"{error}. If this run was changed by hand, delete the folder {folder} and run the same"
        " command again: it alone is trained again"
    )


def _why_unfinished(results: Path, row: Settings | None, seed: int, fold: int | None) -> str:
    log = row and logs.current(results, row, seed, fold)
    reason = log and cli.failure(log)
    return f"failed: {reason.splitlines()[0]}" if reason else "not finished"


def _predictions(
    path: Path, lines: Mapping[str, Labels], labels: Labels, classes: int
) -> dict[str, Predictions]:
    """The answers to the texts of these lines."""
    found = predictions.read(path, classes)
    for split, expected in lines.items():
        number = len(found[split].lines) if split in found else 0
        if number != len(expected):
            raise UserError(f"{path} has {number} {split} texts; expected {len(expected)}")
        if not np.array_equal(found[split].lines, np.sort(expected)):
            raise UserError(f"{path}: the indexes of the {split} texts are not those of texts.csv")
        if not np.array_equal(found[split].labels, labels[np.sort(expected)]):
            raise UserError(f"{path}: the labels of the {split} texts are not those of texts.csv")
    return found


def _loss(found: Predictions) -> float:
    """The mean cross-entropy, in nats."""
    of_classes = log_softmax(found.logits, axis=1)
    return float(-of_classes[np.arange(len(found.labels)), found.labels].mean())
