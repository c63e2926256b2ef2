"""Which rows are in the table, and which questions are answered.

Of a grid with `choose` the row with the best validation accuracy is. Test accuracies have no part
in the choice: the best of many would look better than it is.
"""

from dataclasses import dataclass

import numpy as np

from ablations.answers.finished import NONE_FINISHED, Finished, TrainedRow
from ablations.errors import UserError
from ablations.study.entries import Question
from ablations.study.grid import ask
from ablations.study.settings import Settings


@dataclass(frozen=True)
class Selected:
    """A study without the rows that were not chosen."""

    rows: tuple[TrainedRow, ...]  # those that are finished
    chosen_from: dict[str, int]  # of how many rows of a grid a row is the best on validation, by id
    questions: tuple[Question, ...]  # those whose two sides are both finished
    asked: int  # how many questions the whole study has
    stated: dict[str, Settings]  # of each row of the whole study's table, by id


def select(finished: Finished) -> Selected:
    """Chooses the rows of the table; raises UserError where none is finished.

    Of a grid to choose from nothing is in the table before all its rows are finished.
    """
    grids = [grid for grid in finished.outline.grids if grid.choose]
    whole = [grid for grid in grids if grid.rows.keys() <= finished.rows.keys()]
    chosen = {grid.id: _best([finished.rows[id] for id in grid.rows]).id for grid in whole}
    beaten = {id for grid in grids for id in grid.rows} - set(chosen.values())
    rows = tuple(row for row in finished.rows.values() if row.id not in beaten)
    if not rows:
        raise UserError(NONE_FINISHED)
    ids = {row.id for row in rows} | {each.id for each in finished.references}
    questions = list(ask(finished.outline.questions, finished.outline.grids, chosen))
    return Selected(
        rows=rows,
        chosen_from={chosen[grid.id]: len(grid) for grid in whole},
        questions=tuple(
            question for question in questions if {question.baseline, question.variant} <= ids
        ),
        asked=len(questions),
        stated={id: row for id, row in finished.stated.items() if id not in beaten},
    )


def _best(rows: list[TrainedRow]) -> TrainedRow:
    """The best mean validation accuracy; of equally good rows the least loss, then the first."""

    def rank(row: TrainedRow) -> tuple[float, float]:
        accuracy = np.mean([run.metrics.accuracy.validation for run in row.runs])
        loss = np.mean([run.log_loss["validation"] for run in row.runs])
        # rounded, because a mean depends on the order of the seeds in its last bits
        return -round(float(accuracy), 9), float(loss)

    return min(rows, key=rank)
