"""The numbers to compute with: table.csv, classes.csv, comparisons.csv and errors.csv.

Accuracies, recalls and differences are fractions, losses nats; what is missing is empty.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ablations.answers import formats
from ablations.answers.comparisons import Comparison, Setting
from ablations.answers.compute import Answers
from ablations.answers.finished import Run
from ablations.answers.scores import Measured, Reference, Row
from ablations.study import settings
from ablations.study.dataset import SPLITS

# --- table.csv and classes.csv


def rows(answers: Answers) -> str:
    """table.csv: a line per row, means over its runs, then a line per reference.

    Empty: a share of nothing, and of a reference what it does not have, such as a number.
    """
    lines = [_row(answers, row) for row in answers.rows]
    folds = {"folds": answers.folds}
    counting = ({"id": each.id, **folds, **_scores(answers, each)} for each in answers.references)
    return formats.comma_separated([*lines, *counting], list(lines[0]))


def _row(answers: Answers, row: Row) -> dict[str, Any]:
    runs = [run.metrics for run in row.runs]
    line: dict[str, Any] = {"row": row.number, "id": row.id, **_stated(row, answers.rows)}
    line |= {"context_tokens": row.context_tokens}
    line |= {"folds": answers.folds, "seeds": len(answers.seeds)} | _scores(answers, row)
    line["trunk_time_seconds"] = float(np.mean([run.trunk_time_seconds for run in runs]))
    for key in ("device", "precision", "threads"):
        line[key] = "; ".join(dict.fromkeys(str(getattr(run, key)) for run in runs))
    line["shared_device"] = _yes(row.shared_device)
    line["chosen_from"] = row.chosen_from
    published = row.published
    for split in SPLITS:
        line[f"published_{split}_accuracy"] = published and getattr(published, split)
    line["published_training_time_min"] = published and published.training_time_min
    line["published_device"] = published and published.device
    return line


def _scores(answers: Answers, row: Row | Reference) -> dict[str, Any]:
    line: dict[str, Any] = {}
    for split, accuracy in row.accuracy.items():
        name = f"{split}_accuracy"
        line |= _mean_and_sd(name, accuracy)
        line |= {f"{name}_low": accuracy.low, f"{name}_high": accuracy.high}
    line |= _mean_and_sd("unseen_test_accuracy", row.unseen.accuracy)
    line |= _mean_and_sd("distinct_test_accuracy", row.distinct.accuracy)
    for class_, recall in zip(answers.texts.classes, row.recall, strict=True):
        line |= _mean_and_sd(f"recall_{class_}", recall)
    if len(answers.texts.classes) > 2:
        line |= _mean_and_sd("macro_f1", row.macro_f1)
    for split, losses in row.log_loss.items():
        line |= _mean_and_sd(f"{split}_log_loss", losses)
    return line | _mean_and_sd("training_time_seconds", row.seconds)


def _stated(row: Row, rows: Sequence[Row]) -> dict[str, Any]:
    """A row's settings, without the options that no row sets to anything but their default."""
    defaults = settings.defaults()
    used = {
        key
        for each in rows
        for key, value in each.settings.told().items()
        if key not in defaults or value != defaults[key]
    }
    return {key: value for key, value in row.settings.told().items() if key in used}


def _mean_and_sd(name: str, found: Measured | None) -> dict[str, float | None]:
    return {
        name: found.mean if found else None,
        f"{name}_sd": found.sd if found else None,
    }


def classes(answers: Answers) -> str:
    """classes.csv: for each run and class its test texts, and what they were predicted as."""
    names = answers.texts.classes
    lines = []
    for row in answers.lines:
        number = row.number if isinstance(row, Row) else None
        told: dict[str, Any] = {"row": number, "id": row.id}
        runs: Sequence[Run[Any]] = row.runs
        counts = row.by_run.counts
        shares = {name: getattr(row.by_run, name) for name in ("recall", "precision", "f1")}
        for index, run in enumerate(runs):
            for label, name in enumerate(names):
                line = told | {"fold": run.metrics.fold}
                line |= {"seed": getattr(run.metrics, "seed", None), "class": name}
                line |= {"texts": int(counts[index, label].sum())}
                for key, values in shares.items():
                    value = float(values[index, label])
                    line[key] = None if np.isnan(value) else value
                taken = zip(names, counts[index, label].tolist(), strict=True)
                line |= {f"predicted_{other}": count for other, count in taken}
                lines.append(line)
    return formats.comma_separated(lines, list(lines[0]))


# --- comparisons.csv


def comparisons(answers: Answers) -> str:
    """comparisons.csv: one line per comparison; accuracies and differences are fractions."""
    lines = [
        {heading: of(comparison) for heading, of in COMPARISON.items()}
        for comparison in answers.comparisons
    ]
    return formats.comma_separated(lines, list(COMPARISON))


COMPARISON: dict[str, Callable[[Comparison], Any]] = {
    "id": lambda one: one.question.id,
    "question": lambda one: one.question.question,
    "baseline": lambda one: one.baseline.id,
    "variant": lambda one: one.variant.id,
    "settings": lambda one: "; ".join(map(_changed, one.settings)),
    "confounded": lambda one: _yes(one.confounded),
    "baseline_accuracy": lambda one: one.baseline.accuracy["test"].mean,
    "variant_accuracy": lambda one: one.variant.accuracy["test"].mean,
    "difference": lambda one: one.overall.difference,
    "difference_low": lambda one: one.overall.low,
    "difference_high": lambda one: one.overall.high,
    "distinct_texts": lambda one: one.distinct and one.distinct.texts,
    "distinct_difference": lambda one: one.distinct and one.distinct.difference,
    "distinct_low": lambda one: one.distinct and one.distinct.low,
    "distinct_high": lambda one: one.distinct and one.distinct.high,
    "only_baseline_right": lambda one: one.lost,
    "only_variant_right": lambda one: one.gained,
    "texts": lambda one: one.overall.texts,
    "folds": lambda one: one.folds,
    "seeds": lambda one: one.seeds,
    "p": lambda one: one.p,
    "adjusted_p": lambda one: one.adjusted_p,
    "verdict": lambda one: one.verdict,
    "margin": lambda one: one.equivalence.margin,
    "equivalent": lambda one: _yes(one.equivalence.shown),
    "equivalence_low": lambda one: one.equivalence.low,
    "equivalence_high": lambda one: one.equivalence.high,
    "smallest_difference_shown": lambda one: one.smallest_shown,
    "claim": lambda one: one.question.claim,
    "published_difference": lambda one: one.published_difference,
    "outcome": lambda one: one.outcome,
    "baseline_time_seconds": lambda one: one.baseline.seconds.mean,
    "variant_time_seconds": lambda one: one.variant.seconds.mean,
    "time_ratio": lambda one: one.time_ratio,
}


def _yes(value: bool) -> str:
    return str(value).lower()


def _changed(setting: Setting) -> str:
    baseline, variant = map(formats.as_configured, (setting.baseline, setting.variant))
    return f"{setting.name}: {baseline} → {variant}"


# --- errors.csv


def errors(answers: Answers) -> str:
    """errors.csv: the tested texts that at least one run gets wrong, the most often missed first.

    `index` is the text's line in texts.csv, from 0, `fold` the fold that tests it. `rows_wrong`
    counts rows, a row by its share of seeds. Each row and reference has a column that says what it
    predicted, and with which share of its seeds where they differ.
    """
    texts = answers.texts
    listed = [missed.index for missed in answers.missed]
    digits = "g" if len(answers.seeds) == 1 else ".2f"
    columns: dict[str, Sequence[Any]] = {
        "index": texts.lines[listed].tolist(),
        "fold": [fold + 1 if answers.folds > 1 else None for fold in texts.fold[listed].tolist()],
        "text": [texts.tested[index] for index in listed],
        "label": [texts.classes[label] for label in texts.labels[listed]],
        "in_training": [_yes(found) for found in texts.in_train[listed].tolist()],
        "near_training": [_yes(found) for found in texts.near_train[listed].tolist()],
        "rows_wrong": [f"{missed.rows_wrong:{digits}}" for missed in answers.missed],
    }
    for row in answers.lines:
        said = zip(row.answers[listed], row.agreement[listed], strict=True)
        columns[f"predicted_{row.id}"] = [
            texts.classes[label] if share == 1 else f"{texts.classes[label]} {share:.2f}"
            for label, share in said
        ]
    lines = [dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)]
    return formats.comma_separated(lines, list(columns))
