"""Notes about grids: what varies in one, and what choosing one of its rows means."""

from collections.abc import Iterator

from ablations.answers import formats
from ablations.answers.results import Results
from ablations.study.grid import Grid


def notes(results: Results) -> Iterator[str]:
    """A sentence or two about each grid of several rows, for below the table."""
    rows = {row.id: row for row in results.rows}
    for grid in results.grids:
        there = [rows[id] for id in grid.rows if id in rows]
        if len(grid) == 1:
            continue
        if grid.choose and there:
            (row,) = there
            accuracy = formats.percents(row.accuracies("validation"))
            yield (
                f"{row.id} was chosen from the {len(grid)} rows of the grid {grid.id} (values of"
                f" {_varying(grid)}) by its validation accuracy, {accuracy}. As the best of"
                f" {len(grid)}, that accuracy is optimistic. The choice did not use test"
                " accuracies, so the row's test accuracy is not."
            )
        elif len(there) > 1:
            yield (
                f"The {len(grid)} rows of the grid {grid.id} differ in {_varying(grid)}. The"
                " best of their test accuracies is optimistic: it is partly luck. `choose:"
                " validation` chooses a row by its validation accuracy instead."
            )


def _varying(grid: Grid) -> str:
    return formats.names([key for key, values in grid.values.items() if len(values) > 1])
