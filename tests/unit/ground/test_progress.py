"""`--logger progress`: what a person reads while Snakemake runs."""

import logging
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from ablations import cli
from commands import ROOT, environment
from snakemake_logger_plugin_progress import PHRASES, LogHandler, Remaining, _duration

SNAKEFILE = """
from snakemake.logging import logger

work = {("train", (row, "seed-1")): 5.0 for row in "abc"}
logger.info(None, extra={"ablations_work": work})


rule all:
    localrule: True
    input:
        expand("{row}/seed-1.txt", row=["a", "b", "c"]),


rule train:
    output:
        "{row}/{run}.txt",
    log:
        "logs/{row}.{run}.log",
    shell:
        "echo '2026-11-24 21:00:00 error: what is wrong' > {log}; touch {output}"
        "; test {wildcards.row} != b"
"""


# The program reads files that are not there; it says so on stderr and in its log.
FAILS = """
rule split:
    output:
        "a.csv",
    log:
        "logs/split.log",
    shell:
        "python -m ablations.data.split --collection none.json --dataset '[]'"
        " --output-dir . --log {log}"
"""


def run(
    folder: Path, *arguments: str, snakefile: str = SNAKEFILE
) -> subprocess.CompletedProcess[str]:
    (folder / "study").mkdir(exist_ok=True)
    (folder / "Snakefile").write_text(snakefile)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--directory", "study"]
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_each_job_has_its_lines_and_a_failure_its_reason_and_its_log(tmp_path: Path) -> None:
    done = run(tmp_path, "--keep-going", "--logger", "progress")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "3 jobs to do"  # `all` only collects
    at = lines.index("FAILED  training b, seed 1")
    assert lines[at + 1 : at + 3] == [
        "        what is wrong",
        "        its log: study/logs/b.seed-1.log",
    ]
    started = sorted(line for line in lines if line.endswith("…"))
    assert started == [f"        training {row}, seed 1 …" for row in "abc"]
    finished = "\n".join(line for line in lines if "done in" in line)
    pattern = r"1 of 3  training \w, seed 1: done in \d+ s; about \d+ s left\n2 of 3  training .*"
    assert re.fullmatch(pattern, finished)
    assert len(lines) == 1 + 3 + 3 + 2  # nothing of Snakemake's own
    (log,) = (tmp_path / "study/.snakemake/log").iterdir()
    assert "Error in rule train" in log.read_text()


def test_the_reason_of_a_failure_is_printed_once(tmp_path: Path) -> None:
    done = run(tmp_path, "--logger", "progress", snakefile=FAILS)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "1 job to do",
        "FAILED  splitting the texts",
        "        --dataset is not what it should be: Expected `object`, got `array`",
        "        its log: study/logs/split.log",
    ]


def test_an_error_of_snakemakes_is_shown(tmp_path: Path) -> None:
    done = run(tmp_path, "nothing", "--logger", "progress")
    assert "No rule to produce nothing" in done.stderr


def test_without_it_snakemake_says_what_it_always_does(tmp_path: Path) -> None:
    done = run(tmp_path, "a/1.txt")
    assert done.returncode == 0 and "1 of 1 steps (100%) done" in done.stderr
    assert "None" not in done.stderr.splitlines()


def test_every_rule_has_its_words() -> None:
    files = [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]
    rules = {
        rule
        for file in files
        for rule in re.findall(
            r"^ *(?:use rule \w+ as|rule) (\w+)(?: with)?:", file.read_text(), re.M
        )
    }
    assert PHRASES.keys() == rules


# --- what is left


def remaining(**finished: float) -> Remaining:
    """Of two rows, one with three times the work of the other, and a table."""
    found = Remaining()
    found.work = {("train", ("small",)): 10.0, ("train", ("large",)): 30.0}
    found.finished = {("train", (row,)): seconds for row, seconds in finished.items()}
    found.left.update({"train": 2 - len(finished), "table": 1})
    return found


def test_nothing_is_estimated_before_a_job_that_computes_has_finished() -> None:
    assert remaining().seconds() is None


def test_what_is_left_goes_by_the_work_of_the_jobs_that_have_not_run() -> None:
    """A start takes 2.5 seconds whatever the work."""
    found = remaining(small=12.5)
    found.finished["split", ()] = 2.0
    assert found.seconds() == pytest.approx((2.5 + 30) + 2)
    found = remaining(large=12.5)
    assert found.seconds() == pytest.approx(2.5 + 10 / 3)


def test_a_start_takes_what_it_took_for_the_same_rule() -> None:
    """Where other work runs on the machine, a large job tells the speed, small ones the start."""
    found = Remaining()
    found.work = {("pretrain", ()): 1e6} | {("train", (row,)): 1.0 for row in "abc"}
    found.finished = {("pretrain", ()): 102.5, ("train", ("a",)): 25.0, ("train", ("b",)): 15.0}
    found.left.update(train=1)
    assert found.seconds() == pytest.approx(20.0, abs=0.01)


def test_tiny_jobs_on_a_busy_machine_do_not_tell_how_long_others_compute() -> None:
    """Their seconds are starts, ten times as long as on a free machine, and noise."""
    found = Remaining()
    found.work = {("train", (row,)): 1e-3 for row in "abcd"} | {("reference", ("words",)): 3.0}
    for row, seconds in zip("abc", (25.0, 31.0, 22.0), strict=True):
        found.finished["train", (row,)] = seconds
        found.left = Counter(reference=1)
        assert found.seconds() == pytest.approx(25 + 3, abs=1)
    found.left.update(train=1)
    assert found.seconds() == pytest.approx(25 + 3 + 26, abs=1)


def test_jobs_at_once_share_what_is_left() -> None:
    found = remaining(small=12.5)
    found.at_once = 2
    assert found.seconds() == pytest.approx((2.5 + 30) / 2)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.1, "1 s"), (59.4, "59 s"), (60, "1 min"), (3599, "1 h 0 min"), (7800, "2 h 10 min")],
)
def test_a_duration_has_no_more_digits_than_an_estimate(seconds: float, written: str) -> None:
    assert _duration(seconds) == written


def test_a_job_that_failed_does_not_count_as_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cli.REASON_IS_SHOWN, "")  # the handler sets it
    handler = LogHandler(None, None)
    handler.remaining.work = {("train", (row, "seed-1")): 1.0 for row in "ab"}

    def told(**found: Any) -> list[str]:
        record = logging.makeLogRecord(found)
        return list(handler._lines(record, vars(record)))

    def started(jobid: int, row: str) -> None:
        job = {"rule_name": "train", "wildcards": {"row": row, "run": "seed-1"}, "log": []}
        told(event=LogEvent.JOB_INFO, jobid=jobid, **job)

    started(1, "a")
    log = tmp_path / "a.log"
    log.write_text("2026-11-24 21:00:00 error: two are wrong:\none\nother\n")
    lines = told(event=LogEvent.JOB_ERROR, jobid=1, rule_name="train", log=[str(log)])
    assert [line.strip() for line in lines[:-1]] == [
        "FAILED  training a, seed 1",
        "two are wrong:",
        "one",
        "other",
    ]
    started(2, "b")
    assert handler.remaining.at_once == 1
