"""Right answers drawn from a model in which the truth is known, for bench/simulation.py.

An answer is right where a text's difficulty is below its run's threshold. Difficulty is normal,
with a part shared by all runs, one shared by a row's runs, and one of each run. Every run has a
threshold of its own: a random effect.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from ablations.answers.noise import Floats, Folds, Right

AT_ONCE = 250  # studies drawn at a time, for memory

# How runs of a row differ. All have mean 0 and, over the rows, the same mean square.
EFFECTS = {
    "normal": "normal, the same for all rows",
    "unequal": "normal, every second row with a third of the others' standard deviation",
    "skewed": "exponential, with a long tail of bad runs",
    "collapsing": "one run in twenty is much worse, the others are alike",
}


@dataclass(frozen=True)
class Cell:
    """What is true in a study; shares, differences and standard deviations are fractions."""

    share: float  # of texts that exactly one of the two runs gets right
    difference: float  # in accuracy, of the first variant minus the baseline
    runs: int = 1
    run_sd: float = 0.0  # of a run's accuracy around its row's
    consistency: float = 0.5  # part of what is particular to a row that all its runs share
    texts: int = 300
    effects: str = "normal"  # one of EFFECTS
    folded: bool = False  # runs are folds, each with its own texts, and not seeds
    rows: int = 9

    @property
    def folds(self) -> Folds:
        """Which fold tests each text."""
        return np.arange(self.texts) * self.runs // self.texts if self.folded else None


@dataclass(frozen=True)
class _Population:
    accuracies: tuple[float, float]  # of the baseline and of the variant
    shared: float  # variance of the part of difficulty that both rows share


@functools.cache
def population(share: float, difference: float, run_sd: float) -> _Population | None:
    """The model with these accuracies, disagreement and spread between runs.

    None where there is none: with a large spread, two runs disagree on more than a small share.
    """
    middle = min(0.95, 1 - share)
    accuracies = (middle - difference / 2, middle + difference / 2)
    baseline, variant = stats.norm.ppf(accuracies)
    of_runs = 0.0  # part of the variance of threshold minus difficulty that the run's effect is
    if run_sd:
        threshold = float(stats.norm.ppf(middle))
        squared = middle**2 + run_sd**2  # mean square of a run's accuracy
        of_runs = optimize.brentq(lambda r: _both(threshold, threshold, r) - squared, 1e-9, 0.9)

    def excess(correlation: float) -> float:
        return sum(accuracies) - 2 * _both(baseline, variant, correlation) - share

    most = (1 - 1e-6) * (1 - of_runs)
    if excess(most) > 0:
        return None
    return _Population(
        accuracies=accuracies,
        shared=optimize.brentq(excess, 0, most) / (1 - of_runs),
    )


def _quantiles(effects: str) -> Floats:
    """A thousand equally likely values of a run's effect with mean 0 and standard deviation 1."""
    at = (np.arange(1000) + 0.5) / 1000
    if effects == "skewed":
        values = -stats.expon.ppf(at)
    elif effects == "collapsing":
        values = -(at < 0.05).astype(float)
    else:
        values = stats.norm.ppf(at)
    return np.asarray((values - values.mean()) / values.std())


@functools.cache
def _levels(accuracy: float, effects: str, sd: float) -> Floats:
    """A thousand equally likely thresholds of runs, whose accuracies have this mean and sd."""
    values = _quantiles(effects)

    def levels(scale: float) -> Floats:
        def excess(threshold: float) -> float:
            return float(stats.norm.cdf(threshold + scale * values).mean() - accuracy)

        return np.asarray(optimize.brentq(excess, -10, 20) + scale * values)

    if not sd:
        return levels(0.0)
    return levels(optimize.brentq(lambda x: stats.norm.cdf(levels(x)).std() - sd, 0, 3))


def _both(first: float, second: float, correlation: float) -> float:
    """P(X < first, Y < second) for standard normals with this correlation."""
    covariance = [[1, correlation], [correlation, 1]]
    return float(stats.multivariate_normal.cdf([first, second], cov=covariance))


def draws(
    cell: Cell, studies: int, generator: np.random.Generator, better: Sequence[int] = (1,)
) -> Iterator[Right]:
    """Right answers, bool [studies, rows, seeds, texts], some studies at a time.

    Row 0 is the baseline; the rows in `better` are better by the cell's difference, the others are
    like the baseline. With folds there is one seed.
    """
    for start in range(0, studies, AT_ONCE):
        yield _draw(cell, min(AT_ONCE, studies - start), generator, better)


def _draw(cell: Cell, studies: int, generator: np.random.Generator, better: Sequence[int]) -> Right:
    found = population(cell.share, cell.difference, cell.run_sd)
    assert found is not None
    seeds = 1 if cell.folded else cell.runs

    def normal(*shape: int) -> NDArray[np.float32]:
        return generator.standard_normal((studies, *shape), dtype=np.float32)

    of_row = (1 - found.shared) * cell.consistency
    own = (1 - found.shared) * (1 - cell.consistency)
    difficulty = np.float32(np.sqrt(own)) * normal(cell.rows, seeds, cell.texts)
    difficulty += np.float32(np.sqrt(of_row)) * normal(cell.rows, 1, cell.texts)
    difficulty += np.float32(np.sqrt(found.shared)) * normal(1, 1, cell.texts)
    sds = np.full(cell.rows, cell.run_sd)
    if cell.effects == "unequal" and cell.run_sd:
        sds[::2] /= 3
        sds *= cell.run_sd / np.sqrt((sds**2).mean())
    levels = np.stack(
        [
            generator.choice(
                _levels(found.accuracies[row in better], cell.effects, sd), (studies, cell.runs)
            )
            for row, sd in enumerate(sds.tolist())
        ],
        axis=1,
    ).astype(np.float32)  # [studies, rows, runs]
    if cell.folds is None:
        return np.asarray(difficulty < levels[..., None])
    return np.asarray(difficulty < levels[:, :, None, cell.folds])
