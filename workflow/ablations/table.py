"""The table: results/table.md to read, results/table.csv to compute with.

Below the table stands what a reader must know before believing it.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from ablations import cli, formats, results, statistics
from ablations.files import write_text
from ablations.results import COLUMNS, SPLITS, Results, Row

HEADINGS = ("Model", "Weights", "Trainable token", "Trainable layers", "Context length")


def markdown(study: Results) -> str:
    """table.md: title, stand-ins, the table, and the notes below it."""
    extra = _varying_training_keys(study.rows)
    unseen = ~study.test.in_train
    headings = ["#", "Row", *HEADINGS, *extra, "Training time", "Device"]
    headings += ["Training acc", "Validation acc", "Test acc", "95% interval of test acc"]
    if study.test.in_train.any() and unseen.any():
        headings.append(f"Test acc on the {unseen.sum()} unseen")
    lines = []
    for number, row in enumerate(study.rows, start=1):
        settings = row.settings
        length = formats.context(settings["context_length"], row.runs[0].context_tokens)
        line = [str(number), row.id, formats.text(settings["model"]), settings["weights"]]
        line += [settings["trainable_token"], settings["trainable_layers"], length]
        line += [_number(settings[key]) for key in extra]
        line.append(formats.times([run.training_time_seconds for run in row.runs]))
        line.append(", ".join(dict.fromkeys(run.device for run in row.runs)))
        for split in SPLITS:
            line.append(formats.percents([getattr(run.accuracy, split) for run in row.runs]))
        low, high = statistics.wilson(study.right(row).mean(), len(study.test))
        line.append(formats.percent_interval(float(low), float(high)))
        if len(headings) > len(line):
            line.append(formats.percents(study.right(row)[:, unseen].mean(1).tolist()))
        lines.append(line)
    table = tabulate(lines, headings, tablefmt="github", disable_numparse=True)
    notes = "\n".join(f"- {note}" for note in _notes(study))
    standins = [f"> **{formats.text(note)}**" for note in study.notes]
    return "\n\n".join([f"# {formats.text(study.title)}", *standins, table, notes]) + "\n"


def _varying_training_keys(rows: Sequence[Row]) -> list[str]:
    """Training settings in which rows differ; without them two lines could look the same."""
    keys = [key for key in rows[0].settings if key not in COLUMNS]
    return [key for key in keys if len({row.settings[key] for row in rows}) > 1]


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _notes(study: Results) -> Iterator[str]:
    test = study.test
    if len(study.seeds) > 1:
        yield (
            f"Each row was trained with {formats.count(len(study.seeds), 'seed')}: mean ± standard"
            " deviation."
        )
    else:
        yield (
            f"Each row was trained once (seed {study.seeds[0]}): the noise of training is not"
            " measured."
        )
    yield (
        f"The intervals are Wilson's for {formats.count(len(test), 'test message')}: what another"
        " draw of messages could give, not another training."
    )
    yield from _leakage(study)
    yield _majority(study)
    yield from _devices(study.rows)
    reusing = [row.id for row in study.rows if any(run.trunk_time_seconds for run in row.runs)]
    if reusing:
        times = (
            "Training time is what a row costs on its own, the output of frozen layers computed"
            f" once per message and reused by every epoch ({_which(reusing, study.rows)})."
        )
        if any(row.published for row in study.rows):
            times += " Published times recompute it every time, so the two do not compare."
        yield times


def _leakage(study: Results) -> Iterator[str]:
    test = study.test
    seen = int(test.in_train.sum())
    elsewhere = int((test.in_validation & ~test.in_train).sum())
    if not seen:
        yield "No test message stands verbatim in the training set."
    else:
        spam = int(test.labels[test.in_train].sum())
        rest = (
            "the last column leaves them out"
            if seen < len(test)
            else "no test message is left that training has not seen"
        )
        yield (
            f"{seen} of the {len(test)} test messages ({spam} of them spam) stand verbatim in the"
            f" training set; {rest}."
        )
    if elsewhere:
        yield f"{elsewhere} {'more ' if seen else ''}stand in the validation set."


def _majority(study: Results) -> str:
    test = study.test
    spam = float(test.labels.mean())
    share, name = max((spam, "spam"), (1 - spam, "ham"))
    said = f"Majority class: always answering {name} would be right on {formats.percent(share)}"
    no_better = [
        row.id
        for row in study.rows
        if float(statistics.wilson(study.right(row).mean(), len(test))[0]) <= share
    ]
    below = f" Not clearly above that: {_which(no_better, study.rows)}." if no_better else ""
    return f"{said}.{below}"


def _which(ids: Sequence[str], rows: Sequence[Row]) -> str:
    return "all rows" if len(ids) == len(rows) > 1 else formats.names(ids)


def _devices(rows: Sequence[Row]) -> Iterator[str]:
    users: dict[str, list[str]] = {}
    for row in rows:
        for run in row.runs:
            what = f"{run.device}, {run.precision}, {formats.count(run.threads, 'thread')}"
            members = users.setdefault(what, [])
            if row.id not in members:
                members.append(row.id)
    if len(users) == 1:
        yield f"Device: {next(iter(users))}."
    else:
        listed = "; ".join(f"{what} ({formats.names(ids)})" for what, ids in users.items())
        yield f"Devices differ, so training times do not compare across them: {listed}."
    shared = [row.id for row in rows if any(run.shared_device for run in row.runs)]
    if shared:
        yield (
            f"Other jobs ran on the device while {_which(shared, rows)} trained; read"
            f" {'its time' if len(shared) == 1 else 'their times'} as upper bounds."
        )


def comma_separated(study: Results) -> str:
    """table.csv: one line per row; accuracies are fractions, missing values are empty."""
    unseen = ~study.test.in_train
    lines = []
    for number, row in enumerate(study.rows, start=1):
        right, runs = study.right(row), row.runs
        line: dict[str, Any] = {"row": number, "id": row.id, **row.settings}
        line |= {"context_tokens": runs[0].context_tokens, "seeds": len(runs)}
        for split in SPLITS:
            name = f"{split}_accuracy"
            line |= _mean_and_sd(name, [getattr(run.accuracy, split) for run in runs])
            low, high = statistics.wilson(line[name], study.evaluated(row, split))
            line |= {f"{name}_low": float(low), f"{name}_high": float(high)}
        line |= _mean_and_sd(
            "unseen_test_accuracy", right[:, unseen].mean(1).tolist() if unseen.any() else []
        )
        line |= _mean_and_sd("training_time_seconds", [run.training_time_seconds for run in runs])
        line["trunk_time_seconds"] = float(np.mean([run.trunk_time_seconds for run in runs]))
        for key in ("device", "precision", "threads"):
            line[key] = "; ".join(dict.fromkeys(str(getattr(run, key)) for run in runs))
        line["shared_device"] = str(any(run.shared_device for run in runs)).lower()
        published = row.published
        for split in SPLITS:
            line[f"published_{split}_accuracy"] = published and getattr(published.accuracy, split)
        line["published_training_time_min"] = published and published.training_time_min
        line["published_device"] = published and published.device
        lines.append(line)
    return formats.comma_separated(lines, list(lines[0]))


def _mean_and_sd(name: str, values: Sequence[float]) -> dict[str, float | None]:
    return {
        name: float(np.mean(values)) if values else None,
        f"{name}_sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
    }


def main(arguments: argparse.Namespace) -> None:
    """Writes both files."""
    study = results.load(arguments.study, arguments.runs, arguments.data)
    write_text(arguments.csv, comma_separated(study))
    write_text(arguments.markdown, markdown(study))
    cli.log.info("%s", formats.count(len(study.rows), "row"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m ablations.table", description=__doc__)
    results.add_arguments(parser)
    parser.add_argument("--markdown", type=Path, required=True, help="table.md to write")
    parser.add_argument("--csv", type=Path, required=True, help="table.csv to write")
    cli.run(parser, main)
