"""What the figures share: colours and style, title, legend, the labels of rows.

All of them use the same signs. Blue is measured, orange is published; a line through a point is its
95% interval; a hollow point decides nothing: no difference was detected, or its time cannot be
compared. Rows have the table's order and names. All figures have the same width, so that their
letters have the same size on a page. What a colour says, a shape or a line style says too.
"""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablations.answers import formats
from ablations.answers.compute import Answers
from ablations.answers.scores import Reference, Row

MEASURED, PUBLISHED, QUIET = "#0072B2", "#D55E00", "#767676"  # Okabe and Ito's blue and vermilion
WIDTH = 7.2  # inches: letters stay legible where a paper makes a figure as wide as its text
LABEL_WIDTH = 28  # characters of a line
NARROW = 22  # where there is less room
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


def titled(answers: Answers, height: float, title: str, remark: str | None = None) -> Figure:
    """An empty figure with its title, and below it the stand-ins; its height is in inches."""
    heading = [f"{title} ({answers.trained})"]
    if answers.standins:
        kinds = [note.partition(":")[0].rstrip(".") for note in answers.standins]
        named = formats.names([kinds[0], *(kind[:1].lower() + kind[1:] for kind in kinds[1:])])
        named = textwrap.shorten(named, 100, placeholder="…")
        models = "not GPT-2, " if "Stand-in models" in kinds else ""
        heading += textwrap.wrap(f"{named}: {models}not the published study.", 84)
    heading += [remark] if remark else []
    figure = Figure((WIDTH, height + 0.16 * (len(heading) - 1)), layout="constrained")
    figure.suptitle("\n".join(heading), fontsize=10, x=0.01, ha="left")
    return figure


def legend(figure: Figure, found: Iterable[Artist], title: str | None = None) -> None:
    """Below everything; its longest entry decides how many fit in a line."""
    entries = list(found)
    longest = max(len(str(entry.get_label())) for entry in entries)
    columns = max(1, min(len(entries), int(13 * WIDTH / (longest + 8))))
    figure.legend(handles=entries, loc="outside lower center", ncols=columns, title=title)


def label(row: Row | Reference, width: int = LABEL_WIDTH) -> str:
    """The row's id on at most two lines; one that is cut follows the row's number in the table."""
    name = row.id
    if not isinstance(row, Reference) and len(name) > 2 * width:
        name = formats.both_ends(f"#{row.number} {name}", 2 * width)
    if len(name) <= width:
        return name
    at = name.find("…") + 1 or name.rfind("-", len(name) - width - 1, width) + 1 or width
    return f"{name[:at]}\n{name[at:]}"


def row_labels(axes: Axes, labels: Sequence[str]) -> None:
    """One label a line, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)


def mark_published(axes: Axes, x: float, y: float) -> None:
    """A published value."""
    axes.plot(x, y, "D", color=PUBLISHED, markersize=4.5)


def level(axes: Axes, row: Row | Reference, label: str, style: Any, zorder: float = 2) -> Line2D:
    """A line across at a row's test accuracy, which is an entry of the legend too."""
    at = 100 * row.accuracy["test"].mean
    return axes.axhline(at, color=QUIET, linewidth=1, linestyle=style, zorder=zorder, label=label)


def reference_line(axes: Axes, answers: Answers, of: str = "") -> Iterator[Line2D]:
    """One of the best reference, if there is any; `of`: what the legend says of it further."""
    if best := answers.best_reference:
        yield level(axes, best, best.declared.called + of, "-.")


def key(marker: str, color: str, label: str, line: bool = False, hollow: bool = False) -> Line2D:
    """A legend's entry."""
    return Line2D(
        [],
        [],
        marker=marker,
        color=color,
        markerfacecolor="white" if hollow else color,
        linestyle="-" if line else "none",
        label=label,
    )
