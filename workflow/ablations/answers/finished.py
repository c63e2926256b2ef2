"""Reads a study and its finished runs into typed values, checked against each other.

Every answer starts from here. Knows no statistics.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from ablations import cli
from ablations.answers import tested
from ablations.answers.tested import Cut, Labels, Texts
from ablations.data.near_copies import NOWHERE
from ablations.errors import UserError
from ablations.files import read_json
from ablations.references.metrics import Metrics as ReferenceMetrics
from ablations.study import paths, settings
from ablations.study.entries import Published
from ablations.study.outline import Outline
from ablations.study.references import REFERENCES, Reference
from ablations.study.settings import Settings
from ablations.training import logs, metrics, predictions
from ablations.training.metrics import Metrics, NotFinished
from ablations.training.predictions import Predictions

Found = TypeVar("Found", Metrics, ReferenceMetrics)  # what a run says of itself

NONE_FINISHED = "no row is finished yet; a table so far needs one row with all its runs"


@dataclass(frozen=True)
class Run(Generic[Found]):
    """One row trained with one seed on one fold, or a reference on one."""

    fold: int  # its index; 0 with one split
    metrics: Found
    predicted: Labels  # of each text that its fold tests, [texts]
    log_loss: dict[str, float]  # mean cross-entropy (nats) of each split, after the last step


@dataclass(frozen=True)
class Trained(Generic[Found]):
    """One line of the table with its runs: fold by fold, one for each seed."""

    id: str
    runs: tuple[Run[Found], ...]
    predicted: Labels  # of each tested text, [seeds, tested]
    right: NDArray[np.bool_]  # whether that is its label, [seeds, tested]
    train_size: int  # how many training texts it learns from at most: the first of its fold's
    batch: int  # training texts that are evaluated together: an incomplete batch is left out

    def evaluated(self, texts: Texts, split: str) -> tuple[int, ...]:
        """How many texts a split's accuracy is over, in each fold."""
        sizes = [fold[split] for fold in texts.sizes]
        if split == "train":
            batch = self.batch
            sizes = [max(min(size, self.train_size) // batch * batch, 1) for size in sizes]
        return tuple(sizes)


@dataclass(frozen=True)
class TrainedReference(Trained[ReferenceMetrics]):
    """A reference, which has no seed: one run for each fold, and one answer to each text."""

    published: ClassVar[None] = None  # nothing was

    @property
    def declared(self) -> Reference:
        """What it is."""
        return REFERENCES[self.runs[0].metrics.reference]


@dataclass(frozen=True)
class TrainedRow(Trained[Metrics]):
    """A row."""

    number: int  # its line in the table of the whole study, from 1
    settings: Settings
    published: Published | None

    @property
    def context_tokens(self) -> int:
        """The length of its padded inputs."""
        return self.runs[0].metrics.context_tokens


@dataclass(frozen=True)
class Unfinished:
    """A run that a table of what is finished lacks."""

    number: int  # its row's line in the table of the whole study, from 1
    row: str
    fold: int  # its index; 0 with one split
    seed: int
    reason: str  # "not finished", why it failed, or whose its files are


@dataclass(frozen=True)
class Finished:
    """A finished study, or what is finished of it."""

    outline: Outline
    texts: Texts
    rows: dict[str, TrainedRow]  # those whose runs are all finished, by id
    references: tuple[TrainedReference, ...]
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
    cuts, texts = tested.read(results, outline.folds)
    numbers = _line_numbers(outline)
    rows, stated, unfinished = {}, {}, []
    for line in outline.rows:
        row, runs = _settings(results, line.id, so_far), []
        if row:
            stated[line.id] = row
        for cut, seed in itertools.product(cuts, outline.seeds):
            try:
                runs.append(_run(results, line.id, row, seed, texts, cut))
            except UserError as error:
                if not so_far or not isinstance(error, NotFinished):
                    run = paths.run(seed, cut.number)
                    path = paths.at(results, paths.METRICS, row=line.id, run=run)
                    raise _with_a_way_out(error, path.parent) from None
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
                train_size=row.train_size or NOWHERE,
                batch=row.training.batch_size,
            )
    return Finished(
        outline=outline,
        texts=texts,
        rows=rows,
        references=tuple(_references(results, outline, cuts, texts, so_far)),
        stated=stated,
        unfinished=tuple(unfinished),
    )


def _line_numbers(outline: Outline) -> dict[str, int]:
    """Each row's line in the table of the whole study; rows of which one is chosen share it."""
    line_of = {row: grid.id for grid in outline.grids if grid.choose for row in grid.rows}
    lines = list(dict.fromkeys(line_of.get(row.id, row.id) for row in outline.rows))
    return {row.id: lines.index(line_of.get(row.id, row.id)) + 1 for row in outline.rows}


def _predicted(runs: Sequence[Run[Any]], texts: Texts) -> Labels:
    """What a row's runs, fold by fold, answer to every tested text, [seeds, tested]."""
    seeds = len(runs) // texts.folds
    predicted = np.empty((seeds, len(texts.labels)), np.int64)
    for number, run in enumerate(runs):
        predicted[number % seeds, texts.fold == run.fold] = run.predicted
    return predicted


# --- runs


def _settings(results: Path, id: str, so_far: bool) -> Settings | None:
    """A row's settings; None where its file is not there yet and need not be."""
    path = paths.at(results, paths.ROW, row=id)
    if so_far and not path.exists():
        return None
    found = settings.read(path)
    if found.row != id:
        raise UserError(f"{path} is of row {found.row}; expected {id}; run the workflow again")
    return found


def _run(
    results: Path,
    id: str,
    row: Settings | None,
    seed: int,
    texts: Texts,
    cut: Cut,
) -> Run[Metrics]:
    """A run's files; raises NotFinished where they are not there, or not of the study as it is."""
    if row is None:
        raise NotFinished(f"row {id} has no file; run the workflow to make it")
    found, run = metrics.read(results, row, seed, cut.number), paths.run(seed, cut.number)
    path = paths.at(results, paths.METRICS, row=id, run=run)
    answers = paths.at(results, paths.PREDICTIONS, row=id, run=run)
    own = cut.lines | {"train": cut.lines["train"][: row.train_size]}
    return _read(path, answers, found, own, texts, cut)


def _references(
    results: Path, outline: Outline, cuts: Sequence[Cut], texts: Texts, so_far: bool
) -> Iterator[TrainedReference]:
    for name in outline.references:
        try:
            runs = tuple(_reference(results, name, texts, cut) for cut in cuts)
        except NotFinished:
            if not so_far:
                raise
        except UserError as error:
            folder = paths.at(results, paths.REFERENCES, reference=name)
            raise _with_a_way_out(error, folder, "reference") from None
        else:
            predicted = _predicted(runs, texts)
            right = predicted == texts.labels
            yield TrainedReference(name, runs, predicted, right, train_size=NOWHERE, batch=1)


def _reference(results: Path, name: str, texts: Texts, cut: Cut) -> Run[ReferenceMetrics]:
    """A reference's files of one fold; raises NotFinished as `_run` does."""
    path, answers = (
        paths.at(results, paths.REFERENCE, reference=name, file=paths.in_fold(file, cut.number))
        for file in ("metrics.json", "predictions.csv")
    )
    if not path.exists():
        raise NotFinished(f"{path} does not exist; run the workflow to make it")
    found = read_json(path, ReferenceMetrics)
    if (found.reference, found.fold) != (name, cut.number):
        raise UserError(
            f"{path} is of the reference {found.reference}, fold {found.fold}; expected {name},"
            f" fold {cut.number}"
        )
    return _read(path, answers, found, cut.lines, texts, cut)


def _read(
    path: Path,
    answers: Path,
    found: Found,
    own: Mapping[str, Labels],
    texts: Texts,
    cut: Cut,
) -> Run[Found]:
    """A run from its two files; `own` are the lines of its texts."""
    if (found.dataset_sha256, found.classes) != (texts.dataset_sha256, texts.classes):
        message = (
            f"{path} is of another dataset (classes {', '.join(found.classes)}; sha256"
            f" {found.dataset_sha256[:12]}…) than data/texts.csv (classes"
            f" {', '.join(texts.classes)}; sha256 {texts.dataset_sha256[:12]}…); run the workflow"
            " again"
        )
        raise NotFinished(message, "of another dataset")
    read = _predictions(answers, own, cut.labels, len(texts.classes))
    # that of training is over the texts of complete batches
    for split, said in (("test", found.accuracy.test), ("validation", found.accuracy.validation)):
        measured = float((read[split].predicted == read[split].labels).mean())
        if abs(measured - said) > 1e-4:
            raise UserError(
                f"{path}: accuracy: {split} is {said}, but predictions.csv beside it"
                f" gives {measured:.6f}; both must come from the same run"
            )
    log_loss = {split: _loss(of) for split, of in read.items()}
    return Run(cut.fold, found, read["test"].predicted, log_loss)


def _with_a_way_out(error: UserError, folder: Path, what: str = "run") -> UserError:
    """What is wrong with a run's files, or a reference's, and how it is trained again."""
    return UserError(
        f"{error}. If this {what} was changed by hand, delete the folder {folder} and run the same"
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
