"""What is said of one comparison, as Markdown: the same on every page and in the terminal.

Says no more than the comparison's test shows, and for what it holds.
"""

from collections.abc import Iterator
from typing import Any

from ablations import cli
from ablations.answers import formats, statistics
from ablations.answers.comparisons import CleanPair, Comparison, Estimate
from ablations.answers.compute import Answers

COMPARATIVE = {"better": "more accurate than", "worse": "less accurate than"}


def verdict(comparison: Comparison) -> str:
    """`better`, `no detectable difference, equivalent within ±2 points`."""
    if not comparison.equivalence.shown:
        return comparison.verdict
    return f"{comparison.verdict}, equivalent within {margin(comparison.equivalence.margin)}"


def margin(fraction: float) -> str:
    """`±2 points`."""
    return f"±{100 * fraction:g} points"


def in_short(comparison: Comparison) -> str:
    """`first-token against baseline: −26.86 points (−35.72 to −17.68): worse`."""
    difference = _estimated(comparison.overall, interval="")
    said = f"{rows(comparison)}: {difference}: {verdict(comparison)}"
    if comparison.confounded:
        said += " (they differ in more than one setting)"
    if comparison.question.claim:
        said += f"; published as {comparison.question.claim}: {comparison.outcome}"
    return said


def rows(comparison: Comparison) -> str:
    """`first-token against baseline`."""
    return f"{comparison.variant.id} against {comparison.baseline.id}"


def drawn(comparison: Comparison) -> str:
    """What a picture of the difference shows, for readers who do not see it."""
    said = f"Difference in points: {comparison.overall}, {comparison.verdict}"
    if comparison.published_difference is not None:
        said += f"; published {formats.points(comparison.published_difference)}"
    return said


def answer(comparison: Comparison) -> list[str]:
    """The Markdown paragraphs below a question: the verdict, then the evidence for it."""
    evidence = [_settings(comparison), *_accuracies(comparison)]
    if not comparison.decided:
        evidence += _why_not(comparison)
    evidence += [*_how_close(comparison), *_distinct(comparison)]
    if not comparison.reference:
        evidence += [_time(comparison), *_published(comparison)]
    return [f"**{_verdict(comparison)}**", "\n".join(f"- {line}" for line in evidence)]


def _verdict(comparison: Comparison) -> str:
    baseline, variant = f"`{comparison.baseline.id}`", f"`{comparison.variant.id}`"
    if comparison.decided:
        said = f"{variant} is {COMPARATIVE[comparison.verdict]} {baseline}"
        said = f"Of these trained models, {said}" if comparison.of_models else said
        confounded = " Which of the changed settings is the reason cannot be told."
    else:
        of = "the trained models of " if comparison.of_models else ""
        said = f"No detectable difference between {of}{baseline} and {variant}"
        confounded = " The effects of the changed settings may cancel out."
    if comparison.equivalence.shown:
        said += f"; they are equivalent within {margin(comparison.equivalence.margin)}"
    return f"{said}.{confounded if comparison.confounded else ''}"


def _why_not(comparison: Comparison) -> Iterator[str]:
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
        yield f"The difference is small: the {limits} lies within {margin(found.margin)}."
    elif found.shown:
        yield f"Equivalent: the {limits} lies within {margin(found.margin)}."
    elif not comparison.decided:
        if found.possible:
            beyond = f"reaches beyond {margin(found.margin)}"
            yield f"Not shown to be equivalent: the {limits} {beyond}."
        yield _smallest(comparison)


def _smallest(comparison: Comparison) -> str:
    if comparison.smallest_shown is None:
        return "This study is too small, or its runs differ too much, to show any difference here."
    at_best = "" if comparison.of_models else ", at best"
    return (
        f"A true difference of {100 * comparison.smallest_shown:.1f} points is the smallest that"
        f" this study would show in four of five cases{at_best}."
    )


def _distinct(comparison: Comparison) -> Iterator[str]:
    if comparison.distinct:
        yield (
            f"Without near-copies of training texts ({comparison.distinct.texts:,} texts):"
            f" {_estimated(comparison.distinct)}."
        )


def _settings(comparison: Comparison) -> str:
    settings = comparison.settings
    if counting := comparison.reference:
        return (
            f"`{counting.id}` is a reference: it {counting.declared.cell}, and was trained in"
            f" {formats.time(counting.seconds.mean)}."
        )
    if not settings:
        return "The two rows have the same settings. A difference between them can only be noise."
    listed = "; ".join(
        f"{setting.name} ({value(setting.baseline)} → {value(setting.variant)})"
        for setting in settings
    )
    if len(settings) == 1:
        return f"Changed: {listed}."
    clean = " ".join(_clean(pair, comparison) for pair in comparison.clean_pairs)
    return f"**Confounded:** {len(settings)} settings change at once: {listed}. {clean}"


def value(configured: Any) -> str:
    """A setting's value as config.yaml has it, as Markdown."""
    return formats.text(formats.as_configured(configured))


def _clean(pair: CleanPair, comparison: Comparison) -> str:
    name = pair.setting.name
    if pair.baseline and pair.variant:
        later = f" (`{pair.unfinished}` is not finished)" if pair.unfinished else ""
        return f"For {name} alone, compare `{pair.baseline}` with `{pair.variant}`{later}."
    like, lacking = comparison.variant.id, pair.setting.baseline
    if pair.baseline:
        like, lacking = pair.baseline, pair.setting.variant
    return (
        f"For {name} alone, the study lacks a row: one like `{like}` with {name} {value(lacking)}."
    )


def _accuracies(comparison: Comparison) -> Iterator[str]:
    said = [
        f"{formats.percents(row.accuracy['test'])} (`{row.id}`)"
        for row in (comparison.baseline, comparison.variant)
    ]
    yield f"Test accuracy: {said[0]}, {said[1]}. Difference: {_estimated(comparison.overall)}."
    if not comparison.lost and not comparison.gained:
        yield "Both rows get the same test texts right."
        return
    only = "On average, only" if comparison.seeds > 1 else "Only"
    yield (
        f"{only} `{comparison.baseline.id}` is right on"
        f" {_texts(comparison.lost)}, only `{comparison.variant.id}` on"
        f" {_texts(comparison.gained)}: {_p_values(comparison)}."
    )


def _texts(number: float) -> str:
    rounded = round(number, 1)
    return cli.count(int(rounded), "text") if rounded.is_integer() else f"{rounded} texts"


def _p_values(comparison: Comparison) -> str:
    unadjusted = formats.p_value(comparison.p)
    if comparison.among == 1:
        return unadjusted
    return f"{unadjusted}, adjusted {formats.p_value(comparison.adjusted_p)}"


def _estimated(estimate: Estimate, interval: str = "95% interval ") -> str:
    low, high = formats.points(estimate.low), formats.points(estimate.high)
    return f"{formats.points(estimate.difference)} points ({interval}{low} to {high})"


def _time(comparison: Comparison) -> str:
    ratio, one, other = comparison.time_ratio, comparison.baseline, comparison.variant
    if ratio is None:
        return f"Training times are not compared: {formats.text(str(comparison.times_differ))}."
    return (
        f"Training time: {formats.time(one.seconds.mean)} (`{one.id}`),"
        f" {formats.time(other.seconds.mean)} (`{other.id}`), ratio"
        f" {ratio:.{2 if ratio < 10 else 0}f}{_published_ratio(comparison)}."
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


def why_none(answers: Answers) -> str:
    """Why there is no comparison: a sentence that is shown instead."""
    if answers.unfinished:
        return "No comparison has both its rows finished."
    return "The configuration states no comparisons."
