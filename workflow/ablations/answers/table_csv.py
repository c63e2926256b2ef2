"""The numbers of the table: table.csv, a line for each row; classes.csv, one for each class.

Accuracies, recalls and losses are fractions and nats; what is missing is empty.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ablations.answers import formats, statistics
from ablations.answers.comparisons import accuracy_intervals
from ablations.answers.results import Results, TrainedRow
from ablations.study import settings
from ablations.study.dataset import SPLITS


def rows(results: Results) -> str:
    """table.csv: one line per row, means over seeds. Empty: an interval or a share of nothing."""
    intervals = accuracy_intervals(results)
    lines = [_row(results, row, *intervals[row.id]) for row in results.rows]
    return formats.comma_separated(lines, list(lines[0]))


def _row(results: Results, row: TrainedRow, low: float, high: float) -> dict[str, Any]:
    test, right, runs = results.test, results.right(row), row.runs
    line: dict[str, Any] = {"row": row.number, "id": row.id, **_stated(row, results.rows)}
    line |= {"context_tokens": row.context_tokens, "seeds": len(runs)}
    for split in SPLITS:
        name = f"{split}_accuracy"
        line |= _mean_and_sd(name, row.accuracies(split))
        # these count messages only; those of the test set are replaced below
        ends = map(float, statistics.wilson(line[name], results.evaluated(row, split)))
        line |= dict(zip((f"{name}_low", f"{name}_high"), ends, strict=True))
    line |= {"test_accuracy_low": low, "test_accuracy_high": high}
    for name, left in (("unseen", ~test.in_train), ("distinct", ~test.near_train)):
        shares = right[:, left].mean(1).tolist() if left.any() else []
        line |= _mean_and_sd(f"{name}_test_accuracy", shares)
    for class_, recall in zip(test.classes, results.recall(row).T, strict=True):
        line |= _mean_and_sd(f"recall_{class_}", [] if np.isnan(recall).any() else recall.tolist())
    if len(test.classes) > 2:
        line |= _mean_and_sd("macro_f1", results.macro_f1(row).tolist())
    for split in SPLITS:
        line |= _mean_and_sd(f"{split}_log_loss", [run.log_loss[split] for run in runs])
    line |= _mean_and_sd("training_time_seconds", row.times())
    line["trunk_time_seconds"] = float(np.mean([run.metrics.trunk_time_seconds for run in runs]))
    for key in ("device", "precision", "threads"):
        line[key] = "; ".join(dict.fromkeys(str(getattr(run.metrics, key)) for run in runs))
    line["shared_device"] = str(any(run.metrics.shared_device for run in runs)).lower()
    line["chosen_from"] = row.chosen_from
    published = row.published
    for split in SPLITS:
        line[f"published_{split}_accuracy"] = published and getattr(published, split)
    line["published_training_time_min"] = published and published.training_time_min
    line["published_device"] = published and published.device
    return line


def _stated(row: TrainedRow, rows: Sequence[TrainedRow]) -> dict[str, Any]:
    """A row's settings, without the options that no row sets to anything but their default."""
    defaults = settings.defaults()
    used = {
        key
        for each in rows
        for key, value in each.settings.compared().items()
        if key not in defaults or value != defaults[key]
    }
    return {key: value for key, value in row.settings.compared().items() if key in used}


def _mean_and_sd(name: str, values: Sequence[float]) -> dict[str, float | None]:
    return {
        name: float(np.mean(values)) if values else None,
        f"{name}_sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
    }


def classes(results: Results) -> str:
    """classes.csv: for each run and class its test messages, and what they were predicted as."""
    names = results.test.classes
    lines = []
    for row in results.rows:
        counts, recall = results.confusion(row), results.recall(row)
        precision, f1 = results.precision(row), results.f1(row)
        for seed, run in enumerate(row.runs):
            for label, name in enumerate(names):
                line = {"row": row.number, "id": row.id, "seed": run.metrics.seed, "class": name}
                line |= {"messages": int(counts[seed, label].sum())}
                for key, values in (("recall", recall), ("precision", precision), ("f1", f1)):
                    value = float(values[seed, label])
                    line[key] = None if np.isnan(value) else value
                taken = zip(names, counts[seed, label].tolist(), strict=True)
                line |= {f"predicted_{other}": count for other, count in taken}
                lines.append(line)
    return formats.comma_separated(lines, list(lines[0]))
