"""results/index.html: table, answers and figures on one page that needs nothing else.

Style, script and figures are in it, so it opens without a server and loads nothing. Every text from
outside is escaped by the template (page.html) or shown as text by the Markdown renderer, and the
page's own policy allows no script but page.js.
"""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from ablations import cli
from ablations.answers import formats
from ablations.answers.comparisons import Comparison
from ablations.answers.compute import Answers
from ablations.answers.formats import Table
from ablations.answers.missed import Missed
from ablations.answers.statistics import RUNS_FOR_NOISE
from ablations.answers.written import interpretation, sentences, table
from ablations.answers.written.accuracy_and_number import drawn_grids
from ablations.answers.written.notes import no_better, notes, notices, of_its_fold, split_sizes
from ablations.study.grid import Grid

BADGES = {  # verdicts and outcomes: a word, and a sign that is read without colour
    "better": ("better", "▲"),
    "worse": ("worse", "▼"),
    formats.NO_DIFFERENCE: ("open", "○"),
    "confirmed": ("confirmed", "✓"),
    "contradicted": ("contradicted", "✗"),
    "not settled here": ("open", "○"),
}
ERRORS = 25  # texts listed; errors.csv has all
ERROR_LENGTH = 600  # characters shown of each
CLASSES = 15  # with more, a confusion matrix is too large to read

MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")  # HTML is shown as text


def page(answers: Answers, figures: Mapping[str, bytes], differences: Sequence[bytes]) -> str:
    """The whole page; `figures` are SVG files by name, `differences` one for each comparison."""
    template = Environment(
        autoescape=True,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    ).from_string(_beside("html"))
    script = _beside("js")
    return template.render(
        title=formats.one_line(table.title(answers)),
        size=_size(answers),
        notices=list(map(_inline, notices(answers))),
        best=[_inline(said) for said in (_best(answers), *no_better(answers))],
        answers=_answers(answers, differences),
        verdicts_in_short=_verdicts_in_short(answers.comparisons),
        no_answers=sentences.why_none(answers),
        grids=_part(interpretation.grids(answers)),
        measured_and_published=_part(interpretation.measured_and_published(answers)),
        how_to_read=_block(interpretation.how_to_read(answers)),
        compact=_numbers_first(table.whole_compact(answers)),
        caption=table.caption(answers),
        full=table.full(answers),
        by_class=table.by_class(answers),
        about_classes=table.about_classes(answers),
        notes=list(map(_inline, notes(answers))),
        figures={name: _address(svg) for name, svg in figures.items()},
        numbers={grid.figure: grid.across for grid in drawn_grids(answers)},
        legend=_legends(answers),
        errors=[_error(answers, missed) for missed in answers.missed[:ERRORS]],
        errors_in_short=_errors_in_short(answers),
        confusions=_confusions(answers),
        made=list(_made(answers)),
        style=Markup(_beside("css")),
        script=Markup(script),
        policy=_policy(script),
    )


def _beside(suffix: str) -> str:
    return Path(__file__).with_suffix(f".{suffix}").read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """What a browser may do for this page: show it, and run this one script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline';"
        f" script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _address(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _shown(value: Any) -> Any:
    """What the template shows of a value: no control characters, which HTML has no place for.

    The template escapes every text that is no Markup.
    """
    if type(value) is not str:
        return value
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", value)


def _inline(markdown: str) -> Markup:
    return Markup(MARKDOWN.renderInline(markdown))


def _block(markdown: str) -> Markup:
    """Paragraphs; a table scrolls by itself where a screen is narrower."""
    found = MARKDOWN.render(markdown)
    found = found.replace("<table>", '<div class="scroll" tabindex="0"><table>')
    return Markup(found.replace("</table>", "</table></div>"))


def _part(paragraphs: Iterable[str]) -> Markup:
    """A part of interpretation.md inside a section, so its headings are one level lower."""
    return _block(re.sub(r"^## ", "### ", "\n\n".join(paragraphs), flags=re.MULTILINE))


# --- the summary and the table


def _numbers_first(compact: Table) -> Table:
    """The first table with Change as its last column: a phone shows the first ones only."""
    at = compact.headings.index("Change")
    lines = ((*line[:at], *line[at + 1 :], line[at]) for line in (compact.headings, *compact.lines))
    return replace(compact, headings=next(lines), lines=tuple(lines))


def _size(answers: Answers) -> str:
    sizes = [f"{size} {formats.SPLITS[split]}" for split, size in split_sizes(answers).items()]
    said = f"{cli.count(len(answers.rows), 'row')}, {answers.trained}; "
    if answers.folds == 1:
        return f"{said}{formats.names(sizes)} texts of {len(answers.texts.classes)} classes."
    return (
        f"{said}{answers.texts.collection:,} texts of {len(answers.texts.classes)} classes, each"
        f" tested once. A fold has {formats.names(sizes)} texts."
    )


def _best(answers: Answers) -> str:
    """The baseline and the row with the highest test accuracy, in Markdown."""
    accuracies = {row.id: row.accuracy["test"] for row in answers.rows}
    said = "`baseline` is not finished."
    if baseline := accuracies.get("baseline"):
        said = (
            f"`baseline` is right on {formats.percent(baseline.mean)} of"
            f" {answers.tested} (95% interval"
            f" {formats.percent_interval(baseline.low, baseline.high)})."
        )
    highest = max(accuracy.mean for accuracy in accuracies.values())
    best = [f"`{id}`" for id, accuracy in accuracies.items() if accuracy.mean > highest - 1e-9]
    if len(accuracies) == 1:
        return said
    many = f" and {len(best) - 3} more rows" if len(best) > 4 else ""
    named = ", ".join(best[:3]) + many if many else formats.names(best)
    return (
        f"{said} The highest test accuracy is {formats.percent(highest)}, of {named}. As the"
        f" highest of {len(accuracies)}, it is partly luck."
    )


def _verdicts_in_short(comparisons: Sequence[Comparison]) -> str:
    counts = Counter(comparison.verdict for comparison in comparisons)
    said = [f"{count} × {verdict}" for verdict, count in counts.items()]
    return f"{cli.count(len(comparisons), 'comparison')}: {', '.join(said)}"


def _answers(answers: Answers, differences: Sequence[bytes]) -> list[dict[str, Any]]:
    return [
        {
            "rows": sentences.rows(comparison),
            "question": formats.one_line(comparison.question.question),
            "confounded": comparison.confounded,
            "verdict": (*BADGES[comparison.verdict], sentences.verdict(comparison)),
            "numbers": str(comparison.overall),
            "claim": comparison.question.claim,
            "outcome": comparison.outcome and (*BADGES[comparison.outcome], comparison.outcome),
            "text": _block("\n\n".join(sentences.answer(comparison))),
            "drawn": _address(svg),
            "alt": sentences.drawn(comparison),
        }
        for comparison, svg in zip(answers.comparisons, differences, strict=True)
    ]


# --- what figures show


def _legends(answers: Answers) -> dict[str, str]:
    published = any(row.published for row in answers.rows)
    orange = " Orange is published." if published else ""
    bars = "the line through it its 95% interval"
    if answers.times > 1:
        bars = (
            "the mean over runs; ticks are single runs. The interval of test accuracy counts texts"
            " and training"
        )
    counting, below = "", ""
    if best := answers.best_reference:
        counting = f" The line across is {best.declared.called}."
        below = " Below the rule are classifiers that only count."
    return {
        "accuracies": f"A point is a row's accuracy, {bars}.{orange}"
        " The dotted line is what always answering the most frequent class gives." + below,
        "accuracy_and_time": "Rows at the upper left are accurate and fast. The time of a hollow"
        " point cannot be compared with the others. The output of frozen layers is computed once"
        " and reused, so times are not those of loops that compute it again." + counting,
        "forest": "With each answer: the difference, variant minus baseline, with its 95%"
        " interval, on one axis for all answers. Filled: a difference was detected. Hollow: none"
        f" was. The grey band is {sentences.margin(answers.margin)}, the margin of"
        f" equivalence.{orange}",
        "differences": f"All differences in one figure. Filled: a difference was detected.{orange}",
        "learning_curves": "Lines: the mean loss over a few batches, during training. Points:"
        " the loss over all texts after the last step.",
        **{grid.figure: _legend_of_grid(grid) for grid in drawn_grids(answers)},
    }


def _legend_of_grid(grid: Grid) -> str:
    lines = f", a line for each value of {grid.apart}" if grid.apart else ""
    across = "A line across is what does not depend on the number."
    if grid.across == "train_size":
        across = "A line across is of all training texts: what more of them can reach."
    return (
        f"The rows of the grid {grid.id}{lines}. The points of two lines are drawn beside each"
        f" other. {across}"
    )


# --- what is often wrong


def _errors_in_short(answers: Answers) -> str:
    wrong = len(answers.missed)
    shown = f" These are the {ERRORS} most often missed." if wrong > ERRORS else ""
    return (
        f"{wrong} of {answers.tested} are wrong in at least"
        f" one row.{shown} errors.csv says what each row predicted."
    )


def _error(answers: Answers, missed: Missed) -> dict[str, str]:
    """A test text that runs get wrong, and which rows predict what."""
    texts, classes, wrong = answers.texts, answers.texts.classes, missed.rows
    label = classes[texts.labels[missed.index]]
    said = f"Labelled {label}, predicted as {classes[missed.taken_for]}"
    if len(classes) > 2:
        said += " most often"
    said += f" by {len(wrong)} of {cli.count(len(answers.rows), 'row')}"
    said += f": {formats.names(wrong)}." if len(wrong) <= 6 else "."
    if texts.in_train[missed.index]:
        said += f" The same text is in the training set{of_its_fold(answers)}."
    elif texts.near_train[missed.index]:
        said += f" Nearly the same text is in the training set{of_its_fold(answers)}."
    text = texts.tested[missed.index]
    shown = text if len(text) <= ERROR_LENGTH else f"{text[:ERROR_LENGTH]} …"
    return {"text": shown.strip() or "(an empty text)", "said": said}


def _confusions(answers: Answers) -> dict[str, list[tuple[str, list[float]]]]:
    """A matrix for each row, where there are more than two classes and not too many to read.

    Of tested texts by label and prediction, mean over seeds, rounded to tenths.
    """
    classes = answers.texts.classes
    if not 2 < len(classes) <= CLASSES:
        return {}
    counts = {row.id: row.confusion.counts.mean(0).round(1).tolist() for row in answers.rows}
    return {id: list(zip(classes, lines, strict=True)) for id, lines in counts.items()}


# --- how it was made


def _made(answers: Answers) -> Iterator[tuple[str, list[str]]]:
    metrics = [run.metrics for row in answers.rows for run in row.runs]
    versions = [found.versions for found in metrics]
    versions += [run.metrics.versions for each in answers.references for run in each.runs]
    if answers.folds > 1:
        yield "Folds", [str(answers.folds)]
    yield "Seeds", [", ".join(map(str, answers.seeds))]
    yield "Device", _each(f"{found.device}, {found.precision}" for found in metrics)
    yield "Threads", _each(str(found.threads) for found in metrics)
    yield (
        "Versions",
        _each(
            ", ".join(f"{name} {number}" for name, number in found.items()) for found in versions
        ),
    )
    yield "Dataset, SHA-256", _each(found.dataset_sha256 for found in metrics)
    yield (
        "Checkpoints, SHA-256",
        _each(
            f"{found.model}: {found.checkpoint_sha256 or 'random weights, no checkpoint'}"
            for found in metrics
        ),
    )
    yield "Intervals", [INTERVALS]
    yield "More", [MORE]


def _each(facts: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(facts))


INTERVALS = (
    "95%. Of an accuracy: Wilson's score interval. Of a difference: Tango's score interval for"
    f" paired proportions. From {RUNS_FOR_NOISE} runs of a row on both also count the noise of"
    " training. docs/statistics.md has the sources, and a simulation of how often they contain the"
    " true value."
)
MORE = (
    "table.csv, classes.csv, comparisons.csv and errors.csv have the numbers behind this page, and"
    " runs/ each run's metrics and predictions. Snakemake's own report (make report) adds which"
    " rule made which file."
)
