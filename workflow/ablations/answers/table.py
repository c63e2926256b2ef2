"""The table: results/table.md to read, table.tex for a paper, table.csv to compute with.

First a table that fits a screen, then every column, then the classes. Around them is what a reader
must know before believing it (notes.py).
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablations import cli
from ablations.answers import formats, table_csv
from ablations.answers.comparisons import accuracy_intervals
from ablations.answers.formats import MISSING, Table
from ablations.answers.notes import interval_note, notes, provisional, setting, standins, varying
from ablations.answers.results import Results, TrainedRow, add_arguments, load
from ablations.files import write_text
from ablations.study import words

WIDTH = 120  # characters of the first table, which fit a screen
CHANGE = 15  # of its column for what a row changes, where ids are long
MOST_CLASSES = 5  # with a column of their own


def markdown(results: Results) -> str:
    """table.md."""
    parts = [f"# {formats.text(title(results))}"]
    parts += [f"> **{line}**" for line in (standins(results), provisional(results)) if line]
    parts += [compact(results).markdown(), caption(results)]
    parts += ["## Every column", full(results).markdown()]
    parts += ["## Classes and losses", by_class(results).markdown(), about_classes(results)]
    parts += ["## Before you believe it", "\n".join(f"- {note}" for note in notes(results))]
    return "\n\n".join(parts) + "\n"


def title(results: Results) -> str:
    """The study's title, and how many of its rows are finished."""
    if not results.unfinished:
        return results.title
    whole = len(results.rows) + len({run.number for run in results.unfinished})
    return f"{results.title} (so far: {len(results.rows)} of {whole} rows)"


def compact(results: Results) -> Table:
    """A line for each row, what it changes and what came out, at most WIDTH wide."""
    grid = whole_compact(results)
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
    return Table(grid.headings, tuple(lines))


def whole_compact(results: Results) -> Table:
    """The same at any width, with nothing shortened."""
    times = formats.times_column([[float(np.mean(row.times()))] for row in results.rows])
    intervals = accuracy_intervals(results)
    lines = [
        (row.number, (row.id, _change(results, row), *_accuracies(row, *intervals[row.id]), time))
        for row, time in zip(results.rows, times, strict=True)
    ]
    missing = {run.number: run.row for run in results.unfinished}
    lines += [(number, (row, *[MISSING] * 5)) for number, row in missing.items()]
    headings = ("#", "Row", "Change", "Test (95% interval)", "Val.", "Train", "Time")
    return Table(headings, tuple((str(number), *line) for number, line in sorted(lines)))


def caption(results: Results) -> str:
    """What the columns of the first table are."""
    mean = f" Each is the mean of {len(results.seeds)} seeds." if len(results.seeds) > 1 else ""
    return (
        "Change: what the row sets differently from the baseline. Test, Val. and Train: accuracy on"
        f" the test, validation and training messages. Time: of training.{mean}"
    )


def _change(results: Results, row: TrainedRow) -> str:
    if row.id == "baseline":
        return "(the baseline)"
    if results.baseline is None:
        return MISSING
    found = words.changes(row.settings, results.baseline, row.context_tokens)
    chosen = f" (best of {row.chosen_from})" if row.chosen_from not in (None, 1) else ""
    return (", ".join(found) or "nothing") + chosen


def _accuracies(row: TrainedRow, low: float, high: float) -> Iterator[str]:
    test, validation, train = (
        formats.percent(float(np.mean(row.accuracies(split))))
        for split in ("test", "validation", "train")
    )
    yield from (f"{test} ({100 * low:.1f}–{100 * high:.1f})", validation, train)


def full(results: Results) -> Table:
    """Every column in the published format: accuracies, times, then the settings that vary.

    What was published is in brackets after what was measured.
    """
    rows, test, intervals = results.rows, results.test, accuracy_intervals(results)
    published = " (published)" if any(row.published for row in rows) else ""
    shown: dict[str, Sequence[str]] = {
        "#": [str(row.number) for row in rows],
        "Row": [row.id for row in rows],
    }
    for split, name in formats.SPLITS.items():
        heading = f"{name.capitalize()} acc{published}"
        shown[heading] = [_beside_published(row, split) for row in rows]
    shown["95% interval of test acc"] = [
        formats.percent_interval(*intervals[row.id]) for row in rows
    ]
    without = {"unseen": ~test.in_train}
    if test.near_train.sum() > test.in_train.sum():
        without["without near-copies"] = ~test.near_train
    for what, left in without.items():
        if 0 < left.sum() < len(test):
            shown[f"Test acc on the {left.sum()} {what}"] = [
                formats.percents(results.right(row)[:, left].mean(1).tolist()) for row in rows
            ]
    times, times_published = formats.times_columns(
        [row.times() for row in rows], [row.published_times() for row in rows]
    )
    shown["Training time" + published] = list(map(_time, rows, times, times_published))
    for name in varying(rows):
        shown[words.heading(name)] = [setting(name, row) for row in rows]
    devices = [", ".join(dict.fromkeys(run.metrics.device for run in row.runs)) for row in rows]
    if len(set(devices)) > 1:
        shown["Device"] = devices
    return Table(tuple(shown), tuple(zip(*shown.values(), strict=True)))


def _beside_published(row: TrainedRow, split: str) -> str:
    measured = formats.percents(row.accuracies(split))
    if row.published is None:
        return measured
    return f"{measured} ({formats.percent(getattr(row.published, split))})"


def _time(row: TrainedRow, measured: str, published: str) -> str:
    if row.published is None or not published:
        return measured
    device = f", {row.published.device}" if row.published.device else ""
    return f"{measured} ({published}{device})"


def by_class(results: Results) -> Table:
    """Each row's recall of each class, its log-loss, and with several seeds the worst one."""
    rows, classes = results.rows, results.test.classes
    recall = {row.id: results.recall(row) for row in rows}  # [seeds, classes]
    shown: dict[str, Sequence[str]] = {
        "#": [str(row.number) for row in rows],
        "Row": [row.id for row in rows],
    }
    if len(classes) <= MOST_CLASSES:
        for label, name in enumerate(classes):
            shown[f"Recall of {name}"] = [_percents(recall[row.id][:, label]) for row in rows]
    else:
        shown["Lowest recall"] = [_lowest(recall[row.id], classes) for row in rows]
    if len(classes) > 2:
        shown["Macro-F1"] = [_percents(results.macro_f1(row)) for row in rows]
    shown["Log-loss"] = [
        formats.with_spread([run.log_loss["test"] for run in row.runs], 3) for row in rows
    ]
    if len(results.seeds) > 1:
        worst = [min(row.runs, key=lambda run: run.metrics.accuracy.test) for row in rows]
        shown["Worst seed's test acc"] = [  # the number first: the page sorts by it
            f"{formats.percent(run.metrics.accuracy.test)} (seed {run.metrics.seed})"
            for run in worst
        ]
    return Table(tuple(shown), tuple(zip(*shown.values(), strict=True)))


def _percents(values: NDArray[np.float64]) -> str:
    return MISSING if np.isnan(values).any() else formats.percents(values.tolist())


def _lowest(recall: NDArray[np.float64], classes: Sequence[str]) -> str:
    mean = recall.mean(0)
    label = int(np.nanargmin(mean))
    return f"{formats.percent(float(mean[label]))} ({classes[label]})"


def about_classes(results: Results) -> str:
    """What the columns of the table by class are."""
    said = (
        "Recall: the share of a class's test messages that the row classifies correctly. Log-loss:"
        " the mean cross-entropy of the test messages, in nats; it changes before accuracy does."
    )
    if len(results.test.classes) > 2:
        said += " Macro-F1: the mean of F1 over the classes."
    return f"{said} Each class's numbers are in classes.csv."


def tex(results: Results) -> str:
    """table.tex: the first table for a paper, nothing shortened, with what was published.

    Units stand in its headings and caption, and it is made smaller where it is wider than the text.
    """
    grid = _without_units(whole_compact(results))
    rows = {str(row.number): row for row in results.rows}
    if any(row.published for row in results.rows):
        beside = {
            number: formats.percent(row.published.test).rstrip("%")
            for number, row in rows.items()
            if row.published
        }
        grid = Table(
            (*grid.headings, "Published"),
            tuple((*line, beside.get(line[0], MISSING)) for line in grid.lines),
        )
    said = [title(results), *results.notes, caption(results), *_for_a_paper(results)]
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
    return Table((*grid.headings[:-1], f"Time, {unit}"), tuple(lines))


def _for_a_paper(results: Results) -> Iterator[str]:
    """What the reader of a paper must know, who does not see the notes: for the caption."""
    yield "Accuracies are in percent"
    if any(row.published for row in results.rows):
        yield "Published: the published test accuracy, of one run"
    if len(results.seeds) == 1:
        yield f"Each row was trained once (seed {results.seeds[0]})"
    yield interval_note(results)
    copies, near = int(results.test.in_train.sum()), int(results.test.near_train.sum())
    if near:
        yield (
            f"Of the {len(results.test):,} test messages {copies} are in the training set verbatim,"
            f" {near} verbatim or nearly so"
        )
    metrics = [run.metrics for row in results.rows for run in row.runs]
    devices = list(dict.fromkeys(found.device for found in metrics))
    limit = ", and compare only on the same one" if len(devices) > 1 else ""
    shared = ", which other jobs shared at times" if any(m.shared_device for m in metrics) else ""
    yield f"Times were measured on {formats.names(devices)}{shared}{limit}"
    if any(found.trunk_time_seconds for found in metrics):
        yield "The output of frozen layers is computed once and reused"


def main(arguments: argparse.Namespace) -> None:
    """Writes the four files."""
    results = load(arguments.results, arguments.so_far)
    write_text(arguments.csv, table_csv.rows(results))
    write_text(arguments.classes, table_csv.classes(results))
    write_text(arguments.tex, tex(results))
    write_text(arguments.markdown, markdown(results))
    cli.log.info("%s", cli.count(len(results.rows), "row"))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    add_arguments(parser)
    parser.add_argument("--markdown", type=Path, required=True, help="table.md to write")
    parser.add_argument("--csv", type=Path, required=True, help="table.csv to write")
    parser.add_argument("--tex", type=Path, required=True, help="table.tex to write")
    parser.add_argument("--classes", type=Path, required=True, help="classes.csv to write")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
