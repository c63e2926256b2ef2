"""The figures: accuracies, accuracy against time, learning curves, paired differences."""

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ablations.answers import formats
from ablations.answers.comparisons import Comparison
from ablations.answers.compute import Answers
from ablations.answers.finished import Run
from ablations.answers.scores import Reference, Row
from ablations.answers.written.accuracy_and_number import accuracy_and_number, drawn_grids
from ablations.answers.written.accuracy_and_time import accuracy_and_time
from ablations.answers.written.drawing import (
    MEASURED,
    NARROW,
    PUBLISHED,
    QUIET,
    STYLE,
    key,
    label,
    legend,
    mark_published,
    row_labels,
    titled,
)
from ablations.answers.written.notes import evaluated
from ablations.answers.written.sentences import margin, why_none
from ablations.training.metrics import Metrics

VALIDATION = "black"  # where training is blue
BAND = "#EDEDF0"  # behind differences that are equivalent
LOSSES = tuple(digit * 10.0**power for power in range(-8, 4) for digit in (1, 3))
CURVE_POINTS = 40_000  # in one figure; a browser still draws them at once


def accuracies(answers: Answers) -> Figure:
    """A line per row and a panel per split: accuracy with its interval, and the published one.

    The references are below a rule.
    """
    rows = answers.lines
    figure = titled(answers, 1.7 + 0.36 * len(rows), "Accuracy of each row")
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    for panel, split in zip(panels, formats.SPLITS, strict=True):
        for position, row in enumerate(rows):
            _accuracy(panel, row, split, position)
            # of the other splits only where a row has one run: folds share their texts
            if len(row.runs) == 1 or split == "test":
                ends = [100 * row.accuracy[split].low, 100 * row.accuracy[split].high]
                panel.plot(ends, [position] * 2, color=MEASURED)
        if answers.references:
            panel.axhline(len(answers.rows) - 0.5, color=QUIET, linewidth=0.8)
        texts = f"{evaluated(answers, split)} texts"
        panel.set_title(f"{formats.SPLITS[split].capitalize()}\n{texts}")
        panel.set_xlabel("accuracy, %")
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="y", visible=False)
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    panels[-1].axvline(100 * answers.texts.majority[1], color=QUIET, linestyle=":")
    row_labels(panels[0], [label(row) for row in rows])
    panels[0].set_xlim(right=101.5)
    legend(figure, _accuracy_entries(answers))
    return figure


def _accuracy_entries(answers: Answers) -> Iterator[Line2D]:
    if answers.times == 1:
        yield key("o", MEASURED, "measured, 95% interval", line=True)
    else:
        yield key("o", MEASURED, "mean of runs")
        yield key("|", QUIET, "each run")
        yield Line2D([], [], color=MEASURED, label="95% interval (test)")
    if any(row.published for row in answers.rows):
        yield key("D", PUBLISHED, "published")
    yield Line2D([], [], color=QUIET, linestyle=":", label="majority class")


def _accuracy(panel: Axes, row: Row | Reference, split: str, position: int) -> None:
    accuracy = row.accuracy[split]
    if len(row.runs) > 1:
        values = [100 * run for run in accuracy.runs]
        panel.plot(values, [position] * len(values), "|", color=QUIET, markersize=9)
    panel.plot(100 * accuracy.mean, position, "o", color=MEASURED, markersize=5)
    if row.published:
        mark_published(panel, 100 * getattr(row.published, split), position + 0.24)


def learning_curves(answers: Answers) -> Figure:
    """A panel per row: loss against steps, a line per run, ending with that over all texts."""
    rows = answers.rows
    columns = min(4, len(rows))
    lines = -(-len(rows) // columns)
    figure = titled(
        answers, 1.6 + (1.75 if len(rows) <= 24 else 1.3) * lines, "Loss while training"
    )
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    panels[0].set_yscale("log")  # and with it the others, which share the axis
    most = max(2, CURVE_POINTS // (2 * len(rows) * answers.times))
    for panel, row in zip(panels, rows, strict=False):
        for run in row.runs:
            _curves(panel, row, run, most)
        panel.set_title(label(row, NARROW), loc="left", fontsize=8)
    low, high = panels[0].get_ylim()
    ticks = [loss for loss in LOSSES if low <= loss <= high]
    panels[0].set_yticks(ticks, [f"{loss:g}" for loss in ticks])
    panels[0].minorticks_off()
    for panel in panels[len(rows) :]:
        panel.remove()
    for panel in panels[max(0, len(rows) - columns) : len(rows)]:
        panel.xaxis.set_tick_params(labelbottom=True)
        panel.set_xlabel("training step")
    figure.supylabel("mean cross-entropy (log scale)", fontsize=9)
    few = partial(Line2D, [], [], marker=max(_marker(run) for row in rows for run in row.runs))
    entries = [
        few(color=MEASURED, label="training, a few batches"),
        few(color=VALIDATION, linestyle="--", label="validation, a few batches"),
        key("o", MEASURED, "all training texts, after the last step"),
        key("s", VALIDATION, "all validation texts, after the last step"),
    ]
    legend(figure, entries)
    return figure


def _marker(run: Run[Metrics]) -> str:
    """A cross where the run was evaluated once, which makes no line."""
    return "x" if len(run.metrics.history) == 1 else ""


def _curves(panel: Axes, row: Row, run: Run[Metrics], most: int) -> None:
    history = run.metrics.history
    shown = np.unique(np.linspace(0, len(history) - 1, min(len(history), most)).astype(int))
    steps = [history[index].step for index in shown]
    train = [history[index].train_loss for index in shown]
    validation = [history[index].validation_loss for index in shown]
    width = 1.4 if len(row.runs) == 1 else 0.8
    curve = partial(panel.plot, steps, linewidth=width, marker=_marker(run))
    curve(train, color=MEASURED)
    curve(validation, linestyle="--", color=VALIDATION)
    training = row.settings.training
    last = training.epochs * (row.accuracy["train"].texts[run.fold] // training.batch_size) - 1
    size = 5.5 if len(row.runs) == 1 else 4
    panel.plot(max(last, 0), run.log_loss["validation"], "s", color=VALIDATION, markersize=size)
    # on top and smaller, so that both are seen where they are equal
    panel.plot(max(last, 0), run.log_loss["train"], "o", color=MEASURED, markersize=size - 2)


def differences(answers: Answers) -> Figure:
    """A forest plot: each comparison's difference with its interval, and the published one."""
    comparisons = answers.comparisons
    labels = [_rows_compared(comparison) for comparison in comparisons]
    lines = max((label.count("\n") + 1 for label in labels), default=2)
    height = 1.8 + (0.16 + 0.15 * lines) * max(1, len(labels))
    figure = titled(answers, height, "Differences in test accuracy, paired")
    axes = figure.subplots()
    if not comparisons:
        axes.set_axis_off()
        axes.text(0.5, 0.5, why_none(answers), ha="center", va="center")
        return figure
    _forest(axes, answers, comparisons)
    row_labels(axes, labels)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    beside = axes.secondary_yaxis("right")
    adjusted = "adjusted " if answers.asked > 1 else ""
    numbers = [_in_numbers(comparison, adjusted) for comparison in comparisons]
    beside.set_yticks(range(len(comparisons)), numbers)
    beside.tick_params(length=0, labelsize=8)
    beside.spines["right"].set_visible(False)
    axes.set_xlabel("variant minus baseline, percentage points (95% interval, unadjusted)")
    entries = [
        key("o", MEASURED, f"{adjusted}p < 0.05", line=True),
        key("o", MEASURED, "no detectable difference", line=True, hollow=True),
        Patch(color=BAND, label=f"equivalent: within {margin(answers.margin)}"),
    ]
    if any(comparison.published_difference is not None for comparison in comparisons):
        entries.append(key("D", PUBLISHED, "published"))
    legend(figure, entries)
    return figure


def one_difference(answers: Answers, comparison: Comparison) -> Figure:
    """One line of the forest plot, small."""
    figure = Figure((3.2, 0.6), layout="constrained")
    axes = figure.subplots()
    _forest(axes, answers, [comparison])
    axes.set_ylim(0.6, -0.5)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.tick_params(length=0, labelsize=8, labelcolor=QUIET)
    axes.spines[["left", "bottom"]].set_visible(False)
    return figure


def _forest(axes: Axes, answers: Answers, comparisons: Sequence[Comparison]) -> None:
    """A line for each of these comparisons, on one axis for all of the study.

    Behind them are the margin of equivalence, and no difference.
    """
    within = 100 * answers.margin
    axes.axvspan(-within, within, color=BAND, zorder=0)
    axes.axvline(0, color="black", linewidth=0.9)
    for position, comparison in enumerate(comparisons):
        overall, published = comparison.overall, comparison.published_difference
        axes.plot([100 * overall.low, 100 * overall.high], [position] * 2, color=MEASURED)
        face = MEASURED if comparison.decided else "white"
        axes.plot(100 * overall.difference, position, "o", color=MEASURED, markerfacecolor=face)
        if published is not None:
            mark_published(axes, 100 * published, position + 0.24)
    ends = [-within, within]
    for comparison in answers.comparisons:
        ends += [100 * comparison.overall.low, 100 * comparison.overall.high]
        if comparison.published_difference is not None:
            ends.append(100 * comparison.published_difference)
    spare = 0.06 * (max(ends) - min(ends))
    axes.set_xlim(min(ends) - spare, max(ends) + spare)


def _rows_compared(comparison: Comparison) -> str:
    variant, baseline = map(label, (comparison.variant, comparison.baseline))
    return f"{variant}\nagainst {baseline}{' (confounded)' if comparison.confounded else ''}"


def _in_numbers(comparison: Comparison, adjusted: str) -> str:
    return f"{comparison.overall}\n{adjusted}{formats.p_value(comparison.adjusted_p)}"


FIGURES = (accuracies, accuracy_and_time, learning_curves, differences)


def draw(answers: Answers, format: str = "svg") -> dict[str, bytes]:
    """Every figure as SVG or PNG, by its name."""
    drawn = {figure.__name__: partial(figure, answers) for figure in FIGURES}
    drawn |= {
        grid.figure: partial(accuracy_and_number, answers, grid) for grid in drawn_grids(answers)
    }
    return {name: _saved(draw_one, format) for name, draw_one in drawn.items()}


def draw_differences(answers: Answers) -> list[bytes]:
    """A small SVG of each comparison's difference."""
    draw_one = partial(one_difference, answers)
    return [_saved(partial(draw_one, comparison)) for comparison in answers.comparisons]


def _saved(draw_one: Callable[[], Figure], format: str = "svg") -> bytes:
    """The same figure gives the same bytes."""
    unstamped = {"Date": None} if format == "svg" else {"Software": None}
    file = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        draw_one().savefig(file, format=format, dpi=150, metadata=unstamped)
    return file.getvalue()
