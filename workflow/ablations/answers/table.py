"""The table: results/table.md to read, results/table.csv to compute with.

Below the table is what a reader must know before believing it.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from ablations import cli
from ablations.answers import formats, grids, statistics
from ablations.answers.results import Results, TrainedRow, add_arguments, load
from ablations.data.split import SPLITS
from ablations.files import write_text
from ablations.study import settings

COLUMNS = ("model", "weights", "trainable_token", "trainable_layers", "context_length")
HEADINGS = ("Model", "Weights", "Trainable token", "Trainable layers", "Context length")


def markdown(results: Results) -> str:
    """table.md: title, stand-ins, the table, and the notes below it."""
    extra = _varying(results.rows)
    unseen = ~results.test.in_train
    headings = ["#", "Row", *HEADINGS, *extra, "Training time", "Device"]
    headings += ["Training acc", "Validation acc", "Test acc", "95% interval of test acc"]
    if results.test.in_train.any() and unseen.any():
        headings.append(f"Test acc on the {unseen.sum()} unseen")
    lines = []
    for row in results.rows:
        chosen = row.settings
        length = formats.context(chosen.context_length, row.runs[0].metrics.context_tokens)
        line = [str(row.number), row.id, formats.text(chosen.model), chosen.weights]
        line += [chosen.trainable_token, chosen.trainable_layers, length]
        line += [_number(chosen.compared()[key]) for key in extra]
        line.append(formats.times([run.metrics.training_time_seconds for run in row.runs]))
        line.append(", ".join(dict.fromkeys(run.metrics.device for run in row.runs)))
        for split in SPLITS:
            line.append(
                formats.percents([getattr(run.metrics.accuracy, split) for run in row.runs])
            )
        low, high = statistics.wilson(results.right(row).mean(), len(results.test))
        line.append(formats.percent_interval(float(low), float(high)))
        if len(headings) > len(line):
            line.append(formats.percents(results.right(row)[:, unseen].mean(1).tolist()))
        lines.append(line)
    table = tabulate(lines, headings, tablefmt="github", disable_numparse=True)
    notes = "\n".join(f"- {note}" for note in _notes(results))
    standins = [f"> **{formats.text(note)}**" for note in results.notes]
    return "\n\n".join([f"# {formats.text(results.title)}", *standins, table, notes]) + "\n"


def _varying(rows: Sequence[TrainedRow]) -> list[str]:
    """Further settings in which rows differ; without them two lines could look the same."""
    settings = [row.settings.compared() for row in rows]
    return [
        key
        for key in settings[0]
        if key not in COLUMNS and len({found[key] for found in settings}) > 1
    ]


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _notes(results: Results) -> Iterator[str]:
    test = results.test
    sizes = ", ".join(f"{size:,} {split}" for split, size in results.sizes.items())
    yield (
        f"Data: {formats.text(results.data)}; {len(test.classes)} classes"
        f" ({formats.text(', '.join(test.classes))}); texts: {sizes}."
    )
    yield from map(formats.text, results.remarks)
    if len(results.seeds) > 1:
        yield (
            f"Each row was trained with {formats.count(len(results.seeds), 'seed')}: mean ±"
            " standard deviation."
        )
    else:
        yield (
            f"Each row was trained once (seed {results.seeds[0]}): the noise of training is not"
            " measured."
        )
    yield (
        f"The intervals are Wilson's for {formats.count(len(test), 'test message')}: what another"
        " draw of messages could give, not another training."
    )
    yield from grids.notes(results)
    yield from _leakage(results)
    yield _majority(results)
    yield from _devices(results.rows)
    reusing = [
        row.id for row in results.rows if any(run.metrics.trunk_time_seconds for run in row.runs)
    ]
    if reusing:
        times = (
            "Training time is what a row costs on its own, the output of frozen layers computed"
            f" once per message and reused by every epoch ({_which(reusing, results.rows)})."
        )
        if any(row.published for row in results.rows):
            times += " Published times recompute it every time, so the two do not compare."
        yield times


def _leakage(results: Results) -> Iterator[str]:
    test = results.test
    seen = int(test.in_train.sum())
    elsewhere = int((test.in_validation & ~test.in_train).sum())
    if not seen:
        yield "No test message stands verbatim in the training set."
    else:
        counts = np.bincount(test.labels[test.in_train], minlength=len(test.classes)).tolist()
        named = list(zip(counts, test.classes, strict=True))[1:]  # the rest is the first class
        of_them = ", ".join(f"{count} of them {formats.text(name)}" for count, name in named)
        rest = (
            "the last column leaves them out"
            if seen < len(test)
            else "no test message is left that training has not seen"
        )
        yield (
            f"{seen} of the {len(test)} test messages ({of_them}) stand verbatim in the training"
            f" set; {rest}."
        )
    if elsewhere:
        yield f"{elsewhere} {'more ' if seen else ''}stand in the validation set."


def _majority(results: Results) -> str:
    test = results.test
    name, share = test.majority
    always = f"always answering {formats.text(name)} would be right on {formats.percent(share)}"
    said = f"Majority class: {always}"
    no_better = [
        row.id
        for row in results.rows
        if float(statistics.wilson(results.right(row).mean(), len(test))[0]) <= share
    ]
    below = f" Not clearly above that: {_which(no_better, results.rows)}." if no_better else ""
    return f"{said}.{below}"


def _which(ids: Sequence[str], rows: Sequence[TrainedRow]) -> str:
    return "all rows" if len(ids) == len(rows) > 1 else formats.names(ids)


def _devices(rows: Sequence[TrainedRow]) -> Iterator[str]:
    users: dict[str, list[str]] = {}
    for row in rows:
        for run in row.runs:
            found = run.metrics
            threads = formats.count(found.threads, "thread")
            what = f"{found.device}, {found.precision}, {threads}"
            members = users.setdefault(what, [])
            if row.id not in members:
                members.append(row.id)
    if len(users) == 1:
        yield f"Device: {next(iter(users))}."
    else:
        listed = "; ".join(f"{what} ({formats.names(ids)})" for what, ids in users.items())
        yield f"Devices differ, so training times do not compare across them: {listed}."
    shared = [row.id for row in rows if any(run.metrics.shared_device for run in row.runs)]
    if shared:
        yield (
            f"Other jobs ran on the device while {_which(shared, rows)} trained; read"
            f" {'its time' if len(shared) == 1 else 'their times'} as upper bounds."
        )


def comma_separated(results: Results) -> str:
    """table.csv: one line per row; accuracies are fractions, missing values are empty."""
    unseen = ~results.test.in_train
    lines = []
    for row in results.rows:
        right, runs = results.right(row), row.runs
        line: dict[str, Any] = {"row": row.number, "id": row.id, **_stated(row, results.rows)}
        line |= {"context_tokens": runs[0].metrics.context_tokens, "seeds": len(runs)}
        for split in SPLITS:
            name = f"{split}_accuracy"
            line |= _mean_and_sd(name, [getattr(run.metrics.accuracy, split) for run in runs])
            low, high = statistics.wilson(line[name], results.evaluated(row, split))
            line |= {f"{name}_low": float(low), f"{name}_high": float(high)}
        line |= _mean_and_sd(
            "unseen_test_accuracy", right[:, unseen].mean(1).tolist() if unseen.any() else []
        )
        line |= _mean_and_sd(
            "training_time_seconds", [run.metrics.training_time_seconds for run in runs]
        )
        line["trunk_time_seconds"] = float(
            np.mean([run.metrics.trunk_time_seconds for run in runs])
        )
        for key in ("device", "precision", "threads"):
            line[key] = "; ".join(dict.fromkeys(str(getattr(run.metrics, key)) for run in runs))
        line["shared_device"] = str(any(run.metrics.shared_device for run in runs)).lower()
        published = row.published
        for split in SPLITS:
            line[f"published_{split}_accuracy"] = published and getattr(published, split)
        line["published_training_time_min"] = published and published.training_time_min
        line["published_device"] = published and published.device
        lines.append(line)
    return formats.comma_separated(lines, list(lines[0]))


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


def main(arguments: argparse.Namespace) -> None:
    """Writes both files."""
    results = load(arguments.results, arguments.so_far)
    write_text(arguments.csv, comma_separated(results))
    write_text(arguments.markdown, markdown(results))
    cli.log.info("%s", formats.count(len(results.rows), "row"))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    add_arguments(parser)
    parser.add_argument("--markdown", type=Path, required=True, help="table.md to write")
    parser.add_argument("--csv", type=Path, required=True, help="table.csv to write")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
