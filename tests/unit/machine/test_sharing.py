"""Jobs on one machine: a GPU each, freed however a job ends, and whether a CPU was shared."""

import contextlib
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import programs
import runs
from ablations.machine import device, sharing
from commands import environment

GPUS = ["GPU-a", "GPU-b", "GPU-c", "GPU-d"]

_server = multiprocessing.get_context("forkserver")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A separate temporary folder: for the locks it is another machine."""
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
    index, lock = sharing.claim(gpus)
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
    first, second = job(GPUS[:1]), job(GPUS[1:2])
    assert [first.gpu(), second.gpu()] == ["GPU-a", "GPU-b"]
    assert job(GPUS[1:3]).gpu() == "GPU-c"


def test_a_job_takes_a_free_gpu_among_those_it_sees(machine, job, monkeypatch) -> None:
    """Within CUDA_VISIBLE_DEVICES, since PyTorch counts what that leaves: here two of four."""
    chosen: list[int] = []
    gpus = [SimpleNamespace(uuid=name) for name in GPUS[2:]]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(gpus))
    monkeypatch.setattr(torch.cuda, "get_device_properties", gpus.__getitem__)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: chosen[-1])
    other = job(GPUS[2:])
    assert other.gpu() == GPUS[2]
    ours = device.choose("float32", torch.get_num_threads())
    assert (ours.torch, chosen) == (torch.device("cuda", 1), [1])
    assert not ours.shared()
    other.end(signal.SIGKILL)
    assert job(GPUS[2:]).gpu() == GPUS[2]
    waiting = job(GPUS[3:])
    assert waiting.gpu(0.3) is None
    ours.gpu.release()
    assert waiting.gpu() == GPUS[3]


class Visits:
    """Jobs that start and end; each has its own open file, as each process has."""

    def __init__(self) -> None:
        self.here: list[sharing.OtherJobs] = []

    def arrive(self) -> sharing.OtherJobs:
        self.here.append(sharing.OtherJobs())
        return self.here[-1]

    def leave(self, job: sharing.OtherJobs) -> None:
        self.here.remove(job)
        os.close(job._presence)  # what the end of its process does


@contextlib.contextmanager
def visits() -> Iterator[Visits]:
    """Everyone leaves in the end, however the test ends: the next example starts alone."""
    made = Visits()
    try:
        yield made
    finally:
        for job in list(made.here):
            made.leave(job)


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["arrive", "leave", "crash"]), max_size=8), st.booleans())
def test_other_jobs_are_noticed_before_and_since(events: list[str], someone_before: bool) -> None:
    """Whether or not it has left when we ask."""
    with visits() as beside:
        visitors = [beside.arrive()] if someone_before else []
        us = beside.arrive()
        assert us.others() == someone_before
        for count, event in enumerate(events, start=1):
            if event == "arrive":
                visitors.append(beside.arrive())
                assert visitors[-1].others()
            elif visitors:
                beside.leave(visitors.pop())
            if event == "crash":  # of a job that just arrives
                sharing.folder().joinpath("latest-arrival").write_text("")
            arrived = {"arrive", "crash"} & set(events[:count])
            assert us.others() == (someone_before or bool(arrived))


def test_a_job_that_ended_before_does_not_count() -> None:
    with visits() as beside:
        beside.leave(beside.arrive())
        assert not beside.arrive().others()


def test_a_cleaned_temporary_folder_ends_no_job_and_claims_no_solitude() -> None:
    with visits() as beside:
        us = beside.arrive()
        shutil.rmtree(sharing.folder())
        assert us.others()


@pytest.mark.parametrize("someone", [False, True])
def test_the_metrics_say_so(machine: Path, someone: bool) -> None:
    runs.tokens_file(machine)
    runs.row(machine, epochs=1, layers="last_block")
    with visits() as beside:
        if someone:
            beside.arrive()
        done = programs.run(
            *("ablations.training.run", *runs.arguments(machine)),
            environment=environment(TMPDIR=str(machine)),
        )
    assert done.returncode == 0, done.stderr
    assert f'"shared_device": {str(someone).lower()}' in (machine / "run/metrics.json").read_text()
