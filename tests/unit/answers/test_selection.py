"""Of a grid with choose: validation one row is in the table, and no test accuracy chooses it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablations.answers.compute import Answers
from ablations.answers.written import interpretation, table
from ablations.study import config
from ablations.training.metrics import Accuracy
from synthetic_runs import configuration, load, program, write, write_run

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


def test_the_best_on_validation_is_in_the_table_alone(tmp_path: Path) -> None:
    study(tmp_path, [[0.9], [0.95], [0.8]], (0.99, 0.9, 0.97), choose="validation")
    results = load(tmp_path)
    assert rows(results) == ["baseline", IDS[1]]
    assert [row.chosen_from for row in results.rows] == [None, 3]
    (found,) = results.comparisons
    assert (found.question.id, found.baseline.id, found.variant.id) == ("q", "baseline", IDS[1])


def test_several_seeds_choose_by_their_mean(tmp_path: Path) -> None:
    study(tmp_path, [[0.7, 0.95], [0.9, 0.8], [0.84, 0.84]], (0.9,) * 3, choose="validation")
    assert rows(load(tmp_path)) == ["baseline", IDS[1]]


@pytest.mark.parametrize(("confidences", "best"), [((1, 3, 2), 1), ((3, 3, 2), 0), ((1, 2, 3), 2)])
def test_of_equally_accurate_rows_the_least_loss_and_then_the_first(
    tmp_path: Path, confidences: tuple[float, ...], best: int
) -> None:
    study(tmp_path, [[0.9, 0.8], [0.8, 0.9], [0.852, 0.846]], (0.9,) * 3, choose="validation")
    for id, confidence in zip(IDS, confidences, strict=True):
        for seed in (0, 1):
            validation_logits(tmp_path, id, seed, confidence)
    assert rows(load(tmp_path)) == ["baseline", IDS[best]]


@pytest.mark.parametrize("test", [(0.5, 0.9, 0.99), (0.99, 0.5, 0.9)])
def test_test_accuracies_choose_nothing(tmp_path: Path, test: tuple[float, float, float]) -> None:
    study(tmp_path, [[0.9], [0.95], [0.8]], test, choose="validation")
    assert rows(load(tmp_path)) == ["baseline", IDS[1]]


def test_without_choose_every_row_is_in_the_table_and_compared(tmp_path: Path) -> None:
    study(tmp_path, [[0.9], [0.95], [0.8]], (0.99, 0.9, 0.97))
    results = load(tmp_path)
    assert rows(results) == ["baseline", *IDS]
    assert [found.variant.id for found in results.comparisons] == IDS
    assert {row.chosen_from for row in results.rows} == {None}


def test_a_chosen_row_is_not_said_to_be_untuned(tmp_path: Path) -> None:
    said = {}
    for choose in ("validation", None):
        study(
            tmp_path, [[0.9], [0.95], [0.8]], (0.9,) * 3, **({"choose": choose} if choose else {})
        )
        results = load(tmp_path)
        said[choose] = interpretation.how_to_read(results)
    tuned = f"`{IDS[1]}` was chosen from 3 rows by its validation accuracy; no other row was tuned"
    assert tuned in said["validation"] and "not tuned for any row" not in said["validation"]
    assert "training settings, which were not tuned for any row." in said[None]


def test_one_row_is_chosen_from_nothing(tmp_path: Path) -> None:
    rows = [configuration()["rows"][0]]
    rows += [{"id": "sweep", "grid": {"epochs": [7]}, "choose": "validation"}]
    parsed = config.parse(configuration(rows=rows, comparisons=[QUESTION]))
    write(tmp_path, parsed, {row.id: np.ones((1, 20), bool) for row in parsed.rows})
    text = table.markdown(load(tmp_path))
    assert "sweep-epochs-7" in text and "chosen" not in text and "best of" not in text


@pytest.mark.parametrize("choose", [{}, {"choose": "validation"}])
def test_everything_is_written_of_a_grid(tmp_path: Path, choose: dict[str, str]) -> None:
    study(tmp_path, [[0.9], [0.95], [0.8]], (0.99, 0.9, 0.97), **choose)
    lost = IDS[0] if choose else "no such row"
    done = program(tmp_path, tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("table.md", "table.csv", "interpretation.md", "comparisons.csv"):
        text = (tmp_path / name).read_text()
        assert IDS[1] in text and lost not in text


def test_so_far_nothing_is_chosen_of_a_grid_that_is_not_finished(tmp_path: Path) -> None:
    study(tmp_path, [[0.9], [0.95], [0.8]], (0.99, 0.9, 0.97), choose="validation")
    (tmp_path / f"runs/{IDS[2]}/seed-0/metrics.json").unlink()
    results = load(tmp_path, so_far=True)
    assert rows(results) == ["baseline"] and results.comparisons == ()
    assert [(run.number, run.row) for run in results.unfinished] == [(2, IDS[2])]


@pytest.mark.parametrize(("choose", "numbers"), [("validation", [1, 2]), (None, [1, 2, 3, 4])])
def test_a_grid_of_which_one_is_chosen_is_one_line(
    tmp_path: Path, choose: str | None, numbers: list[int]
) -> None:
    study(tmp_path, [[0.9], [0.95], [0.8]], (0.99,) * 3, **({"choose": choose} if choose else {}))
    assert [row.number for row in load(tmp_path).rows] == numbers
