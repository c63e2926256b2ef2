"""What a reader must know before believing the table: the sentences around it, as Markdown."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ablations import cli
from ablations.answers import formats, grids, statistics
from ablations.answers.comparisons import accuracy_intervals
from ablations.answers.results import Results, TrainedRow, Unfinished
from ablations.study import words
from ablations.study.settings import defaults

MOST_NAMED = 10  # in one sentence


def notes(results: Results) -> list[str]:
    """The notes below the table, a sentence or two each."""
    found = [_data(results), *map(formats.text, results.remarks), *_same(results.rows)]
    found += [*_incomplete_batches(results), _seeds(results), interval_note(results)]
    found += _leakage(results)
    found += [_majority(results), *_constant_answers(results), *grids.notes(results)]
    return [*found, *_devices(results.rows), *_times(results.rows)]


def standins(results: Results) -> str | None:
    """What differs from the published study's texts and models, on one line; None if nothing."""
    return " ".join(map(formats.text, results.notes)) or None


def provisional(results: Results) -> str | None:
    """Which runs are missing, on one line; None where none is."""
    if not results.unfinished:
        return None
    seeds: dict[tuple[str, str], list[str]] = {}
    for run in results.unfinished:
        seeds.setdefault((run.row, run.reason), []).append(str(run.seed))
    listed = [
        f"{row} (seed {', '.join(found)}: {formats.text(reason)})"
        for (row, reason), found in seeds.items()
    ]
    return (
        f"Provisional: {_runs(results.unfinished)} missing. {'; '.join(_first(listed))}. A row is"
        " in the table when all its seeds are finished."
    )


def _runs(unfinished: Sequence[Unfinished]) -> str:
    return f"{cli.count(len(unfinished), 'run')} {'is' if len(unfinished) == 1 else 'are'}"


def varying(rows: Sequence[TrainedRow]) -> list[str]:
    """The settings in which rows differ, LoRA's own within trainable_layers."""
    names = words.columns(rows[0].settings)
    return [name for name in names if len({setting(name, row) for row in rows}) > 1]


def setting(name: str, row: TrainedRow) -> str:
    """A row's setting as the table writes it."""
    return words.cell(name, row.settings, row.context_tokens)


def _data(results: Results) -> str:
    classes = results.test.classes
    sizes = ", ".join(f"{size:,} {split}" for split, size in results.sizes.items())
    return (
        f"Data: {formats.text(results.data)}; {len(classes)} classes"
        f" ({formats.text(', '.join(_first(classes)))}); texts: {sizes}."
    )


def _incomplete_batches(results: Results) -> Iterator[str]:
    size = results.sizes["train"]
    if evaluated(results, "train") != f"{size:,}":
        yield (
            "Training accuracy leaves out an incomplete last batch: it is over"
            f" {evaluated(results, 'train')} of the {size:,} messages."
        )


def evaluated(results: Results, split: str) -> str:
    """How many messages a split's accuracies are over: `1,040`, or `1,040 to 1,045`."""
    sizes = sorted({results.evaluated(row, split) for row in results.rows})
    return " to ".join(f"{size:,}" for size in dict.fromkeys((sizes[0], sizes[-1])))


def _same(rows: Sequence[TrainedRow]) -> Iterator[str]:
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


def _seeds(results: Results) -> str:
    if len(results.seeds) == 1:
        return (
            f"Each row was trained once (seed {results.seeds[0]}): the noise of training is not"
            " measured."
        )
    return (
        f"Each row was trained with {cli.count(len(results.seeds), 'seed')}: the mean, and ±"
        " the standard deviation between them."
    )


def interval_note(results: Results) -> str:
    """What the intervals are, and what they count."""
    messages = cli.count(len(results.test), "test message")
    if len(results.seeds) < statistics.SEEDS_FOR_NOISE:
        return (
            f"The 95% intervals are Wilson's for {messages}. They show what other test"
            " messages could give, not what another training run could."
        )
    return (
        f"The 95% intervals are by Wilson's method and count both the choice of {messages} and the"
        " noise of training, which is estimated from all rows together. They show which means other"
        " test messages and other seeds could give."
    )


def _leakage(results: Results) -> Iterator[str]:
    test = results.test
    copies, near, size = int(test.in_train.sum()), int(test.near_train.sum()), len(test)
    elsewhere = int((test.in_validation & ~test.in_train).sum())
    if not copies:
        yield "No test message is in the training set verbatim."
    else:
        yield (
            f"{copies} of the {size} test messages ({_by_class(results, test.in_train)}) are in the"
            f" training set verbatim{_without(size - copies, 'unseen')}."
        )
    if elsewhere:
        more = "more " if copies else ""
        yield f"{elsewhere} {more}{'is' if elsewhere == 1 else 'are'} in the validation set."
    if known := results.validation_in_train:
        yield (
            f"{known:,} of the {results.sizes['validation']:,} validation messages"
            f" {'is' if known == 1 else 'are'} in the training set verbatim, so validation accuracy"
            " is optimistic."
        )
    if near > copies:
        yield (
            f"{near} of the {size} test messages ({_by_class(results, test.near_train)}) are in the"
            " training set verbatim or nearly so: at least four in five of the words of the two are"
            f" in both{_without(size - near, 'without near-copies')}."
        )


def _without(left: int, heading: str) -> str:
    if not left:
        return "; no test message is left without them"
    return f"; the column of the {left} {heading} leaves them out"


def _by_class(results: Results, chosen: NDArray[np.bool_]) -> str:
    """`29 of them spam`, for every class but the first, or the five with most where there are more.

    The rest are of the first class.
    """
    classes = results.test.classes
    counts = np.bincount(results.test.labels[chosen], minlength=len(classes))
    named = sorted(np.argsort(-counts[1:], kind="stable")[:5] + 1)
    return ", ".join(f"{counts[label]} of them {formats.text(classes[label])}" for label in named)


def _majority(results: Results) -> str:
    name, share = results.test.majority
    no_better = [id for id, (low, _) in accuracy_intervals(results).items() if low <= share]
    below = f" Not clearly above that: {_which(no_better, results.rows)}." if no_better else ""
    return (
        f"Majority class: always answering {formats.text(name)} would be right on"
        f" {formats.percent(share)}.{below}"
    )


def _constant_answers(results: Results) -> Iterator[str]:
    """Rows that give one answer to everything, with the seeds with which they do."""
    found: dict[tuple[int, str], list[str]] = {}
    for row in results.rows if len(results.test) > 1 else ():
        seeds: dict[int, list[str]] = {}
        for run in row.runs:
            if np.ptp(run.predicted) == 0:
                seeds.setdefault(int(run.predicted[0]), []).append(str(run.metrics.seed))
        for label, same in seeds.items():
            found.setdefault((label, ", ".join(same)), []).append(row.id)
    for (label, which), ids in found.items():
        name = formats.text(results.test.classes[label])
        answer = "answers" if len(ids) == 1 else "answer"
        rows = f"{'Row' if len(ids) == 1 else 'Rows'} {formats.names(_first(ids))}"
        yield f"{rows} {answer} {name} for every test message (seed {which})."


def _devices(rows: Sequence[TrainedRow]) -> Iterator[str]:
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
    shared = [row.id for row in rows if any(run.metrics.shared_device for run in row.runs)]
    if shared:
        times = "its time is an upper bound" if len(shared) == 1 else "their times are upper bounds"
        yield f"Other jobs ran on the device while {_which(shared, rows)} trained, so {times}."


def _times(rows: Sequence[TrainedRow]) -> Iterator[str]:
    reusing = [row.id for row in rows if any(run.metrics.trunk_time_seconds for run in row.runs)]
    if reusing:
        times = (
            "Training time is what a row costs on its own. The output of frozen layers is computed"
            f" once per message and reused by every epoch ({_which(reusing, rows)})."
        )
        if any(row.published for row in rows):
            times += (
                " The published times include computing it again in every epoch, so the two cannot"
                " be compared."
            )
        yield times


def _which(ids: Sequence[str], rows: Sequence[TrainedRow]) -> str:
    return "all rows" if len(ids) == len(rows) > 1 else formats.names(_first(ids))


def _first(items: Sequence[str]) -> list[str]:
    """The first of them, and how many more there are."""
    more = len(items) - MOST_NAMED
    return [*items[:MOST_NAMED], *([f"{more} more"] if more > 0 else [])]
