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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from ablations import cli
from ablations.answers import statistics
from ablations.answers.statistics import ALPHA, Floats
from ablations.errors import UserError
from ablations.files import write_text

MESSAGES = 300
SHARES = (0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2)
DIFFERENCES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1)
SEEDS = (2, 3, 5, 10)
RUN_SDS = (0.0, 0.005, 0.01, 0.02)
FAMILY_RUN_SDS = (0.0, 0.01, 0.02)
CONSISTENCIES = (0.5, 0.9)
PERMITTED = (0.93, 0.98)

START, END = "<!-- simulation -->", "<!-- end of simulation -->"


@dataclass(frozen=True)
class Cell:
    """A true state of affairs; shares, differences and standard deviations are fractions."""

    share: float  # of messages that exactly one of the two runs gets right
    difference: float  # in accuracy, variant minus baseline
    seeds: int = 1
    run_sd: float = 0.0  # of a run's accuracy around its row's
    consistency: float = 0.5  # part of what is particular to a row that all its seeds share


@dataclass(frozen=True)
class Outcome:
    """How often the interval held the truth, and how often p was below 0.05."""

    cell: Cell
    coverage: float
    rejected: float


def enumerate_one_seed(
    shares: Sequence[float], differences: Sequence[float], messages: int = MESSAGES
) -> list[Outcome]:
    """Exact coverage and rejection with one seed, by summing over every possible outcome."""
    lost, gained = (half.ravel() for half in np.indices((messages + 1, messages + 1)))
    # Outcomes with more disagreement than this have a chance below 1e-12 together.
    most = stats.binom.isf(1e-12, messages, max(shares))
    lost, gained = lost[lost + gained <= most], gained[lost + gained <= most]
    answers = statistics.one_seed(lost, gained, messages)
    low, high = statistics.interval(answers)
    rejects = statistics.p_value(answers) < ALPHA
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
        cell = Cell(share, difference)
        outcomes.append(Outcome(cell, float(chance[holds].sum()), float(chance[rejects].sum())))
    return outcomes


def simulate(cell: Cell, repetitions: int, generator: np.random.Generator) -> Outcome | None:
    """Coverage and rejection with several seeds; None where the cell cannot exist.

    With a large spread between runs, two runs disagree on more messages than a small share.
    """
    population = _population(cell.share, cell.difference, cell.run_sd)
    if population is None:
        return None
    right = _draw(population, cell, repetitions, generator)
    answers = statistics.pair(right[:, 0], right[:, 1])
    low, high = statistics.interval(answers)
    return Outcome(
        cell,
        float(_holds(low, high, cell.difference).mean()),
        float((statistics.p_value(answers) < ALPHA).mean()),
    )


def family_of_nulls(
    cell: Cell, comparisons: int, repetitions: int, generator: np.random.Generator
) -> float:
    """How often any of several variants, all as good as one baseline, is called different."""
    population = _population(cell.share, cell.difference, cell.run_sd)
    assert population is not None
    right = _draw(population, cell, repetitions, generator, rows=comparisons + 1)
    p = np.stack(
        [
            statistics.p_value(statistics.pair(right[:, 0], right[:, variant]))
            for variant in range(1, comparisons + 1)
        ],
        -1,
    )
    return float(np.mean([min(statistics.holm(list(family))) < ALPHA for family in p]))


def _holds(low: Floats, high: Floats, difference: float) -> NDArray[np.bool_]:
    return (low <= difference + 1e-9) & (difference <= high + 1e-9)


@dataclass(frozen=True)
class _Population:
    """A threshold model: an answer is right where difficulty < threshold + the run's effect.

    Difficulty is standard normal: a part shared by all runs, one by a row's runs, one a run's own.
    """

    thresholds: tuple[float, float]
    run_sd: float
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
    scale = np.sqrt(1 / (1 - of_runs))
    return _Population(
        thresholds=(baseline * scale, variant * scale),
        run_sd=np.sqrt(of_runs) * scale,
        shared=optimize.brentq(excess, 0, most) / (1 - of_runs),
    )


def _both(first: float, second: float, correlation: float) -> float:
    """P(X < first, Y < second) for standard normals with this correlation."""
    covariance = [[1, correlation], [correlation, 1]]
    return float(stats.multivariate_normal.cdf([first, second], cov=covariance))


def _draw(
    population: _Population,
    cell: Cell,
    repetitions: int,
    generator: np.random.Generator,
    rows: int = 2,
) -> NDArray[np.bool_]:
    """Right answers, bool [repetitions, rows, seeds, messages]; row 0 is the baseline."""

    def normal(*shape: int) -> NDArray[np.float32]:
        return generator.standard_normal((repetitions, *shape), dtype=np.float32)

    of_row = (1 - population.shared) * cell.consistency
    own = (1 - population.shared) * (1 - cell.consistency)
    difficulty = np.float32(np.sqrt(own)) * normal(rows, cell.seeds, MESSAGES)
    difficulty += np.float32(np.sqrt(of_row)) * normal(rows, 1, MESSAGES)
    difficulty += np.float32(np.sqrt(population.shared)) * normal(1, 1, MESSAGES)
    baseline, variant = population.thresholds
    thresholds = np.array([baseline] + [variant] * (rows - 1), np.float32)[:, None, None]
    effects = np.float32(population.run_sd) * normal(rows, cell.seeds, 1)
    return np.asarray(difficulty < thresholds + effects)


def cells_with_several_seeds() -> Iterator[Cell]:
    """The full grid. Two seeds speak of the trained models only, so no spread between runs."""
    for seeds, consistency in itertools.product(SEEDS, CONSISTENCIES):
        for run_sd in RUN_SDS if seeds >= statistics.SEEDS_FOR_NOISE else (0.0,):
            for share, difference in itertools.product(SHARES, DIFFERENCES):
                if difference <= share:
                    yield Cell(share, difference, seeds, run_sd, consistency)


def families_of_nulls() -> Iterator[Cell]:
    """What eight comparisons with one baseline are tried on, none of them real."""
    for seeds in (1, *SEEDS):
        for run_sd in FAMILY_RUN_SDS if seeds >= statistics.SEEDS_FOR_NOISE else (0.0,):
            yield Cell(share=0.05, difference=0.0, seeds=seeds, run_sd=run_sd)


def document(
    one_seed: Sequence[Outcome],
    dense: Sequence[Outcome],
    several: Sequence[Outcome],
    families: Sequence[tuple[Cell, float]],
    repetitions: int,
) -> str:
    """The generated part of docs/statistics.md."""
    return "\n\n".join(
        [
            "### One seed, exact",
            "Coverage of the 95% interval (per cent), n = 300, by share of discordant messages"
            " (down) and true difference in points (across); the last column is the false-alarm"
            " rate of the exact McNemar test at 5%, where the true difference is 0.",
            _one_seed_table(one_seed),
            "In the table, " + _extremes(one_seed),
            "On a finer grid, in steps of 0.25 points of both, " + _extremes(dense),
            f"### Several seeds, {repetitions:,} simulated studies a cell",
            "Lowest and highest coverage (per cent) over shares, differences and consistencies;"
            " false alarms are the mean and the highest rate of p < 0.05 over the cells whose true"
            f" difference is 0. The simulation's own standard error is"
            f" {100 * np.sqrt(0.05 * 0.95 / repetitions):.1f} points.",
            _several_seeds_table(several),
            "Over all of them, " + _extremes(several),
            "### Eight comparisons with one baseline, none of them real",
            "How often at least one of eight Holm-adjusted p-values is below 0.05, at 5%"
            " discordant:",
            tabulate(
                [
                    [cell.seeds, f"{100 * cell.run_sd:g}", f"{100 * rate:.1f}%"]
                    for cell, rate in families
                ],
                ["seeds", "sd of runs, points", "any false alarm"],
                tablefmt="github",
                disable_numparse=True,
            ),
        ]
    )


def _one_seed_table(outcomes: Sequence[Outcome]) -> str:
    cells = {(outcome.cell.share, outcome.cell.difference): outcome for outcome in outcomes}
    differences = sorted({difference for _, difference in cells})
    lines = [
        [f"{100 * share:g}%"]
        + [
            f"{100 * cells[share, difference].coverage:.1f}" if (share, difference) in cells else ""
            for difference in differences
        ]
        + [f"{100 * cells[share, 0.0].rejected:.1f}%"]
        for share in sorted({share for share, _ in cells})
    ]
    headers = ["discordant"] + [f"{100 * difference:g}" for difference in differences]
    return tabulate(lines, [*headers, "false alarms"], tablefmt="github", disable_numparse=True)


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
                f"{100 * run_sd:g}",
                len(group),
                _range(large),
                _range(small),
                f"{100 * np.mean(alarms):.1f}%, at most {100 * max(alarms):.1f}%",
            ]
        )
    headers = ["seeds", "sd of runs, points", "cells"]
    headers += ["coverage, 2–20% discordant", "coverage, 1% discordant", "false alarms"]
    return tabulate(lines, headers, tablefmt="github", disable_numparse=True)


def _range(coverages: Sequence[float]) -> str:
    if not coverages:
        return "cannot exist"
    return f"{100 * min(coverages):.1f} to {100 * max(coverages):.1f}"


def _extremes(outcomes: Sequence[Outcome]) -> str:
    """Lowest and highest coverage, and each cell where it is not what it should be."""
    low, high = PERMITTED
    coverages = [outcome.coverage for outcome in outcomes]
    outside = [outcome for outcome in outcomes if not low <= outcome.coverage <= high]
    listed = "; ".join(
        f"{100 * each.coverage:.1f}% with {_described(each.cell)}" for each in outside
    )
    return (
        f"coverage runs from {100 * min(coverages):.1f} to {100 * max(coverages):.1f}%, and is"
        f" outside {100 * low:g} to {100 * high:g}% in {len(outside)} of {len(outcomes)} cells"
        f"{': ' if outside else ''}{listed}."
    )


def _described(cell: Cell) -> str:
    described = f"{100 * cell.share:g}% discordant, difference {100 * cell.difference:g}"
    if cell.seeds == 1:
        return described
    return (
        f"{described}, {cell.seeds} seeds, sd {100 * cell.run_sd:g}, consistency {cell.consistency}"
    )


def replace_generated(text: str, generated: str, path: Path) -> str:
    """The document with its generated part replaced."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise UserError(f"{path}: expected the lines {START} and {END}, in this order")
    return f"{before}{START}\n\n{generated}\n\n{END}{after}"


def main(arguments: argparse.Namespace) -> None:
    """Runs the full grid and writes the document's tables."""
    path: Path = arguments.document
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected docs/statistics.md")
    generator = np.random.default_rng(arguments.seed)
    whole_points = [point / 100 for point in range(11)]
    quarters = [point / 400 for point in range(81)]
    cells = list(cells_with_several_seeds())
    drawn = cli.progress(cells, len(cells), "cell")
    outcomes = [simulate(cell, arguments.repetitions, generator) for cell in drawn]
    families = [
        (cell, family_of_nulls(cell, 8, arguments.repetitions, generator))
        for cell in families_of_nulls()
    ]
    generated = document(
        enumerate_one_seed(SHARES, whole_points),
        enumerate_one_seed(quarters[4:], quarters[:41]),
        [outcome for outcome in outcomes if outcome is not None],
        families,
        arguments.repetitions,
    )
    write_text(path, replace_generated(path.read_text(), generated, path))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--document", type=Path, required=True, help="docs/statistics.md")
    parser.add_argument("--repetitions", type=int, default=4000, help="simulated studies a cell")
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
