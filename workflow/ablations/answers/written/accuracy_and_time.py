"""The figure of test accuracy against training time: what a gain in accuracy costs."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablations import cli
from ablations.answers.compute import Answers
from ablations.answers.scores import Row
from ablations.answers.written.drawing import (
    MEASURED,
    NARROW,
    key,
    label,
    legend,
    reference_line,
    titled,
)
from ablations.answers.written.names import name_points
from ablations.study.settings import OPTIONS

FAINT = "#99C7E0"  # an interval behind points
LAYERS = OPTIONS["trainable_layers"].words  # which have a marker each
DURATIONS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 20, 30)),
    *(3600 * hours for hours in (1, 2, 5, 10, 20, 50, 100, 200)),
)
TICKS = 11  # as many times as have room beside each other
NAMED_POINTS = 24  # with more rows, names beside all points would hide them


def accuracy_and_time(answers: Answers) -> Figure:
    """Test accuracy against training time, each row's name beside its point."""
    rows = answers.rows
    height = 5.2 if len(rows) <= 12 else 7.0
    title = "Test accuracy against training time"
    figure = titled(answers, height, title, _named(answers))
    axes = figure.subplots()
    # a log axis has no place for 0
    times = [max(row.seconds.mean, DURATIONS[0]) for row in rows]
    points = [
        (time, 100 * row.accuracy["test"].mean) for time, row in zip(times, rows, strict=True)
    ]
    for row, point in zip(rows, points, strict=True):
        _point(axes, row, *point)
    axes.set_xscale("log")
    _label_durations(axes, times)
    axes.set_xlabel(f"training time ({_measured_on(answers)})")
    axes.set_ylabel(f"accuracy on {answers.tested}, %")
    legend(figure, [*_entries(answers), *reference_line(axes, answers)])
    front = _front(points, [index for index, row in enumerate(rows) if not row.incomparable])
    order = [*front, *(index for index in range(len(rows)) if index not in front)]
    if len(rows) > NAMED_POINTS:
        order = [index for index in order if index in front or rows[index].id == "baseline"]
    name_points(figure, axes, points, {index: label(rows[index], NARROW) for index in order})
    return figure


def _point(axes: Axes, row: Row, time: float, value: float) -> None:
    ends = [100 * row.accuracy["test"].low, 100 * row.accuracy["test"].high]
    axes.plot([time] * 2, ends, color=FAINT, zorder=1.9)
    face = "white" if row.incomparable else MEASURED
    marker = _marker(row)
    axes.plot(time, value, marker, color=MEASURED, markerfacecolor=face, markersize=6)


def _marker(row: Row) -> str:
    return LAYERS.markers.get(row.settings.compared()["trainable_layers"], LAYERS.marker)


def _entries(answers: Answers) -> Iterator[Line2D]:
    rows = answers.rows
    used = set(map(_marker, rows))
    for layers, marker in LAYERS.markers.items():
        if marker in used:
            yield key(marker, MEASURED, f"trains {layers}")
    if LAYERS.marker in used:
        numbers = {row.settings.trainable_layers for row in rows if _marker(row) == LAYERS.marker}
        ends = " to ".join(str(end) for end in dict.fromkeys((min(numbers), max(numbers))))
        yield key(LAYERS.marker, MEASURED, f"trains {LAYERS.cell.format(value=ends)}")
    yield Line2D([], [], color=FAINT, label="95% interval")
    if obstacles := list(dict.fromkeys(row.incomparable for row in rows if row.incomparable)):
        yield key("o", MEASURED, f"time not comparable: {', '.join(obstacles)}", hollow=True)


def _named(answers: Answers) -> str | None:
    """Which points have their row's name beside them, where not all do."""
    if len(answers.rows) <= NAMED_POINTS:
        return None
    return "Named: the baseline, and rows that no other row beats in both time and accuracy."


def _measured_on(answers: Answers) -> str:
    threads = cli.count(answers.machine.threads, "thread")
    return textwrap.shorten(f"{answers.machine.device}, {threads}", 70, placeholder="…")


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
    axes.set_xticks(ticks, list(map(_duration, ticks)))
    axes.minorticks_off()


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 3600 else f"{seconds / 3600:g} h"
