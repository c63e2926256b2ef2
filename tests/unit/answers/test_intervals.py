"""Intervals of several seeds: seeds share the messages and do not add to their number."""

import csv
import math

import pytest

from ablations.answers.written import numbers
from synthetic_runs import disagreeing, load, two_rows

MESSAGES, SEEDS = 100, 3


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A row that is always right, and one that misses 10 of 100 texts with every seed."""
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
    line = list(csv.DictReader(numbers.rows(study).splitlines()))[1]
    found = [float(line[f"test_accuracy_{end}"]) for end in ("low", "high")]
    assert found == pytest.approx(wilson(0.9, MESSAGES), abs=1e-6)
    sizes = {"train": 1040, "validation": 149}  # whole batches, all messages
    for split, size in sizes.items():
        accuracy = float(line[f"{split}_accuracy"])
        found = [float(line[f"{split}_accuracy_{end}"]) for end in ("low", "high")]
        assert found == pytest.approx(wilson(accuracy, size), abs=1e-6)
