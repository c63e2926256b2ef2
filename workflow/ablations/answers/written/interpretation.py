"""interpretation.md: what the study shows, and how to read it."""

from collections.abc import Callable, Iterator, Sequence

from tabulate import tabulate

from ablations import cli
from ablations.answers import formats, statistics
from ablations.answers.comparisons import FOLDS
from ablations.answers.compute import Answers
from ablations.answers.scores import Measured, Row
from ablations.answers.written import sentences
from ablations.answers.written.notes import notices, of_its_fold
from ablations.study.words import MISSING

# False alarms among eight comparisons, where runs of a row have a standard deviation of 0.5, 1 and
# 2 points and each row is trained once: docs/statistics.md.
ONE_SEED_ALARMS = "4, 19 and 70%"


def markdown(answers: Answers) -> str:
    """interpretation.md."""
    parts = [f"# Interpretation: {formats.text(answers.outline.title)}"]
    parts += [f"> **{line}**" for line in notices(answers)]
    if answers.comparisons:
        parts += ["## In short", summary(answers)]
        parts += ["## How to read this", how_to_read(answers)]
        for number, comparison in enumerate(answers.comparisons, start=1):
            parts.append(f"## {number}. {formats.text(comparison.question.question)}")
            parts += sentences.answer(comparison)
    else:
        parts.append(sentences.why_none(answers))
    parts += grids(answers)
    parts += measured_and_published(answers)
    return "\n\n".join(parts) + "\n"


def summary(answers: Answers) -> str:
    """A Markdown table with a line for each comparison."""
    claims = any(comparison.question.claim for comparison in answers.comparisons)
    lines = [
        [
            str(number),
            f"`{comparison.variant.id}` against `{comparison.baseline.id}`",
            str(comparison.overall),
            formats.p_value(comparison.adjusted_p),
            sentences.verdict(comparison) + (", confounded" if comparison.confounded else ""),
        ]
        + ([comparison.question.claim or MISSING, comparison.outcome or MISSING] if claims else [])
        for number, comparison in enumerate(answers.comparisons, start=1)
    ]
    headings = ["#", "Rows", "Difference in test accuracy, points (95% interval)"]
    headings += ["Adjusted p" if answers.asked > 1 else "p", "Verdict"]
    headings += ["Published", "Published claim is"] if claims else []
    return tabulate(lines, headings, tablefmt="github", disable_numparse=True)


def how_to_read(answers: Answers) -> str:
    """What holds for every answer, said once: a Markdown list."""
    return "\n".join(f"- {line}" for line in _how_to_read(answers))


def _how_to_read(answers: Answers) -> Iterator[str]:
    many = answers.asked > 1
    counting = any(comparison.reference for comparison in answers.comparisons)
    or_reference = ", or a row and a reference," if counting else ""
    adjusted = f", adjusted for {answers.asked} comparisons by Holm's method" if many else ""
    yield (
        f"**Verdict.** Two rows{or_reference} answer the same {answers.tested} and are"
        f" compared text by text. A row is called better or worse only if"
        f" {_test(answers)} gives p below {statistics.ALPHA}{adjusted}."
    )
    yield (
        "**Interval.** It shows which true differences, in percentage points, fit the data (95%)."
        + (" Each interval is for its own comparison and is not adjusted." if many else "")
    )
    yield _equivalence(answers)
    yield from _smallest_shown(answers)
    yield from _with_folds(answers)
    yield from _runs(answers)
    yield f"**What the verdicts hold for.** {_validity(answers)}"
    if any(comparison.distinct for comparison in answers.comparisons):
        yield (
            f"**Near-copies.** {int(answers.texts.near_train.sum())} of the test texts are equal"
            f" or nearly equal to a training text{of_its_fold(answers)}. Each answer gives the"
            " difference without them too."
        )
    if any(row.reuses_frozen for row in answers.rows):
        yield (
            "**Time.** The output of frozen layers is computed once and reused. A loop that"
            " computes it again in every epoch has other ratios."
        )
    if any(comparison.question.claim for comparison in answers.comparisons):
        yield (
            "**Published claims.** *Confirmed*: the verdict here is the claim. *Contradicted*: the"
            " verdict is a difference the other way, or the published difference lies outside the"
            " interval. *Not settled here*: neither. A claim of “similar” is confirmed only by"
            " equivalence, and contradicted too where the interval lies outside the margin."
            f" {_agreement(answers)}"
        )


def _test(answers: Answers) -> str:
    if answers.measures_noise:
        return "a score test that counts both texts and training runs"
    return "the exact McNemar test"


def _validity(answers: Answers) -> str:
    """What a verdict holds for, and what is not shown of it."""
    split = "This split of the data, which is the same for every seed"
    if answers.folds > 1:
        split = "Any split of this collection into as many training texts as a fold has"
    said = f"{split}; these models; and these training settings{_tuned(answers)}."
    if answers.folds > 1:
        shared = "folds share some, so what they find is more alike than with new texts"
        if answers.folds == 2:
            shared = "what one learns from, the other is tested on, so the two are not independent"
        said += (
            f" Every text is tested once, and each fold has other training texts; but {shared}."
            " How much that matters cannot be told from one collection (Bates et al. 2023). That"
            " the intervals are wide enough is shown by simulation (docs/statistics.md) and not"
            " proven. For texts of another source nothing is shown."
        )
    return said


def _agreement(answers: Answers) -> str:
    """What it means where a published claim is confirmed."""
    if answers.folds == 1:
        return (
            "The published numbers come from one run of each row. With the published split and"
            " seed, agreement means that the published run was repeated. It is not an independent"
            " replication."
        )
    return (
        "The published numbers come from one run of each row, on one other split of the same"
        " collection. A claim that is confirmed here is more than that run repeated: it holds with"
        " other training texts too, and with every text tested. It is less than a"
        " replication with new texts."
    )


def _equivalence(answers: Answers) -> str:
    margin = sentences.margin(answers.margin)
    said = (
        "**No detectable difference** does not mean that two rows are the same. They count as"
        f" equivalent only if the 90% interval of their difference lies within {margin} (`margin`"
        " in the configuration)."
        + (" This is not adjusted for the number of comparisons." if answers.asked > 1 else "")
    )
    if all(comparison.equivalence.possible for comparison in answers.comparisons):
        return said
    return f"{said} {answers.tested} cannot show that, whatever the rows answer."


def _smallest_shown(answers: Answers) -> Iterator[str]:
    """What the smallest difference that a study would show rests on, where one is named."""
    if not any(comparison.is_open for comparison in answers.comparisons):
        return
    many = answers.asked
    level = f" and at the strictest level of Holm's method, 0.05 / {many}" if many > 1 else ""
    said = (
        "**The smallest difference that this study would show** is computed for rows that disagree"
        f" as often as these do{level}."
    )
    if answers.measures_noise:
        said += (
            " With the noise of training it is optimistic: in simulated studies such differences"
            " were shown in two of three to four of five cases (docs/statistics.md)."
        )
    yield said


def _with_folds(answers: Answers) -> Iterator[str]:
    """What folds would have shown, where one split leaves a question open and they are possible."""
    shown = [
        (found.smallest_shown, found.with_folds)
        for found in answers.comparisons
        if found.is_open and found.smallest_shown and found.with_folds
        if found.with_folds < found.smallest_shown
    ]
    if shown and answers.outline.may_have_folds:
        now, then = map(_points, zip(*shown, strict=True))
        questions = cli.count(len(shown), "question") if len(shown) > 1 else "question"
        yield (
            f"**What {FOLDS} folds would have given** (`folds: {FOLDS}` under `split`, one seed):"
            f" a test of all {answers.texts.collection:,} texts instead of"
            f" {len(answers.texts.labels):,}, and as the smallest difference shown {then} points"
            f" instead of {now}, for the {questions} left open here. This is at best: one split"
            " does not tell how much other training texts change."
        )


def _points(differences: Sequence[float]) -> str:
    """`1.6`, `1.6 to 2.2`."""
    ends = (f"{100 * end(differences):.1f}" for end in (min, max))
    return " to ".join(dict.fromkeys(ends))


def _tuned(answers: Answers) -> str:
    chosen = [
        f"`{row.id}` was chosen from {row.chosen_from} rows by its validation accuracy"
        for row in answers.rows
        if row.chosen_from not in (None, 1)
    ]
    if not chosen:
        return ", which were not tuned for any row"
    return f". {formats.names(chosen)}; no other row was tuned, so the efforts were not equal"


def _runs(answers: Answers) -> Iterator[str]:
    if answers.times == 1:
        yield (
            "**One seed.** Every row was trained once, so a verdict is about two trained models."
            " Another seed trains another model, and how much that changes was not measured. It is"
            " an error to read such a verdict as one about the settings: in simulated studies of"
            " eight comparisons without any real difference, that gave a false alarm in"
            f" {ONE_SEED_ALARMS} of the studies, where runs of a row had a standard deviation of"
            " 0.5, 1 and 2 points (docs/statistics.md). At least"
            f" {statistics.RUNS_FOR_NOISE} seeds are needed to measure it."
        )
        return
    name = answers.trained[:1].upper() + answers.trained[1:]
    assert answers.run_sd is not None
    noise = "the noise of training"
    if answers.folds > 1:
        noise += (
            ", which the choice of training texts is a part of. What a seed does to all folds alike"
            " is not counted"
        )
    yield (
        f"**{name}.** Intervals and tests count the choice of texts and {noise}."
        " A comparison's own runs say poorly how much they differ, so this is drawn towards what is"
        " typical of the study's rows, the more so the more alike these are."
        f" {_beyond_texts(answers)} (The ± of an accuracy is the whole standard deviation.)"
        f" {_of_texts_alone(answers)}"
    )


def _beyond_texts(answers: Answers) -> str:
    """How much runs differ by more than their texts do; an estimate below 0 says little."""
    assert answers.run_sd is not None
    runs = "the runs of a row"
    if 1 < answers.folds < answers.times:
        runs = "a row's folds, each the mean of its seeds,"
    if answers.run_sd == 0:
        return (
            f"On average {runs} differ by no more than what {answers.tested} explain; so few runs"
            " cannot tell that from a little more."
        )
    return (
        f"On average {runs} have a standard deviation of {100 * answers.run_sd:.2f} points beyond"
        f" what {answers.tested} explain."
    )


def _of_texts_alone(answers: Answers) -> str:
    """How much of the first row's interval is the choice of texts."""
    row = answers.rows[0]
    test = row.accuracy["test"]
    low, high = statistics.texts_alone(row.right, answers.texts.fold)
    return (
        f"The 95% interval of `{row.id}` spans {100 * (test.high - test.low):.1f} points; the"
        f" choice of texts alone would give {100 * float(high - low):.1f}."
    )


def grids(answers: Answers) -> Iterator[str]:
    """Markdown paragraphs about what each setting of a grid does on average, where one has two."""
    for grid in dict.fromkeys(effect.grid for effect in answers.effects):
        of_grid = [effect for effect in answers.effects if effect.grid == grid]
        yield f"## What each setting of the grid `{grid}` does on average"
        models = "" if answers.measures_noise else " of these trained models"
        yield (
            f"Each line is the mean difference in test accuracy{models} over all pairs of the"
            " grid's rows that differ in this setting alone, with its 95% interval. P-values are"
            f" adjusted for {cli.count(of_grid[0].among, 'effect')} by Holm's method. A mean can"
            " hide that a setting helps some rows and harms others: the rows themselves are in the"
            " table."
        )
        headings = ["Setting", "Change", "Pairs", "Mean difference, points (95% interval)"]
        headings += ["Adjusted p" if of_grid[0].among > 1 else "p", "Verdict"]
        lines = [
            [
                effect.setting,
                f"{sentences.value(effect.first)} → {sentences.value(effect.value)}",
                str(effect.pairs),
                formats.estimate(effect.difference, effect.low, effect.high),
                formats.p_value(effect.adjusted_p),
                effect.verdict,
            ]
            for effect in of_grid
        ]
        yield tabulate(lines, headings, tablefmt="github", disable_numparse=True)


def measured_and_published(answers: Answers) -> Iterator[str]:
    """A last section with one line for each row, where anything was published."""
    if not any(row.published for row in answers.rows):
        return
    yield "## Measured and published"
    headings = ["#", "Row"]
    names = map(str.capitalize, formats.SPLITS.values())
    headings += [f"{name} acc, published (difference)" for name in names]
    headings += ["Training time, published"]
    rows = answers.rows
    time = formats.times(found for row in rows for found in (row.seconds, row.published_seconds))
    lines = [
        [
            str(row.number),
            row.id,
            *(_beside(row, split) for split in formats.SPLITS),
            _times_beside(row, time),
        ]
        for row in rows
    ]
    yield tabulate(lines, headings, tablefmt="github", disable_numparse=True)


def _beside(row: Row, split: str) -> str:
    measured = formats.percents(row.accuracy[split])
    if row.published is None:
        return measured
    published = getattr(row.published, split)
    difference = row.accuracy[split].mean - published
    return f"{measured}, {formats.percent(published)} ({formats.points(difference)})"


def _times_beside(row: Row, time: Callable[[Measured], str]) -> str:
    measured = f"{time(row.seconds)} ({formats.text(formats.names(row.devices))})"
    published = row.published_seconds
    if row.published is None or published is None:
        return measured
    device = f" ({formats.text(row.published.device)})" if row.published.device else ""
    return f"{measured}, {time(published)}{device}"
