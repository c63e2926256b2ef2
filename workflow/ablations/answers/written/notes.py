"""What a reader must know before believing the table: the sentences around it, as Markdown."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ablations import cli
from ablations.answers import formats
from ablations.answers.compute import Answers
from ablations.answers.scores import Row
from ablations.answers.tested import Texts
from ablations.data.near_copies import NOWHERE
from ablations.study import words
from ablations.study.dataset import SPLITS
from ablations.study.settings import defaults

MOST_NAMED = 10  # in one sentence


def notes(answers: Answers) -> list[str]:
    """The notes below the table, a sentence or two each."""
    found = [_data(answers), *map(formats.text, answers.texts.remarks), *_same(answers.rows)]
    found += [*_incomplete_batches(answers), _runs(answers), interval_note(answers)]
    found += _leakage(answers)
    found += [_majority(answers), *_references(answers), *no_better(answers)]
    found += [*_constant_answers(answers), *_grids(answers)]
    return [*found, *_devices(answers.rows), *_times(answers.rows)]


def notices(answers: Answers, text: Callable[[str], str] = formats.text) -> Iterator[str]:
    """What stands above everything, each on one line: stand-ins, and which runs are missing.

    `text` writes what is not this program's: as Markdown, or plain.
    """
    if answers.standins:
        yield " ".join(map(text, answers.standins))
    if answers.unfinished:
        yield _provisional(answers, text)
    there = [each.id for each in answers.references]
    if missing := [name for name in answers.outline.references if name not in there]:
        yield f"References not finished: {', '.join(missing)}."


def _provisional(answers: Answers, text: Callable[[str], str]) -> str:
    number, runs = len(answers.unfinished), dict[tuple[str, str], list[tuple[int, int]]]()
    for run in answers.unfinished:
        runs.setdefault((run.row, run.reason), []).append((run.fold, run.seed))
    listed = [
        f"{row} ({answers.named(found)}: {text(reason)})" for (row, reason), found in runs.items()
    ]
    return (
        f"Provisional: {cli.count(number, 'run')} {'is' if number == 1 else 'are'} missing."
        f" {'; '.join(_first(listed))}. A row is in the table when all its runs are finished."
    )


def varying(rows: Sequence[Row]) -> list[str]:
    """The settings in which rows differ, LoRA's own within trainable_layers."""
    names = words.columns(rows[0].settings)
    return [name for name in names if len({setting(name, row) for row in rows}) > 1]


def setting(name: str, row: Row) -> str:
    """A row's setting as the table writes it."""
    return words.cell(name, row.settings, row.context_tokens)


def _data(answers: Answers) -> str:
    classes = answers.texts.classes
    sizes = ", ".join(f"{size} {split}" for split, size in split_sizes(answers).items())
    if answers.folds > 1:
        sizes = (
            f"{len(answers.texts.labels):,}, each tested in one of {answers.folds} folds ({sizes})"
        )
    return (
        f"Data: {formats.text(answers.outline.data)}; {len(classes)} classes"
        f" ({formats.text(', '.join(_first(classes)))}); texts: {sizes}."
    )


def split_sizes(answers: Answers) -> dict[str, str]:
    """How many texts each split has, in a fold where there are several: `298 to 299`."""
    return {split: _range(fold[split] for fold in answers.texts.sizes) for split in SPLITS}


def _range(numbers: Iterable[int]) -> str:
    ordered = sorted(numbers)
    return " to ".join(f"{number:,}" for number in dict.fromkeys((ordered[0], ordered[-1])))


def _incomplete_batches(answers: Answers) -> Iterator[str]:
    size = split_sizes(answers)["train"]
    if any(row.train_size < NOWHERE for row in answers.rows):
        yield (
            "Training accuracy is over the texts that a row learns from, without an incomplete last"
            f" batch: {evaluated(answers, 'train')} texts."
        )
    elif evaluated(answers, "train") != size:
        yield (
            "Training accuracy leaves out an incomplete last batch: it is over"
            f" {evaluated(answers, 'train')} of the {size} texts."
        )


def evaluated(answers: Answers, split: str) -> str:
    """How many texts a split's accuracies are over: `1,040`, or `1,040 to 1,045`."""
    if split == "test":
        return f"{len(answers.texts.labels):,}"
    return _range(size for row in answers.rows for size in row.accuracy[split].texts)


def _same(rows: Sequence[Row]) -> Iterator[str]:
    """The settings that have no column; options at their default are not named."""
    first, different = rows[0].settings.compared(), varying(rows)
    same = [
        f"{name} {setting(name, rows[0])}"
        for name in words.columns(rows[0].settings)
        if name not in different
        if name not in defaults() or first[name] != defaults()[name]
    ]
    if same:
        yield (
            f"{'The same in every row' if len(rows) > 1 else 'Settings'}:"
            f" {formats.text(', '.join(same))}."
        )


def _runs(answers: Answers) -> str:
    if answers.times == 1:
        return (
            f"Each row was trained once (seed {answers.seeds[0]}): the noise of training is not"
            " measured."
        )
    said = f"Each row was trained with {answers.trained}"
    if answers.folds > 1:
        said = f"Each row was trained {answers.times} times ({answers.trained})"
    said += ": the mean, and ± the standard deviation between them."
    if answers.folds > 1:
        said += " Runs of different folds test different texts, which is part of it."
    if answers.folds > 1 and any(row.published for row in answers.rows):
        said += " The published accuracies are of one run each, on one other split of these texts."
    return said


def interval_note(answers: Answers) -> str:
    """What the intervals are, and what they count."""
    if not answers.measures_noise:
        return (
            f"The 95% intervals are Wilson's for {answers.tested}. They show what other test"
            " texts could give, not what another training run could."
        )
    training, others = "the noise of training", "other seeds"
    if answers.folds > 1:
        training, others = f"{training}, its texts included", "other training texts"
    return (
        "The 95% intervals are by Wilson's method and count both the choice of"
        f" {answers.tested} and {training}. How large that noise is follows from a row's own runs"
        f" and from those of all rows. They show which means other test texts and {others} could"
        " give."
    )


def of_its_fold(answers: Answers) -> str:
    """After "the training set", where there are several."""
    return " of the same fold" if answers.folds > 1 else ""


def _leakage(answers: Answers) -> Iterator[str]:
    texts, size = answers.texts, f"{len(answers.texts.labels):,}"
    of_classes, fold = partial(_of_classes, texts), of_its_fold(answers)
    copies, near = int(texts.in_train.sum()), int(texts.near_train.sum())
    elsewhere = int((texts.in_validation & ~texts.in_train).sum())
    if answers.outline.keep_together and not near:
        yield (
            f"No test text is in the training set{fold} verbatim or nearly so: texts that share at"
            " least four in five of their words were kept together."
        )
    elif not copies:
        yield f"No test text is in the training set{fold} verbatim."
    else:
        yield (
            f"{copies} of the {size} test texts ({of_classes(texts.in_train)}) are in the"
            f" training set{fold} verbatim{_without(answers, 'unseen')}."
        )
    if elsewhere:
        more = "more " if copies else ""
        yield f"{elsewhere} {more}{'is' if elsewhere == 1 else 'are'} in the validation set{fold}."
    if known := texts.validation_in_train:
        total = sum(sizes["validation"] for sizes in texts.sizes)
        yield (
            f"{known:,} of the {total:,} validation texts"
            f" {'is' if known == 1 else 'are'} in the training set{fold} verbatim, so validation"
            " accuracy is optimistic."
        )
    if near > copies:
        yield (
            f"{near} of the {size} test texts ({of_classes(texts.near_train)}) are in the"
            f" training set{fold} verbatim or nearly so: at least four in five of the words of the"
            f" two are in both{_without(answers, 'without near-copies')}."
        )


def _without(answers: Answers, heading: str) -> str:
    """Which column leaves them out: of how many texts, where that is the same in every row."""
    parts = [row.unseen if heading == "unseen" else row.distinct for row in answers.rows]
    numbers = {part.texts for part in parts}
    if numbers == {0}:
        return "; no test text is left without them"
    if len(numbers) > 1:
        return f"; the column “Test acc, {heading}” leaves out those that a row learns from"
    return f"; the column of the {numbers.pop():,} {heading} leaves them out"


def _of_classes(texts: Texts, chosen: NDArray[np.bool_]) -> str:
    """`29 of them spam`, for every class but the first, or the five with most where there are more.

    The rest are of the first class.
    """
    classes = texts.classes
    counts = np.bincount(texts.labels[chosen], minlength=len(classes))
    named = sorted(np.argsort(-counts[1:], kind="stable")[:5] + 1)
    return ", ".join(f"{counts[label]} of them {formats.text(classes[label])}" for label in named)


def _majority(answers: Answers) -> str:
    name, share = answers.texts.majority
    no_better = [row.id for row in answers.rows if row.accuracy["test"].low <= share]
    below = f" Not clearly above that: {_which(no_better, answers.rows)}." if no_better else ""
    return (
        f"Majority class: always answering {formats.text(name)} would be right on"
        f" {formats.percent(share)}.{below}"
    )


def _references(answers: Answers) -> Iterator[str]:
    if answers.references:
        named = [f"{each.id} ({each.declared.called})" for each in answers.references]
        yield (
            f"Below the rule: {formats.names(named)}, each with a logistic regression, trained on"
            f" all training texts{of_its_fold(answers)}, over which their training accuracy is too."
        )


def no_better(answers: Answers) -> Iterator[str]:
    """Which rows classify no better than counting does, if any: of the texts tested here."""
    best = answers.best_reference
    if not best:
        return
    right = best.accuracy["test"].mean
    ids = [row.id for row in answers.rows if row.accuracy["test"].mean <= right + 1e-9]
    if ids:
        yield (
            f"Not better than {best.declared.called} ({formats.percent(right)} of"
            f" {answers.tested} right): {_which(ids, answers.rows)}."
        )


def _constant_answers(answers: Answers) -> Iterator[str]:
    """Rows that give one answer to everything, with the runs in which they do."""
    found: dict[tuple[int, str], list[str]] = {}
    for row in answers.rows:
        runs: dict[int, list[tuple[int, int]]] = {}
        for run in row.runs:
            if len(run.predicted) > 1 and np.ptp(run.predicted) == 0:
                label = int(run.predicted[0])
                runs.setdefault(label, []).append((run.fold, run.metrics.seed))
        for label, same in runs.items():
            found.setdefault((label, answers.named(same)), []).append(row.id)
    for (label, which), ids in found.items():
        name = formats.text(answers.texts.classes[label])
        answer = "answers" if len(ids) == 1 else "answer"
        rows = f"{'Row' if len(ids) == 1 else 'Rows'} {formats.names(_first(ids))}"
        yield f"{rows} {answer} {name} for every test text ({which})."


def _grids(answers: Answers) -> Iterator[str]:
    """What varies in each grid of several rows, and what choosing one of its rows means."""
    rows = {row.id: row for row in answers.rows}
    for grid in answers.outline.grids:
        there = [rows[id] for id in grid.rows if id in rows]
        if len(grid) == 1:
            continue
        if grid.choose and there:
            (row,) = there
            accuracy = formats.percents(row.accuracy["validation"])
            varying = formats.names(grid.varying)
            yield (
                f"{row.id} was chosen from the {len(grid)} rows of the grid {grid.id} (values of"
                f" {varying}) by its validation accuracy, {accuracy}. As the best of"
                f" {len(grid)}, that accuracy is optimistic. The choice did not use test"
                " accuracies, so the row's test accuracy is not."
            )
        elif len(there) > 1:
            yield (
                f"The {len(grid)} rows of the grid {grid.id} differ in"
                f" {formats.names(grid.varying)}. The"
                " best of their test accuracies is optimistic: it is partly luck. `choose:"
                " validation` chooses a row by its validation accuracy instead."
            )


def _devices(rows: Sequence[Row]) -> Iterator[str]:
    users: dict[str, list[str]] = {}
    for row in rows:
        for run in row.runs:
            found = run.metrics
            threads = cli.count(found.threads, "thread")
            what = f"{found.device}, {found.precision}, {threads}"
            members = users.setdefault(what, [])
            if row.id not in members:
                members.append(row.id)
    if len(users) == 1:
        yield f"Device: {formats.text(next(iter(users)))}."
    else:
        listed = "; ".join(
            f"{formats.text(what)} ({formats.names(_first(ids))})" for what, ids in users.items()
        )
        metrics = [run.metrics for row in rows for run in row.runs]
        machines = {(found.device, found.threads) for found in metrics}
        limit = "; times compare only where device and threads are the same"
        yield (
            f"Runs differ in device, precision or threads{limit if len(machines) > 1 else ''}:"
            f" {listed}."
        )
    shared = [row.id for row in rows if row.shared_device]
    if shared:
        times = "its time is an upper bound" if len(shared) == 1 else "their times are upper bounds"
        yield f"Other jobs ran on the device while {_which(shared, rows)} trained, so {times}."


def _times(rows: Sequence[Row]) -> Iterator[str]:
    reusing = [row.id for row in rows if row.reuses_frozen]
    if reusing:
        times = (
            "Training time is what a row costs on its own. The output of frozen layers is computed"
            f" once per text and reused by every epoch ({_which(reusing, rows)})."
        )
        if any(row.published for row in rows):
            times += (
                " The published times include computing it again in every epoch, so the two cannot"
                " be compared."
            )
        yield times


def _which(ids: Sequence[str], rows: Sequence[Row]) -> str:
    return "all rows" if len(ids) == len(rows) > 1 else formats.names(_first(ids))


def _first(items: Sequence[str]) -> list[str]:
    """The first of them, and how many more there are."""
    more = len(items) - MOST_NAMED
    return [*items[:MOST_NAMED], *([f"{more} more"] if more > 0 else [])]
