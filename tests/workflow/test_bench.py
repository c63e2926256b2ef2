"""The benchmark runs, and its tables hold every row and loop; what they say is not asserted."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import bench
import plain
from ablations.machine import device
from commands import ROOT


def test_rows_that_read_the_same_share_a_trunk() -> None:
    names = ["baseline", "last-layer", "flexible-token", "no-padding", "no-causal-mask"]
    known = bench.rows(["nano"] * 4, "float32")
    assert len(known) == 19
    assert bench.trunks([known[name] for name in names]) == {
        "baseline": "baseline",
        "last-layer": "baseline",
        "flexible-token": "flexible-token",
        "no-padding": "flexible-token",
        "no-causal-mask": "no-causal-mask",
    }


@pytest.mark.parametrize("messages", [16, 160])
def test_the_steps_that_are_timed_are_as_long_as_all_are(messages: int) -> None:
    row, tokens = bench.rows(["nano"] * 4, "float32")["no-padding"], bench.random_messages()
    lengths = np.array([len(ids) for ids in bench.by_split(tokens)[0]["train"]])
    steps = bench.typical(row, tokens, messages)
    assert len(steps) == messages
    assert lengths.max() == 120
    assert lengths.mean() == pytest.approx(31, rel=0.02)
    assert lengths[np.ravel(steps)].mean() == pytest.approx(lengths.mean(), rel=0.05)


@pytest.mark.parametrize("causal", [True, False])
def test_both_loops_compute_the_same(causal: bool) -> None:
    baseline = bench.rows(["nano"] * 4, "float32")["baseline"]
    # the first position reads the others only without the mask
    row = bench.changed(baseline, trainable_token="first", causal_mask=causal)
    tokens, machine = bench.random_messages(), device.current("float32", 1)
    theirs, ours = (
        bench.Loop(row, which, tokens, machine).model for which in ("transformers", "plain")
    )
    ours.body.load_state_dict(plain.renamed(theirs.body.state_dict(), row.dimensions.n_layer))
    texts = torch.arange(18).view(2, 9), torch.tensor([9, 4])
    with torch.no_grad():
        torch.testing.assert_close(ours(*texts), theirs(*texts))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (["baseline", "all-layers"], []),
        (["lora", "no-padding-accumulated"], ["--transformers"]),
        (["baseline", "all-layers"], ["--memory"]),
    ],
)
def test_the_benchmark_measures_every_kind_of_row(rows: list[str], options: list[str]) -> None:
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
    few = ["--rows", "3", "--seeds", "2", "--rounds", "1"]
    done = subprocess.run(
        [sys.executable, ROOT / "bench/overhead.py", *few], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "| dry run, rows × seeds: 3 × 2 " in done.stdout
    assert "| answers from 6 runs " in done.stdout


@pytest.mark.slow
def test_other_models_are_timed_against_recomputing() -> None:
    few = ["--size", "nano", "--rounds", "1", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, ROOT / "bench/other_models.py", *few], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "| one run " in done.stdout and "| 5 folds " in done.stdout
