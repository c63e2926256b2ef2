"""The benchmark runs, and its tables hold every row and loop; what they say is not asserted."""

import subprocess
import sys

import pytest

from conftest import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--transformers"], ["--memory"]])
def test_the_benchmark_measures_every_kind_of_row(options: list[str]) -> None:
    rows = ["baseline", "first-token", "last-layer", "all-layers"]
    few = ["--sizes", "nano", "nano", "nano", "--rounds", "1", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, ROOT / "bench/bench.py", *few, *options, "--rows", *rows],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for row in rows:
        (line,) = (line for line in done.stdout.splitlines() if line.startswith(f"| {row} "))
        numbers = [float(cell) for cell in line.split("|")[2:-1] if cell.strip()]
        assert all(number > 0 for number in numbers) and len(numbers) >= 2


@pytest.mark.slow
def test_the_workflow_s_own_cost_is_measured() -> None:
    few = ["--rows", "3", "--seeds", "2"]
    done = subprocess.run(
        [sys.executable, ROOT / "bench/overhead.py", *few], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "| dry run, rows × seeds: 3 × 2 " in done.stdout
    assert "| aggregation of 6 runs " in done.stdout
