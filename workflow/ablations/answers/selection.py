"""Which row of a grid is in the table, where `choose` asks for one.

The one with the best validation accuracy. Test accuracies have no part in the choice: the best of
many would look better than it is.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean

from ablations.study.grid import Grid
from ablations.training.metrics import Metrics


def choose(
    grids: Iterable[Grid], runs: Mapping[str, Sequence[Metrics]], loss: Callable[[str], float]
) -> dict[str, str]:
    """The chosen row of each grid that has `choose`, by the grid's id.

    `runs`: each row's, one for each seed. The best mean validation accuracy; of equally good rows
    the one with the least `loss` on the validation messages, and of these the first.
    """
    chosen = {}
    for grid in grids:
        if grid.choose:
            # rounded, because a mean depends on the order of the seeds in its last bits
            accuracy = {
                row: round(mean(run.accuracy.validation for run in runs[row]), 9)
                for row in grid.rows
            }
            best = [row for row in accuracy if accuracy[row] == max(accuracy.values())]
            chosen[grid.id] = best[0] if len(best) == 1 else min(best, key=loss)
    return chosen
