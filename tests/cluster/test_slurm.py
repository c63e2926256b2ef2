"""The workflow on a real SLURM cluster of one node, started here: what is queued, lost and kept.

One study goes through three runs: (1) its configuration is edited while its jobs are queued, one
row fails and one is killed for its memory; (2) the failed row is mended, and the run interrupted;
(3) the rest. Another has forty short runs, which one job trains. A second cluster has no GPUs.
"""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import programs
import slurm as local_slurm
from ablations import files
from ablations.study import config
from ablations.study import needs as estimate
from ablations.training.metrics import Metrics
from commands import ROOT, copy_repository, environment, table
from slurm import Cluster, Job, until

MISSING = local_slurm.missing()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING), reason=f"needs SLURM and munge; not here: {', '.join(MISSING)}"
    ),
]

GPUS = 2
DEMO = yaml.safe_load((ROOT / "demo/config.yaml").read_text())
DEMO["seeds"] = DEMO["seeds"][:1]
DEMO["references"] = ["words"]
ALL_RANDOM = {"weights": "random", "trainable_layers": "all"}
LONG = {"epochs": 15}


def study(**mended: Any) -> dict[str, Any]:
    """The demo with less of everything: one row for each thing that may happen to a job."""
    nano = DEMO["models"]["nano-small"]
    return DEMO | {
        "dataset": DEMO["dataset"] | {"generated": {"messages": 600, "seed": 0}},
        "training": DEMO["training"] | {"epochs": 1},
        "models": {"nano-small": nano | {"pretrain": nano["pretrain"] | {"steps": 5}}},
        "rows": [
            DEMO["rows"][0],
            {"id": "random", **ALL_RANDOM},
            {"id": "hungry", **ALL_RANDOM},
            {"id": "failing", **ALL_RANDOM, "learning_rate": 1e30, **mended},
        ],
        "comparisons": [],
    }


ROWS = [row["id"] for row in study()["rows"]]

# What the configuration becomes while the jobs are queued: rows gone, and every value another.
EDITED = study() | {
    "seeds": [7],
    "training": DEMO["training"] | {"epochs": 2, "learning_rate": 1e-4},
    "rows": [DEMO["rows"][0] | ALL_RANDOM],
}

# Every Python begins with it. The training of the row `hungry` uses more memory than it is given at
# first, and less than twice that: ten processes hold the same 600 MB, and SLURM counts them ten
# times. It waits to be killed for that; the next one waits as long as SLURM needs to see.
SITECUSTOMIZE = """\
import os, sys, time
if {"ablations.training.run", "results/rows/hungry.json"} <= set(sys.orig_argv):
    memory = b"x" * 600_000_000
    seconds = 5 if os.path.exists("hungry") else 100
    open("hungry", "w").close()
    for _ in range(9):
        if os.fork() == 0:
            time.sleep(seconds)
            os._exit(0)
    for _ in range(9):
        os.wait()
"""


@dataclass(frozen=True)
class Run:
    """A finished call of snakemake: what it said, and the jobs that it submitted."""

    returncode: int
    output: str
    jobs: list[Job]

    def submitted(self) -> Counter[str]:
        """How often each job was submitted."""
        return Counter(job.comment for job in self.jobs)


@dataclass(frozen=True)
class Started:
    """A call of snakemake that runs."""

    process: subprocess.Popen[bytes]
    log: Path
    slurm: Cluster
    before: int  # jobs of the cluster

    def jobs(self) -> list[Job]:
        """Those of this call."""
        return self.slurm.jobs()[self.before :]

    def wait(self) -> Run:
        """Until it ends, and its jobs with it."""
        self.process.wait(1800)
        active = {"PENDING", "RUNNING", "COMPLETING"}
        until(lambda: active.isdisjoint(job.state for job in self.jobs()), "the jobs' end")
        return Run(self.process.returncode, self.log.read_text(), self.jobs())


def user(slurm: Cluster, **extra: str) -> dict[str, str]:
    """The environment of a user on the cluster."""
    path = os.pathsep.join([str(Path(sys.executable).parent), slurm.environment["PATH"]])
    return environment(**slurm.environment | {"PATH": path} | extra)


def start(root: Path, slurm: Cluster, *arguments: str) -> Started:
    """Calls snakemake as a user would, in a copy of the repository."""
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "snakemake"]
    command += ["--workflow-profile", "profiles/slurm", "--latency-wait", "10"]
    command += ["--slurm-init-seconds-before-status-checks", "3"]
    (root / "own").mkdir(exist_ok=True)
    (root / "own/sitecustomize.py").write_text(SITECUSTOMIZE)
    before = len(slurm.jobs())
    log = root / f"output-{len(list(root.glob('output-*')))}"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=root,
            env=user(slurm, PYTHONPATH=str(root / "own")),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # pytest may itself run where SIGINT is ignored, and children inherit that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    return Started(process, log, slurm, before)


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    with local_slurm.running(GPUS) as started:
        yield started


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_repository(tmp_path_factory.mktemp("slurm") / "repository")


def configure(root: Path, config: dict[str, Any]) -> None:
    (root / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


@pytest.fixture(scope="module")
def first(root: Path, slurm: Cluster) -> Run:
    configure(root, study())
    slurm.hold()
    started = start(root, slurm)
    until(lambda: len(started.jobs()) == 4, f"four jobs; see {started.log}")
    configure(root, EDITED)
    slurm.release()
    return started.wait()


@pytest.fixture(scope="module")
def interrupted(root: Path, slurm: Cluster, first: Run) -> Run:
    configure(root, study(learning_rate=1e-3, **LONG))
    log = root / "logs/train/failing/seed-123.log"
    log.unlink()
    started = start(root, slurm)
    until(lambda: log.exists() and "epoch 1, step 0 " in log.read_text(), "training")
    started.process.send_signal(signal.SIGINT)
    return started.wait()


@pytest.fixture(scope="module")
def finished(root: Path, slurm: Cluster, interrupted: Run) -> Run:
    return start(root, slurm).wait()


def trained(run: Run, row: str) -> list[Job]:
    """The jobs that trained it, in the order of their submission."""
    return [job for job in run.jobs if job.comment == f"rule_train_wildcards_{row}_seed-123"]


# --- rows as jobs


def test_what_computes_is_submitted_once_and_the_rest_runs_beside_snakemake(first: Run) -> None:
    rules = [comment.split("_wildcards_")[0] for comment in first.submitted()]
    assert Counter(rules) == {"rule_pretrain": 1, "rule_trunk": 1, "rule_train": len(ROWS)}


def test_each_row_asks_for_one_gpu_and_for_what_is_estimated(first: Run) -> None:
    stated = config.parse(study())
    messages, _ = estimate.expected(stated)
    for row in stated.rows:
        job, needs = trained(first, row.id)[0], estimate.of_run(row.settings, messages)
        assert job.gpus == 1
        assert job.memory_mb == needs.memory_mb
        assert job.time_limit == f"00:{needs.minutes}:00"


def test_no_more_jobs_run_at_once_than_there_are_gpus(first: Run) -> None:
    assert len(first.jobs) > GPUS
    for job in first.jobs:
        beside = [other for other in first.jobs if other.start <= job.start < other.end]
        assert len(beside) <= GPUS


def test_all_results_arrive(root: Path, finished: Run) -> None:
    assert finished.returncode == 0, finished.output
    lines = [line["id"] for line in table(root / "results/table.csv")]
    assert lines == [*ROWS, *DEMO["references"]]


# --- what goes wrong


def test_a_failing_job_is_tried_three_times_and_told_with_its_id_and_its_log(first: Run) -> None:
    assert first.returncode == 1
    jobs = trained(first, "failing")
    assert [job.state for job in jobs] == ["FAILED"] * 3
    for job in jobs:
        assert f"SLURM-job '{job.id}' failed" in first.output
        assert f"external_jobid: {job.id}\n" in first.output
    assert "log: logs/train/failing/seed-123.log, " in first.output
    assert "error: the loss is not a finite number at step " in first.output  # in the log


def test_the_other_rows_are_trained_all_the_same(first: Run) -> None:
    for row in ROWS:
        expected = "FAILED" if row == "failing" else "COMPLETED"
        assert trained(first, row)[-1].state == expected, first.output


def test_a_job_killed_for_its_memory_is_given_twice_as_much_and_succeeds(
    root: Path, first: Run
) -> None:
    killed, again = trained(first, "hungry")
    # SLURM says OUT_OF_MEMORY where it is the kernel that kills
    assert (killed.state, again.state) == ("FAILED", "COMPLETED")
    assert again.memory_mb == 2 * killed.memory_mb
    log = root / f".snakemake/slurm_logs/rule_train/hungry_seed-123/{killed.id}.log"
    assert str(log) in first.output
    assert "exceeded memory limit" in log.read_text()


def test_an_edit_of_the_configuration_reaches_no_queued_job(root: Path, first: Run) -> None:
    for row in config.parse(study()).rows:
        if row.id != "failing":
            path = root / f"results/runs/{row.id}/seed-123/metrics.json"
            assert files.read_json(path, Metrics).settings == row.settings


def test_an_interrupted_run_cancels_its_jobs(interrupted: Run) -> None:
    assert interrupted.returncode != 0
    assert [job.state for job in interrupted.jobs] == ["CANCELLED"]


def test_the_next_run_submits_only_what_is_missing(interrupted: Run, finished: Run) -> None:
    missing = {"rule_train_wildcards_failing_seed-123": 1}
    assert interrupted.submitted() == missing
    assert finished.submitted() == missing


def test_a_cancelled_job_goes_on_where_it_stood(root: Path, finished: Run) -> None:
    assert "going on after step " in (root / "logs/train/failing/seed-123.log").read_text()


# --- many short runs

SEEDS = [1, 2, 3, 4, 5]


def many(last: float) -> dict[str, Any]:
    """Eight rows, five seeds each; with so high a learning rate the last row's runs fail."""
    rates = {f"rate-{number}": number * 1e-3 for number in range(2, 8)} | {"last": last}
    rows = [{"id": row, "learning_rate": rate} for row, rate in rates.items()]
    return study() | {"seeds": SEEDS, "rows": [DEMO["rows"][0], *rows]}


def results(root: Path) -> dict[str, bytes]:
    """The metrics that are there, by row and seed."""
    folder = root / "results/runs"
    return {
        str(path.parent.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.glob("*/*/metrics.json"))
    }


def submit(root: Path, slurm: Cluster) -> tuple[Job, str]:
    """The README's command for many short runs, on two GPUs: the finished job, and its output.

    SLURM sees one job, so what that starts may be forked; all other jobs are real processes.
    """
    command = ["sbatch", "--parsable", "--gpus=2", "--cpus-per-task=2", "--mem=8G", "--time=60"]
    command += ["--wrap", "snakemake --cores 2 --resources gpu=2 --keep-going"]
    path = os.pathsep.join([str(programs.binaries()), user(slurm)["PATH"]])
    environment = user(slurm, PATH=path)
    number = int(subprocess.check_output(command, cwd=root, env=environment))
    until(lambda: slurm.jobs()[-1].state in {"COMPLETED", "FAILED"}, "the job's end", 900)
    return slurm.jobs()[-1], (root / f"slurm-{number}.out").read_text()


def test_one_job_trains_forty_short_runs_and_then_one_row_alone(
    tmp_path: Path, slurm: Cluster
) -> None:
    """Those of one row fail; the others keep their results, and the mended row is trained alone."""
    root = copy_repository(tmp_path / "repository")
    configure(root, many(last=1e30))
    before = len(slurm.jobs())
    job, output = submit(root, slurm)
    first = results(root)
    assert job.state == "FAILED" and len(first) == 35, output
    assert not any(run.startswith("last/") for run in first)

    configure(root, many(last=1e-4))
    job, output = submit(root, slurm)
    assert job.state == "COMPLETED", output
    second = results(root)
    assert len(second) == 40 and first.items() <= second.items()
    assert len(table(root / "results/table.csv")) == 8 + len(DEMO["references"])
    assert len(slurm.jobs()) - before == 2


# --- no GPUs


def test_a_cluster_without_gpus_works_with_the_lines_that_the_profile_has_for_it(
    root: Path, finished: Run
) -> None:
    profile = root / "profiles/slurm/config.yaml"
    before, lines = profile.read_text().split("# On a cluster without GPUs, ")
    profile.write_text(f"{before}# {re.sub('^# (?=set-|  )', '', lines, flags=re.M)}")
    again = "results/runs/random/seed-123/metrics.json"
    with local_slurm.running(gpus=0) as slurm:
        run = start(root, slurm, again, "--forcerun", "train", "--set-threads", "train=1").wait()
    assert run.returncode == 0, run.output
    (job,) = run.jobs
    assert (job.state, job.gpus, job.time_limit) == ("COMPLETED", 0, "1-00:00:00")
