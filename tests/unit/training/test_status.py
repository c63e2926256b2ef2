"""How the runs of a study are, while it runs or after a failure, from results and logs alone."""

import os
import re
import time
from pathlib import Path

import numpy as np
import yaml

import synthetic_runs
from ablations.files import write_json
from ablations.study import config
from commands import program

BEGIN = "2026-11-24 21:00:00 "


def log(folder: Path, name: str, text: str, age: float = 0) -> Path:
    path = folder / "logs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def status(folder: Path, error: str = "") -> list[str]:
    done = program("training.status", "--directory", folder)
    assert done.stderr == error and done.returncode == bool(error)
    return done.stdout.splitlines()


def test_each_run_that_is_missing_says_how_it_is_and_where_its_log_is(tmp_path: Path) -> None:
    made = synthetic_runs.configuration(seeds=[1, 2])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(made))
    study = config.parse(made)
    right = {row.id: np.ones((2, 30), bool) for row in study.rows}
    synthetic_runs.write(tmp_path / "results", study, right)
    assert status(tmp_path) == ["16 of 16 runs are finished."]

    for row in ("baseline", "large", "medium", "all-layers"):
        (tmp_path / f"results/runs/{row}/seed-2/metrics.json").unlink()
    log(tmp_path, "train/first-token/seed-1.log", f"{BEGIN}trained in 3 s\n")  # finished
    said = f"{BEGIN}a\n{BEGIN}epoch 1, step 0\n"
    running = log(tmp_path, "train/baseline/seed-2.log", said, age=3600)
    os.utime(tmp_path / "results/rows/baseline.json", (time.time() - 7200, time.time() - 7200))
    lock = tmp_path / ".snakemake/locks/0.input.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    log(tmp_path, "train/a-row-of-before/seed-1.log", f"{BEGIN}error: not asked for\n")
    failed = log(
        tmp_path, "train/large/seed-2.log", f"{BEGIN}a\n{BEGIN}error: too large: 9\nand 8\n"
    )
    trace = "Traceback (most recent call last):\n  File …\nRuntimeError: CUDA error\n"
    broken = log(tmp_path, "train/medium/seed-2.log", f"{BEGIN}failed\n{trace}")
    trunk = log(tmp_path, "trunks/some.log", f"{BEGIN}error: no memory\n")
    found = [re.sub("6[0-9] min ago", "an hour ago", line) for line in status(tmp_path)]
    assert found == [
        "12 of 16 runs are finished.",
        "  baseline, seed 2: has started; an hour ago its log said: epoch 1, step 0;"
        f" its log: {running}",
        "  all-layers, seed 2: has not started",
        f"  medium, seed 2: failed: RuntimeError: CUDA error; its log: {broken}",
        "  large, seed 2: failed: too large: 9",
        f"      and 8; its log: {failed}",
        f"  failed, not a run: no memory; its log: {trunk}",
    ]
    lock.unlink()
    assert status(tmp_path)[1] == (
        "  baseline, seed 2: was interrupted; its log ends with: epoch 1, step 0;"
        f" its log: {running}"
    )


def test_a_run_of_another_row_than_it_is_now_is_not_finished(tmp_path: Path) -> None:
    made = synthetic_runs.configuration()
    study = config.parse(made)
    right = {row.id: np.ones((1, 30), bool) for row in study.rows}
    synthetic_runs.write(tmp_path / "results", study, right)
    made["rows"][1]["epochs"] = 7  # first-token
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(made))
    log(tmp_path, "train/first-token/seed-123.log", f"{BEGIN}trained in 3 s\n")
    write_json(tmp_path / "results/rows/first-token.json", study.row("first-token").settings)
    assert status(tmp_path) == [
        "7 of 8 runs are finished.",
        "  first-token, seed 123: has not started",
    ]


def test_where_nothing_is_finished_it_says_so_and_fails(tmp_path: Path) -> None:
    made = synthetic_runs.configuration()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(made))
    error = f"error: no run of {tmp_path} is finished yet, so there is no table so far\n"
    assert status(tmp_path, error)[0] == "0 of 8 runs are finished."
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
