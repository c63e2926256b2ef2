#!/usr/bin/env python3
"""How often the intervals hold and the tests raise false alarms: the tables of docs/statistics.md.

    .venv/bin/python bench/simulation.py --document docs/statistics.md

computes the full grid and replaces the document's generated part. With one seed every outcome is
enumerated, so those numbers carry no simulation error. With several, runs are drawn from a model in
which every run has an accuracy of its own (a random effect) and messages are easy or hard, for all
runs or for one row's only.
"""

import argparse
import functools
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from ablations import cli
from ablations.answers import power, statistics
from ablations.answers.statistics import ALPHA, Floats
from ablations.errors import UserError
from ablations.files import write_text

SHARES = (0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2)
DIFFERENCES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1)
SEEDS = (2, 3, 5, 10)
RUN_SDS = (0.0, 0.005, 0.01, 0.02)
CONSISTENCIES = (0.5, 0.9)
PERMITTED = (0.93, 0.98)
MARGIN = 0.02

COMPARISONS = 8  # with one baseline, as in the default study
FAMILY_SEEDS = (3, 4, 5, 6, 10)
FAMILY_RUN_SDS = (0.0, 0.005, 0.01, 0.02, 0.03)
FAMILY_MESSAGES = (300, 1000)
AT_ONCE = 250  # studies drawn at a time, for memory

# How runs of a row differ. All have mean 0 and, over the rows, the same mean square.
EFFECTS = {
    "normal": "normal, the same for all rows",
    "unequal": "normal, every second row with a third of the others' standard deviation",
    "skewed": "exponential, with a long tail of bad runs",
    "collapsing": "one run in twenty is much worse, the others are alike",
}

START, END = "<!-- simulation -->", "<!-- end of simulation -->"


@dataclass(frozen=True)
class Cell:
    """What is true in a study; shares, differences and standard deviations are fractions."""

    share: float  # of messages that exactly one of the two runs gets right
    difference: float  # in accuracy, variant minus baseline
    seeds: int = 1
    run_sd: float = 0.0  # of a run's accuracy around its row's
    consistency: float = 0.5  # part of what is particular to a row that all its seeds share
    messages: int = 300
    effects: str = "normal"  # one of EFFECTS


@dataclass(frozen=True)
class Outcome:
    """How often the interval contained the truth, p was below 0.05, equivalence was shown."""

    cell: Cell
    coverage: float
    rejected: float
    equivalent: float
    row_coverage: float = np.nan  # of the interval of one row's accuracy


@dataclass(frozen=True)
class Family:
    """How often any of eight adjusted p-values was below 0.05, where no difference was real.

    `detected`: how often that of the first comparison was, where its difference was.
    """

    cell: Cell
    any_alarm: float
    any_alarm_alone: float  # if each comparison counted its own two rows' noise only
    detected: float = np.nan
    detected_alone: float = np.nan


def enumerate_one_seed(
    shares: Sequence[float], differences: Sequence[float], messages: int = 300
) -> list[Outcome]:
    """Exact coverage and rejection with one seed, by summing over every possible outcome."""
    lost, gained = (half.ravel() for half in np.indices((messages + 1, messages + 1)))
    # Outcomes with more disagreement than this have a chance below 1e-12 together.
    most = stats.binom.isf(1e-12, messages, max(shares))
    lost, gained = lost[lost + gained <= most], gained[lost + gained <= most]
    answers = statistics.one_seed(lost, gained, messages)
    low, high = statistics.interval(answers)
    rejects = statistics.p_value(answers) < ALPHA
    equivalent = statistics.equivalent(answers, MARGIN)
    outcomes = []
    for share, difference in itertools.product(shares, differences):
        if difference > share + 1e-12:
            continue
        chance = stats.multinomial.pmf(
            np.stack([lost, gained, messages - lost - gained], -1),
            messages,
            [max(share - difference, 0) / 2, (share + difference) / 2, 1 - share],
        )
        holds = _holds(low, high, difference)
        rates = (float(chance[which].sum()) for which in (holds, rejects, equivalent))
        outcomes.append(Outcome(Cell(share, difference, messages=messages), *rates))
    return outcomes


def simulate(cell: Cell, repetitions: int, generator: np.random.Generator) -> Outcome | None:
    """A study of two rows, with several seeds; None where the cell cannot exist.

    With a large spread between runs, two runs disagree on more messages than a small share.
    """
    population = _population(cell.share, cell.difference, cell.run_sd)
    if population is None:
        return None
    rates = []
    for right in _draws(population, cell, repetitions, generator):
        noise = statistics.run_noise(right)
        answers = statistics.pair(right[:, 0], right[:, 1], noise)
        baseline = statistics.mean_accuracy_interval(right[:, 0], noise)
        rates.append(
            [
                _holds(*statistics.interval(answers), cell.difference),
                statistics.p_value(answers) < ALPHA,
                statistics.equivalent(answers, MARGIN),
                _holds(*baseline, population.accuracies[0]),
            ]
        )
    return Outcome(cell, *np.concatenate(rates, -1).mean(-1).tolist())


def family(cell: Cell, repetitions: int, generator: np.random.Generator) -> Family:
    """A study of eight variants with one baseline, all of one accuracy but the first variant.

    The first is better by the cell's difference; where that is 0, no difference is real.
    """
    population = _population(cell.share, cell.difference, cell.run_sd)
    assert population is not None
    found = [
        _adjusted(right, noise) < ALPHA
        for right in _draws(population, cell, repetitions, generator, rows=COMPARISONS + 1)
        for noise in (statistics.run_noise(right), None)
    ]
    floor, alone = (np.concatenate(found[which::2]) for which in (0, 1))
    rates = [decided.any(-1).mean() for decided in (floor, alone)]
    if cell.difference:
        return Family(cell, np.nan, np.nan, floor[:, 0].mean(), alone[:, 0].mean())
    return Family(cell, *rates)


def _adjusted(right: NDArray[np.bool_], noise: statistics.RunNoise | None) -> Floats:
    """Holm's p-values of each variant against row 0, [repetitions, variants]."""
    variants = range(1, right.shape[1])
    pairs = (statistics.pair(right[:, 0], right[:, variant], noise) for variant in variants)
    p_values = np.stack([statistics.p_value(paired) for paired in pairs], -1)
    return statistics.holm(p_values, p_values.shape[-1])


def power_of_the_smallest_shown(
    cell: Cell, repetitions: int, generator: np.random.Generator
) -> tuple[float, float]:
    """The smallest difference that such studies say they would show, and how often they do.

    The first is the median over studies without a difference; the second is the rate at which one
    of that size has p < 0.05 / 8, in studies that have it.
    """
    without = _population(cell.share, 0.0, cell.run_sd)
    assert without is not None
    sizes = []
    for right in _draws(without, cell, min(repetitions, AT_ONCE), generator):
        for study in right:
            paired = statistics.pair(*study, statistics.run_noise(study))
            sizes.append(power.smallest_shown(paired, COMPARISONS))
    size = float(np.median([size for size in sizes if size is not None]))
    population = _population(max(cell.share, 1.1 * size), size, cell.run_sd)
    assert population is not None
    shown = [
        statistics.p_value(statistics.pair(right[:, 0], right[:, 1], statistics.run_noise(right)))
        < ALPHA / COMPARISONS
        for right in _draws(population, cell, repetitions, generator)
    ]
    return size, float(np.concatenate(shown).mean())


def average_effect(cell: Cell, repetitions: int, generator: np.random.Generator) -> Outcome | None:
    """A grid of two settings with two values each, of which one has an effect in both rows."""
    population = _population(cell.share, cell.difference, cell.run_sd)
    if population is None:
        return None
    rates = []
    for right in _draws(population, cell, repetitions, generator, rows=4, better=2):
        found = statistics.average_effect(right[:, :2], right[:, 2:], statistics.run_noise(right))
        held = _holds(found.low, found.high, cell.difference)
        rates.append([held, found.p < ALPHA, np.zeros(len(held), bool)])
    return Outcome(cell, *np.concatenate(rates, -1).mean(-1).tolist())


def _holds(low: Floats, high: Floats, difference: float) -> NDArray[np.bool_]:
    return (low <= difference + 1e-9) & (difference <= high + 1e-9)


@dataclass(frozen=True)
class _Population:
    """A threshold model: an answer is right where difficulty < threshold + the run's effect.

    Difficulty is standard normal: a part shared by all runs, one by a row's runs, one a run's own.
    """

    accuracies: tuple[float, float]
    shared: float  # variance of the part that both rows share


@functools.cache
def _population(share: float, difference: float, run_sd: float) -> _Population | None:
    """The threshold model with a cell's accuracies, disagreement and spread between runs."""
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
    return (values - values.mean()) / values.std()


@functools.cache
def _levels(accuracy: float, effects: str, sd: float) -> Floats:
    """A thousand equally likely thresholds of runs, whose accuracies have this mean and sd."""
    values = _quantiles(effects)

    def levels(scale: float) -> Floats:
        def excess(threshold: float) -> float:
            return stats.norm.cdf(threshold + scale * values).mean() - accuracy

        return optimize.brentq(excess, -10, 20) + scale * values

    if not sd:
        return levels(0.0)
    return levels(optimize.brentq(lambda x: stats.norm.cdf(levels(x)).std() - sd, 0, 3))


def _both(first: float, second: float, correlation: float) -> float:
    """P(X < first, Y < second) for standard normals with this correlation."""
    covariance = [[1, correlation], [correlation, 1]]
    return float(stats.multivariate_normal.cdf([first, second], cov=covariance))


def _draws(
    population: _Population,
    cell: Cell,
    repetitions: int,
    generator: np.random.Generator,
    rows: int = 2,
    better: int | None = None,
) -> Iterator[NDArray[np.bool_]]:
    """Right answers, bool [studies, rows, seeds, messages], some studies at a time.

    Row 0 is the baseline, row 1 the variant, and further rows are like the baseline; with `better`
    all rows from this one on are like the variant.
    """
    of_variant = [row == 1 if better is None else row >= better for row in range(rows)]
    for start in range(0, repetitions, AT_ONCE):
        studies = min(AT_ONCE, repetitions - start)
        yield _draw(population, cell, studies, generator, of_variant)


def _draw(
    population: _Population,
    cell: Cell,
    studies: int,
    generator: np.random.Generator,
    of_variant: Sequence[bool],
) -> NDArray[np.bool_]:
    rows = len(of_variant)

    def normal(*shape: int) -> NDArray[np.float32]:
        return generator.standard_normal((studies, *shape), dtype=np.float32)

    of_row = (1 - population.shared) * cell.consistency
    own = (1 - population.shared) * (1 - cell.consistency)
    difficulty = np.float32(np.sqrt(own)) * normal(rows, cell.seeds, cell.messages)
    difficulty += np.float32(np.sqrt(of_row)) * normal(rows, 1, cell.messages)
    difficulty += np.float32(np.sqrt(population.shared)) * normal(1, 1, cell.messages)
    sds = np.full(rows, cell.run_sd)
    if cell.effects == "unequal":
        sds[::2] /= 3
        sds *= cell.run_sd / np.sqrt((sds**2).mean()) if cell.run_sd else 1
    levels = [
        generator.choice(
            _levels(population.accuracies[variant], cell.effects, sd), (studies, cell.seeds)
        )
        for variant, sd in zip(of_variant, sds.tolist(), strict=True)
    ]
    return np.asarray(difficulty < np.stack(levels, 1)[..., None].astype(np.float32))


def cells_with_several_seeds() -> Iterator[Cell]:
    """The full grid. Two seeds are about the trained models only, so no spread between runs."""
    for seeds, consistency in itertools.product(SEEDS, CONSISTENCIES):
        for run_sd in RUN_SDS if seeds >= statistics.SEEDS_FOR_NOISE else (0.0,):
            for share, difference in itertools.product(SHARES, DIFFERENCES):
                if difference <= share:
                    yield Cell(share, difference, seeds, run_sd, consistency)


def families_of_nulls() -> Iterator[Cell]:
    """Studies of eight comparisons with one baseline, none of them with a difference."""
    for messages, effects, run_sd, seeds in itertools.product(
        FAMILY_MESSAGES, EFFECTS, FAMILY_RUN_SDS, FAMILY_SEEDS
    ):
        if run_sd or effects == "normal":
            share = 0.05 if run_sd < 0.03 else 0.07  # runs this noisy disagree on more
            yield Cell(share, 0.0, seeds, run_sd, messages=messages, effects=effects)


def one_seed_families() -> Iterator[Cell]:
    """The same with one seed: how much runs differ is not measured."""
    for run_sd in (0.0, 0.005, 0.01, 0.02):
        yield Cell(0.05, 0.0, seeds=1, run_sd=run_sd)


def families_with_one_difference() -> Iterator[Cell]:
    """One difference of eight is real: how much power the floor costs."""
    for run_sd, seeds in itertools.product((0.005, 0.01, 0.02), FAMILY_SEEDS):
        yield Cell(0.08, 0.05, seeds, run_sd)


def cells_of_grids() -> Iterator[Cell]:
    """A grid of two settings: how well the average effect of one is known."""
    for messages, share, seeds, run_sd, difference in itertools.product(
        FAMILY_MESSAGES, (0.02, 0.05, 0.1), (1, 2, 3, 5), (0.0, 0.005, 0.01, 0.02), (0.0, 0.02)
    ):
        if seeds >= statistics.SEEDS_FOR_NOISE or not run_sd:
            yield Cell(share, difference, seeds, run_sd, messages=messages)


def cells_of_equivalence() -> Iterator[Cell]:
    """Rows that are the same, and rows that differ by the margin."""
    for messages, share, seeds, run_sd, difference in itertools.product(
        FAMILY_MESSAGES, (0.03, 0.05, 0.1), (3, 5), (0.0, 0.005, 0.01), (0.0, MARGIN)
    ):
        yield Cell(share, difference, seeds, run_sd, messages=messages)


def cells_of_power() -> Iterator[Cell]:
    """Where the smallest difference that a study says it would show is tried."""
    for messages, (seeds, run_sd) in itertools.product(
        FAMILY_MESSAGES, ((1, 0.0), (2, 0.0), (3, 0.005), (3, 0.01), (5, 0.005), (5, 0.01))
    ):
        yield Cell(0.05 if run_sd < 0.01 else 0.08, 0.0, seeds, run_sd, messages=messages)


@dataclass(frozen=True)
class Simulated:
    """Everything that the document's tables show."""

    one_seed: Sequence[Outcome]
    dense: Sequence[Outcome]  # one seed, on a finer grid
    several: Sequence[Outcome]
    nulls: Sequence[Family]
    one_seed_nulls: Sequence[Family]
    differences: Sequence[Family]
    equivalence: Sequence[Outcome]
    grids: Sequence[Outcome]  # see `average_effect`
    power: Sequence[tuple[Cell, float, float]]  # see `power_of_the_smallest_shown`
    repetitions: int


def document(found: Simulated) -> str:
    """The generated part of docs/statistics.md."""
    error = 100 * np.sqrt(0.05 * 0.95 / found.repetitions)
    return "\n\n".join(
        [
            "### One seed, exact",
            "Coverage of the 95% interval (per cent), n = 300, by share of discordant messages"
            " (down) and true difference in points (across). The last column is the false-alarm"
            " rate of the exact McNemar test at 5%, where the true difference is 0.",
            _one_seed_table(found.one_seed),
            "In the table, " + _extremes(found.one_seed),
            "On a finer grid, in steps of 0.25 points of both, " + _extremes(found.dense),
            f"### Several seeds, {found.repetitions:,} simulated studies a cell",
            "Lowest and highest coverage (per cent) over shares, differences and consistencies,"
            " n = 300, in studies of two rows. False alarms are the mean and the highest rate of"
            " p < 0.05 over the cells whose true difference is 0. The simulation's own standard"
            f" error is {error:.1f} points.",
            _several_seeds_table(found.several),
            "Over all of them, " + _extremes(found.several),
            "### Eight comparisons with one baseline, none of them real",
            "How often at least one of eight Holm-adjusted p-values is below 0.05 (per cent), by"
            " number of seeds (across), at 5% discordant (7% at a standard deviation of 3 points)."
            " In brackets: if each comparison counted only the noise of its own two rows.",
            "How runs of a row differ: "
            + "; ".join(f"*{name}*: {what}" for name, what in EFFECTS.items())
            + ".",
            _family_table(found.nulls),
            f"The highest is {_highest(found.nulls)}.",
            "### One seed, read as if it were about the settings",
            "The same with every row trained once, by the standard deviation of runs, which such a"
            " study does not measure:",
            _table(
                [
                    [_points(each.cell.run_sd), _percent(each.any_alarm)]
                    for each in found.one_seed_nulls
                ],
                ["sd of runs, points", "any false alarm"],
            ),
            "### One difference of eight is real",
            "How often a true difference of 5 points is found (per cent), n = 300, 8% discordant."
            " In brackets: if each comparison counted only the noise of its own two rows.",
            _detection_table(found.differences),
            "### Equivalence",
            f"How often two rows are called equivalent within ±{_points(MARGIN)} points (per cent):"
            f" where they are the same, and, as a mistake, where they differ by"
            f" {_points(MARGIN)} points.",
            _equivalence_table(found.equivalence),
            "### The average effect of a setting in a grid",
            "A grid of two settings with two values each. Lowest and highest coverage (per cent) of"
            " the 95% interval, and the mean and highest rate of p < 0.05 where there is no effect,"
            " over 300 and 1,000 messages, 2 to 10% discordant, effects of 0 and 2 points.",
            _grid_table(found.grids),
            "### The smallest difference that a study says it would show",
            "Its median over studies without a difference, 5% discordant (8% at a standard"
            " deviation of 1 point), and how often a true difference of that size is shown, at"
            " p < 0.05 / 8. The aim is 80%.",
            _table(
                [
                    [cell.messages, cell.seeds, _points(cell.run_sd), *_sized(size, shown)]
                    for cell, size, shown in found.power
                ],
                ["messages", "seeds", "sd of runs, points", "smallest, points", "shown"],
            ),
        ]
    )


def _table(lines: Sequence[Sequence[object]], headings: Sequence[str]) -> str:
    return tabulate(lines, headings, tablefmt="github", disable_numparse=True)


def _points(fraction: float) -> str:
    return f"{100 * fraction:g}"


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}%"


def _sized(size: float, shown: float) -> tuple[str, str]:
    return f"{100 * size:.1f}", _percent(shown)


def _one_seed_table(outcomes: Sequence[Outcome]) -> str:
    cells = {(outcome.cell.share, outcome.cell.difference): outcome for outcome in outcomes}
    differences = sorted({difference for _, difference in cells})
    lines = [
        [f"{100 * share:g}%"]
        + [
            f"{100 * cells[share, difference].coverage:.1f}" if (share, difference) in cells else ""
            for difference in differences
        ]
        + [_percent(cells[share, 0.0].rejected)]
        for share in sorted({share for share, _ in cells})
    ]
    return _table(lines, ["discordant", *map(_points, differences), "false alarms"])


def _several_seeds_table(outcomes: Sequence[Outcome]) -> str:
    lines = []
    for seeds, run_sd in sorted({(o.cell.seeds, o.cell.run_sd) for o in outcomes}):
        group = [o for o in outcomes if (o.cell.seeds, o.cell.run_sd) == (seeds, run_sd)]
        small = [o.coverage for o in group if o.cell.share <= 0.01]
        large = [o.coverage for o in group if o.cell.share > 0.01]
        alarms = [o.rejected for o in group if o.cell.difference == 0]
        lines.append(
            [
                seeds,
                _points(run_sd),
                len(group),
                _range(large),
                _range(small),
                f"{_percent(float(np.mean(alarms)))}, at most {_percent(max(alarms))}",
                _range([o.row_coverage for o in group]),
            ]
        )
    headings = ["seeds", "sd of runs, points", "cells", "coverage, 2–20% discordant"]
    headings += ["coverage, 1% discordant", "false alarms", "coverage of a row's accuracy"]
    return _table(lines, headings)


def _family_table(families: Sequence[Family]) -> str:
    lines = []
    for messages, effects, run_sd in dict.fromkeys(
        (each.cell.messages, each.cell.effects, each.cell.run_sd) for each in families
    ):
        cells = {
            each.cell.seeds: f"{100 * each.any_alarm:.1f} ({100 * each.any_alarm_alone:.1f})"
            for each in families
            if (each.cell.messages, each.cell.effects, each.cell.run_sd)
            == (messages, effects, run_sd)
        }
        lines.append([messages, effects, _points(run_sd), *cells.values()])
    seeds = [f"{seeds} seeds" for seeds in sorted({each.cell.seeds for each in families})]
    return _table(lines, ["messages", "runs", "sd of runs, points", *seeds])


def _highest(families: Sequence[Family]) -> str:
    worst = max(families, key=lambda each: each.any_alarm)
    cell = worst.cell
    return (
        f"{_percent(worst.any_alarm)}: {cell.messages:,} messages, {cell.effects} runs, standard"
        f" deviation {_points(cell.run_sd)}, {cell.seeds} seeds"
    )


def _detection_table(families: Sequence[Family]) -> str:
    lines = []
    for run_sd in dict.fromkeys(each.cell.run_sd for each in families):
        group = [each for each in families if each.cell.run_sd == run_sd]
        rates = [f"{100 * each.detected:.1f} ({100 * each.detected_alone:.1f})" for each in group]
        lines.append([_points(run_sd), *rates])
    seeds = [f"{seeds} seeds" for seeds in sorted({each.cell.seeds for each in families})]
    return _table(lines, ["sd of runs, points", *seeds])


def _equivalence_table(outcomes: Sequence[Outcome]) -> str:
    found = {outcome.cell: outcome.equivalent for outcome in outcomes}
    lines = [
        [
            cell.messages,
            _percent(cell.share),
            cell.seeds,
            _points(cell.run_sd),
            _percent(shown),
            _percent(found[replace(cell, difference=MARGIN)])
            if replace(cell, difference=MARGIN) in found
            else "cannot exist",
        ]
        for cell, shown in found.items()
        if cell.difference == 0
    ]
    headings = ["messages", "discordant", "seeds", "sd of runs, points", "same", "margin apart"]
    return _table(lines, headings)


def _grid_table(outcomes: Sequence[Outcome]) -> str:
    lines = []
    for seeds, run_sd in sorted({(o.cell.seeds, o.cell.run_sd) for o in outcomes}):
        group = [o for o in outcomes if (o.cell.seeds, o.cell.run_sd) == (seeds, run_sd)]
        alarms = [o.rejected for o in group if o.cell.difference == 0]
        rates = f"{_percent(float(np.mean(alarms)))}, at most {_percent(max(alarms))}"
        lines.append([seeds, _points(run_sd), _range([o.coverage for o in group]), rates])
    return _table(lines, ["seeds", "sd of runs, points", "coverage", "false alarms"])


def _range(coverages: Sequence[float]) -> str:
    if not coverages:
        return "cannot exist"
    return f"{100 * min(coverages):.1f} to {100 * max(coverages):.1f}"


def _extremes(outcomes: Sequence[Outcome]) -> str:
    """Lowest and highest coverage, and each cell where it is outside what is permitted."""
    low, high = PERMITTED
    coverages = [outcome.coverage for outcome in outcomes]
    outside = [outcome for outcome in outcomes if not low <= outcome.coverage <= high]
    listed = "; ".join(
        f"{_percent(each.coverage)} with {_described(each.cell)}" for each in outside
    )
    return (
        f"coverage runs from {100 * min(coverages):.1f} to {100 * max(coverages):.1f}%, and is"
        f" outside {100 * low:g} to {100 * high:g}% in {len(outside)} of {len(outcomes)} cells"
        f"{': ' if outside else ''}{listed}."
    )


def _described(cell: Cell) -> str:
    described = f"{_points(cell.share)}% discordant, difference {_points(cell.difference)}"
    if cell.seeds == 1:
        return described
    return (
        f"{described}, {cell.seeds} seeds, sd {_points(cell.run_sd)}, consistency"
        f" {cell.consistency}"
    )


def replace_generated(text: str, generated: str, path: Path) -> str:
    """The document with its generated part replaced."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise UserError(f"{path}: expected the lines {START} and {END}, in this order")
    return f"{before}{START}\n\n{generated}\n\n{END}{after}"


def run(repetitions: int, seed: int) -> Simulated:
    """Simulates the full grid."""
    generator = np.random.default_rng(seed)

    def each(what: str, cells: Iterable[Cell], of: Callable[..., Any]) -> list[Any]:
        listed = list(cells)
        shown = cli.progress(listed, len(listed), what)
        return [of(cell, repetitions, generator) for cell in shown]

    whole_points = [point / 100 for point in range(11)]
    quarters = [point / 400 for point in range(81)]
    several = each("several seeds", cells_with_several_seeds(), simulate)
    equivalence = []
    for messages in FAMILY_MESSAGES:
        equivalence += enumerate_one_seed((0.03, 0.05, 0.1), (0.0, MARGIN), messages)
        cells = (cell for cell in cells_of_equivalence() if cell.messages == messages)
        equivalence += each("equivalence", cells, simulate)
    return Simulated(
        one_seed=enumerate_one_seed(SHARES, whole_points),
        dense=enumerate_one_seed(quarters[4:], quarters[:41]),
        several=[outcome for outcome in several if outcome],
        nulls=each("no difference", families_of_nulls(), family),
        one_seed_nulls=each("one seed", one_seed_families(), family),
        differences=each("one difference", families_with_one_difference(), family),
        equivalence=[outcome for outcome in equivalence if outcome],
        power=each(
            "power",
            cells_of_power(),
            lambda cell, *more: (cell, *power_of_the_smallest_shown(cell, *more)),
        ),
        grids=[found for found in each("grids", cells_of_grids(), average_effect) if found],
        repetitions=repetitions,
    )


def main(arguments: argparse.Namespace) -> None:
    """Runs the full grid and writes the document's tables."""
    path: Path = arguments.document
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected docs/statistics.md")
    generated = document(run(arguments.repetitions, arguments.seed))
    write_text(path, replace_generated(path.read_text(), generated, path))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--document", type=Path, required=True, help="docs/statistics.md")
    parser.add_argument("--repetitions", type=int, default=2000, help="simulated studies a cell")
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
