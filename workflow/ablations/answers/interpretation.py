"""What the study shows: results/interpretation.md, and comparisons.csv with the numbers behind it.

Says no more than the test of each comparison does, and how far that reaches.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from ablations import cli
from ablations.answers import formats, statistics
from ablations.answers.comparisons import CleanPair, Comparison, Setting, compare_all
from ablations.answers.results import Results, TrainedRow, add_arguments, load
from ablations.data.split import SPLITS
from ablations.files import write_text

SEEDS_FOR_CERTAINTY = 5  # with fewer, docs/statistics.md finds too many false alarms
COMPARATIVE = {"better": "more accurate than", "worse": "less accurate than"}

CSV_HEADINGS = (
    *("id", "question", "baseline", "variant", "settings", "confounded"),
    *("baseline_accuracy", "variant_accuracy", "difference", "difference_low", "difference_high"),
    *("unseen_difference", "only_baseline_right", "only_variant_right", "messages", "seeds"),
    *("p", "adjusted_p", "verdict", "claim", "agrees", "published_difference"),
    *("baseline_time_seconds", "variant_time_seconds", "time_ratio", "messages_needed"),
)


def markdown(results: Results, comparisons: Sequence[Comparison]) -> str:
    """interpretation.md."""
    parts = [f"# Interpretation: {formats.text(results.title)}"]
    parts += [f"> **{formats.text(note)}**" for note in results.notes]
    if comparisons:
        parts += [_how_to_read(results, comparisons), "## In short", _summary(comparisons)]
        for number, comparison in enumerate(comparisons, start=1):
            parts.append(f"## {number}. {formats.text(comparison.question.question)}")
            parts += _answer(comparison, results)
    else:
        parts.append("The configuration states no comparisons, so there is nothing to interpret.")
    parts += _measured_beside_published(results)
    return "\n\n".join(parts) + "\n"


def _how_to_read(results: Results, comparisons: Sequence[Comparison]) -> str:
    seeds = len(results.seeds)
    many = len(comparisons) > 1
    adjusted = f", adjusted for {len(comparisons)} comparisons by Holm's method," if many else ""
    if seeds == 1:
        test = "the exact McNemar test"
        scope = (
            "Every row was trained once, so each verdict is about two trained models; how much"
            " another seed would change them was not measured."
        )
    elif seeds < statistics.SEEDS_FOR_NOISE:
        test = "an exact sign-flip test over messages (McNemar's, for two seeds)"
        scope = (
            f"Every row was trained with {seeds} seeds, too few to measure the noise of training:"
            " each verdict is about the trained models as they are, averaged over both seeds."
        )
    else:
        test = "a score test that counts the noise of messages and of training"
        scope = (
            f"Every row was trained with {seeds} seeds; intervals and tests count both the choice"
            " of messages and the noise of training."
        )
        if seeds < SEEDS_FOR_CERTAINTY:
            scope += (
                " So few seeds measure that noise only roughly: where a row's seeds differ by"
                " several points, false alarms are more frequent than they should be."
            )
    return (
        f"Rows are compared on the same {formats.count(len(results.test), 'test message')}."
        f" A row is called better or worse only where {test}{adjusted} gives p below"
        f" {statistics.ALPHA}. The 95% intervals show the size of a difference in percentage"
        f" points{', each by itself, not adjusted' if many else ''}. {scope}"
    )


def _summary(comparisons: Sequence[Comparison]) -> str:
    claims = any(comparison.question.claim for comparison in comparisons)
    lines = [
        [
            str(number),
            f"`{comparison.variant.id}` against `{comparison.baseline.id}`",
            f"{formats.points(comparison.difference)} ({_interval(comparison)})",
            formats.p_value(comparison.adjusted_p),
            comparison.verdict + (", confounded" if comparison.confounded else ""),
        ]
        + (
            [
                comparison.question.claim or "–",
                {True: "yes", False: "no", None: "–"}[comparison.agrees],
            ]
            if claims
            else []
        )
        for number, comparison in enumerate(comparisons, start=1)
    ]
    headings = ["#", "Rows", "Difference in test accuracy, points (95% interval)"]
    headings += ["Adjusted p" if len(comparisons) > 1 else "p", "Verdict"]
    headings += ["Published", "Agree"] if claims else []
    return tabulate(lines, headings, tablefmt="github", disable_numparse=True)


def _answer(comparison: Comparison, results: Results) -> list[str]:
    """The paragraphs below a question: verdict first, then what it rests on."""
    evidence = [_settings(comparison), _accuracies(comparison, results)]
    if not comparison.decided:
        evidence += [*_why_not(comparison, results), _how_many(comparison, results)]
    evidence += [_time(comparison), *_published(comparison)]
    return [f"**{_verdict(comparison, results)}**", "\n".join(f"- {line}" for line in evidence)]


def _verdict(comparison: Comparison, results: Results) -> str:
    baseline, variant = f"`{comparison.baseline.id}`", f"`{comparison.variant.id}`"
    seeds = len(results.seeds)
    scope = {1: "these two trained models", 2: "these trained models (two seeds each)"}.get(seeds)
    if comparison.decided:
        subject = f"Of {scope}, {variant}" if scope else variant
        said = f"{subject} is {COMPARATIVE[comparison.verdict]} {baseline}"
        confounded = "which of the settings is responsible cannot be told"
    else:
        pair = f"{scope}, {baseline} and {variant}," if scope else f"{baseline} and {variant}"
        said = f"No detectable difference between {pair} at this sample size"
        confounded = "effects of the settings may have cancelled out"
    if not scope:
        said += f", over {seeds} seeds"
    caveats = ["training noise was not measured"] if scope else []
    caveats += [confounded] if comparison.confounded else []
    return f"{'; '.join([said, *caveats])}."


def _why_not(comparison: Comparison, results: Results) -> Iterator[str]:
    """Where an interval that leaves out zero seems to say something else than the verdict."""
    if comparison.p < statistics.ALPHA:
        yield (
            "Alone, this comparison would count as a difference; as one of"
            f" {len(results.questions)}, which give chance as many occasions, it does not."
        )
    elif comparison.low > 0 or comparison.high < 0:
        yield "The interval just leaves out zero, but the verdict is the exact test's."


def _settings(comparison: Comparison) -> str:
    settings = comparison.settings
    if not settings:
        return (
            "The two rows have the same settings, so a difference between them can only be noise."
        )
    listed = "; ".join(
        f"{setting.name} ({_value(setting.baseline)} → {_value(setting.variant)})"
        for setting in settings
    )
    rows = f"`{comparison.baseline.id}` → `{comparison.variant.id}`"
    if len(settings) == 1:
        return f"{rows} changes one setting: {listed}."
    clean = " ".join(_clean(pair, comparison) for pair in comparison.clean_pairs)
    return f"**Confounded:** {rows} changes {len(settings)} settings at once: {listed}. {clean}"


def _value(value: Any) -> str:
    return formats.text(str(value))


def _clean(pair: CleanPair, comparison: Comparison) -> str:
    name = pair.setting.name
    if pair.baseline and pair.variant:
        return f"For {name} alone compare `{pair.baseline}` with `{pair.variant}`."
    return (
        f"For {name} alone the study lacks a row: one like `{comparison.variant.id}` with {name}"
        f" {_value(pair.setting.baseline)}."
    )


def _accuracies(comparison: Comparison, results: Results) -> str:
    accuracies = [
        formats.percents(results.right(row).mean(1).tolist())
        for row in (comparison.baseline, comparison.variant)
    ]
    head = f"Test accuracy {accuracies[0]} → {accuracies[1]}"
    if not comparison.lost and not comparison.gained:
        same = "every test message alike" + (" with every seed" if len(results.seeds) > 1 else "")
        return (
            f"{head}: both rows classify {same}. A difference within {_interval(comparison)} points"
            " is not excluded (95% interval)."
        )
    average = "on average " if len(results.seeds) > 1 else ""
    parts = [
        f"{head}: {_size(comparison)} (95% interval {_interval(comparison)})",
        f"{average}{_messages(comparison.lost)} only `{comparison.baseline.id}` gets right,"
        f" {_messages(comparison.gained)} only `{comparison.variant.id}`",
        _p_values(comparison, results),
    ]
    if comparison.unseen_difference is not None and results.test.in_train.any():
        unseen = len(results.test) - int(results.test.in_train.sum())
        parts.append(
            f"on the {formats.count(unseen, 'message')} not seen in training"
            f" {formats.points(comparison.unseen_difference)}"
        )
    return "; ".join(parts) + "."


def _size(comparison: Comparison) -> str:
    if comparison.difference == 0:
        return "a tie, 0.00 points"
    return f"{formats.points(comparison.difference)} points"


def _messages(number: float) -> str:
    rounded = round(number, 1)
    return formats.count(int(rounded), "message") if rounded.is_integer() else f"{rounded} messages"


def _p_values(comparison: Comparison, results: Results) -> str:
    unadjusted = formats.p_value(comparison.p)
    if len(results.questions) == 1:
        return unadjusted
    return f"{unadjusted}, adjusted {formats.p_value(comparison.adjusted_p)}"


def _interval(comparison: Comparison) -> str:
    return f"{formats.points(comparison.low)} to {formats.points(comparison.high)}"


def _how_many(comparison: Comparison, results: Results) -> str:
    observed = comparison.difference != 0
    size = (
        f"a true difference as large as the one measured ({_size(comparison)})"
        if observed
        else f"a true difference of {100 * comparison.planned_difference:g} point"
    )
    if comparison.messages_needed is None:
        return (
            f"No number of test messages would show {size}: training noise is too large for"
            f" {formats.count(len(results.seeds), 'seed')}; more seeds would help."
        )
    hardest = (
        f", at the strictest level that Holm's method asks of {len(results.questions)} comparisons"
        if len(results.questions) > 1
        else ""
    )
    return (
        f"It would take about {_two_digits(comparison.messages_needed):,} test messages instead of"
        f" {comparison.messages:,} to show {size} four times in five{hardest}."
    )


def _two_digits(number: int) -> int:
    return int(float(f"{number:.1e}"))


def _time(comparison: Comparison) -> str:
    time = comparison.time
    if time.ratio is None:
        return f"Training times are not compared: {time.obstacle}."
    ratio = f"{time.ratio:.2f}" if time.ratio < 10 else f"{time.ratio:.0f}"
    said = (
        f"Training time {formats.times([time.baseline])} → {formats.times([time.variant])},"
        f" {ratio} times as long"
    )
    rows = (comparison.baseline, comparison.variant)
    if not any(run.metrics.trunk_time_seconds for row in rows for run in row.runs):
        return f"{said}."
    return (
        f"{said}, with the output of frozen layers computed once and reused"
        f"{_published_ratio(comparison)}."
    )


def _published_ratio(comparison: Comparison) -> str:
    one, other = comparison.baseline.published, comparison.variant.published
    if not (one and other and one.training_time_min and other.training_time_min):
        return ""
    if one.device != other.device:
        return ""
    ratio = other.training_time_min / one.training_time_min
    return f"; the published ratio, of loops that recompute everything, is {ratio:.2f}"


def _published(comparison: Comparison) -> Iterator[str]:
    """What was published, where anything was."""
    claim, difference = comparison.question.claim, comparison.published_difference
    one, other = comparison.baseline.published, comparison.variant.published
    numbers = ""
    if one and other and difference is not None:
        numbers = (
            f" ({formats.percent(one.test)} → {formats.percent(other.test)},"
            f" {formats.points(difference)} points)"
        )
    if claim is None:
        if numbers:
            yield f"Published without a claim about this pair{numbers}."
    elif comparison.agrees:
        yield f"Published: {claim}{numbers}. The two agree."
    else:
        said = f"Published: {claim}{numbers}. The two do not agree: here, {comparison.verdict}"
        if difference is not None and comparison.low <= difference <= comparison.high:
            said += ", though the published difference lies within our interval"
        yield f"{said}."


def _measured_beside_published(results: Results) -> Iterator[str]:
    """A last section with one line for each row, where anything was published."""
    if not any(row.published for row in results.rows):
        return
    yield "## Measured beside published"
    if results.notes:
        yield (
            "The published numbers are for GPT-2 on the SMS Spam Collection; with the stand-ins"
            " named above they are no yardstick."
        )
    headings = ["#", "Row"]
    what = {"train": "Training", "validation": "Validation", "test": "Test"}
    headings += [f"{what[split]} acc, published (difference)" for split in SPLITS]
    headings += ["Training time, published"]
    lines = [
        [str(number), row.id, *(_beside(row, split) for split in SPLITS), _times_beside(row)]
        for number, row in enumerate(results.rows, start=1)
    ]
    yield tabulate(lines, headings, tablefmt="github", disable_numparse=True)


def _beside(row: TrainedRow, split: str) -> str:
    accuracies = [getattr(run.metrics.accuracy, split) for run in row.runs]
    measured = formats.percents(accuracies)
    if row.published is None:
        return measured
    published = getattr(row.published, split)
    difference = sum(accuracies) / len(accuracies) - published
    return f"{measured}, {formats.percent(published)} ({formats.points(difference)})"


def _times_beside(row: TrainedRow) -> str:
    measured = formats.times([run.metrics.training_time_seconds for run in row.runs])
    devices = formats.names(list(dict.fromkeys(run.metrics.device for run in row.runs)))
    published = row.published
    if published is None or published.training_time_min is None:
        return f"{measured} ({devices})"
    device = f" ({formats.text(published.device)})" if published.device else ""
    return f"{measured} ({devices}), {published.training_time_min:.2f} min{device}"


def comma_separated(comparisons: Sequence[Comparison]) -> str:
    """comparisons.csv: one line per comparison; accuracies and differences are fractions."""
    lines = [
        {
            "id": comparison.question.id,
            "question": comparison.question.question,
            "baseline": comparison.baseline.id,
            "variant": comparison.variant.id,
            "settings": "; ".join(_changed(setting) for setting in comparison.settings),
            "confounded": str(comparison.confounded).lower(),
            "baseline_accuracy": comparison.baseline_accuracy,
            "variant_accuracy": comparison.variant_accuracy,
            "difference": comparison.difference,
            "difference_low": comparison.low,
            "difference_high": comparison.high,
            "unseen_difference": comparison.unseen_difference,
            "only_baseline_right": comparison.lost,
            "only_variant_right": comparison.gained,
            "messages": comparison.messages,
            "seeds": len(comparison.baseline.runs),
            "p": comparison.p,
            "adjusted_p": comparison.adjusted_p,
            "verdict": comparison.verdict,
            "claim": comparison.question.claim,
            "agrees": {True: "true", False: "false", None: None}[comparison.agrees],
            "published_difference": comparison.published_difference,
            "baseline_time_seconds": comparison.time.baseline,
            "variant_time_seconds": comparison.time.variant,
            "time_ratio": comparison.time.ratio,
            "messages_needed": None if comparison.decided else comparison.messages_needed,
        }
        for comparison in comparisons
    ]
    return formats.comma_separated(lines, CSV_HEADINGS)


def _changed(setting: Setting) -> str:
    return f"{setting.name}: {setting.baseline} → {setting.variant}"


def main(arguments: argparse.Namespace) -> None:
    """Writes both files."""
    results = load(arguments.results)
    comparisons = compare_all(results)
    write_text(arguments.csv, comma_separated(comparisons))
    write_text(arguments.markdown, markdown(results, comparisons))
    cli.log.info("%s", formats.count(len(comparisons), "comparison"))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    add_arguments(parser)
    parser.add_argument("--markdown", type=Path, required=True, help="interpretation.md to write")
    parser.add_argument("--csv", type=Path, required=True, help="comparisons.csv to write")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
