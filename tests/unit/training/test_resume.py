"""A killed run goes on from its saved state, to the bytes of a run that was left alone."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from safetensors import safe_open

import programs
import runs
from ablations.training import resume
from commands import environment

EPOCHS = 30


@pytest.fixture
def study(tmp_path: Path) -> Path:
    runs.tokens_file(tmp_path)
    runs.row(tmp_path, epochs=EPOCHS)
    return tmp_path


def state(study: Path) -> Path:
    return study / "state/seed-123.safetensors"


def train(study: Path, **extra: str) -> str:
    """Trains to the end; what it logged."""
    arguments = runs.arguments(study)
    done = programs.run("ablations.training.run", *arguments, environment=environment(**extra))
    assert done.returncode == 0, done.stderr
    assert not state(study).exists()
    assert not list(study.rglob("*.part"))
    return (study / "train.log").read_text()


def interrupt(study: Path, number: signal.Signals, **extra: str) -> CompletedProcess[str]:
    """Sends a signal some steps after the start of training."""
    log = study / "train.log"
    log.unlink(missing_ok=True)

    def wait() -> None:
        while not (log.exists() and log.read_text().count(" train loss ") > 1):
            time.sleep(0.005)

    done = programs.run_and_signal(
        wait,
        number,
        "ablations.training.run",
        *runs.arguments(study),
        environment=environment(**extra),
    )
    assert done.returncode != 0, "it ended before the signal"
    assert not (study / "run").exists()
    return done


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("undisturbed")
    runs.tokens_file(folder)
    runs.row(folder, epochs=EPOCHS)
    train(folder)
    return runs.results(folder / "run")


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that got SIGTERM."""
    folder = tmp_path_factory.mktemp("interrupted")
    runs.tokens_file(folder)
    runs.row(folder, epochs=EPOCHS)
    done = interrupt(folder, signal.SIGTERM)
    assert done.returncode == 128 + signal.SIGTERM
    assert re.search(r"ended by SIGTERM; the state after step \d+ is in .*; run again", done.stderr)
    return folder


@pytest.fixture
def saved(study: Path, interrupted: Path) -> Path:
    """The state after SIGTERM, in the place where this test's run looks for its own."""
    state(study).parent.mkdir()
    return Path(shutil.copy(state(interrupted), state(study)))


def test_after_sigterm_it_goes_on(study: Path, saved: Path, undisturbed: dict[str, object]) -> None:
    with safe_open(saved, framework="numpy") as file:
        progress = json.loads(file.metadata()["state"])["progress"]
    assert 0 < progress["steps"] < EPOCHS * 10
    assert f"going on after step {progress['steps'] - 1}, from" in train(study)
    assert runs.results(study / "run") == undisturbed
    metrics = json.loads((study / "run/metrics.json").read_text())
    assert metrics["training_time_seconds"] > progress["seconds"] > 0


def test_after_an_interrupt_from_the_keyboard_it_goes_on(
    study: Path, undisturbed: dict[str, object]
) -> None:
    done = interrupt(study, signal.SIGINT)
    assert done.returncode == 128 + signal.SIGINT
    assert "ended by SIGINT" in done.stderr and "Traceback" not in done.stderr
    assert "going on after step" in train(study)
    assert runs.results(study / "run") == undisturbed


def test_after_a_hang_up_it_goes_on(study: Path, undisturbed: dict[str, object]) -> None:
    done = interrupt(study, signal.SIGHUP)
    assert done.returncode == 128 + signal.SIGHUP
    assert "ended by SIGHUP" in done.stderr and state(study).exists()
    assert "going on after step" in train(study)
    assert runs.results(study / "run") == undisturbed


def test_a_second_hang_up_does_not_end_what_the_first_asked_for(tmp_path: Path) -> None:
    """A terminal that is closed may send two."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    saved = resume.State(tmp_path / "state", runs.identity(runs.settings_of()))
    try:
        with saved.signals():
            signal.raise_signal(signal.SIGHUP)
            assert saved.signal == signal.SIGHUP
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_under_nohup_a_hang_up_ends_nothing(study: Path, undisturbed: dict[str, object]) -> None:
    command = [sys.executable, "-m", "ablations.training.run", *runs.arguments(study)]
    process = subprocess.Popen(["nohup", *map(str, command)], env=environment())
    while not (log := study / "train.log").exists() or " train loss " not in log.read_text():
        time.sleep(0.005)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=120) == 0
    assert runs.results(study / "run") == undisturbed


def test_after_two_sigkills_it_goes_on(study: Path, undisturbed: dict[str, object]) -> None:
    for _ in range(2):
        done = interrupt(study, signal.SIGKILL, ABLATIONS_SAVE_SECONDS="0")
        assert done.returncode == -signal.SIGKILL
        assert state(study).exists()
    assert "going on after step" in train(study)
    assert runs.results(study / "run") == undisturbed


def test_of_another_row_it_is_ignored(study: Path, saved: Path) -> None:
    runs.row(study, epochs=3)
    assert "is of other code, data or settings; starting from the first step" in train(study)


def test_an_unreadable_one_is_ignored(
    study: Path, saved: Path, undisturbed: dict[str, object]
) -> None:
    """Cut short, as no save leaves it but a broken disk may."""
    saved.write_bytes(saved.read_bytes()[:-100])
    assert "cannot be read" in train(study)
    assert runs.results(study / "run") == undisturbed


def test_a_full_disk_does_not_stop_training(study: Path, undisturbed: dict[str, object]) -> None:
    """There is a broken link in place of the folder of the states."""
    state(study).parent.symlink_to(study / "nowhere")
    assert "could not be saved" in train(study, ABLATIONS_SAVE_SECONDS="0.2")
    assert runs.results(study / "run") == undisturbed
