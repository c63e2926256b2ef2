"""Jobs on one machine: a GPU each, freed however a job ends, and whether a CPU was shared."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import programs
import runs
from ablations import sharing
from conftest import environment

GPUS = ["GPU-a", "GPU-b", "GPU-c", "GPU-d"]

_server = multiprocessing.get_context("forkserver")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of its own: another machine, to the locks."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield tmp_path


class Job:
    """A process that claims a GPU and keeps it until it is told to end, or killed."""

    def __init__(self, machine: Path, gpus: list[str]) -> None:
        self.pipe, theirs = _server.Pipe()
        self.process = _server.Process(target=_claim, args=(machine, gpus, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def gpu(self, seconds: float = 60) -> str | None:
        """The GPU it got; None where it is still waiting after so many seconds."""
        return self.pipe.recv() if self.pipe.poll(seconds) else None

    def end(self, number: int) -> None:
        if self.process.is_alive():
            os.kill(self.process.pid or 0, number)
        self.process.join(60)


def _claim(machine: Path, gpus: list[str], pipe: Connection) -> None:
    os.environ["TMPDIR"] = str(machine)
    index, lock = sharing.claim(gpus, poll_seconds=0.01)
    pipe.send(gpus[index])
    pipe.poll(None)
    lock.release()


@pytest.fixture
def job(machine: Path) -> Iterator[object]:
    jobs: list[Job] = []

    def start(gpus: list[str]) -> Job:
        jobs.append(Job(machine, gpus))
        return jobs[-1]

    yield start
    for each in jobs:
        each.end(signal.SIGKILL)


def test_four_jobs_take_four_gpus_and_the_fifth_waits(job) -> None:
    jobs = [job(GPUS) for _ in GPUS]
    found = [each.gpu() for each in jobs]
    assert sorted(found) == GPUS
    fifth = job(GPUS)
    assert fifth.gpu(0.3) is None
    jobs[2].end(signal.SIGKILL)
    assert fifth.gpu() == found[2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_a_crashed_job_frees_its_gpu(job, number: signal.Signals) -> None:
    first = job(["GPU-a"])
    assert first.gpu() == "GPU-a"
    first.end(number)
    assert job(["GPU-a"]).gpu() == "GPU-a"


def test_jobs_that_see_different_gpus_do_not_wait_for_each_other(job) -> None:
    """As in a cluster's jobs, each of which sees one GPU as its first."""
    jobs = [job(GPUS[:1]), job(GPUS[1:2]), job(GPUS[1:3])]
    assert [each.gpu() for each in jobs[:2]] == ["GPU-a", "GPU-b"]
    assert jobs[2].gpu() == "GPU-c"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["arrive", "leave"]), max_size=8), st.booleans())
def test_company_is_noticed_before_and_since(events: list[str], someone_before: bool) -> None:
    """Visitors come and go beside us; each has its own open file, as each process has."""
    visitors = [sharing.Company()] if someone_before else []
    us = sharing.Company()
    assert us.others() == someone_before
    for event in events:
        if event == "arrive":
            visitors.append(sharing.Company())
            assert visitors[-1].others()
        elif visitors:
            _leave(visitors.pop())
        assert us.others() == (someone_before or "arrive" in events[: events.index(event) + 1])
    for gone in [*visitors, us]:
        _leave(gone)
    alone = sharing.Company()
    assert not alone.others()
    _leave(alone)


def _leave(company: sharing.Company) -> None:
    os.close(company._presence)  # what the end of its process does


@pytest.mark.parametrize("someone", [False, True])
def test_the_metrics_say_so(machine: Path, someone: bool) -> None:
    runs.tokens_file(machine)
    runs.row(machine, epochs=1, layers="last_block")
    company = sharing.Company() if someone else None
    done = programs.run(
        "ablations.train", *runs.arguments(machine), environment=environment(TMPDIR=str(machine))
    )
    assert done.returncode == 0, done.stderr
    assert f'"shared_device": {str(someone).lower()}' in (machine / "run/metrics.json").read_text()
    if company:
        _leave(company)
