"""The figures: accuracies, accuracy against time, learning curves, paired differences.

One visual language: blue is measured, open and orange is published, a line through a point is its
95% interval. Shapes and line styles carry every distinction that colours do.
"""

import argparse
import itertools
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ablations import cli
from ablations.answers import formats, statistics
from ablations.answers.comparisons import Comparison, compare_all
from ablations.answers.results import Results, TrainedRow, add_arguments, load
from ablations.data.split import SPLITS
from ablations.files import whole

MEASURED, PUBLISHED, QUIET = "#0072B2", "#D55E00", "#767676"  # Okabe and Ito's blue and vermilion
VALIDATION = "black"  # where training is blue
SPLIT_TITLES = {"train": "Training", "validation": "Validation", "test": "Test"}
LAYER_MARKERS = {
    "last_layer": "^",
    "last_block": "o",
    "last_two_blocks": "P",
    "all": "s",
    "lora": "v",
}
DURATIONS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 20, 30)),
    *(3600 * hours for hours in (1, 2, 5, 10, 20, 50, 100, 200)),
)
LOSSES = tuple(digit * 10.0**power for power in range(-8, 4) for digit in (1, 3))
LABEL_WIDTH, LABEL_LINES = 28, 2  # characters, lines
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "ablations",  # the same figure, the same bytes
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "text.parse_math": False,  # a name with $ in it is a name
}


def accuracies(results: Results) -> Figure:
    """A line per row and a panel per split: accuracy with its interval, and the published one."""
    rows = results.rows
    figure = _figure(results, 10, 1.7 + 0.36 * len(rows), "Accuracy of each row")
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    for panel, split in zip(panels, SPLITS, strict=True):
        for position, row in enumerate(rows):
            _accuracy(panel, results, row, split, position)
        panel.set_title(SPLIT_TITLES[split])
        panel.set_xlabel("accuracy, %")
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="y", visible=False)
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    panels[-1].axvline(100 * results.test.majority[1], color=QUIET, linestyle=":")
    _row_labels(panels[0], [_wrapped(_numbered(results, row)) for row in rows])
    panels[0].set_xlim(right=101.5)
    several = len(results.seeds) > 1
    measured = (
        "mean of seeds, 95% Wilson interval of messages"
        if several
        else "measured, 95% Wilson interval"
    )
    entries = [_key("o", MEASURED, measured, line=True)]
    if several:
        entries.append(_key("|", QUIET, "each seed"))
    if any(row.published for row in rows):
        entries.append(_key("D", PUBLISHED, "published", hollow=True))
    entries.append(Line2D([], [], color=QUIET, linestyle=":", label="majority class"))
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries))
    return figure


def _accuracy(panel: Axes, results: Results, row: TrainedRow, split: str, position: int) -> None:
    values = [100 * getattr(run.metrics.accuracy, split) for run in row.runs]
    mean = float(np.mean(values))
    low, high = statistics.wilson(mean / 100, results.evaluated(row, split))
    if len(values) > 1:
        panel.plot(values, [position] * len(values), "|", color=QUIET, markersize=9)
    panel.plot([100 * float(low), 100 * float(high)], [position] * 2, color=MEASURED)
    panel.plot(mean, position, "o", color=MEASURED, markersize=5)
    if row.published:
        published = 100 * getattr(row.published, split)
        _mark_published(panel, published, position + 0.24)


def accuracy_and_time(results: Results) -> Figure:
    """Test accuracy against training time, rows by number; the key to the numbers beside it."""
    rows = results.rows
    figure = _figure(
        results, 9, max(4.6, 1.5 + 0.19 * len(rows)), "What a row costs, and what it gives"
    )
    axes = figure.subplots()
    means = [np.mean([run.metrics.training_time_seconds for run in row.runs]) for row in rows]
    times = [max(float(mean), DURATIONS[0]) for mean in means]  # a log axis has no place for 0
    values = [100 * float(results.right(row).mean()) for row in rows]
    for row, time, value in zip(rows, times, values, strict=True):
        low, high = statistics.wilson(value / 100, len(results.test))
        axes.plot([time, time], [100 * float(low), 100 * float(high)], color=MEASURED, alpha=0.5)
        marker = LAYER_MARKERS[row.settings.trainable_layers]
        axes.plot(time, value, marker, color=MEASURED, markersize=6)
    axes.set_xscale("log")
    _label_durations(axes, times)
    axes.set_xlabel(f"training time ({_time_caveat(results)})")
    axes.set_ylabel(f"accuracy on {len(results.test):,} test messages, %")
    _number_points(figure, axes, list(zip(times, values, strict=True)))
    key = "\n".join(_shortened(_numbered(results, row)) for row in rows)
    axes.annotate(key, (1.02, 1), xycoords="axes fraction", va="top", fontsize=8, linespacing=1.35)
    used = [
        layers
        for layers in LAYER_MARKERS
        if any(row.settings.trainable_layers == layers for row in rows)
    ]
    entries = [_key(LAYER_MARKERS[layers], MEASURED, f"trains {layers}") for layers in used]
    entries.append(Line2D([], [], color=MEASURED, alpha=0.5, label="95% Wilson interval"))
    columns = min(len(entries), 5)  # six do not fit beside each other
    figure.legend(handles=entries, loc="outside lower center", ncols=columns)
    return figure


def _time_caveat(results: Results) -> str:
    runs = [run for row in results.rows for run in row.runs]
    devices = list(dict.fromkeys(run.metrics.device for run in runs))
    device = devices[0] if len(devices) == 1 else "devices differ: not comparable"
    if any(run.metrics.shared_device for run in runs):
        device += "; shared with other jobs: not comparable"
    return textwrap.shorten(device, 70, placeholder="…")


def _label_durations(axes: Axes, times: Sequence[float]) -> None:
    """Ticks at round durations; the axis ends at the next ones outside all times."""
    below = max((tick for tick in DURATIONS if tick < 0.95 * min(times)), default=min(times) / 2)
    above = min((tick for tick in DURATIONS if tick > 1.05 * max(times)), default=max(times) * 2)
    axes.set_xlim(below, above)
    axes.xaxis.set_major_locator(FixedLocator(DURATIONS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _duration(seconds)))


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 3600 else f"{seconds / 3600:g} h"


def _number_points(figure: Figure, axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Writes each point's number beside it, at the nearest place that nothing else occupies."""
    figure.draw_without_rendering()  # the layout decides where points lie
    pixels = axes.transData.transform(points)
    per_point = figure.dpi / 72
    # Angles from the right, left and diagonals first; a number fits a circle 13 points across.
    angles = np.deg2rad([0, 180, 45, 135, 225, 315, 90, 270, 20, 160, 200, 340])
    taken = [*pixels]
    for number, (point, pixel) in enumerate(zip(points, pixels, strict=True), start=1):
        places = [
            pixel + radius * per_point * np.array([np.cos(angle), np.sin(angle)])
            for radius, angle in itertools.product(range(11, 60, 7), angles)
        ]
        apart = [min(float(np.hypot(*(place - other))) for other in taken) for place in places]
        free = (place for place, gap in zip(places, apart, strict=True) if gap >= 10.5 * per_point)
        place = next(free, places[int(np.argmax(apart))])
        taken.append(place)
        far = float(np.hypot(*(place - pixel))) > 12 * per_point
        axes.annotate(
            str(number),
            point,
            (place - pixel) / per_point,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            path_effects=[withStroke(linewidth=2, foreground="white")],  # above other rows' lines
            arrowprops={"arrowstyle": "-", "color": QUIET, "linewidth": 0.6} if far else None,
        )


def learning_curves(results: Results) -> Figure:
    """A panel per row: training and validation loss against steps, a line per seed."""
    rows = results.rows
    columns = min(4, len(rows))
    lines = -(-len(rows) // columns)
    figure = _figure(results, max(2.6 * columns, 6), 1.5 + 1.75 * lines, "Loss while training")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    panels[0].set_yscale("log")  # and with it the others, which share the axis
    panels[0].yaxis.set_major_locator(FixedLocator(LOSSES))
    panels[0].yaxis.set_minor_locator(NullLocator())
    panels[0].yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
    for panel, row in zip(panels, rows, strict=False):
        for run in row.runs:
            steps = [entry.step for entry in run.metrics.history]
            train = [entry.train_loss for entry in run.metrics.history]
            validation = [entry.validation_loss for entry in run.metrics.history]
            width = 1.4 if len(row.runs) == 1 else 0.8
            panel.plot(steps, train, color=MEASURED, linewidth=width)
            panel.plot(steps, validation, "--", color=VALIDATION, linewidth=width)
        panel.set_title(_wrapped(_numbered(results, row)), loc="left", fontsize=8)
    for panel in panels[len(rows) :]:
        panel.remove()
    for panel in panels[max(0, len(rows) - columns) : len(rows)]:
        panel.xaxis.set_tick_params(labelbottom=True)
        panel.set_xlabel("training step")
    figure.supylabel("mean cross-entropy (log scale)", fontsize=9)
    entries = [
        Line2D([], [], color=MEASURED, label="training"),
        Line2D([], [], color=VALIDATION, linestyle="--", label="validation"),
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=2)
    return figure


def differences(results: Results, comparisons: Sequence[Comparison]) -> Figure:
    """A forest plot: each comparison's difference with its interval, and the published one."""
    figure = _figure(
        results, 9, 1.8 + 0.5 * max(1, len(comparisons)), "Differences in test accuracy, paired"
    )
    axes = figure.subplots()
    if not comparisons:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "No comparisons are configured.", ha="center", va="center")
        return figure
    axes.axvline(0, color="black", linewidth=0.9)
    for position, comparison in enumerate(comparisons):
        limits = [100 * comparison.overall.low, 100 * comparison.overall.high]
        axes.plot(limits, [position] * 2, color=MEASURED)
        face = MEASURED if comparison.decided else "white"
        axes.plot(
            100 * comparison.overall.difference, position, "o", color=MEASURED, markerfacecolor=face
        )
        if comparison.published_difference is not None:
            published = 100 * comparison.published_difference
            _mark_published(axes, published, position + 0.24)
    _row_labels(axes, [_rows_compared(results, comparison) for comparison in comparisons])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    beside = axes.secondary_yaxis("right")
    adjusted = "adjusted " if len(comparisons) > 1 else ""
    numbers = [_in_numbers(comparison, adjusted) for comparison in comparisons]
    beside.set_yticks(range(len(comparisons)), numbers)
    beside.tick_params(length=0, labelsize=8)
    beside.spines["right"].set_visible(False)
    axes.set_xlabel("variant minus baseline, percentage points (95% interval, unadjusted)")
    entries = [
        _key("o", MEASURED, f"{adjusted}p < 0.05", line=True),
        _key("o", MEASURED, "no detectable difference", line=True, hollow=True),
    ]
    if any(comparison.published_difference is not None for comparison in comparisons):
        entries.append(_key("D", PUBLISHED, "published", hollow=True))
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries))
    return figure


def _rows_compared(results: Results, comparison: Comparison) -> str:
    rows = (comparison.variant, comparison.baseline)
    variant, baseline = (_shortened(_numbered(results, row)) for row in rows)
    return f"{variant}{' (confounded)' if comparison.confounded else ''}\nagainst {baseline}"


def _in_numbers(comparison: Comparison, adjusted: str) -> str:
    low, high = formats.points(comparison.overall.low), formats.points(comparison.overall.high)
    return (
        f"{formats.points(comparison.overall.difference)} ({low} to {high})\n"
        f"{adjusted}{formats.p_value(comparison.adjusted_p)}"
    )


# --- what the figures share


def _figure(results: Results, width: float, height: float, title: str) -> Figure:
    """An empty figure, sizes in inches, with its title and the stand-ins on its face."""
    heading = [f"{title} ({formats.count(len(results.seeds), 'seed')})"]
    for note in results.notes:
        heading += textwrap.wrap(note, int(11.5 * width))
    figure = Figure((width, height + 0.16 * (len(heading) - 1)), layout="constrained")
    figure.suptitle("\n".join(heading), fontsize=10, x=0.01, ha="left")
    return figure


def _numbered(results: Results, row: TrainedRow) -> str:
    return f"{row.number}  {row.id}"


def _wrapped(label: str) -> str:
    lines = textwrap.wrap(label, LABEL_WIDTH, max_lines=LABEL_LINES, placeholder="…")
    return "\n".join(line[:LABEL_WIDTH] for line in lines)


def _shortened(label: str) -> str:
    return label if len(label) <= LABEL_WIDTH else label[: LABEL_WIDTH - 1] + "…"


def _row_labels(axes: Axes, labels: Sequence[str]) -> None:
    """One label a line, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)


def _mark_published(axes: Axes, x: float, y: float) -> None:
    axes.plot(x, y, "D", color=PUBLISHED, markerfacecolor="none", markersize=6)


def _key(marker: str, color: str, label: str, line: bool = False, hollow: bool = False) -> Line2D:
    return Line2D(
        [],
        [],
        marker=marker,
        color=color,
        markerfacecolor="white" if hollow else color,
        linestyle="-" if line else "none",
        label=label,
    )


def draw(results: Results) -> Iterator[tuple[str, Figure]]:
    """Every figure with its file name's stem."""
    yield "accuracies", accuracies(results)
    yield "accuracy_and_time", accuracy_and_time(results)
    yield "learning_curves", learning_curves(results)
    yield "differences", differences(results, compare_all(results))


def save(figure: Figure, path: Path) -> None:
    """Writes SVG or PNG, by the name's ending; the same figure gives the same bytes."""
    unstamped = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    with whole(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=150, metadata=unstamped)


def main(arguments: argparse.Namespace) -> None:
    """Writes every figure into the folder."""
    results = load(arguments.results, arguments.so_far)
    with matplotlib.rc_context(STYLE):
        for name, figure in draw(results):
            save(figure, arguments.output / f"{name}.{arguments.format}")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    add_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder for the figures")
    parser.add_argument("--format", choices=("svg", "png"), default="svg")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
