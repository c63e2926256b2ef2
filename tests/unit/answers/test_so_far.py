"""`make table-so-far`, as the Makefile has it: a table of what is finished, and how the rest is."""

import subprocess
import sys
from pathlib import Path

import yaml

import synthetic_runs
from commands import ROOT, environment


def recipe(study: Path) -> str:
    """What make would run for the target once it is set up; make itself runs nothing here."""
    variables = [f"STUDY={study}", f"BIN={Path(sys.executable).parent}"]
    done = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "table-so-far", *variables],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    _, found, rest = done.stdout.partition("PYTHONPATH=")
    assert found and "pip" not in rest
    return found + rest


def test_one_failed_row_leaves_a_table_of_the_others(tmp_path: Path) -> None:
    made = synthetic_runs.configuration()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(made))
    synthetic_runs.eight_rows(tmp_path / "results")
    (tmp_path / "results/runs/large/seed-123/metrics.json").unlink()
    log = tmp_path / "logs/train/large/seed-123.log"
    log.parent.mkdir(parents=True)
    log.write_text("2026-11-24 21:00:00 error: out of memory\n")
    done = subprocess.run(
        ["bash", "-e", "-c", recipe(tmp_path)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        "7 of 8 runs are finished.",
        f"  large, seed 123: failed: out of memory; its log: {log}",
    ]
    table = [line for line in lines if line.startswith("|")]
    assert len(table) >= 2 + 7 and max(map(len, table)) <= 120
    assert any(line.startswith("first-token against baseline: ") for line in lines)
    assert not any(line.startswith("large against baseline: ") for line in lines)
    assert (tmp_path / "results/so-far/table.csv").is_file()
    page = (tmp_path / "results/so-far/index.html").read_text()
    assert "Provisional: 1 run is missing." in page
    assert not (tmp_path / "results/table.md").exists()
