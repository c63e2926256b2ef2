"""The table: table.md to read, table.tex for a paper.

First a table that fits a screen, then every column, then the classes. Around them is what a reader
must know before believing it (notes.py).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ablations.answers import formats
from ablations.answers.compute import Answers
from ablations.answers.finished import Run
from ablations.answers.formats import Table
from ablations.answers.scores import Measured, Part, Reference, Row
from ablations.answers.written.notes import (
    interval_note,
    notes,
    notices,
    of_its_fold,
    setting,
    varying,
)
from ablations.study.settings import OPTIONS
from ablations.study.words import MISSING

WIDTH = 120  # characters of the first table, which fit a screen
CHANGE = 15  # of its column for what a row changes, where ids are long
MOST_CLASSES = 5  # with a column of their own


def markdown(answers: Answers) -> str:
    """table.md."""
    parts = [f"# {formats.text(title(answers))}"]
    parts += [f"> **{line}**" for line in notices(answers)]
    parts += [compact(answers).markdown(), caption(answers)]
    parts += ["## Every column", full(answers).markdown()]
    parts += ["## Classes and losses", by_class(answers).markdown(), about_classes(answers)]
    parts += ["## Before you believe it", "\n".join(f"- {note}" for note in notes(answers))]
    return "\n\n".join(parts) + "\n"


def title(answers: Answers) -> str:
    """The study's title, and how many of its rows are finished."""
    if not answers.unfinished:
        return answers.outline.title
    whole = len(answers.rows) + len({run.number for run in answers.unfinished})
    return f"{answers.outline.title} (so far: {len(answers.rows)} of {whole} rows)"


def compact(answers: Answers) -> Table:
    """A line for each row, what it changes and what came out, at most WIDTH wide."""
    grid = whole_compact(answers)
    widths = [max(map(len, column)) for column in zip(grid.headings, *grid.lines, strict=True)]
    borders = len("| ") + len(" | ") * (len(widths) - 1) + len(" |")
    left = WIDTH - borders - sum(widths) + widths[1] + widths[2]  # for the row and its changes
    row = min(widths[1], left - CHANGE)  # the number before it tells it from all others
    lines = (
        (
            line[0],
            formats.both_ends(line[1], row),
            formats.shortened(line[2], left - row),
            *line[3:],
        )
        for line in grid.lines
    )
    return replace(grid, lines=tuple(lines))


def whole_compact(answers: Answers) -> Table:
    """The same at any width, with nothing shortened."""
    time = formats.times(row.seconds for row in answers.rows)
    lines = [(row.number, (row.id, _change(row), *_numbers(row, time))) for row in answers.rows]
    missing = {run.number: run.row for run in answers.unfinished}
    lines += [(number, (row, *[MISSING] * 5)) for number, row in missing.items()]
    headings = ("#", "Row", "Change", "Test (95% interval)", "Val.", "Train", "Time")
    numbered = ((str(number), *line) for number, line in sorted(lines))
    counting = (
        ("", each.id, each.declared.cell, *_numbers(each, time)) for each in answers.references
    )
    return Table(headings, (*numbered, *counting), below=len(answers.references))


def caption(answers: Answers) -> str:
    """What the columns of the first table are."""
    mean = f" Each is the mean over {answers.trained}." if answers.times > 1 else ""
    below = " Below the rule: classifiers that only count." if answers.references else ""
    return (
        "Change: what the row sets differently from the baseline. Test, Val. and Train: accuracy on"
        f" the test, validation and training texts. Time: of training.{mean}{below}"
    )


def _change(row: Row) -> str:
    if row.id == "baseline":
        return "(the baseline)"
    if row.changes is None:
        return MISSING
    chosen = f" (best of {row.chosen_from})" if row.chosen_from not in (None, 1) else ""
    return (", ".join(row.changes) or "nothing") + chosen


def _numbers(row: Row | Reference, time: Callable[[Measured], str]) -> Iterator[str]:
    test = row.accuracy["test"]
    yield f"{formats.percent(test.mean)} ({100 * test.low:.1f}–{100 * test.high:.1f})"
    yield formats.percent(row.accuracy["validation"].mean)
    yield formats.percent(row.accuracy["train"].mean)
    yield time(Measured.of(row.seconds.mean))


def full(answers: Answers) -> Table:
    """Every column in the published format: accuracies, times, then the settings that vary.

    What was published is in brackets after what was measured.
    """
    rows, texts = answers.rows, answers.texts
    published = " (published)" if any(row.published for row in rows) else ""
    shown, lines = _lines(answers)
    for split, name in formats.SPLITS.items():
        heading = f"{name.capitalize()} acc{published}"
        shown[heading] = [_beside_published(row, split) for row in lines]
    shown["95% interval of test acc"] = [
        formats.percent_interval(row.accuracy["test"].low, row.accuracy["test"].high)
        for row in lines
    ]
    unseen, distinct = [row.unseen for row in lines], [row.distinct for row in lines]
    if texts.in_train.any():
        shown |= _on_some("unseen", unseen)
    if texts.near_train.sum() > texts.in_train.sum():
        shown |= _on_some("without near-copies", distinct)
    time = formats.times(found for row in rows for found in (row.seconds, row.published_seconds))
    counting = [time(each.seconds) for each in answers.references]
    shown["Training time" + published] = [_time(row, time) for row in rows] + counting
    none = [MISSING] * len(answers.references)
    for name in varying(rows):
        shown[OPTIONS[name].words.heading] = [setting(name, row) for row in rows] + none
    devices = [", ".join(row.devices) for row in rows]
    if len(set(devices)) > 1:
        shown["Device"] = devices + none
    return _table(answers, shown)


def _lines(answers: Answers) -> tuple[dict[str, Sequence[str]], Sequence[Row | Reference]]:
    """The first two columns of a table, and its lines: the rows, and the references below them."""
    lines = answers.lines
    numbers = [str(row.number) for row in answers.rows] + [""] * len(answers.references)
    return {"#": numbers, "Row": [each.id for each in lines]}, lines


def _table(answers: Answers, shown: dict[str, Sequence[str]]) -> Table:
    lines = zip(*shown.values(), strict=True)
    return Table(tuple(shown), tuple(lines), below=len(answers.references))


def _on_some(which: str, parts: Sequence[Part]) -> Iterator[tuple[str, list[str]]]:
    """A column of accuracies on some of the texts, whose number it says, each row's if they differ.

    None where a row is left with no text, or with all.
    """
    written = [_percents(part.accuracy) for part in parts]
    numbers = {part.texts for part in parts}
    if len(numbers) == 1:
        (number,) = numbers
        if number:
            yield f"Test acc on the {number:,} {which}", written
    else:
        cells = [f"{said} of {part.texts:,}" for said, part in zip(written, parts, strict=True)]
        yield f"Test acc, {which}", cells


def _beside_published(row: Row | Reference, split: str) -> str:
    measured = formats.percents(row.accuracy[split])
    if row.published is None:
        return measured
    return f"{measured} ({formats.percent(getattr(row.published, split))})"


def _time(row: Row, time: Callable[[Measured], str]) -> str:
    measured, published = time(row.seconds), row.published_seconds
    if row.published is None or published is None:
        return measured
    device = f", {row.published.device}" if row.published.device else ""
    return f"{measured} ({time(published)}{device})"


def by_class(answers: Answers) -> Table:
    """Each row's recall of each class, its log-loss, and of several runs the worst one."""
    classes = answers.texts.classes
    shown, rows = _lines(answers)
    if len(classes) <= MOST_CLASSES:
        for label, name in enumerate(classes):
            shown[f"Recall of {name}"] = [_percents(row.recall[label]) for row in rows]
    else:
        shown["Lowest recall"] = [_lowest(row, classes) for row in rows]
    if len(classes) > 2:
        shown["Macro-F1"] = [_percents(row.macro_f1) for row in rows]
    shown["Log-loss"] = [formats.with_spread(row.log_loss["test"], 3) for row in rows]
    if answers.times > 1:
        shown["Worst run's test acc"] = [_worst(answers, row) for row in rows]
    return _table(answers, shown)


def _worst(answers: Answers, row: Row | Reference) -> str:
    """The accuracy first: the page sorts by it."""
    runs: Sequence[Run[Any]] = row.runs
    run = min(runs, key=lambda run: run.metrics.accuracy.test)
    if isinstance(row, Row):
        which = answers.named([(run.fold, run.metrics.seed)])
    elif answers.folds > 1:
        which = f"fold {run.fold + 1}"
    else:
        return MISSING
    return f"{formats.percent(run.metrics.accuracy.test)} ({which})"


def _percents(found: Measured | None) -> str:
    return MISSING if found is None else formats.percents(found)


def _lowest(row: Row | Reference, classes: Sequence[str]) -> str:
    named = ((found.mean, name) for found, name in zip(row.recall, classes, strict=True) if found)
    mean, name = min(named, key=lambda each: each[0])
    return f"{formats.percent(mean)} ({name})"


def about_classes(answers: Answers) -> str:
    """What the columns of the table by class are."""
    said = (
        "Recall: the share of a class's test texts that the row classifies correctly. Log-loss:"
        " the mean cross-entropy of the test texts, in nats; it changes before accuracy does."
    )
    if len(answers.texts.classes) > 2:
        said += " Macro-F1: the mean of F1 over the classes."
    return f"{said} Each class's numbers are in classes.csv."


def tex(answers: Answers) -> str:
    """table.tex: the first table for a paper, nothing shortened, with what was published.

    Units stand in its headings and caption, and it is made smaller where it is wider than the text.
    """
    grid = _without_units(whole_compact(answers))
    rows = {str(row.number): row for row in answers.rows}
    if any(row.published for row in answers.rows):
        beside = {
            number: formats.percent(row.published.test).rstrip("%")
            for number, row in rows.items()
            if row.published
        }
        grid = replace(
            grid,
            headings=(*grid.headings, "Published"),
            lines=tuple((*line, beside.get(line[0], MISSING)) for line in grid.lines),
        )
    said = [title(answers), *answers.standins, caption(answers), *_for_a_paper(answers)]
    sentences = " ".join(f"{sentence.rstrip('.')}." for sentence in said)
    lines = [
        r"% \usepackage{booktabs,graphicx}; letters beyond Latin ones need XeLaTeX or LuaLaTeX",
        r"\begin{table}",
        r"\centering",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{formats.latex(sentences)}}}",
        r"\label{tab:ablations}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        *grid.latex(),
        r"}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _without_units(grid: Table) -> Table:
    """The first table with bare numbers, the unit of its times in their heading."""
    unit = next(line[-1].split()[-1] for line in grid.lines if line[-1] != MISSING)
    accuracies = slice(len(grid.headings) - 4, -1)
    lines = (
        (
            *line[: accuracies.start],
            *(cell.replace("%", "") for cell in line[accuracies]),
            line[-1].removesuffix(f" {unit}"),
        )
        for line in grid.lines
    )
    return replace(grid, headings=(*grid.headings[:-1], f"Time, {unit}"), lines=tuple(lines))


def _for_a_paper(answers: Answers) -> Iterator[str]:
    """What the reader of a paper must know, who does not see the notes: for the caption."""
    yield "Accuracies are in percent"
    if any(row.published for row in answers.rows):
        yield "Published: the published test accuracy, of one run"
    if len(answers.seeds) == 1:
        often = "once" if answers.folds == 1 else f"once on each of {answers.folds} folds"
        yield f"Each row was trained {often} (seed {answers.seeds[0]})"
    yield interval_note(answers)
    copies, near = int(answers.texts.in_train.sum()), int(answers.texts.near_train.sum())
    if near:
        yield (
            f"Of the {answers.tested} {copies} are in the training set{of_its_fold(answers)}"
            f" verbatim, {near} verbatim or nearly so"
        )
    metrics = [run.metrics for row in answers.rows for run in row.runs]
    devices = list(dict.fromkeys(found.device for found in metrics))
    limit = ", and compare only on the same one" if len(devices) > 1 else ""
    shared = ", which other jobs shared at times" if any(m.shared_device for m in metrics) else ""
    yield f"Times were measured on {formats.names(devices)}{shared}{limit}"
    if any(found.trunk_time_seconds for found in metrics):
        yield "The output of frozen layers is computed once and reused"
