#!/usr/bin/env python3
"""What the workflow itself costs, in seconds of wall time: planning, a job's start, aggregation.

    .venv/bin/python bench/overhead.py               100 rows × 10 seeds
    .venv/bin/python bench/overhead.py --rows 8 --seeds 1

Medians of three; aggregation once. Nothing is downloaded, and the runs that are aggregated are made
up.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
sys.path.insert(1, str(Path(__file__).parents[1] / "tests/helpers"))

import runs
import synthetic_runs
from ablations.study import config

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "OMP_WAIT_POLICY": "passive"}


def many(rows: int, seeds: int) -> dict[str, object]:
    """The default study with so many rows, each compared with the baseline."""
    default = synthetic_runs.configuration()
    baseline = default["rows"][0]
    others = [{"id": f"row-{i}", "learning_rate": 1e-5 * (i + 1)} for i in range(rows - 1)]
    question = {"question": "Does the learning rate matter?", "baseline": baseline["id"]}
    comparisons = [{"id": f"q-{i['id']}", **question, "variant": i["id"]} for i in others]
    changes = {"rows": [baseline, *others], "comparisons": comparisons}
    return default | changes | {"seeds": list(range(seeds))}


def run(*command: str | Path) -> float:
    """Seconds that a command takes."""
    start = time.perf_counter()
    subprocess.run(command, check=True, env=ENVIRONMENT, capture_output=True)
    return time.perf_counter() - start


def planning(folder: Path, rows: int, seeds: int, rounds: int) -> float:
    """A dry run of everything."""
    folder.mkdir()
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(many(rows, seeds)))
    return dry_run(ROOT / "Snakefile", folder, rounds, "--configfile", path)


def of_one_rule(folder: Path, rounds: int) -> float:
    """The least that a dry run takes: that of a workflow of one rule."""
    folder.mkdir()
    snakefile = folder / "Snakefile"
    snakefile.write_text('rule made:\n    output: "made"\n    shell: "touch made"\n')
    return dry_run(snakefile, folder, rounds)


def dry_run(snakefile: Path, folder: Path, rounds: int, *options: str | Path) -> float:
    """A workflow's in this folder."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1"]
    command += ["--snakefile", str(snakefile), "--directory", str(folder)]
    command += ["--resources", "gpu=1", *map(str, options)]
    return statistics.median(run(*command) for _ in range(rounds))


def start(folder: Path, rounds: int) -> float:
    """What the job of a nano run takes besides training: until the first step, and its results."""
    folder.mkdir()
    runs.tokens_file(folder)
    runs.row(folder)
    found = []
    for _ in range(rounds):
        whole = run(sys.executable, "-m", "ablations.training.run", *runs.arguments(folder))
        metrics = json.loads((folder / "run/metrics.json").read_text())
        found.append(whole - metrics["training_time_seconds"])
    return statistics.median(found)


def aggregation(folder: Path, rows: int, seeds: int) -> float:
    """The program that answers from all runs."""
    study = config.parse(many(rows, seeds))
    draw = np.random.default_rng(0)
    right = {row.id: draw.random((seeds, 300)) < 0.95 for row in study.rows}
    synthetic_runs.write(folder, study, right)
    command = [sys.executable, "-m", "ablations.answers.write", "--results", str(folder)]
    return run(*command, "--output", str(folder))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rows, seeds, rounds = arguments.rows, arguments.seeds, arguments.rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds = {"dry run of a workflow of one rule": of_one_rule(folder / "one", rounds)}
        seconds |= {
            f"dry run, rows × seeds: {r} × {s}": planning(folder / f"{r}-{s}", r, s, rounds)
            for r, s in sorted({(8, 1), (rows, 1), (rows, seeds)})
        }
        seconds["a job beside its training"] = start(folder / "start", rounds)
        answers = aggregation(folder / "aggregation", rows, seeds)
        seconds[f"answers from {rows * seeds} runs"] = answers
    print(tabulate(seconds.items(), ["what", "seconds"], tablefmt="github", floatfmt=".1f"))


if __name__ == "__main__":
    main()
