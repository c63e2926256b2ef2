"""Which runs would share a job of a cluster: planned with the profile, nothing submitted."""

import re
from pathlib import Path

import tiny
from commands import ROOT, snakemake

SEEDS = [1, 2, 3]
# `long` is estimated to compute for more than five minutes, even on a GPU.
MODELS = {"nano": tiny.MODEL, "large": tiny.MODEL | {"n_layer": 48, "n_embd": 1600}}
ROWS = [
    tiny.ROWS[0],
    {"id": "kept", "save_model": True},  # another rule's
    {"id": "long", "model": "large", "trainable_layers": "all", "epochs": 50},
]
SHORT = {(row, str(seed)) for row in ("baseline", "kept") for seed in SEEDS}


def plan(folder: Path, *options: object, check: bool = True) -> str:
    study = tiny.config(folder, models=MODELS, rows=ROWS, seeds=SEEDS)
    profile = ["--workflow-profile", ROOT / "profiles/slurm"]
    asked = [*profile, "--configfile", study, "--dry-run", *options]
    return snakemake(folder, *asked, check=check).stdout


def runs(output: str, indent: int) -> list[tuple[str, str]]:
    """Those whose training is shown so deep: 4, or 8 in a group."""
    line = rf"^ {{{indent}}}output: results/runs/([\w-]+)/seed-(\d+)/metrics"
    return re.findall(line, output, re.MULTILINE)


def test_every_run_is_a_job_of_its_own_unless_asked_otherwise(tmp_path: Path) -> None:
    output = plan(tmp_path)
    assert "Group job" not in output
    assert len(runs(output, 4)) == len(ROWS) * len(SEEDS)


def test_short_runs_share_jobs_and_long_ones_do_not(tmp_path: Path) -> None:
    output = plan(tmp_path, "--group-components", "short=4")
    _, *groups = output.split("Group job short")
    members = [runs(group, 8) for group in groups]
    assert sorted(map(len, members)) == [2, 4]
    assert {run for group in members for run in group} == SHORT
    assert sorted(runs(output, 4)) == [("long", str(seed)) for seed in SEEDS]


def test_without_a_limit_on_gpus_it_is_refused(tmp_path: Path) -> None:
    """What the command line gives replaces the profile's; four runs would hold four GPUs."""
    options = ["--group-components", "short=4", "--resources", "mem_mb=8000"]
    output = plan(tmp_path, *options, check=False)
    assert "--group-components short=…: the number of GPUs of a job is missing" in output


def test_on_one_machine_nothing_is_grouped(tmp_path: Path) -> None:
    study = tiny.config(tmp_path, models=MODELS, rows=ROWS, seeds=SEEDS)
    options = ["--configfile", study, "--dry-run", "--cores", 1, "--group-components", "short=4"]
    assert "Group job" not in snakemake(tmp_path, *options).stdout
