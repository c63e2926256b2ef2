"""Runs Snakemake and the library's programs as their command lines do, without Python's start.

A server that has imported what takes long forks one process per program; what reads its environment
at import (huggingface_hub) is imported only there, and the library too.
"""

import atexit
import functools
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired

import forked

HELPERS = Path(__file__).parent
LIBRARY = HELPERS.parents[1] / "workflow"
IMPORTED = (
    *("snakemake.cli", "snakemake.profiles", "snakemake.report.html_reporter", "smart_open"),
    # torch._dynamo is otherwise imported by the first step of an optimizer
    *("torch", "torch._dynamo", "safetensors.torch", "pyarrow.parquet", "matplotlib.figure"),
    *("statsmodels.stats.proportion", "statsmodels.stats.multitest", "sklearn.pipeline"),
    *("sklearn.feature_extraction.text", "sklearn.linear_model", "tiktoken", "jinja2"),
    *("markdown_it", "msgspec", "tomllib", "filelock", "requests"),
)


def run(
    module: str, *arguments: str | Path, environment: Mapping[str, str] = os.environ
) -> CompletedProcess[str]:
    """What `python -m MODULE ARGUMENTS` would give within two minutes."""
    return run_and_signal(lambda: None, 0, module, *arguments, environment=environment)


def run_and_signal(
    wait: Callable[[], object],
    signal: int,
    module: str,
    *arguments: str | Path,
    environment: Mapping[str, str] = os.environ,
) -> CompletedProcess[str]:
    """The same for a program that is sent a signal once `wait` returns (0: none)."""
    command = [module, *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        program = _start(command, environment, Path.cwd(), stdout.fileno(), stderr.fileno())
        wait()
        program.signal(signal)
        status = program.wait(120)
        stdout.seek(0)
        stderr.seek(0)
        return CompletedProcess(command, status, stdout.read(), stderr.read())


def snakemake(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, timeout: float
) -> CompletedProcess[str]:
    """What `python -m snakemake ARGUMENTS` would give in a folder, all it says in stdout."""
    command = ["snakemake", *arguments]
    with tempfile.TemporaryFile("w+") as output:
        program = _start(command, environment, folder, output.fileno(), output.fileno())
        try:
            status = program.wait(timeout)
        except TimeoutError:
            output.seek(0)
            raise TimeoutExpired(command, timeout, output.read()) from None
        output.seek(0)
        return CompletedProcess(command, status, output.read())


def binaries() -> Path:
    """For PATH: a folder whose `python` and `snakemake` fork instead of starting an interpreter."""
    return _server() / "bin"


def _start(
    command: list[str], environment: Mapping[str, str], folder: Path, stdout: int, stderr: int
) -> forked.Program:
    settings = {"PYTHONPATH": str(LIBRARY), **environment}
    with Path(os.devnull).open() as stdin:
        streams = (stdin.fileno(), stdout, stderr)
        return forked.Program(str(_server() / "socket"), command, settings, str(folder), streams)


@functools.cache
def _server() -> Path:
    """The folder of this process' server, which ends with it."""
    folder = Path(tempfile.mkdtemp(prefix="programs-"))
    (folder / "bin").mkdir()
    python = [sys.executable, "-I", "-S", HELPERS / "forked.py", folder / "socket"]
    for name, command in {"python": python, "snakemake": [*python, "-m", "snakemake"]}.items():
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, command))} "$@"\n')
        script.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, "-P", HELPERS / "fork_server.py", folder, *IMPORTED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    server.stdout.readline()  # once it listens

    def end() -> None:
        server.stdin.close()
        server.wait()
        shutil.rmtree(folder)

    atexit.register(end)
    return folder
