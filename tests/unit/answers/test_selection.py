"""Of a grid with choose: validation one row is in the table, and no test accuracy chooses it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablations.answers.compute import Answers
from ablations.answers.written import interpretation, numbers, table
from ablations.study import config
from ablations.training.metrics import Accuracy
from synthetic_runs import configuration, load, write, write_run

RATES = [1e-4, 1e-3, 1e-2]
IDS = ["sweep-lr-1e-4", "sweep-lr-1e-3", "sweep-lr-1e-2"]
VALIDATION = 149  # texts
QUESTION = {"id": "q", "question": "Better?", "baseline": "baseline", "variant": "sweep"}


def study(
    folder: Path,
    validation: list[list[float]],
    test: tuple[float, float, float],
    **grid: str,
) -> None:
    """The baseline and a grid: each of its rows' validation accuracies, and its test accuracy."""
    rows = [configuration()["rows"][0]]
    rows += [{"id": "sweep", "grid": {"learning_rate": RATES}, **grid}]
    seeds = list(range(len(validation[0])))
    parsed = config.parse(configuration(seeds=seeds, rows=rows, comparisons=[QUESTION]))
    right: dict[str, Any] = {"baseline": np.ones((len(seeds), 100), bool)}
    for id, accuracy in zip(IDS, test, strict=True):
        right[id] = np.tile(np.arange(100) < 100 * accuracy, (len(seeds), 1))
    write(folder, parsed, right)
    for id, found, accuracy in zip(IDS, validation, test, strict=True):
        for seed, each in zip(seeds, found, strict=True):
            own = Accuracy(train=1, validation=round(each * VALIDATION) / VALIDATION, test=accuracy)
            write_run(folder, parsed.row(id).settings, seed, right[id][seed], accuracy=own)


def validation_logits(folder: Path, id: str, seed: int, confidence: float) -> None:
    """So much between the logits of the validation messages that are right."""
    path = folder / f"runs/{id}/seed-{seed}/predictions.csv"
    right = re.compile(r"^(validation,\d+,(\d),\2,.*)2\.000000", re.MULTILINE)
    path.write_text(right.sub(rf"\g<1>{confidence}", path.read_text()))


def rows(results: Answers) -> list[str]:
    return [row.id for row in results.rows]


@pytest.mark.parametrize(
    ("validation", "test"),
    [
        ([[0.9], [0.95], [0.8]], (0.99, 0.9, 0.97)),
        ([[0.9], [0.95], [0.8]], (0.5, 0.9, 0.99)),
        ([[0.7, 0.95], [0.9, 0.8], [0.84, 0.84]], (0.9, 0.9, 0.9)),  # by the mean of two seeds
    ],
)
def test_the_best_on_validation_is_in_the_table_alone_whatever_the_tests_say(
    tmp_path: Path, validation: list[list[float]], test: tuple[float, float, float]
) -> None:
    study(tmp_path, validation, test, choose="validation")
    results = load(tmp_path)
    assert rows(results) == ["baseline", IDS[1]]
    assert [row.chosen_from for row in results.rows] == [None, 3]
    assert [row.number for row in results.rows] == [1, 2]  # a grid of which one is chosen is a line
    (found,) = results.comparisons
    assert (found.question.id, found.baseline.id, found.variant.id) == ("q", "baseline", IDS[1])
    for text in written(results):
        assert IDS[1] in text and IDS[0] not in text


def written(results: Answers) -> list[str]:
    """What is said of rows and of answers, for people and to compute with."""
    said = [table.markdown(results), interpretation.markdown(results)]
    return [*said, numbers.rows(results), numbers.comparisons(results)]


@pytest.mark.parametrize(("confidences", "best"), [((1, 3, 2), 1), ((3, 3, 2), 0), ((1, 2, 3), 2)])
def test_of_equally_accurate_rows_the_least_loss_and_then_the_first(
    tmp_path: Path, confidences: tuple[float, ...], best: int
) -> None:
    study(tmp_path, [[0.9, 0.8], [0.8, 0.9], [0.852, 0.846]], (0.9,) * 3, choose="validation")
    for id, confidence in zip(IDS, confidences, strict=True):
        for seed in (0, 1):
            validation_logits(tmp_path, id, seed, confidence)
    assert rows(load(tmp_path)) == ["baseline", IDS[best]]


def test_without_choose_every_row_is_in_the_table_and_compared(tmp_path: Path) -> None:
    study(tmp_path, [[0.9], [0.95], [0.8]], (0.99, 0.9, 0.97))
    results = load(tmp_path)
    assert rows(results) == ["baseline", *IDS]
    assert [found.variant.id for found in results.comparisons] == IDS
    assert {row.chosen_from for row in results.rows} == {None}
    assert [row.number for row in results.rows] == [1, 2, 3, 4]
    assert all(IDS[1] in text for text in written(results))


def test_one_row_is_chosen_from_nothing(tmp_path: Path) -> None:
    rows = [configuration()["rows"][0]]
    rows += [{"id": "sweep", "grid": {"epochs": [7]}, "choose": "validation"}]
    parsed = config.parse(configuration(rows=rows, comparisons=[QUESTION]))
    write(tmp_path, parsed, {row.id: np.ones((1, 20), bool) for row in parsed.rows})
    text = table.markdown(load(tmp_path))
    assert "sweep-epochs-7" in text and "chosen" not in text and "best of" not in text


def test_so_far_nothing_is_chosen_of_a_grid_that_is_not_finished(tmp_path: Path) -> None:
    study(tmp_path, [[0.9], [0.95], [0.8]], (0.99, 0.9, 0.97), choose="validation")
    (tmp_path / f"runs/{IDS[2]}/seed-0/metrics.json").unlink()
    results = load(tmp_path, so_far=True)
    assert rows(results) == ["baseline"] and results.comparisons == ()
    assert [(run.number, run.row) for run in results.unfinished] == [(2, IDS[2])]
