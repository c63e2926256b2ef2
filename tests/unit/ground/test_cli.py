"""What a program does when it fails: its exit code, its log, and what it prints."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from ablations import cli
from commands import environment

PROGRAM = """
from ablations import cli
from ablations.errors import UserError

def main(arguments):
    cli.log.info("begins")
    {failure}

cli.run(cli.parser(None), main)
"""
MISTAKE = "raise UserError('two rows are wrong:\\nrows: a: x\\nrows: b: y')"
BUG = "raise RuntimeError('ours')"


def run(failure: str, *arguments: object, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(failure=failure), *map(str, arguments)],
        env=environment(**extra),
        capture_output=True,
        text=True,
    )


def test_a_user_s_mistake_is_one_message_on_stderr_and_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs/a.log"
    message = "error: two rows are wrong:\nrows: a: x\nrows: b: y\n"
    done = run(MISTAKE, "--log", log)
    assert (done.returncode, done.stderr) == (1, message)
    assert log.read_text().endswith(message)
    assert run(MISTAKE).stderr == f"begins\n{message}"


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(MISTAKE, "two rows are wrong:\nrows: a: x\nrows: b: y"), (BUG, "RuntimeError: ours")],
)
def test_a_reason_that_another_program_shows_is_in_the_log_alone(
    tmp_path: Path, failure: str, reason: str
) -> None:
    log = tmp_path / "a.log"
    done = run(failure, "--log", log, **{cli.REASON_IS_SHOWN: "1"})
    assert (done.returncode, done.stderr) == (1, "")
    assert cli.failure(log) == reason
    done = run(failure, **{cli.REASON_IS_SHOWN: "1"})  # without a log it would be lost
    assert done.returncode == 1 and reason in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_character_goes_through_whatever_the_locale(tmp_path: Path, encoding: str) -> None:
    log = tmp_path / "ä.log"
    settings = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    settings["PYTHONIOENCODING"] = encoding
    said = f"print({'é × 日'!a}); raise UserError({'é × 日'!a})"
    done = run(said, "--log", log, **settings)
    assert (done.returncode, done.stdout, done.stderr) == (1, "é × 日\n", "error: é × 日\n")
    (written,) = tmp_path.iterdir()
    assert written.read_text(encoding="utf-8").endswith("error: é × 日\n")


def test_a_terminal_that_lacks_a_character_shows_another() -> None:
    command = [sys.executable, "-c", PROGRAM.format(failure="print('é × 日')")]
    settings = environment(PYTHONIOENCODING="latin-1")
    leader, terminal = pty.openpty()
    done = subprocess.run(command, env=settings, stdout=terminal, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert os.read(leader, 100).decode("latin-1").split() == ["é", "×", "?"]


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHONPATH": "{library}:{here}", "PYTHONSAFEPATH": "1"},
        {"PYTHONPATH": "{library}:."},
        {"PYTHONPATH": "{library}"},
    ],
)
def test_modules_of_the_users_come_after_all_others(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    """Python would look on PYTHONPATH and in the working directory before."""
    for module in ("random", "statistics", "numpy", "pandas", "pathlib", "fnmatch"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('the users own')")
    library = environment()["PYTHONPATH"]
    settings = environment(
        **{key: each.format(library=library, here=tmp_path) for key, each in settings.items()}
    )
    command = [sys.executable, "-m", "ablations.training.status", "--directory", tmp_path / "none"]
    done = subprocess.run(command, env=settings, cwd=tmp_path, capture_output=True, text=True)
    assert f"{tmp_path}/none/config.yaml is missing" in done.stderr


def test_a_bug_s_traceback_is_in_both(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    done = run(BUG, "--log", log)
    assert done.returncode == 1 and done.stderr.count("RuntimeError: ours") == 1
    assert "Traceback" in log.read_text() and "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("2026-11-24 21:00:00 a\n2026-11-24 21:00:01 error: x: y\n\n", "x: y"),
        ("2026-11-24 21:00:00 error: x\n2026-11-24 21:00:01 trained\n", None),
        ("2026-11-24 21:00:00 trained\n", None),
        (
            "sh: 1: cannot create a: Permission denied\n",
            "sh: 1: cannot create a: Permission denied",
        ),
        ("", None),
    ],
)
def test_the_end_of_a_log_says_why(tmp_path: Path, content: str, reason: str | None) -> None:
    (tmp_path / "a.log").write_text(content)
    assert cli.failure(tmp_path / "a.log") == reason
    assert cli.failure(tmp_path / "none.log") is None
