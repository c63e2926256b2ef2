"""What each setting of a grid does on average over the grid's other settings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ablations.answers import formats, statistics
from ablations.answers.noise import Folds, Prior
from ablations.answers.scores import Row
from ablations.study.grid import Grid


@dataclass(frozen=True)
class AveragedEffect:
    """What one value of a setting does, against the first that the grid lists; in fractions."""

    grid: str
    setting: str
    first: Any
    value: Any
    pairs: int  # of rows that differ in this setting alone
    difference: float
    low: float
    high: float
    p: float
    adjusted_p: float
    among: int  # effects of the grid, finished or not, for which it is adjusted

    @property
    def verdict(self) -> str:
        """better, worse or no detectable difference, on average."""
        if self.adjusted_p >= statistics.ALPHA:
            return formats.NO_DIFFERENCE
        return "better" if self.difference > 0 else "worse"


def averaged_effects(
    grids: Sequence[Grid], rows: Sequence[Row], prior: Prior | None, folds: Folds = None
) -> tuple[AveragedEffect, ...]:
    """The effects of every grid in which two settings or more vary and no row is chosen."""
    finished = {row.id: row for row in rows}
    found: list[AveragedEffect] = []
    for grid in grids:
        if len(grid.varying) > 1 and not grid.choose:
            found += _of_grid(grid, finished, prior, folds)
    return tuple(found)


def _of_grid(
    grid: Grid, finished: Mapping[str, Row], prior: Prior | None, folds: Folds
) -> list[AveragedEffect]:
    changes, effects = [], []
    for setting in grid.varying:
        first, *others = grid.values[setting]
        for value in others:
            pairs = list(_pairs(grid, finished, setting, first, value))
            if pairs:
                without, changed = map(np.stack, zip(*pairs, strict=True))
                changes.append((setting, first, value, len(pairs)))
                effects.append(statistics.average_effect(without, changed, prior, folds))
    number = sum(len(grid.values[setting]) - 1 for setting in grid.varying)
    adjusted = statistics.holm([float(effect.p) for effect in effects], number).tolist()
    return [
        AveragedEffect(
            grid.id,
            *change,
            float(effect.difference),
            float(effect.low),
            float(effect.high),
            float(effect.p),
            p,
            number,
        )
        for change, effect, p in zip(changes, effects, adjusted, strict=True)
    ]


def _pairs(
    grid: Grid, finished: Mapping[str, Row], setting: str, first: Any, value: Any
) -> Iterator[Any]:
    """Right answers of each two finished rows that differ in this setting alone."""
    ids = {frozenset(values.items()): id for id, values in grid.rows.items() if id in finished}
    for id, values in grid.rows.items():
        other = ids.get(frozenset((values | {setting: value}).items()))
        if values[setting] == first and id in finished and other:
            yield finished[id].right, finished[other].right
