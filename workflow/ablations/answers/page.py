"""results/index.html: table, answers and figures on one page that needs nothing else.

Style, script and figures are in it, so it opens without a server and loads nothing. Every text from
outside is escaped by the template (page.html) or shown as text by the Markdown renderer, and the
page's own policy allows no script but page.js.
"""

import argparse
import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from ablations import cli
from ablations.answers import formats, interpretation, statistics, table
from ablations.answers.comparisons import Comparison, accuracy_intervals, compare_all, why_none
from ablations.answers.formats import Table
from ablations.answers.misclassified import most_often_missed, rows_wrong
from ablations.answers.notes import notes, provisional, standins
from ablations.answers.results import Results, TrainedRow, add_arguments, load
from ablations.errors import UserError
from ablations.files import write_text

FIGURES = ("accuracies", "accuracy_and_time", "differences", "learning_curves")
BADGES = {  # verdicts and outcomes: a word, and a sign that is read without colour
    "better": ("better", "▲"),
    "worse": ("worse", "▼"),
    formats.NO_DIFFERENCE: ("open", "○"),
    "confirmed": ("confirmed", "✓"),
    "contradicted": ("contradicted", "✗"),
    "not settled here": ("open", "○"),
}
ERRORS = 25  # messages listed; errors.csv has all
ERROR_LENGTH = 600  # characters shown of each
CLASSES = 15  # with more, a confusion matrix is too large to read

MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")  # HTML is shown as text


@dataclass(frozen=True)
class Badge:
    """A verdict or an outcome."""

    words: str
    kind: str
    sign: str


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis, in percent of its width."""

    at: float
    label: str


@dataclass(frozen=True)
class Forest:
    """A comparison's line of the forest plot; places are percent of its width."""

    words: str
    ticks: list[Tick]
    margin: tuple[float, float]  # start and width
    low: float
    high: float
    difference: float
    decided: bool
    published: float | None


def page(results: Results, comparisons: Sequence[Comparison], figures: Mapping[str, bytes]) -> str:
    """The whole page; `figures` are SVG files by name."""
    template = Environment(
        autoescape=True,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    ).from_string(_beside("html"))
    script = _beside("js")
    wrong = most_often_missed(rows_wrong(results))
    return template.render(
        title=formats.one_line(table.title(results)),
        size=_size(results),
        notices=[_inline(said) for said in (standins(results), provisional(results)) if said],
        best=_inline(_best(results)),
        answers=_answers(results, comparisons),
        verdicts_in_short=_verdicts_in_short(comparisons),
        no_answers=why_none(results),
        grids=_part(interpretation.grids(results)),
        measured_and_published=_part(interpretation.measured_and_published(results)),
        how_to_read=_block(interpretation.how_to_read(results, comparisons)),
        compact=_numbers_first(table.whole_compact(results)),
        caption=table.caption(results),
        full=table.full(results),
        by_class=table.by_class(results),
        about_classes=table.about_classes(results),
        notes=list(map(_inline, notes(results))),
        figures={name: _address(svg) for name, svg in figures.items()},
        legend=_legends(results),
        errors=[_error(results, index) for index in wrong[:ERRORS].tolist()],
        errors_in_short=_errors_in_short(results, len(wrong)),
        confusions=_confusions(results),
        confusions_in_short=CONFUSIONS,
        made=list(_made(results)),
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
    return Table(next(lines), tuple(lines))


def _size(results: Results) -> str:
    sizes = [f"{results.sizes[split]:,} {name}" for split, name in formats.SPLITS.items()]
    return (
        f"{cli.count(len(results.rows), 'row')}, {cli.count(len(results.seeds), 'seed')};"
        f" {formats.names(sizes)} messages of {len(results.test.classes)} classes."
    )


def _best(results: Results) -> str:
    """The baseline and the row with the highest test accuracy, in Markdown."""
    accuracies = {row.id: float(results.right(row).mean()) for row in results.rows}
    said = "`baseline` is not finished."
    if "baseline" in accuracies:
        low, high = accuracy_intervals(results)["baseline"]
        said = (
            f"`baseline` is right on {formats.percent(accuracies['baseline'])} of"
            f" {cli.count(len(results.test), 'test message')} (95% interval"
            f" {formats.percent_interval(low, high)})."
        )
    highest = max(accuracies.values())
    best = [f"`{id}`" for id, accuracy in accuracies.items() if accuracy > highest - 1e-9]
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


def _answers(results: Results, comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    place = _scale(results, comparisons)
    return [
        {
            "rows": f"{comparison.variant.id} against {comparison.baseline.id}",
            "question": formats.one_line(comparison.question.question),
            "confounded": comparison.confounded,
            "verdict": _badge(comparison.verdict, interpretation.verdict(comparison)),
            "numbers": str(comparison.overall),
            "claim": comparison.question.claim,
            "outcome": comparison.outcome and _badge(comparison.outcome),
            "text": _block("\n\n".join(interpretation.answer(comparison, results))),
            "forest": _forest(results, comparison, *place),
        }
        for comparison in comparisons
    ]


def _badge(known: str, words: str | None = None) -> Badge:
    kind, sign = BADGES[known]
    return Badge(words or known, kind, sign)


def _scale(
    results: Results, comparisons: Sequence[Comparison]
) -> tuple[Callable[[float], float], list[float]]:
    """One axis for all comparisons: where a difference lies, in percent of its width; its ticks."""
    ends = [0.0, results.margin, -results.margin]
    for comparison in comparisons:
        published = comparison.published_difference
        ends += [comparison.overall.low, comparison.overall.high]
        ends += [] if published is None else [published]
    low, high = 100 * min(ends), 100 * max(ends)
    spare = 0.06 * (high - low)
    low, high = low - spare, high + spare
    ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)

    def place(difference: float) -> float:
        return round(100 * (100 * difference - low) / (high - low), 2)

    return place, [tick / 100 for tick in ticks if low <= tick <= high]


def _forest(
    results: Results,
    comparison: Comparison,
    place: Callable[[float], float],
    ticks: Sequence[float],
) -> Forest:
    overall, margin = comparison.overall, results.margin
    published = comparison.published_difference
    words = f"Difference in points: {overall}, {comparison.verdict}"
    if published is not None:
        words += f"; published {formats.points(published)}"
    return Forest(
        words=words,
        ticks=[Tick(place(tick), _signed(100 * tick)) for tick in ticks],
        margin=(place(-margin), round(place(margin) - place(-margin), 2)),
        low=place(overall.low),
        high=place(overall.high),
        difference=place(overall.difference),
        decided=comparison.decided,
        published=None if published is None else place(published),
    )


def _signed(points: float) -> str:
    return f"{points:+.6g}".replace("-", "−") if round(points, 6) else "0"


# --- what figures show


def _legends(results: Results) -> dict[str, str]:
    seeds = len(results.seeds)
    published = any(row.published for row in results.rows)
    orange = " Orange is published." if published else ""
    bars = "the line through it its 95% interval"
    if seeds > 1:
        bars = "the mean over seeds; ticks are single seeds"
    if seeds >= statistics.SEEDS_FOR_NOISE:
        bars += ". The interval of test accuracy counts messages and training"
    margin = f"{100 * results.margin:g}"
    return {
        "accuracies": f"A point is a row's accuracy, {bars}.{orange}"
        " The dotted line is what always answering the most frequent class gives.",
        "accuracy_and_time": "Rows at the upper left are accurate and fast. The time of a hollow"
        " point cannot be compared with the others. The output of frozen layers is computed once"
        " and reused, so times are not those of loops that compute it again.",
        "forest": "With each answer: the difference, variant minus baseline, with its 95%"
        " interval, on one axis for all answers. Filled: a difference was detected. Hollow: none"
        f" was. The grey band is ±{margin} points, the margin of equivalence.{orange}",
        "differences": f"All differences in one figure. Filled: a difference was detected.{orange}",
        "learning_curves": "Lines: the mean loss over a few batches, during training. Points:"
        " the loss over all messages after the last step.",
    }


# --- what is often wrong


def _errors_in_short(results: Results, wrong: int) -> str:
    shown = f" These are the {ERRORS} most often missed." if wrong > ERRORS else ""
    return (
        f"{wrong} of {cli.count(len(results.test), 'test message')} are wrong in at least one"
        f" row.{shown} errors.csv says what each row predicted."
    )


def _error(results: Results, index: int) -> dict[str, str]:
    """A test message that runs get wrong: its text, and which rows predict what."""
    test = results.test
    wrong = [row for row in results.rows if not results.right(row)[:, index].all()]
    answers = np.array([run.predicted[index] for row in wrong for run in row.runs])
    most = np.bincount(answers[answers != test.labels[index]]).argmax()
    said = f"Labelled {test.classes[test.labels[index]]}, predicted as {test.classes[most]}"
    if len(test.classes) > 2:
        said += " most often"
    said += f" by {len(wrong)} of {cli.count(len(results.rows), 'row')}"
    said += f": {formats.names([row.id for row in wrong])}." if len(wrong) <= 6 else "."
    if test.in_train[index]:
        said += " The same text is in the training set."
    elif test.near_train[index]:
        said += " Nearly the same text is in the training set."
    text = test.texts[index]
    shown = text if len(text) <= ERROR_LENGTH else f"{text[:ERROR_LENGTH]} …"
    return {"text": shown.strip() or "(an empty message)", "said": said}


CONFUSIONS = "Test messages by label and prediction, mean over seeds; a line's shade is its share."


def _confusions(results: Results) -> list[dict[str, Any]]:
    """A matrix for each row, where there are more than two classes and not too many to read."""
    classes = results.test.classes
    if not 2 < len(classes) <= CLASSES:
        return []
    return [
        {
            "row": row.id,
            "classes": classes,
            "lines": [
                {
                    "label": name,
                    "cells": [
                        {"count": f"{count:g}", "share": f"{count / max(sum(counts), 1):.2f}"}
                        for count in counts
                    ],
                }
                for name, counts in zip(classes, _confusion(results, row), strict=True)
            ],
        }
        for row in results.rows
    ]


def _confusion(results: Results, row: TrainedRow) -> list[list[float]]:
    """Test messages by label and prediction, mean over seeds, rounded to tenths."""
    return [list(map(float, line)) for line in results.confusion(row).mean(0).round(1)]


# --- how it was made


def _made(results: Results) -> Iterator[tuple[str, list[str]]]:
    metrics = [run.metrics for row in results.rows for run in row.runs]
    yield "Command", ["snakemake --cores 1 --resources gpu=1, in the folder of the workflow"]
    yield "Seeds", [", ".join(map(str, results.seeds))]
    yield "Device", _each(f"{found.device}, {found.precision}" for found in metrics)
    yield "Threads", _each(str(found.threads) for found in metrics)
    yield (
        "Versions",
        _each(
            ", ".join(f"{name} {number}" for name, number in found.versions.items())
            for found in metrics
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
    " paired proportions. From three seeds on both also count the noise of training."
    " docs/statistics.md has the sources, and a simulation of how often they contain the true"
    " value."
)
MORE = (
    "table.csv, classes.csv, comparisons.csv and errors.csv have the numbers behind this page, and"
    " runs/ each run's metrics and predictions. Snakemake's own report (make report) adds which"
    " rule made which file."
)


def main(arguments: argparse.Namespace) -> None:
    """Writes the page."""
    results = load(arguments.results, arguments.so_far)
    figures = {}
    for name in FIGURES:
        path = arguments.figures / f"{name}.svg"
        try:
            figures[name] = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
    write_text(arguments.output, page(results, compare_all(results), figures))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    add_arguments(parser)
    parser.add_argument("--figures", type=Path, required=True, help="folder with the SVG figures")
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
