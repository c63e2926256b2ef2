"""What the study shows: results/interpretation.md, and comparisons.csv with the numbers behind it.

Says no more than the test of each comparison shows, and for what it holds.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from tabulate import tabulate

from ablations import cli
from ablations.answers import formats, statistics
from ablations.answers.comparisons import (
    CleanPair,
    Comparison,
    Estimate,
    Setting,
    compare_all,
    run_noise,
    why_none,
)
from ablations.answers.effects import averaged_effects
from ablations.answers.notes import provisional, standins
from ablations.answers.results import Results, TrainedRow, add_arguments, load
from ablations.files import write_text

# False alarms among eight comparisons, where runs of a row have a standard deviation of 0.5, 1 and
# 2 points and each row is trained once: docs/statistics.md.
ONE_SEED_ALARMS = "5, 19 and 68%"

COMPARATIVE = {"better": "more accurate than", "worse": "less accurate than"}

CSV_HEADINGS = (
    *("id", "question", "baseline", "variant", "settings", "confounded"),
    *("baseline_accuracy", "variant_accuracy", "difference", "difference_low", "difference_high"),
    *("distinct_messages", "distinct_difference", "distinct_low", "distinct_high"),
    *("only_baseline_right", "only_variant_right", "messages", "seeds", "p", "adjusted_p"),
    *("verdict", "margin", "equivalent", "equivalence_low", "equivalence_high"),
    *("smallest_difference_shown", "claim", "published_difference", "outcome"),
    *("baseline_time_seconds", "variant_time_seconds", "time_ratio"),
)


def markdown(results: Results, comparisons: Sequence[Comparison]) -> str:
    """interpretation.md."""
    parts = [f"# Interpretation: {formats.text(results.title)}"]
    parts += [f"> **{line}**" for line in (standins(results), provisional(results)) if line]
    if comparisons:
        parts += ["## In short", summary(comparisons)]
        parts += ["## How to read this", how_to_read(results, comparisons)]
        for number, comparison in enumerate(comparisons, start=1):
            parts.append(f"## {number}. {formats.text(comparison.question.question)}")
            parts += answer(comparison, results)
    else:
        parts.append(why_none(results))
    parts += grids(results)
    parts += measured_and_published(results)
    return "\n\n".join(parts) + "\n"


def summary(comparisons: Sequence[Comparison]) -> str:
    """A Markdown table with a line for each comparison."""
    claims = any(comparison.question.claim for comparison in comparisons)
    lines = [
        [
            str(number),
            f"`{comparison.variant.id}` against `{comparison.baseline.id}`",
            str(comparison.overall),
            formats.p_value(comparison.adjusted_p),
            verdict(comparison) + (", confounded" if comparison.confounded else ""),
        ]
        + ([comparison.question.claim or "–", comparison.outcome or "–"] if claims else [])
        for number, comparison in enumerate(comparisons, start=1)
    ]
    headings = ["#", "Rows", "Difference in test accuracy, points (95% interval)"]
    headings += ["Adjusted p" if comparisons[0].among > 1 else "p", "Verdict"]
    headings += ["Published", "Published claim is"] if claims else []
    return tabulate(lines, headings, tablefmt="github", disable_numparse=True)


def verdict(comparison: Comparison) -> str:
    """`better`, `no detectable difference, equivalent within ±2 points`."""
    if not comparison.equivalence.shown:
        return comparison.verdict
    return f"{comparison.verdict}, equivalent within {_margin(comparison.equivalence.margin)}"


def _margin(margin: float) -> str:
    return f"±{100 * margin:g} points"


def how_to_read(results: Results, comparisons: Sequence[Comparison]) -> str:
    """What holds for every answer, said once: a Markdown list."""
    return "\n".join(f"- {line}" for line in _how_to_read(results, comparisons))


def _how_to_read(results: Results, comparisons: Sequence[Comparison]) -> Iterator[str]:
    messages, many = len(results.test), results.asked > 1
    adjusted = f", adjusted for {results.asked} comparisons by Holm's method" if many else ""
    yield (
        f"**Verdict.** Two rows answer the same {cli.count(messages, 'test message')} and are"
        f" compared message by message. A row is called better or worse only if"
        f" {_test(len(results.seeds))} gives p below {statistics.ALPHA}{adjusted}."
    )
    yield (
        "**Interval.** It shows which true differences, in percentage points, fit the data (95%)."
        + (" Each interval is for its own comparison and is not adjusted." if many else "")
    )
    yield _equivalence(results, comparisons)
    yield from _smallest_shown(results, comparisons)
    yield from _seeds(results, comparisons)
    yield (
        "**What the verdicts hold for.** This split of the data, which is the same for every seed;"
        f" these models; and these training settings{_tuned(results)}."
    )
    if any(comparison.distinct for comparison in comparisons):
        yield (
            f"**Near-copies.** {int(results.test.near_train.sum())} of the test messages are equal"
            " or nearly equal to a training message. Each answer gives the difference without them"
            " too."
        )
    if any(run.metrics.trunk_time_seconds for row in results.rows for run in row.runs):
        yield (
            "**Time.** The output of frozen layers is computed once and reused. A loop that"
            " computes it again in every epoch has other ratios."
        )
    if any(comparison.question.claim for comparison in comparisons):
        yield (
            "**Published claims.** *Confirmed*: the verdict here is the claim. *Contradicted*: the"
            " verdict is a difference the other way, or the published difference lies outside the"
            " interval. *Not settled here*: neither. A claim of “similar” is confirmed only by"
            " equivalence, and contradicted too where the interval lies outside the margin. The"
            " published numbers come from one run of each row. With the published"
            " split and seed, agreement means that the published run was repeated. It is not an"
            " independent replication."
        )


def _test(seeds: int) -> str:
    if seeds == 1:
        return "the exact McNemar test"
    if seeds < statistics.SEEDS_FOR_NOISE:
        return "an exact sign-flip test over messages (McNemar's, for two seeds)"
    return "a score test that counts both messages and training runs"


def _equivalence(results: Results, comparisons: Sequence[Comparison]) -> str:
    margin = _margin(results.margin)
    said = (
        "**No detectable difference** does not mean that two rows are the same. They count as"
        f" equivalent only if the 90% interval of their difference lies within {margin} (`margin`"
        " in the configuration)."
        + (" This is not adjusted for the number of comparisons." if results.asked > 1 else "")
    )
    if all(comparison.equivalence.possible for comparison in comparisons):
        return said
    messages = cli.count(len(results.test), "test message")
    return f"{said} {messages} cannot show that, whatever the rows answer."


def _smallest_shown(results: Results, comparisons: Sequence[Comparison]) -> Iterator[str]:
    """What the smallest difference that a study would show rests on, where one is named."""
    if all(comparison.decided or comparison.equivalence.shown for comparison in comparisons):
        return
    many = results.asked
    level = f" and at the strictest level of Holm's method, 0.05 / {many}" if many > 1 else ""
    said = (
        "**The smallest difference that this study would show** is computed for rows that disagree"
        f" as often as these do{level}."
    )
    if len(results.seeds) >= statistics.SEEDS_FOR_NOISE:
        said += (
            " With the noise of training it is optimistic: in simulated studies such differences"
            " were shown in two of three to three of four cases (docs/statistics.md)."
        )
    yield said


def _tuned(results: Results) -> str:
    chosen = [
        f"`{row.id}` was chosen from {row.chosen_from} rows by its validation accuracy"
        for row in results.rows
        if row.chosen_from not in (None, 1)
    ]
    if not chosen:
        return ", which were not tuned for any row"
    return f". {formats.names(chosen)}; no other row was tuned, so the efforts were not equal"


def _seeds(results: Results, comparisons: Sequence[Comparison]) -> Iterator[str]:
    seeds = len(results.seeds)
    if seeds == 1:
        yield (
            "**One seed.** Every row was trained once, so a verdict is about two trained models."
            " Another seed trains another model, and how much that changes was not measured. It is"
            " an error to read such a verdict as one about the settings: in simulated studies of"
            " eight comparisons without any real difference, that gave a false alarm in"
            f" {ONE_SEED_ALARMS} of the studies, where runs of a row had a standard deviation of"
            " 0.5, 1 and 2 points (docs/statistics.md). At least"
            f" {statistics.SEEDS_FOR_NOISE} seeds are needed to measure it."
        )
    elif seeds < statistics.SEEDS_FOR_NOISE:
        yield (
            f"**{seeds} seeds** are too few to measure the noise of training. A verdict is about"
            " these trained models, averaged over the seeds."
        )
    else:
        noise = run_noise(results)
        assert noise is not None
        spread = 100 * math.sqrt(noise.variance)
        yield (
            f"**{seeds} seeds.** Intervals and tests count the choice of messages and the noise of"
            " training. No comparison counts less noise than the rows of the study have on average:"
            f" a standard deviation of {spread:.2f} points between the runs of a row, beyond what"
            f" {cli.count(len(results.test), 'test message')} explain. (The ± of an accuracy"
            " is the whole standard deviation.)"
        )


def answer(comparison: Comparison, results: Results) -> list[str]:
    """The Markdown paragraphs below a question: the verdict, then the evidence for it."""
    evidence = [_settings(comparison), *_accuracies(comparison, results)]
    if not comparison.decided:
        evidence += _why_not(comparison, results)
    evidence += [*_how_close(comparison), *_distinct(comparison)]
    evidence += [_time(comparison), *_published(comparison)]
    return [f"**{_verdict(comparison, results)}**", "\n".join(f"- {line}" for line in evidence)]


def _verdict(comparison: Comparison, results: Results) -> str:
    baseline, variant = f"`{comparison.baseline.id}`", f"`{comparison.variant.id}`"
    models = _of_models(results)
    if comparison.decided:
        said = f"{variant} is {COMPARATIVE[comparison.verdict]} {baseline}"
        said = f"Of these trained models, {said}" if models else said
        confounded = " Which of the changed settings is the reason cannot be told."
    else:
        of = "the trained models of " if models else ""
        said = f"No detectable difference between {of}{baseline} and {variant}"
        confounded = " The effects of the changed settings may cancel out."
    if comparison.equivalence.shown:
        said += f"; they are equivalent within {_margin(comparison.equivalence.margin)}"
    return f"{said}.{confounded if comparison.confounded else ''}"


def _of_models(results: Results) -> bool:
    """Whether a verdict is about the trained models, the noise of training not being measured."""
    return len(results.seeds) < statistics.SEEDS_FOR_NOISE


def _why_not(comparison: Comparison, results: Results) -> Iterator[str]:
    """Why no difference is detected, where the p-value or the interval seems to say otherwise."""
    if comparison.p < statistics.ALPHA:
        yield (
            "As a single comparison this would count as a difference. Among"
            f" {comparison.among} comparisons it does not: with so many, small p-values are"
            " more often due to chance."
        )
    elif comparison.overall.low > 0 or comparison.overall.high < 0:
        yield "The interval excludes zero narrowly. The verdict follows the exact test."


def _how_close(comparison: Comparison) -> Iterator[str]:
    """How small a difference this study excludes, and how large a one it would have shown."""
    found = comparison.equivalence
    limits = f"90% interval {formats.points(found.low)} to {formats.points(found.high)}"
    if found.shown and comparison.decided:
        yield f"The difference is small: the {limits} lies within {_margin(found.margin)}."
    elif found.shown:
        yield f"Equivalent: the {limits} lies within {_margin(found.margin)}."
    elif not comparison.decided:
        if found.possible:
            beyond = f"reaches beyond {_margin(found.margin)}"
            yield f"Not shown to be equivalent: the {limits} {beyond}."
        yield _smallest(comparison)


def _smallest(comparison: Comparison) -> str:
    if comparison.smallest_shown is None:
        return "This study is too small, or its runs differ too much, to show any difference here."
    at_best = ", at best" if len(comparison.baseline.runs) >= statistics.SEEDS_FOR_NOISE else ""
    return (
        f"A true difference of {100 * comparison.smallest_shown:.1f} points is the smallest that"
        f" this study would show in four of five cases{at_best}."
    )


def _distinct(comparison: Comparison) -> Iterator[str]:
    if comparison.distinct:
        yield (
            f"Without near-copies of training messages ({comparison.distinct.messages:,} messages):"
            f" {_estimated(comparison.distinct)}."
        )


def _settings(comparison: Comparison) -> str:
    settings = comparison.settings
    if not settings:
        return "The two rows have the same settings. A difference between them can only be noise."
    listed = "; ".join(
        f"{setting.name} ({_value(setting.baseline)} → {_value(setting.variant)})"
        for setting in settings
    )
    if len(settings) == 1:
        return f"Changed: {listed}."
    clean = " ".join(_clean(pair, comparison) for pair in comparison.clean_pairs)
    return f"**Confounded:** {len(settings)} settings change at once: {listed}. {clean}"


def _value(value: Any) -> str:
    return formats.text(formats.as_configured(value))


def _clean(pair: CleanPair, comparison: Comparison) -> str:
    name = pair.setting.name
    if pair.baseline and pair.variant:
        later = f" (`{pair.unfinished}` is not finished)" if pair.unfinished else ""
        return f"For {name} alone, compare `{pair.baseline}` with `{pair.variant}`{later}."
    like, value = comparison.variant.id, pair.setting.baseline
    if pair.baseline:
        like, value = pair.baseline, pair.setting.variant
    return (
        f"For {name} alone, the study lacks a row: one like `{like}` with {name} {_value(value)}."
    )


def _accuracies(comparison: Comparison, results: Results) -> Iterator[str]:
    said = [
        f"{formats.percents(results.right(row).mean(1).tolist())} (`{row.id}`)"
        for row in (comparison.baseline, comparison.variant)
    ]
    yield f"Test accuracy: {said[0]}, {said[1]}. Difference: {_estimated(comparison.overall)}."
    if not comparison.lost and not comparison.gained:
        yield "Both rows get the same test messages right."
        return
    several = len(results.seeds) > 1
    yield (
        f"{'On average, only' if several else 'Only'} `{comparison.baseline.id}` is right on"
        f" {_messages(comparison.lost)}, only `{comparison.variant.id}` on"
        f" {_messages(comparison.gained)}: {_p_values(comparison, results)}."
    )


def _messages(number: float) -> str:
    rounded = round(number, 1)
    return cli.count(int(rounded), "message") if rounded.is_integer() else f"{rounded} messages"


def _p_values(comparison: Comparison, results: Results) -> str:
    unadjusted = formats.p_value(comparison.p)
    if comparison.among == 1:
        return unadjusted
    return f"{unadjusted}, adjusted {formats.p_value(comparison.adjusted_p)}"


def _estimated(estimate: Estimate) -> str:
    low, high = formats.points(estimate.low), formats.points(estimate.high)
    return f"{formats.points(estimate.difference)} points (95% interval {low} to {high})"


def _time(comparison: Comparison) -> str:
    time = comparison.time
    if time.ratio is None:
        return f"Training times are not compared: {formats.text(str(time.obstacle))}."
    ratio = f"{time.ratio:.2f}" if time.ratio < 10 else f"{time.ratio:.0f}"
    return (
        f"Training time: {formats.times([time.baseline])} (`{comparison.baseline.id}`),"
        f" {formats.times([time.variant])} (`{comparison.variant.id}`), ratio {ratio}"
        f"{_published_ratio(comparison)}."
    )


def _published_ratio(comparison: Comparison) -> str:
    one, other = comparison.baseline.published, comparison.variant.published
    if not (one and other and one.training_time_min and other.training_time_min):
        return ""
    if one.device != other.device:
        return ""
    ratio = other.training_time_min / one.training_time_min
    return f" (published: {ratio:.2f}, with everything computed again in every epoch)"


def _published(comparison: Comparison) -> Iterator[str]:
    """What was published, where anything was, and whether it holds here."""
    claim, difference = comparison.question.claim, comparison.published_difference
    one, other = comparison.baseline.published, comparison.variant.published
    numbers = ""
    if one and other and difference is not None:
        numbers = (
            f" ({formats.percent(one.test)} and {formats.percent(other.test)}:"
            f" {formats.points(difference)} points)"
        )
    if claim is None:
        if numbers:
            yield f"Published, without a claim about this pair{numbers}."
        return
    outcome = f"**{str(comparison.outcome).capitalize()}**{_why(comparison)}"
    yield f"Published: {claim}{numbers}. {outcome}."


def _why(comparison: Comparison) -> str:
    published, claim = comparison.published_difference, comparison.question.claim
    outside = published is not None and not comparison.overall.contains(published)
    if comparison.outcome == "confirmed":
        return ", but the published difference lies outside the interval" if outside else ""
    if comparison.outcome == "contradicted":
        if outside:
            return ": the published difference lies outside the interval"
        if claim == "similar":
            return ": the interval lies outside the margin"
        return ": the difference here goes the other way"
    if published is None:
        return ""
    zero = " and zero" if comparison.overall.contains(0) else ""
    return f": the interval contains the published difference{zero}"


def grids(results: Results) -> Iterator[str]:
    """Markdown paragraphs about what each setting of a grid does on average, where one has two."""
    effects = averaged_effects(results)
    for grid in dict.fromkeys(effect.grid for effect in effects):
        of_grid = [effect for effect in effects if effect.grid == grid]
        yield f"## What each setting of the grid `{grid}` does on average"
        models = " of these trained models" if _of_models(results) else ""
        yield (
            f"Each line is the mean difference in test accuracy{models} over all pairs of the"
            " grid's rows that differ in this setting alone, with its 95% interval. P-values are"
            f" adjusted for {cli.count(len(of_grid), 'effect')} by Holm's method. A mean can"
            " hide that a setting helps some rows and harms others: the rows themselves are in the"
            " table."
        )
        headings = ["Setting", "Change", "Pairs", "Mean difference, points (95% interval)"]
        headings += ["Adjusted p" if len(of_grid) > 1 else "p", "Verdict"]
        lines = [
            [
                effect.setting,
                f"{_value(effect.first)} → {_value(effect.value)}",
                str(effect.pairs),
                formats.estimate(effect.difference, effect.low, effect.high),
                formats.p_value(effect.adjusted_p),
                effect.verdict,
            ]
            for effect in of_grid
        ]
        yield tabulate(lines, headings, tablefmt="github", disable_numparse=True)


def measured_and_published(results: Results) -> Iterator[str]:
    """A last section with one line for each row, where anything was published."""
    if not any(row.published for row in results.rows):
        return
    yield "## Measured and published"
    headings = ["#", "Row"]
    names = map(str.capitalize, formats.SPLITS.values())
    headings += [f"{name} acc, published (difference)" for name in names]
    headings += ["Training time, published"]
    measured, published = formats.times_columns(
        [row.times() for row in results.rows], [row.published_times() for row in results.rows]
    )
    times = map(_times_beside, results.rows, measured, published)
    lines = [
        [str(row.number), row.id, *map(_beside, repeat(row), formats.SPLITS), time]
        for row, time in zip(results.rows, times, strict=True)
    ]
    yield tabulate(lines, headings, tablefmt="github", disable_numparse=True)


def _beside(row: TrainedRow, split: str) -> str:
    accuracies = row.accuracies(split)
    measured = formats.percents(accuracies)
    if row.published is None:
        return measured
    published = getattr(row.published, split)
    difference = sum(accuracies) / len(accuracies) - published
    return f"{measured}, {formats.percent(published)} ({formats.points(difference)})"


def _times_beside(row: TrainedRow, measured: str, published: str) -> str:
    devices = formats.names(list(dict.fromkeys(run.metrics.device for run in row.runs)))
    devices = formats.text(devices)
    if row.published is None or not published:
        return f"{measured} ({devices})"
    device = f" ({formats.text(row.published.device)})" if row.published.device else ""
    return f"{measured} ({devices}), {published}{device}"


def comma_separated(comparisons: Sequence[Comparison]) -> str:
    """comparisons.csv: one line per comparison; accuracies and differences are fractions."""
    lines = [
        {
            "id": comparison.question.id,
            "question": comparison.question.question,
            "baseline": comparison.baseline.id,
            "variant": comparison.variant.id,
            "settings": "; ".join(_changed(setting) for setting in comparison.settings),
            "confounded": _yes(comparison.confounded),
            "baseline_accuracy": comparison.baseline_accuracy,
            "variant_accuracy": comparison.variant_accuracy,
            "difference": comparison.overall.difference,
            "difference_low": comparison.overall.low,
            "difference_high": comparison.overall.high,
            "only_baseline_right": comparison.lost,
            "only_variant_right": comparison.gained,
            "messages": comparison.overall.messages,
            "seeds": len(comparison.baseline.runs),
            "p": comparison.p,
            "adjusted_p": comparison.adjusted_p,
            "verdict": comparison.verdict,
            "margin": comparison.equivalence.margin,
            "equivalent": _yes(comparison.equivalence.shown),
            "equivalence_low": comparison.equivalence.low,
            "equivalence_high": comparison.equivalence.high,
            "smallest_difference_shown": comparison.smallest_shown,
            "claim": comparison.question.claim,
            "published_difference": comparison.published_difference,
            "outcome": comparison.outcome,
            "baseline_time_seconds": comparison.time.baseline,
            "variant_time_seconds": comparison.time.variant,
            "time_ratio": comparison.time.ratio,
        }
        | _distinct_numbers(comparison.distinct)
        for comparison in comparisons
    ]
    return formats.comma_separated(lines, CSV_HEADINGS)


def _distinct_numbers(distinct: Estimate | None) -> dict[str, Any]:
    if distinct is None:
        return {}
    return {
        "distinct_messages": distinct.messages,
        "distinct_difference": distinct.difference,
        "distinct_low": distinct.low,
        "distinct_high": distinct.high,
    }


def _yes(value: bool) -> str:
    return str(value).lower()


def _changed(setting: Setting) -> str:
    baseline, variant = map(formats.as_configured, (setting.baseline, setting.variant))
    return f"{setting.name}: {baseline} → {variant}"


def main(arguments: argparse.Namespace) -> None:
    """Writes both files."""
    results = load(arguments.results, arguments.so_far)
    comparisons = compare_all(results)
    write_text(arguments.csv, comma_separated(comparisons))
    write_text(arguments.markdown, markdown(results, comparisons))
    cli.log.info("%s", cli.count(len(comparisons), "comparison"))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    add_arguments(parser)
    parser.add_argument("--markdown", type=Path, required=True, help="interpretation.md to write")
    parser.add_argument("--csv", type=Path, required=True, help="comparisons.csv to write")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
