"""The figure of a grid over a number: test accuracy against it, a line for each other value."""

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation

from ablations.answers.compute import Answers
from ablations.answers.scores import Row
from ablations.answers.written.drawing import MEASURED, legend, level, reference_line, titled
from ablations.study import words
from ablations.study.grid import Grid

# Of lines, what is measured first; Okabe and Ito's, without the vermilion of what is published.
COLORS = (MEASURED, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "v", "P", "X", "h")
STYLES = ("-", "--", "-.", ":")
BESIDE = 3.0  # points between the intervals of two lines, which would hide each other
DECADE = 10  # from this ratio on between its largest and smallest value an axis is logarithmic
TICKS = 0.08  # the least distance between two, as a part of the axis


def accuracy_and_number(answers: Answers, grid: Grid) -> Figure:
    """Test accuracy against the grid's number, with what does not depend on it."""
    assert grid.across is not None
    title = f"Test accuracy against {grid.across}, rows of the grid {grid.id}"
    figure = titled(answers, 4.4, title)
    axes = figure.subplots()
    _number_axis(axes, grid)
    rows = {row.id: row for row in answers.rows if row.id in grid.rows}
    entries = [_line(axes, *line) for line in _lines(grid, rows)]
    of = ", all training texts" if grid.across == "train_size" else ""
    baseline = next((row for row in answers.rows if row.id == "baseline"), None)
    if baseline and all(row.changes for row in rows.values()):  # else it is one of the points
        label = "baseline" + ("" if baseline.settings.train_size else of)
        entries.append(level(axes, baseline, label, (0, (6, 3)), zorder=1.5))
    entries += reference_line(axes, answers, of)
    entries.append(Line2D([], [], marker="|", color=MEASURED, linestyle="none", markersize=11))
    entries[-1].set_label("95% interval")
    _label_numbers(axes, grid)
    axes.set_ylabel(f"accuracy on {answers.tested}, %")
    legend(figure, entries, grid.apart)
    return figure


def drawn_grids(answers: Answers) -> list[Grid]:
    """The grids with such a figure, of which a row is finished."""
    finished = {row.id for row in answers.rows}
    return [grid for grid in answers.outline.grids if grid.across and finished & grid.rows.keys()]


Point = tuple[float, Row]


def _lines(grid: Grid, rows: dict[str, Row]) -> Iterator[tuple[int, str, list[Point]]]:
    """Each line's place among all, its label and its points in the number's order."""
    across, apart = grid.across, grid.apart
    assert across is not None
    others = grid.values[apart] if apart else (None,)
    for place, other in enumerate(others):
        of_line = {id: values for id, values in grid.rows.items() if id in rows}
        if apart:
            of_line = {id: values for id, values in of_line.items() if values[apart] == other}
        points = [(values[across], rows[id]) for id, values in of_line.items()]
        if points:
            points.sort(key=lambda point: point[0])
            yield place, _label(apart, points[0][1]), points


def _label(other: str | None, row: Row) -> str:
    if other is None:
        return "rows of the grid"
    return words.cell(other, row.settings, row.context_tokens)


def _line(axes: Axes, place: int, label: str, points: Sequence[Point]) -> Line2D:
    # beside the lines before it: first to the right, then to the left
    offset = BESIDE * -(-place // 2) * (-1) ** (place + 1)
    beside = ScaledTranslation(offset / 72, 0, axes.figure.dpi_scale_trans)
    color, style = COLORS[place % len(COLORS)], STYLES[place % len(STYLES)]
    numbers = [number for number, _ in points]
    means = [100 * row.accuracy["test"].mean for _, row in points]
    drawn = axes.plot(numbers, means, linestyle=style, color=color, markersize=5, label=label)
    drawn[0].set_marker(MARKERS[place % len(MARKERS)])
    for number, row in points:
        ends = [100 * row.accuracy["test"].low, 100 * row.accuracy["test"].high]
        drawn += axes.plot([number] * 2, ends, color=color, linewidth=1, alpha=0.7)
    for each in drawn:  # now, since the axes' limits follow from what is drawn without it
        each.set_transform(axes.transData + beside)
    return drawn[0]


def _number_axis(axes: Axes, grid: Grid) -> None:
    """The grid's number across, on a logarithmic axis where it spans decades."""
    assert grid.across is not None
    low, *_, high = sorted(grid.values[grid.across])
    decades = low > 0 and high / low >= DECADE
    if decades:
        axes.set_xscale("log")
    axes.set_xlabel(grid.across + (" (log scale)" if decades else ""))


def _label_numbers(axes: Axes, grid: Grid) -> None:
    """The grid's values below the axis, as many as have room."""
    assert grid.across is not None
    axes.get_xlim()  # this sets the limits
    position = axes.transScale + axes.transLimits
    shown: list[tuple[float, float]] = []
    for number in sorted(grid.values[grid.across]):
        at = position.transform((number, 0))[0]
        if not shown or at - shown[-1][0] >= TICKS:
            shown.append((at, number))
    # not by set_xticks, which makes room on the axis for rows that are not finished
    axes.xaxis.set_major_locator(FixedLocator([number for _, number in shown]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
