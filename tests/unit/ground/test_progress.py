"""`--logger progress`: what a person reads while Snakemake runs."""

import logging
import re
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from ablations import cli
from commands import ROOT, snakemake_in
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


def run(folder: Path, *arguments: str, snakefile: str = SNAKEFILE) -> CompletedProcess[str]:
    (folder / "study").mkdir(exist_ok=True)
    (folder / "Snakefile").write_text(snakefile)
    return snakemake_in(folder, "--cores", 1, "--directory", "study", *arguments)


def test_each_job_has_its_lines_and_a_failure_its_reason_and_its_log(tmp_path: Path) -> None:
    done = run(tmp_path, "--keep-going", "--logger", "progress")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
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
    assert done.stdout.splitlines() == [
        "1 job to do",
        "FAILED  splitting the texts",
        "        --dataset is not what it should be: Expected `object`, got `array`",
        "        its log: study/logs/split.log",
    ]


def test_an_error_of_snakemakes_is_shown(tmp_path: Path) -> None:
    done = run(tmp_path, "nothing", "--logger", "progress")
    assert "No rule to produce nothing" in done.stdout


def test_without_it_snakemake_says_what_it_always_does(tmp_path: Path) -> None:
    done = run(tmp_path, "a/1.txt")
    assert done.returncode == 0 and "1 of 1 steps (100%) done" in done.stdout
    assert "None" not in done.stdout.splitlines()


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


Work = dict[tuple[str, tuple[str, ...]], float]


def of(work: Work, finished: Work, at_once: int = 1, **left: int) -> Remaining:
    found = Remaining()
    found.work, found.finished, found.at_once = work, finished, at_once
    found.left.update(left)
    return found


# Of two rows, one with three times the work of the other, and a table.
TWO: Work = {("train", ("small",)): 10.0, ("train", ("large",)): 30.0}
SMALL: Work = {("train", ("small",)): 12.5}
LARGE: Work = {("train", ("large",)): 12.5}
SPLIT: Work = {("split", ()): 2.0}
ROWS: Work = {("train", (row,)): 1.0 for row in "abc"}
TINY: Work = {("train", (row,)): 1e-3 for row in "abcd"} | {("reference", ("words",)): 3.0}
BUSY: Work = {("train", ("a",)): 25.0, ("train", ("b",)): 31.0, ("train", ("c",)): 22.0}


@pytest.mark.parametrize(
    ("found", "seconds"),
    [
        # nothing is estimated before a job that computes has finished
        (of(TWO, {}, train=2, table=1), None),
        # what is left goes by the work of the jobs that have not run; a start takes 2.5 seconds
        (of(TWO, SMALL | SPLIT, train=1, table=1), pytest.approx(2.5 + 30 + 2)),
        (of(TWO, LARGE, train=1, table=1), pytest.approx(2.5 + 10 / 3)),
        # a start takes what it took for the same rule: a large job tells the speed, small ones that
        (
            of(
                ROWS | {("pretrain", ()): 1e6},
                {("pretrain", ()): 102.5, ("train", ("a",)): 25.0, ("train", ("b",)): 15.0},
                train=1,
            ),
            pytest.approx(20.0, abs=0.01),
        ),
        # tiny jobs on a busy machine, all start and noise, do not tell how long others compute
        (of(TINY, dict(list(BUSY.items())[:1]), reference=1), pytest.approx(25 + 3, abs=1)),
        (of(TINY, dict(list(BUSY.items())[:2]), reference=1), pytest.approx(25 + 3, abs=1)),
        (of(TINY, BUSY, reference=1), pytest.approx(25 + 3, abs=1)),
        (of(TINY, BUSY, reference=1, train=1), pytest.approx(25 + 3 + 26, abs=1)),
        # jobs at once share what is left
        (of(TWO, SMALL, at_once=2, train=1, table=1), pytest.approx((2.5 + 30) / 2)),
    ],
)
def test_what_is_left_goes_by_the_work_and_by_what_jobs_took(
    found: Remaining, seconds: object
) -> None:
    assert found.seconds() == seconds


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
