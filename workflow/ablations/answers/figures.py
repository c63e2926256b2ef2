"""The figures: accuracies, accuracy against time, learning curves, paired differences.

All of them use the same signs. Blue is measured, orange is published; a line through a point is its
95% interval; a hollow point decides nothing: no difference was detected, or its time cannot be
compared. Rows have the table's order and names. All figures have the same width, so that their
letters have the same size on a page. What a colour says, a shape or a line style says too.
"""

import argparse
import itertools
import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from ablations import cli
from ablations.answers import formats, statistics
from ablations.answers.comparisons import Comparison, compare_all, run_noise, why_none
from ablations.answers.notes import evaluated
from ablations.answers.results import Results, Run, TrainedRow, add_arguments, load
from ablations.files import whole
from ablations.study.settings import OPTIONS

MEASURED, PUBLISHED, QUIET = "#0072B2", "#D55E00", "#767676"  # Okabe and Ito's blue and vermilion
FAINT = "#99C7E0"  # an interval behind points
VALIDATION = "black"  # where training is blue
LAYER_MARKERS = OPTIONS["trainable_layers"].words.markers
DURATIONS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 20, 30)),
    *(3600 * hours for hours in (1, 2, 5, 10, 20, 50, 100, 200)),
)
TICKS = 11  # as many times as have room beside each other
LOSSES = tuple(digit * 10.0**power for power in range(-8, 4) for digit in (1, 3))
WIDTH = 7.2  # inches: letters stay legible where a paper makes a figure as wide as its text
LABEL_WIDTH = 28  # characters of a line
NARROW = 22  # where there is less room
NAMED_POINTS = 24  # with more rows, names beside all points would hide them
CURVE_POINTS = 40_000  # in one figure; a browser still draws them at once
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
    figure = _figure(results, 1.7 + 0.36 * len(rows), "Accuracy of each row")
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    noise = run_noise(results)
    for panel, split in zip(panels, formats.SPLITS, strict=True):
        for position, row in enumerate(rows):
            _accuracy(panel, results, row, split, position, noise)
        messages = f"{evaluated(results, split)} messages"
        panel.set_title(f"{formats.SPLITS[split].capitalize()}\n{messages}")
        panel.set_xlabel("accuracy, %")
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="y", visible=False)
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    panels[-1].axvline(100 * results.test.majority[1], color=QUIET, linestyle=":")
    _row_labels(panels[0], [_label(row) for row in rows])
    panels[0].set_xlim(right=101.5)
    _legend(figure, _accuracy_entries(results))
    return figure


def _accuracy_entries(results: Results) -> Iterator[Line2D]:
    seeds = len(results.seeds)
    if seeds == 1:
        yield _key("o", MEASURED, "measured, 95% interval", line=True)
    else:
        yield _key("o", MEASURED, "mean of seeds")
        yield _key("|", QUIET, "each seed")
    if seeds >= statistics.SEEDS_FOR_NOISE:
        yield Line2D([], [], color=MEASURED, label="95% interval (test)")
    if any(row.published for row in results.rows):
        yield _key("D", PUBLISHED, "published")
    yield Line2D([], [], color=QUIET, linestyle=":", label="majority class")


def _accuracy(
    panel: Axes,
    results: Results,
    row: TrainedRow,
    split: str,
    position: int,
    noise: statistics.RunNoise | None,
) -> None:
    values = [100 * accuracy for accuracy in row.accuracies(split)]
    mean = float(np.mean(values))
    if len(values) > 1:
        panel.plot(values, [position] * len(values), "|", color=QUIET, markersize=9)
    interval = _test_interval(results, row, noise) if split == "test" else None
    if len(values) == 1:
        interval = statistics.wilson(mean / 100, results.evaluated(row, split))
    if interval:
        panel.plot([100 * float(end) for end in interval], [position] * 2, color=MEASURED)
    panel.plot(mean, position, "o", color=MEASURED, markersize=5)
    if row.published:
        _mark_published(panel, 100 * getattr(row.published, split), position + 0.24)


def _test_interval(
    results: Results, row: TrainedRow, noise: statistics.RunNoise | None
) -> tuple[Any, Any] | None:
    """The interval of a row's test accuracy; none of two seeds, whose noise is not measured."""
    if 1 < len(row.runs) < statistics.SEEDS_FOR_NOISE:
        return None
    return statistics.mean_accuracy_interval(results.right(row), noise)


def accuracy_and_time(results: Results) -> Figure:
    """Test accuracy against training time, each row's name beside its point."""
    rows = results.rows
    figure = _figure(
        results,
        5.2 if len(rows) <= 12 else 7.0,
        "Test accuracy against training time",
        _named(results),
    )
    axes = figure.subplots()
    # a log axis has no place for 0
    times = [max(float(np.mean(row.times())), DURATIONS[0]) for row in rows]
    values = [100 * float(results.right(row).mean()) for row in rows]
    obstacles, noise = incomparable_times(results), run_noise(results)
    for row, time, value in zip(rows, times, values, strict=True):
        interval = _test_interval(results, row, noise)
        if interval:
            axes.plot([time] * 2, [100 * float(end) for end in interval], color=FAINT, zorder=1.9)
        face = "white" if row.id in obstacles else MEASURED
        marker = LAYER_MARKERS[row.settings.trainable_layers]
        axes.plot(time, value, marker, color=MEASURED, markerfacecolor=face, markersize=6)
    axes.set_xscale("log")
    _label_durations(axes, times)
    axes.set_xlabel(f"training time ({_measured_on(results)})")
    axes.set_ylabel(f"accuracy on {len(results.test):,} test messages, %")
    used = [
        layers
        for layers in LAYER_MARKERS
        if any(row.settings.trainable_layers == layers for row in rows)
    ]
    entries = [_key(LAYER_MARKERS[layers], MEASURED, f"trains {layers}") for layers in used]
    if len(results.seeds) == 1 or noise:
        entries.append(Line2D([], [], color=FAINT, label="95% interval"))
    if obstacles:
        why = ", ".join(dict.fromkeys(obstacles.values()))
        entries.append(_key("o", MEASURED, f"time not comparable: {why}", hollow=True))
    _legend(figure, entries)
    points = list(zip(times, values, strict=True))
    comparable = [index for index, row in enumerate(rows) if row.id not in obstacles]
    front = _front(points, comparable)
    order = [*front, *(index for index in range(len(rows)) if index not in front)]
    if len(rows) > NAMED_POINTS:
        order = [index for index in order if index in front or rows[index].id == "baseline"]
    _name_points(figure, axes, points, {index: _label(rows[index], NARROW) for index in order})
    return figure


def _named(results: Results) -> str | None:
    """Which points have their row's name beside them, where not all do."""
    if len(results.rows) <= NAMED_POINTS:
        return None
    return "Named: the baseline, and rows that no other row beats in both time and accuracy."


def incomparable_times(results: Results) -> dict[str, str]:
    """Why a row's time cannot be compared with the others', by row id; others are left out.

    Times can be compared on the most common device and number of threads.
    """
    runs = [run for row in results.rows for run in row.runs]
    usual = _usual(runs)
    found = {}
    for row in results.rows:
        if any(run.metrics.shared_device for run in row.runs):
            found[row.id] = "device shared with other jobs"
        elif any(run.metrics.device != usual.metrics.device for run in row.runs):
            found[row.id] = "another device"
        elif any(run.metrics.threads != usual.metrics.threads for run in row.runs):
            found[row.id] = "another number of threads"
    return found


def _usual(runs: Sequence[Run]) -> Run:
    """A run with the most common device and number of threads, among those that ran alone."""
    alone = [run for run in runs if not run.metrics.shared_device] or list(runs)
    counts = Counter((run.metrics.device, run.metrics.threads) for run in alone)
    return max(alone, key=lambda run: counts[run.metrics.device, run.metrics.threads])


def _measured_on(results: Results) -> str:
    found = _usual([run for row in results.rows for run in row.runs]).metrics
    threads = cli.count(found.threads, "thread")
    return textwrap.shorten(f"{found.device}, {threads}", 70, placeholder="…")


def _front(points: Sequence[tuple[float, float]], among: Iterable[int]) -> list[int]:
    """The points that no other is both left of and above, from left to right: Pareto's front."""
    front: list[int] = []
    for index in sorted(among, key=lambda index: (points[index][0], -points[index][1])):
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front


def _label_durations(axes: Axes, times: Sequence[float]) -> None:
    """Ticks at round durations; the axis ends at the next ones outside all times."""
    below = max((tick for tick in DURATIONS if tick < 0.95 * min(times)), default=min(times) / 2)
    above = min((tick for tick in DURATIONS if tick > 1.05 * max(times)), default=max(times) * 2)
    axes.set_xlim(below, above)
    ticks: list[float] = []
    for tick in (tick for tick in DURATIONS if below <= tick <= above):
        if not ticks or tick / ticks[-1] > (above / below) ** (1 / TICKS):
            ticks.append(tick)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _duration(seconds)))


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 3600 else f"{seconds / 3600:g} h"


def _name_points(
    figure: Figure, axes: Axes, points: Sequence[tuple[float, float]], names: dict[int, str]
) -> None:
    """Writes names beside points (by their index), each at the nearest place that is free."""
    figure.draw_without_rendering()  # the layout decides where points lie
    pixels = axes.transData.transform(points)
    per_point = figure.dpi / 72
    around = 4.5 * per_point  # half of a marker's size
    taken = [Bbox.from_extents(x - around, y - around, x + around, y + around) for x, y in pixels]
    inside = axes.get_window_extent()
    # To the right first, then to the left, above and below, and further out in all directions.
    angles = np.deg2rad([0, 180, 30, 150, 330, 210, 60, 120, 300, 240, 90, 270, 15, 165, 345, 195])
    for index, name in names.items():
        text = axes.annotate(
            name,
            points[index],
            (0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            # above the lines of other rows
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.5},
        )
        size = text.get_window_extent()
        width, height = size.width + 2 * per_point, size.height
        best, least = None, math.inf
        for radius, angle in itertools.product(range(7, 160, 6), angles):
            # The nearest edge of the name, not its middle, is this far from the point.
            across, up = math.cos(angle), math.sin(angle)
            x = (
                pixels[index][0]
                + radius * per_point * across
                + width / 2 * np.sign(round(across, 2))
            )
            y = pixels[index][1] + radius * per_point * up + height / 2 * up
            box = Bbox.from_bounds(x - width / 2, y - height / 2, width, height)
            outside = not (inside.x0 < box.x0 and box.x1 < inside.x1 and inside.y0 < box.y0)
            overlap = _overlap(box, taken) + (1e9 if outside or box.y1 > inside.y1 else 0)
            if overlap < least:
                best, least = (radius, x, y, box), overlap
            if not overlap:
                break
        assert best is not None
        radius, x, y, box = best
        taken.append(box)
        offset = tuple((np.array([x, y]) - pixels[index]) / per_point)
        text.set_position(offset)
        others = np.delete(pixels, index, 0)
        if radius > 12 or _distances(box, others).min(initial=math.inf) < 2 * around:
            axes.annotate(
                "",
                points[index],
                offset,  # in points: a saved figure has other pixels
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": QUIET, "linewidth": 0.5, "shrinkA": 6},
                zorder=1,
            )


def _distances(box: Bbox, points: Any) -> Any:
    """How far points are from a box, in pixels; 0 inside."""
    outside = np.maximum(np.maximum([box.x0, box.y0] - points, points - [box.x1, box.y1]), 0)
    return np.hypot(*outside.T)


def _overlap(box: Bbox, others: Iterable[Bbox]) -> float:
    """The area that a box shares with others, in square pixels."""
    shared = (Bbox.intersection(box, other) for other in others)
    return float(sum(found.width * found.height for found in shared if found))


def learning_curves(results: Results) -> Figure:
    """A panel per row: loss against steps, a line per seed, ending with that over all messages."""
    rows = results.rows
    columns = min(4, len(rows))
    lines = -(-len(rows) // columns)
    figure = _figure(
        results, 1.6 + (1.75 if len(rows) <= 24 else 1.3) * lines, "Loss while training"
    )
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    panels[0].set_yscale("log")  # and with it the others, which share the axis
    panels[0].yaxis.set_minor_locator(NullLocator())
    panels[0].yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
    most = max(2, CURVE_POINTS // (2 * len(rows) * len(results.seeds)))
    for panel, row in zip(panels, rows, strict=False):
        for run in row.runs:
            _curves(panel, results, row, run, most)
        panel.set_title(_label(row, NARROW), loc="left", fontsize=8)
    low, high = panels[0].get_ylim()
    panels[0].yaxis.set_major_locator(
        FixedLocator([loss for loss in LOSSES if low <= loss <= high])
    )
    for panel in panels[len(rows) :]:
        panel.remove()
    for panel in panels[max(0, len(rows) - columns) : len(rows)]:
        panel.xaxis.set_tick_params(labelbottom=True)
        panel.set_xlabel("training step")
    figure.supylabel("mean cross-entropy (log scale)", fontsize=9)
    entries = [
        Line2D([], [], color=MEASURED, label="training, a few batches"),
        Line2D([], [], color=VALIDATION, linestyle="--", label="validation, a few batches"),
        _key("o", MEASURED, "all training messages, after the last step"),
        _key("s", VALIDATION, "all validation messages, after the last step"),
    ]
    _legend(figure, entries)
    return figure


def _curves(panel: Axes, results: Results, row: TrainedRow, run: Run, most: int) -> None:
    history = run.metrics.history
    shown = np.unique(np.linspace(0, len(history) - 1, min(len(history), most)).astype(int))
    steps = [history[index].step for index in shown]
    train = [history[index].train_loss for index in shown]
    validation = [history[index].validation_loss for index in shown]
    width = 1.4 if len(row.runs) == 1 else 0.8
    panel.plot(steps, train, color=MEASURED, linewidth=width)
    panel.plot(steps, validation, "--", color=VALIDATION, linewidth=width)
    training = row.settings.training
    last = training.epochs * (results.evaluated(row, "train") // training.batch_size) - 1
    size = 5.5 if len(row.runs) == 1 else 4
    panel.plot(max(last, 0), run.log_loss["validation"], "s", color=VALIDATION, markersize=size)
    # on top and smaller, so that both are seen where they are equal
    panel.plot(max(last, 0), run.log_loss["train"], "o", color=MEASURED, markersize=size - 2)


def differences(results: Results, comparisons: Sequence[Comparison]) -> Figure:
    """A forest plot: each comparison's difference with its interval, and the published one."""
    labels = [_rows_compared(comparison) for comparison in comparisons]
    lines = max((label.count("\n") + 1 for label in labels), default=2)
    height = 1.8 + (0.16 + 0.15 * lines) * max(1, len(labels))
    figure = _figure(results, height, "Differences in test accuracy, paired")
    axes = figure.subplots()
    if not comparisons:
        axes.set_axis_off()
        axes.text(0.5, 0.5, why_none(results), ha="center", va="center")
        return figure
    axes.axvline(0, color="black", linewidth=0.9)
    shown = any(comparison.published_difference is not None for comparison in comparisons)
    for position, comparison in enumerate(comparisons):
        limits = [100 * comparison.overall.low, 100 * comparison.overall.high]
        axes.plot(limits, [position] * 2, color=MEASURED)
        face = MEASURED if comparison.decided else "white"
        axes.plot(
            100 * comparison.overall.difference, position, "o", color=MEASURED, markerfacecolor=face
        )
        published = comparison.published_difference
        if published is not None:
            _mark_published(axes, 100 * published, position + 0.24)
    _row_labels(axes, labels)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    beside = axes.secondary_yaxis("right")
    adjusted = "adjusted " if comparisons[0].among > 1 else ""
    numbers = [_in_numbers(comparison, adjusted) for comparison in comparisons]
    beside.set_yticks(range(len(comparisons)), numbers)
    beside.tick_params(length=0, labelsize=8)
    beside.spines["right"].set_visible(False)
    axes.set_xlabel("variant minus baseline, percentage points (95% interval, unadjusted)")
    entries = [
        _key("o", MEASURED, f"{adjusted}p < 0.05", line=True),
        _key("o", MEASURED, "no detectable difference", line=True, hollow=True),
    ]
    if shown:
        entries.append(_key("D", PUBLISHED, "published"))
    _legend(figure, entries)
    return figure


def _rows_compared(comparison: Comparison) -> str:
    variant, baseline = map(_label, (comparison.variant, comparison.baseline))
    return f"{variant}\nagainst {baseline}{' (confounded)' if comparison.confounded else ''}"


def _in_numbers(comparison: Comparison, adjusted: str) -> str:
    return f"{comparison.overall}\n{adjusted}{formats.p_value(comparison.adjusted_p)}"


# --- what the figures share


def _figure(results: Results, height: float, title: str, remark: str | None = None) -> Figure:
    """An empty figure with its title, and below it the stand-ins; its height is in inches."""
    heading = [f"{title} ({cli.count(len(results.seeds), 'seed')})"]
    if results.notes:
        kinds = [note.partition(":")[0].rstrip(".") for note in results.notes]
        named = formats.names([kinds[0], *(kind[:1].lower() + kind[1:] for kind in kinds[1:])])
        named = textwrap.shorten(named, 100, placeholder="…")
        models = "not GPT-2, " if "Stand-in models" in kinds else ""
        heading += textwrap.wrap(f"{named}: {models}not the published study.", 84)
    heading += [remark] if remark else []
    figure = Figure((WIDTH, height + 0.16 * (len(heading) - 1)), layout="constrained")
    figure.suptitle("\n".join(heading), fontsize=10, x=0.01, ha="left")
    return figure


def _legend(figure: Figure, found: Iterable[Line2D]) -> None:
    """Below everything; its longest entry decides how many fit in a line."""
    entries = list(found)
    longest = max(len(str(entry.get_label())) for entry in entries)
    columns = max(1, min(len(entries), int(13 * WIDTH / (longest + 8))))
    figure.legend(handles=entries, loc="outside lower center", ncols=columns)


def _label(row: TrainedRow, width: int = LABEL_WIDTH) -> str:
    """The row's id on at most two lines; one that is cut follows the row's number in the table."""
    label = row.id
    if len(label) > 2 * width:
        label = formats.both_ends(f"#{row.number} {label}", 2 * width)
    if len(label) <= width:
        return label
    at = label.find("…") + 1 or label.rfind("-", len(label) - width - 1, width) + 1 or width
    return f"{label[:at]}\n{label[at:]}"


def _row_labels(axes: Axes, labels: Sequence[str]) -> None:
    """One label a line, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)


def _mark_published(axes: Axes, x: float, y: float) -> None:
    axes.plot(x, y, "D", color=PUBLISHED, markersize=4.5)


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
