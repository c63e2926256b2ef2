#!/usr/bin/env python3
"""How often the intervals hold and the tests raise false alarms: the tables of docs/statistics.md.

    .venv/bin/python bench/simulation.py --document docs/statistics.md --texts ARCHIVE

simulates the full grid and replaces the document's generated part. With one run every outcome is
enumerated, so those numbers carry no simulation error. With several, answers are drawn from a model
(`threshold_model`), and with folds also from real texts (`real_texts`), of which ARCHIVE is the SMS
Spam Collection. `--partial FILE` keeps what is done, so that it can be stopped and gone on with.
"""

import argparse
import itertools
import json
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

import real_texts
import simulation_tables
from ablations import cli
from ablations.answers import noise, power, statistics
from ablations.answers.noise import Contrast, Floats, Prior, Right, Typical
from ablations.answers.statistics import ALPHA
from ablations.errors import UserError
from ablations.files import write_text
from threshold_model import EFFECTS, Cell, draws, population

MARGIN = 0.02
COMPARISONS = 8  # with one baseline, as in the default study
RUNS = (2, 3, 5, 10)

Found = dict[str, float]
Study = Callable[[Cell, int, np.random.Generator], Found]


# --- one run


def enumerated(cell: Cell, *_: object) -> Found:
    """Exact coverage and rejection with one run, by summing over every possible outcome."""
    lost, gained = (half.ravel() for half in np.indices((cell.texts + 1, cell.texts + 1)))
    # Outcomes with more disagreement than this have a chance below 1e-12 together.
    most = stats.binom.isf(1e-12, cell.texts, cell.share)
    lost, gained = lost[lost + gained <= most], gained[lost + gained <= most]
    answers = statistics.one_seed(lost, gained, cell.texts)
    share, difference = cell.share, cell.difference
    chance = stats.multinomial.pmf(
        np.stack([lost, gained, cell.texts - lost - gained], -1),
        cell.texts,
        [max(share - difference, 0) / 2, (share + difference) / 2, 1 - share],
    )
    which = {
        "covered": statistics.score_p(answers, difference) >= ALPHA,
        "alarm": statistics.p_value(answers) < ALPHA,
        "equivalent": statistics.equivalent(answers, MARGIN),
    }
    return {name: float(chance[each].sum()) for name, each in which.items()}


# --- several runs


def two_rows(cell: Cell, studies: int, generator: np.random.Generator) -> Found:
    """How the comparison of the baseline with the first variant, and the baseline, come out."""
    found: list[Floats] = []
    truth = population(cell.share, cell.difference, cell.run_sd)
    assert truth is not None
    for right in draws(cell, studies, generator):
        prior = noise.prior(right, cell.folds)
        pair = statistics.pair(right[:, 0], right[:, 1], prior, cell.folds)
        of_row = statistics.mean_accuracy_interval(right[:, 0], prior, cell.folds)
        found.append(
            np.stack(
                [
                    statistics.score_p(pair, cell.difference) >= ALPHA,
                    statistics.p_value(pair) < ALPHA,
                    statistics.equivalent(pair, MARGIN),
                    (of_row[0] <= truth.accuracies[0]) & (truth.accuracies[0] <= of_row[1]),
                ],
                -1,
            )
        )
    names = ("covered", "alarm", "equivalent", "row_covered")
    return dict(zip(names, np.concatenate(found).mean(0).tolist(), strict=True))


def family(cell: Cell, studies: int, generator: np.random.Generator) -> Found:
    """How often any of eight adjusted p-values is below 0.05, and the first one.

    `floor`: by the method that this one replaced, see `floor_p`; `alone`: without the prior.
    """
    found: dict[str, list[Floats]] = {"moderated": [], "floor": [], "alone": []}
    weights = np.zeros((COMPARISONS, cell.rows))
    weights[:, 0], weights[range(COMPARISONS), range(1, cell.rows)] = -1, 1
    for right in draws(cell, studies, generator):
        prior = noise.prior(right, cell.folds)
        differences = noise.contrast(right, weights, cell.folds)
        p_values = {
            "moderated": _p(differences, prior),
            "floor": floor_p(differences, prior, cell.rows) if prior else _p(differences, None),
            "alone": _p(differences, None),
        }
        for name, p in p_values.items():
            found[name].append(statistics.holm(p, COMPARISONS) < ALPHA)
    decided = {name: np.concatenate(each) for name, each in found.items()}
    any_of = {name: float(each.any(-1).mean()) for name, each in decided.items()}
    return any_of | {f"{name}_first": float(each[:, 0].mean()) for name, each in decided.items()}


def _p(differences: Contrast, prior: Prior | None) -> Floats:
    typical = None
    if prior:
        typical = Typical(prior.pairs.variance[..., None], prior.pairs.freedom[..., None])
    return statistics.p_value(statistics.paired(differences, typical))


def floor_p(differences: Contrast, prior: Prior, rows: int) -> Floats:
    """By the floor: the larger of own variance and the rows' average, Satterthwaite's freedom."""
    own = np.maximum(differences.mean_square - differences.explained, 0)
    floor = 2 * np.asarray(prior.average)[..., None]
    between = np.maximum(own, floor) / differences.runs
    mean_square = np.where(own < floor, floor + differences.explained, differences.mean_square)
    freedom = np.where(own < floor, rows * differences.freedom, differences.freedom)
    of_text = differences.averaging / differences.texts
    under_null = of_text * differences.square + between
    total = of_text * (differences.square - differences.mean**2) + between
    of_runs = mean_square / differences.runs
    ratio = np.divide(total, of_runs, out=np.full_like(total, np.inf), where=of_runs > 0)
    score = np.divide(
        np.abs(differences.mean), np.sqrt(under_null), out=0 * total, where=under_null > 0
    )
    return np.asarray(2 * stats.t.sf(score, np.maximum(ratio**2, 1) * freedom))


def effect(cell: Cell, studies: int, generator: np.random.Generator) -> Found:
    """A grid of two settings with two values each, of which one has an effect in both rows."""
    covered, alarm = [], []
    for right in draws(cell, studies, generator, better=(2, 3)):
        prior = noise.prior(right, cell.folds)
        found = statistics.average_effect(right[:, :2], right[:, 2:], prior, cell.folds)
        covered.append((found.low <= cell.difference) & (cell.difference <= found.high))
        alarm.append(found.p < ALPHA)
    rates = (float(np.concatenate(each).mean()) for each in (covered, alarm))
    return dict(zip(("covered", "alarm"), rates, strict=True))


def smallest(cell: Cell, studies: int, generator: np.random.Generator) -> Found:
    """The smallest difference that such studies say they would show, and how often they do.

    The first is the median over fifty studies without a difference; the second is the rate at
    which one of that size has p < 0.05 / 8, in studies that have it.
    """
    sizes = []
    for right in draws(cell, min(50, studies), generator):
        sizes += [power.smallest_shown(_first_pair(study), COMPARISONS) for study in right]
    size = float(np.median([size for size in sizes if size is not None]))
    real = Cell(**(asdict(cell) | {"difference": size, "share": max(cell.share, 1.1 * size)}))
    shown = [
        statistics.p_value(_first_pair(right)) < ALPHA / COMPARISONS
        for right in draws(real, studies, generator)
    ]
    return {"size": size, "shown": float(np.concatenate(shown).mean())}


def _first_pair(right: Right) -> statistics.Paired:
    return statistics.pair(right[..., 0, :, :], right[..., 1, :, :], noise.prior(right))


# --- the grid


@dataclass(frozen=True)
class Part:
    """A part of the grid: what is simulated, in which cells, with how many studies each."""

    name: str
    study: Study
    cells: Sequence[Cell]
    studies: int


def parts() -> Iterator[Part]:
    """The full grid."""
    whole, quarters = [point / 100 for point in range(11)], [point / 400 for point in range(81)]
    shares = (0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2)
    yield Part("one run", enumerated, list(_cells(shares, whole)), 0)
    yield Part("one run, finely", enumerated, list(_cells(quarters[4:], quarters[:41])), 0)
    apart = list(_cells((0.03, 0.05, 0.1), (0.0, MARGIN)))
    apart += list(_cells((0.03, 0.05, 0.1), (0.0, MARGIN), texts=1000))
    yield Part("equivalence, one run", enumerated, apart, 0)
    of_seeds = list(_nulls((300, 1000), (0.0, 0.005, 0.01, 0.02, 0.03), RUNS))
    yield Part("no difference", family, of_seeds, 1500)
    of_folds = list(_nulls((300, 1500), (0.0, 0.01, 0.02), (5, 10), folded=True))
    yield Part("no difference, folds", family, of_folds, 1500)
    alone = [Cell(0.05, 0.0, run_sd=run_sd) for run_sd in (0, 0.005, 0.01, 0.02)]
    yield Part("no difference, one run", family, alone, 2000)
    yield Part("one difference", family, list(_differences()), 1000)
    yield Part("coverage", two_rows, list(_coverage(9)), 500)
    yield Part("coverage, two rows", two_rows, list(_coverage(2)), 500)
    yield Part("equivalence", two_rows, list(_equivalence()), 500)
    yield Part("grids", effect, list(_grids()), 500)
    yield Part("smallest", smallest, list(_smallest()), 300)


def _cells(
    shares: Sequence[float], differences: Sequence[float], texts: int = 300
) -> Iterator[Cell]:
    for share, difference in itertools.product(shares, differences):
        if difference <= share + 1e-12:
            yield Cell(share, difference, texts=texts)


def _nulls(
    texts: Sequence[int], run_sds: Sequence[float], runs: Sequence[int], folded: bool = False
) -> Iterator[Cell]:
    for count, effects, run_sd, number in itertools.product(texts, EFFECTS, run_sds, runs):
        if run_sd or effects == "normal":
            share = 0.05 if run_sd < 0.03 else 0.07  # runs this noisy disagree on more
            yield Cell(share, 0.0, number, run_sd, texts=count, effects=effects, folded=folded)


def _differences() -> Iterator[Cell]:
    for effects, run_sd, runs in itertools.product(EFFECTS, (0.005, 0.01, 0.02), RUNS):
        yield Cell(0.08, 0.05, runs, run_sd, effects=effects)


def _coverage(rows: int) -> Iterator[Cell]:
    noises = [(0.0, 0.5), (0.01, 0.5), (0.02, 0.5), *([(0.01, 0.9)] if rows > 2 else [])]
    for runs, (run_sd, consistency), share, difference in itertools.product(
        RUNS if rows > 2 else RUNS[:3],
        noises,
        (0.01, 0.02, 0.05, 0.1),
        (0.0, 0.02, 0.05, 0.1),
    ):
        if difference <= share and population(share, difference, run_sd):
            yield Cell(share, difference, runs, run_sd, consistency, rows=rows)


def _equivalence() -> Iterator[Cell]:
    for texts, share, runs, run_sd, difference in itertools.product(
        (300, 1000), (0.03, 0.05), (2, 5), (0.0, 0.005, 0.01), (0.0, MARGIN)
    ):
        if population(share, difference, run_sd):
            yield Cell(share, difference, runs, run_sd, texts=texts)


def _grids() -> Iterator[Cell]:
    for texts, share, runs, run_sd, difference in itertools.product(
        (300, 1000), (0.02, 0.05, 0.1), (1, 2, 3, 5), (0.0, 0.01, 0.02), (0.0, 0.02)
    ):
        if (runs > 1 or not run_sd) and population(share, difference, run_sd):
            yield Cell(share, difference, runs, run_sd, texts=texts, rows=4)


def _smallest() -> Iterator[Cell]:
    several = itertools.product((2, 3, 5), (0.005, 0.01))
    for texts, (runs, run_sd) in itertools.product((300, 1000), [(1, 0.0), *several]):
        yield Cell(0.05 if run_sd < 0.01 else 0.08, 0.0, runs, run_sd, texts=texts)


# --- what is done is kept


def simulate(
    part: Part, seed: int, done: Mapping[str, Found], keep: Callable[[str, Found], None]
) -> dict[Cell, Found]:
    """What each cell gives; the random numbers of one do not depend on the others."""
    results = {}
    for cell in cli.progress(part.cells, part.name):
        name = f"{part.name} {part.studies} {cell}"
        if name not in done:
            generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
            keep(name, part.study(cell, part.studies, generator))
        results[cell] = done[name]
    return results


def main(arguments: argparse.Namespace) -> None:
    """Simulates the full grid and writes the document's tables."""
    path: Path = arguments.document
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected docs/statistics.md")
    partial: Path | None = arguments.partial
    lines = partial.read_text().splitlines() if partial and partial.exists() else []
    done: dict[str, Any] = dict(map(json.loads, lines))

    def keep(name: str, found: Any) -> None:
        done[name] = found
        if partial:
            with partial.open("a") as file:
                file.write(json.dumps([name, found]) + "\n")

    found = {part.name: simulate(part, arguments.seed, done, keep) for part in parts()}
    texts = {
        drawn: real_texts.hold(drawn, right)
        for drawn, right in real_texts.draw(arguments.texts, arguments.seed, done, keep).items()
    }
    studies = {part.name: part.studies for part in parts()}
    generated = simulation_tables.document(found, studies, texts)
    write_text(path, simulation_tables.replace_generated(path.read_text(), generated, path))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--document", type=Path, required=True, help="docs/statistics.md")
    parser.add_argument("--texts", type=Path, required=True, help="sms+spam+collection.zip")
    parser.add_argument("--partial", type=Path, help="a file of what is done; gone on with")
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
