"""Intervals of several seeds: seeds share the messages and do not add to their number."""

import csv
import math

import matplotlib
import numpy as np
import pytest

from ablations.answers import figures, table
from synthetic_runs import disagreeing, load, two_rows

MESSAGES, SEEDS = 100, 3


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A row that is always right, and one that misses 10 of 100 messages with every seed."""
    folder = tmp_path_factory.mktemp("study")
    two_rows(folder, *disagreeing(MESSAGES, 10, 0, seeds=SEEDS))
    return load(folder)


def wilson(accuracy, n):
    """Wilson's 95% interval (1927), by its formula."""
    z = 1.959964
    middle = (accuracy + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(accuracy * (1 - accuracy) / n + z**2 / (4 * n**2))
    return [middle - half, middle + half]


def test_in_the_table_to_compute_with(study):
    line = list(csv.DictReader(table.comma_separated(study).splitlines()))[1]
    found = [float(line[f"test_accuracy_{end}"]) for end in ("low", "high")]
    assert found == pytest.approx(wilson(0.9, MESSAGES), abs=1e-6)
    sizes = {"train": 1040, "validation": 149}  # whole batches, all messages
    for split, size in sizes.items():
        accuracy = float(line[f"{split}_accuracy"])
        found = [float(line[f"{split}_accuracy_{end}"]) for end in ("low", "high")]
        assert found == pytest.approx(wilson(accuracy, size), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "axis"), [("accuracies", "get_xdata"), ("accuracy_and_time", "get_ydata")]
)
def test_in_the_figures(study, name, axis):
    with matplotlib.rc_context(figures.STYLE):
        panel = dict(figures.draw(study))[name].axes[-1]
    drawn = [getattr(line, axis)() for line in panel.lines]
    intervals = [sorted(map(float, ends)) for ends in drawn if len(ends) == 2]
    for accuracy in (1, 0.9):
        expected = 100 * np.array(wilson(accuracy, MESSAGES))
        assert any(np.allclose(ends, expected, atol=1e-4) for ends in intervals)
