"""The whole workflow, killed at random moments: the same command goes on to the same results."""

import contextlib
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import runs
import tiny
from commands import ROOT, environment, snakemake

KILLS = 20
# Two jobs that train at once, each with one thread.
OPTIONS = ["results/table.csv", "results/errors.csv", "--cores", "2", "--resources", "gpu=2"]
# Facts about the machine, beside the times.
NOT_COMPARED = {"device", "shared_device"}


def study(folder: Path) -> Path:
    tiny.config(folder, training={"epochs": 12, "eval_every": 50})
    return folder


def found(folder: Path) -> dict[str, object]:
    """The results that must not differ."""
    results = folder / "results"
    with (results / "table.csv").open(newline="") as file:
        table = [
            {name: value for name, value in line.items() if name not in NOT_COMPARED}
            for line in csv.DictReader(file)
        ]
    for line in table:
        del line["training_time_seconds"], line["trunk_time_seconds"]
    return {
        "table.csv": json.dumps(table),
        "errors.csv": (results / "errors.csv").read_bytes(),
        **{str(run.relative_to(results)): runs.results(run) for run in results.glob("runs/*/*")},
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = study(tmp_path_factory.mktemp("undisturbed"))
    snakemake(folder, *OPTIONS, "--configfile", folder / "config.yaml")
    return found(folder)


class Workflow:
    """One command in one folder, run again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: set[psutil.Process] = set()  # those that outlived their Snakemake too

    def start(self) -> psutil.Popen:
        """Unlocks the folder first if need be, as the README says."""
        if any(self.folder.glob(".snakemake/locks/*")):
            snakemake(self.folder, "--unlock", "--configfile", self.folder / "config.yaml")
        command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
        command += ["--directory", self.folder, *OPTIONS]
        with (self.folder / "output").open("w") as output:
            return psutil.Popen(
                [*map(str, command), "--configfile", str(self.folder / "config.yaml")],
                env=environment(ABLATIONS_SAVE_SECONDS="0.2"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def clean(self) -> None:
        """Ends jobs that were left behind, and starts again."""
        for job in self.jobs:
            with contextlib.suppress(psutil.NoSuchProcess):
                job.kill()
        psutil.wait_procs(self.jobs)
        self.jobs.clear()
        for name in ("results", ".snakemake"):
            shutil.rmtree(self.folder / name, ignore_errors=True)


@pytest.fixture
def workflow(tmp_path: Path) -> Iterator[Workflow]:
    made = Workflow(study(tmp_path))
    yield made
    made.clean()


def kill_snakemake(snakemake: psutil.Popen) -> set[psutil.Process]:
    """Its jobs live on, beside those of the next start."""
    jobs = set(snakemake.children(recursive=True))
    snakemake.kill()
    return jobs


def kill_a_job(snakemake: psutil.Popen, number: int = signal.SIGKILL) -> set[psutil.Process]:
    """The last that began, or the next where none runs."""
    while snakemake.poll() is None:
        if jobs := snakemake.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                jobs[-1].send_signal(number)
            return set(jobs)
        time.sleep(0.02)
    return set()


def terminate_a_job(snakemake: psutil.Popen) -> set[psutil.Process]:
    """As at a time limit."""
    return kill_a_job(snakemake, signal.SIGTERM)


def kill_everything(snakemake: psutil.Popen) -> set[psutil.Process]:
    """At once, as a loss of power does."""
    os.killpg(snakemake.pid, signal.SIGKILL)
    return set()


@pytest.mark.slow
def test_killed_at_twenty_random_moments_it_ends_with_the_same_results(
    workflow: Workflow, undisturbed: dict[str, object]
) -> None:
    """If it ends before it was killed often enough, it starts again."""
    draw = random.Random(20)
    kinds = [kill_snakemake, kill_a_job, kill_everything, terminate_a_job] * (KILLS // 4)
    while True:
        process = workflow.start()
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(draw.uniform(0.5, 4.5) if kinds else 300)
        if process.poll() is None:
            assert kinds, "it does not end"
            workflow.jobs |= kinds.pop()(process)
            process.wait(300)
            continue
        assert process.returncode == 0, workflow.output()
        psutil.wait_procs(workflow.jobs)  # what they still write must not differ either
        assert found(workflow.folder) == undisturbed
        assert not list(workflow.folder.glob("results/state/**/*.safetensors"))
        if not kinds:
            return
        workflow.clean()
