"""`snakemake --logger progress`: a line for each job that takes time, in plain words.

Snakemake finds it by the name of this package, where workflow/ is on PYTHONPATH (the make targets
put it there). Snakemake's own lines are in .snakemake/log/, as always. This plugin knows nothing
about models: rules/study.smk logs a record that holds the work of each job (`ablations_work`).
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from logging import WARNING, LogRecord
from pathlib import Path
from typing import Any, NamedTuple

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

# What a job of each rule does; None: it only writes a line into a file, and is not printed.
PHRASES = {
    "all": None,
    "stated": None,
    "outline": None,
    "collection": "collecting the texts",
    "tokenizer": "fetching a tokenizer",
    "split": "splitting the texts",
    "tokens": "encoding the texts",
    "check": "checking the rows against the texts",
    "checkpoint": "fetching the model {model}",
    "pretrain": "pretraining the model {model}",
    "trunk": "computing frozen layers once: {trunk}",
    "train": "training {row}, {run}",
    "train_and_keep": "training {row}, {run}",
    "reference": "training the reference {reference}",
    "kept_model": "keeping the model of {row}, {run}",
    "answers": "writing the table and the answers",
}

# Errors of Snakemake that repeat what was printed about a failed job.
REPEATED = (
    "CalledProcessError in file",
    "Exiting because a job execution failed",
    "At least one job did not complete successfully",
)

# What every job that computes needs at least: Python's start, PyTorch's import, reading the inputs.
START_SECONDS = 2.5

Key = tuple[str, tuple[str, ...]]  # a rule and its job's wildcards


class Job(NamedTuple):
    """A job that has started."""

    rule: str
    wildcards: dict[str, str]
    started: float

    @property
    def key(self) -> Key:
        """The key of its work in `ablations_work`."""
        return self.rule, tuple(self.wildcards.values())

    @property
    def phrase(self) -> str | None:
        """What it does; None for a job that is not printed."""
        words = PHRASES.get(self.rule, " ".join([self.rule, *self.wildcards.values()]))
        run = self.wildcards.get("run", "").replace("/", ", ").replace("-", " ")
        return words and words.format_map(self.wildcards | {"run": run})


class Remaining:
    """Estimates the time that is left from the time that finished jobs took for their work."""

    def __init__(self) -> None:
        self.work: dict[Key, float] = {}  # of every job that computes, in seconds of two CPU cores
        self.left: Counter[str] = Counter()  # jobs of each rule
        self.finished: dict[Key, float] = {}  # seconds
        self.at_once = 1

    def seconds(self) -> float | None:
        """The estimate; None before a job that computes has finished."""
        computed = {key: seconds for key, seconds in self.finished.items() if key in self.work}
        if not computed:
            return None
        # the job with the least work tells a start, which takes longer on a busy machine
        least = min(computed, key=self.work.__getitem__)
        expected = START_SECONDS + self.work[least]
        start = START_SECONDS * max(1.0, computed[least] / expected)
        # Work that is less than the starts tells no rate. What it lacks counts as done in the
        # seconds that it is said to take, or the noise of a start would be multiplied.
        done = sum(self.work[key] for key in computed)
        lacking = max(0.0, start * len(computed) - done)
        beside_starts = sum(max(0.0, seconds - start) for seconds in computed.values())
        rate = (beside_starts + lacking) / (done + lacking)
        others = [seconds for key, seconds in self.finished.items() if key not in self.work]
        each = sum(others) / max(1, len(others))
        found = 0.0
        for rule, count in self.left.items():
            work = [
                amount
                for key, amount in self.work.items()
                if key[0] == rule and key not in self.finished
            ]
            if work:  # it is not known which of a rule's jobs will run, so each counts as the mean
                # what its jobs took beside their work
                beside = [
                    seconds - self.work[key] * rate
                    for key, seconds in computed.items()
                    if key[0] == rule
                ]
                own = max(0.0, sum(beside) / len(beside)) if beside else start
                found += count * (own + sum(work) / len(work) * rate)
            else:
                found += count * each
        return found / self.at_once


class LogHandler(LogHandlerBase):
    """Prints to stderr what a person wants to know about a run."""

    writes_to_stream = True  # Snakemake then prints nothing
    writes_to_file = needs_rulegraph = False
    has_filter = has_formatter = True

    def __post_init__(self) -> None:
        self.called_from = Path.cwd()  # before Snakemake changes to its --directory
        self.jobs: dict[int, Job] = {}  # those that run
        self.total = self.done = 0
        self.remaining = Remaining()
        # jobs inherit it, and leave the reason of a failure to this handler (cli.REASON_IS_SHOWN)
        os.environ["ABLATIONS_REASON_IS_SHOWN"] = "1"

    def emit(self, record: LogRecord) -> None:
        """Prints the lines for one of Snakemake's messages, if any."""
        try:
            for line in self._lines(record, vars(record)):
                # the job's own bar may be on this line
                clear = "\r\033[K" if sys.stderr.isatty() else ""
                print(f"{clear}{line}", file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)

    def _lines(self, record: LogRecord, found: Mapping[str, Any]) -> Iterator[str]:
        match found.get("event"):
            case LogEvent.RUN_INFO:
                jobs = {rule: n for rule, n in found["stats"].items() if rule != "total"}
                self.remaining.left = Counter(jobs)
                self.total = sum(n for rule, n in jobs.items() if PHRASES.get(rule, rule))
                yield f"{self.total:,} {'job' if self.total == 1 else 'jobs'} to do"
            case LogEvent.JOB_INFO:
                yield from self._started(record, found)
            case LogEvent.JOB_FINISHED:
                yield from self._finished(self.jobs.pop(found["job_id"], None), record.created)
            case LogEvent.JOB_ERROR:
                yield from self._job_failed(found)
            case _ if "ablations_work" in found:
                self.remaining.work = found["ablations_work"]
            case _ if record.levelno >= WARNING:
                yield from self._message(record.getMessage())
            case _ if record.getMessage().startswith("Nothing to be done"):
                yield "Nothing to do: everything is there and up to date."

    def _started(self, record: LogRecord, found: Mapping[str, Any]) -> Iterator[str]:
        job = Job(found["rule_name"], dict(found["wildcards"]), record.created)
        self.jobs[found["jobid"]] = job
        computing = [job for job in self.jobs.values() if job.key in self.remaining.work]
        self.remaining.at_once = max(self.remaining.at_once, len(computing))
        if job.phrase and job.key in self.remaining.work:
            yield f"{'':{self._width}}  {job.phrase} …"

    def _finished(self, job: Job | None, now: float) -> Iterator[str]:
        if job is None:
            return
        self.remaining.left[job.rule] -= 1
        self.remaining.finished[job.key] = now - job.started
        if job.phrase:
            self.done += 1
            left = self.remaining.seconds() if self.done < self.total else None
            rest = "" if left is None else f"; about {_duration(left)} left"
            count = f"{self.done} of {self.total}".rjust(self._width)
            yield f"{count}  {job.phrase}: done in {_duration(now - job.started)}{rest}"

    def _job_failed(self, found: Mapping[str, Any]) -> Iterator[str]:
        # only the Snakefile, which is read after this plugin, knows which library is the workflow's
        from ablations import cli

        job = self.jobs.pop(found["jobid"], None)
        what = (job and job.phrase) or found["rule_name"]
        yield f"{'FAILED':>{self._width}}  {what}"
        for log in found["log"]:
            path = Path(log).absolute()
            for line in (cli.failure(path) or cli.last_line(path) or "").splitlines():
                yield f"{'':{self._width}}  {line}"
            yield f"{'':{self._width}}  its log: {os.path.relpath(path, self.called_from)}"

    def _message(self, message: str) -> Iterator[str]:
        """A warning or an error of Snakemake."""
        if message and not any(repeated in message for repeated in REPEATED):
            yield message

    @property
    def _width(self) -> int:
        return len(f"{self.total} of {self.total}")


def _duration(seconds: float) -> str:
    """`8 s`, `40 s`, `3 min`, `2 h 10 min`; no more digits than an estimate has."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
