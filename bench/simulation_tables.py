"""The generated part of docs/statistics.md, from what bench/simulation.py found."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tabulate import tabulate

from ablations.errors import UserError
from real_texts import METHODS, ROWS, Collections, Held
from threshold_model import EFFECTS, Cell

START, END = "<!-- simulation -->", "<!-- end of simulation -->"
PERMITTED = (0.93, 0.98)

Found = Mapping[Cell, Mapping[str, float]]


def replace_generated(text: str, generated: str, path: Path) -> str:
    """The document with its generated part replaced."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise UserError(f"{path}: expected the lines {START} and {END}, in this order")
    return f"{before}{START}\n\n{generated}\n\n{END}{after}"


def document(
    found: Mapping[str, Found],
    studies: Mapping[str, int],
    texts: Mapping[Collections, Mapping[tuple[str, str], Held]],
) -> str:
    """All of it, in Markdown."""
    parts = [
        *_one_run(found),
        *_false_alarms(found, studies),
        *_power(found, studies),
        *_coverage(found, studies),
        *_real_texts(texts),
        *_equivalence(found, studies),
        *_effects(found, studies),
        *_smallest(found, studies),
    ]
    return "\n\n".join(parts)


# --- the parts


def _one_run(found: Mapping[str, Found]) -> Iterable[str]:
    yield "### One run, exact"
    yield (
        "Coverage of the 95% interval (per cent), 300 texts, by share of discordant texts (down)"
        " and true difference in points (across). The last column is the false-alarm rate of the"
        " exact McNemar test at 5%, where the true difference is 0."
    )
    cells = {(cell.share, cell.difference): each for cell, each in found["one run"].items()}
    differences = sorted({difference for _, difference in cells})
    lines = []
    for share in sorted({share for share, _ in cells}):
        of_share = [cells.get((share, difference)) for difference in differences]
        covered = [f"{100 * each['covered']:.1f}" if each else "" for each in of_share]
        lines.append([f"{_points(share)}%", *covered, _percent(cells[share, 0.0]["alarm"])])
    yield _table(lines, ["discordant", *map(_points, differences), "false alarms"])
    yield f"In the table, {_extremes(found['one run'])}"
    yield (
        f"On a finer grid, in steps of 0.25 points of both, {_extremes(found['one run, finely'])}"
    )


def _false_alarms(found: Mapping[str, Found], studies: Mapping[str, int]) -> Iterable[str]:
    nulls, folds = found["no difference"], found["no difference, folds"]
    number = studies["no difference"]
    error = 100 * np.sqrt(0.05 * 0.95 / number)
    yield f"### Eight comparisons with one baseline, none of them real, {number:,} studies a cell"
    yield (
        "How often at least one of eight Holm-adjusted p-values is below 0.05 (per cent), by number"
        " of seeds (across), at 5% discordant (7% at a standard deviation of 3 points). In"
        " brackets: by the floor that moderated variances replaced, and if each comparison counted"
        " only the noise of its own two rows. The simulation's own standard error is"
        f" {error:.1f} points at 5%."
    )
    kinds = "; ".join(f"*{name}*: {what}" for name, what in EFFECTS.items())
    yield f"How runs of a row differ: {kinds}."
    yield _by_runs(nulls, "seeds", lambda each: _three(each, ""))
    yield f"The highest is {_highest(nulls)}."
    yield "The same with folds in place of seeds, each with its own texts and its own effect:"
    yield _by_runs(folds, "folds", lambda each: _three(each, ""))
    yield f"The highest is {_highest(folds)}."
    yield "### One run, read as if it were about the settings"
    yield (
        "The same with every row trained once, by the standard deviation of runs, which such a"
        " study does not measure:"
    )
    once = found["no difference, one run"]
    lines = [[_points(cell.run_sd), _percent(each["moderated"])] for cell, each in once.items()]
    yield _table(lines, ["sd of runs, points", "any false alarm"])


def _power(found: Mapping[str, Found], studies: Mapping[str, int]) -> Iterable[str]:
    number = studies["one difference"]
    yield f"### One difference of eight is real, {number:,} studies a cell"
    yield (
        "How often a true difference of 5 points is found (per cent), 300 texts, 8% discordant. In"
        " brackets: by the floor, and if each comparison counted only the noise of its own two"
        " rows. With two seeds the floor was not used: that study was tested by the signs of its"
        " texts, and spoke of its trained models only."
    )
    yield _by_runs(found["one difference"], "seeds", lambda each: _three(each, "_first"))


def _coverage(found: Mapping[str, Found], studies: Mapping[str, int]) -> Iterable[str]:
    yield f"### Coverage with several seeds, {studies['coverage']:,} studies a cell"
    yield (
        "Lowest and highest coverage (per cent) of the 95% intervals over shares of 1 to 10%,"
        " differences of 0 to 10 points and consistencies of 0.5 and 0.9, 300 texts, normal runs,"
        " in studies of nine rows. False alarms are the mean and the highest rate of unadjusted"
        " p < 0.05 where the difference is 0. The simulation's own standard error is"
        f" {100 * np.sqrt(0.05 * 0.95 / studies['coverage']):.1f} points, so that the ends of a"
        " range over many cells lie up to three points outside the truth."
    )
    yield _coverage_table(found["coverage"])
    yield f"Of differences, {_extremes(found['coverage'])}"
    yield f"Of accuracies, {_extremes(found['coverage'], 'row_covered')}"
    yield (
        "The same in studies of two rows, in which no other rows tell what noise is typical"
        " (consistency 0.5):"
    )
    yield _coverage_table(found["coverage, two rows"])


def _real_texts(
    texts: Mapping[Collections, Mapping[tuple[str, str], Held]],
) -> Iterable[str]:
    yield "### Folds of real texts"
    yield (
        "Collections drawn from the SMS Spam Collection, in each of which five classifiers were"
        f" trained on every fold ({', '.join(ROWS)}). Lowest to highest coverage (per cent) of 95%"
        " intervals over the five accuracies and the ten differences, their mean, and the mean"
        " half-width in points. True is the mean over all studies. *One fold*: as with one split,"
        " its test texts alone. *Texts alone*: the texts of all folds, as if they were of one"
        " split [9]. *Folds alone*: Student's t of the folds' means. *Moderated*: what this"
        " project uses."
    )
    lines = []
    for drawn, held in texts.items():
        for what in ("accuracies", "differences"):
            for method in METHODS:
                each = held[what, method]
                mean = f"{100 * each.covered.mean():.1f}"
                width = f"±{100 * each.half_width.mean():.2f}"
                covered = _range(each.covered)
                lines.append([drawn.named, drawn.folds, drawn.studies, what, method])
                lines[-1] += [covered, mean, width]
    headings = ["texts", "folds", "studies", "of", "method", "coverage", "mean", "half-width"]
    yield _table(lines, headings)


def _equivalence(found: Mapping[str, Found], studies: Mapping[str, int]) -> Iterable[str]:
    yield f"### Equivalence, with several seeds {studies['equivalence']:,} studies a cell"
    yield (
        "How often two rows are called equivalent within ±2 points (per cent): where they are the"
        " same, and, as a mistake, where they differ by 2 points."
    )
    cells = {**found["equivalence, one run"], **found["equivalence"]}
    lines = []
    for cell, each in cells.items():
        if not cell.difference:
            apart = cells.get(replace(cell, difference=0.02))
            wrong = _percent(apart["equivalent"]) if apart else "cannot exist"
            lines.append([cell.texts, _percent(cell.share), cell.runs, _points(cell.run_sd)])
            lines[-1] += [_percent(each["equivalent"]), wrong]
    headings = ["texts", "discordant", "seeds", "sd of runs, points", "same", "margin apart"]
    yield _table(lines, headings)


def _effects(found: Mapping[str, Found], studies: Mapping[str, int]) -> Iterable[str]:
    yield f"### The average effect of a setting in a grid, {studies['grids']:,} studies a cell"
    yield (
        "A grid of two settings with two values each. Lowest and highest coverage (per cent) of"
        " the 95% interval, and the mean and highest rate of p < 0.05 where there is no effect,"
        " over 300 and 1,000 texts, 2 to 10% discordant, effects of 0 and 2 points."
    )
    lines = [
        [runs, _points(run_sd), _range(_of(group, "covered")), _alarms(group)]
        for (runs, run_sd), group in _grouped(found["grids"])
    ]
    yield _table(lines, ["seeds", "sd of runs, points", "coverage", "false alarms"])


def _smallest(found: Mapping[str, Found], studies: Mapping[str, int]) -> Iterable[str]:
    yield "### The smallest difference that a study says it would show"
    yield (
        "Its median over fifty studies without a difference, 5% discordant (8% at a standard"
        " deviation of 1 point), and how often a true difference of that size is shown, at"
        f" p < 0.05 / 8, in {studies['smallest']:,} studies. The aim is 80%."
    )
    lines = [
        [
            cell.texts,
            cell.runs,
            _points(cell.run_sd),
            f"{100 * each['size']:.1f}",
            _percent(each["shown"]),
        ]
        for cell, each in found["smallest"].items()
    ]
    yield _table(lines, ["texts", "seeds", "sd of runs, points", "smallest, points", "shown"])


# --- tables


def _by_runs(found: Found, runs: str, written: Callable[[Mapping[str, float]], str]) -> str:
    """A column for each number of runs."""
    lines: dict[tuple[int, str, float], list[str]] = {}
    for cell, each in found.items():
        lines.setdefault((cell.texts, cell.effects, cell.run_sd), []).append(written(each))
    numbers = [f"{number} {runs}" for number in sorted({cell.runs for cell in found})]
    table = [[texts, effects, _points(sd), *line] for (texts, effects, sd), line in lines.items()]
    return _table(table, ["texts", "runs", "sd of runs, points", *numbers])


def _three(each: Mapping[str, float], of: str) -> str:
    rates = [f"{100 * each[name + of]:.1f}" for name in ("moderated", "floor", "alone")]
    return f"{rates[0]} ({rates[1]}, {rates[2]})"


def _highest(found: Found) -> str:
    cell = max(found, key=lambda each: found[each]["moderated"])
    runs = f"{cell.runs} {'folds' if cell.folded else 'seeds'}"
    return (
        f"{_percent(found[cell]['moderated'])}: {cell.texts:,} texts, {cell.effects} runs, standard"
        f" deviation {_points(cell.run_sd)}, {runs}"
    )


def _coverage_table(found: Found) -> str:
    lines = []
    for (runs, run_sd), group in _grouped(found):
        large = {cell: each for cell, each in group.items() if cell.share > 0.01}
        small = {cell: each for cell, each in group.items() if cell.share <= 0.01}
        lines.append(
            [
                runs,
                _points(run_sd),
                len(group),
                _range(_of(large, "covered")),
                _range(_of(small, "covered")),
                _alarms(group),
                _range(_of(group, "row_covered")),
            ]
        )
    headings = ["seeds", "sd of runs, points", "cells", "coverage, 2–10% discordant"]
    headings += ["coverage, 1% discordant", "false alarms", "coverage of a row's accuracy"]
    return _table(lines, headings)


def _grouped(found: Found) -> Iterable[tuple[tuple[int, float], Found]]:
    for key in dict.fromkeys((cell.runs, cell.run_sd) for cell in found):
        yield key, {cell: each for cell, each in found.items() if (cell.runs, cell.run_sd) == key}


def _of(found: Found, name: str) -> list[float]:
    return [each[name] for each in found.values()]


def _alarms(found: Found) -> str:
    rates = [each["alarm"] for cell, each in found.items() if not cell.difference]
    return f"{_percent(float(np.mean(rates)))}, at most {_percent(max(rates))}"


def _table(lines: Sequence[Sequence[object]], headings: Sequence[str]) -> str:
    return tabulate(lines, headings, tablefmt="github", disable_numparse=True)


def _points(fraction: float) -> str:
    return f"{100 * fraction:g}"


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}%"


def _range(coverages: Iterable[float]) -> str:
    known = list(coverages)
    return f"{100 * min(known):.1f} to {100 * max(known):.1f}" if known else "cannot exist"


def _extremes(found: Found, name: str = "covered") -> str:
    """Lowest and highest coverage, and the cells where it is outside what is permitted."""
    low, high = PERMITTED
    outside = {cell: each for cell, each in found.items() if not low <= each[name] <= high}
    said = (
        f"coverage runs from {_range(_of(found, name))}%, and is outside {100 * low:g} to"
        f" {100 * high:g}% in {len(outside)} of {len(found)} cells"
    )
    if len(outside) > 8:
        above = [cell for cell, each in outside.items() if each[name] > high]
        few = sum(cell.share <= 0.01 for cell in above)
        return f"{said}; {len(above)} of these are above, {few} of them with 1% discordant."
    listed = [f"{_percent(each[name])} with {_described(cell)}" for cell, each in outside.items()]
    return f"{said}{': ' if listed else ''}{'; '.join(listed)}."


def _described(cell: Cell) -> str:
    described = f"{_points(cell.share)}% discordant, difference {_points(cell.difference)}"
    if cell.runs == 1:
        return described
    return (
        f"{described}, {cell.runs} seeds, sd {_points(cell.run_sd)}, consistency {cell.consistency}"
    )
