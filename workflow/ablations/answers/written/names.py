"""Names beside a figure's points, such that none hides another or a point."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from ablations.answers.written.drawing import QUIET

# To the right first, then to the left, above and below, and further out in all directions.
ANGLES = np.deg2rad([0, 180, 30, 150, 330, 210, 60, 120, 300, 240, 90, 270, 15, 165, 345, 195])
DISTANCES = range(7, 160, 6)  # of a name's nearest edge from its point, in points


def name_points(
    figure: Figure, axes: Axes, points: Sequence[tuple[float, float]], names: Mapping[int, str]
) -> None:
    """Writes names beside points (by their index), each at the nearest place that is free."""
    figure.draw_without_rendering()  # the layout decides where points lie
    pixels = axes.transData.transform(points)
    per_point = figure.dpi / 72
    around = 4.5 * per_point  # half of a marker's size
    taken = [Bbox.from_extents(x - around, y - around, x + around, y + around) for x, y in pixels]
    inside = axes.get_window_extent()
    for index, name in names.items():
        text = _written(axes, points[index], name)
        distance, box = _free(_places(text, pixels[index], per_point), taken, inside)
        taken.append(box)
        middle = np.array([box.x0 + box.width / 2, box.y0 + box.height / 2])
        offset = tuple((middle - pixels[index]) / per_point)
        text.set_position(offset)
        others = np.delete(pixels, index, 0)
        if distance > 12 or _distances(box, others).min(initial=math.inf) < 2 * around:
            _lead(axes, points[index], offset)


def _written(axes: Axes, point: tuple[float, float], name: str) -> Annotation:
    return axes.annotate(
        name,
        point,
        (0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=8,
        # above the lines of other rows
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.5},
    )


def _places(text: Annotation, pixel: Any, per_point: float) -> Iterator[tuple[int, Bbox]]:
    """Where a name may be, the nearest to its point first, with the distance from it."""
    size = text.get_window_extent()
    width, height = size.width + 2 * per_point, size.height
    for distance, angle in itertools.product(DISTANCES, ANGLES):
        across, up = math.cos(angle), math.sin(angle)
        side = np.sign(round(across, 2))
        x = pixel[0] + distance * per_point * across + width / 2 * side
        y = pixel[1] + distance * per_point * up + height / 2 * up
        yield distance, Bbox.from_bounds(x - width / 2, y - height / 2, width, height)


def _free(
    places: Iterable[tuple[int, Bbox]], taken: Sequence[Bbox], inside: Bbox
) -> tuple[int, Bbox]:
    """The first place that overlaps nothing, or the one that overlaps least."""

    def overlap(place: tuple[int, Bbox]) -> float:
        box = place[1]
        across = inside.x0 < box.x0 and box.x1 < inside.x1
        fits = across and inside.y0 < box.y0 and box.y1 <= inside.y1
        return _overlap(box, taken) + (0 if fits else 1e9)

    least, best = math.inf, None
    for place in places:
        area = overlap(place)
        if area < least:
            least, best = area, place
        if not area:
            break
    assert best is not None
    return best


def _lead(axes: Axes, point: tuple[float, float], offset: Any) -> None:
    """A line from a name to its point."""
    axes.annotate(
        "",
        point,
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
