"""Runs Snakemake and the library's programs as their command lines do, without Python's start.

A fork server that has imported what takes long forks one process per run; what reads its
environment at import (huggingface_hub) is imported only there, and the library too.
"""

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired

LIBRARY = Path(__file__).parents[2] / "workflow"

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    [
        *("torch", "safetensors.torch", "snakemake.cli", "pyarrow.parquet", "matplotlib.figure"),
        *("statsmodels.stats.proportion", "statsmodels.stats.multitest"),
    ]
)


def run(
    module: str, *arguments: str | Path, environment: Mapping[str, str] = os.environ
) -> CompletedProcess[str]:
    """What `python -m MODULE ARGUMENTS` would give; ended after two minutes."""
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
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = Path(folder) / "stdout", Path(folder) / "stderr"
        process = _start(command, environment, Path.cwd(), stdout, stderr)
        wait()
        if process.is_alive():
            os.kill(process.pid or 0, signal)
        process.join(120)
        process.kill()
        process.join()
        return CompletedProcess(command, process.exitcode, stdout.read_text(), stderr.read_text())


def snakemake(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, timeout: float
) -> CompletedProcess[str]:
    """What `python -m snakemake ARGUMENTS` would give in a folder, all it says in stdout."""
    command = ["snakemake", *arguments]
    with tempfile.TemporaryDirectory() as outputs:
        output = Path(outputs) / "output"
        process = _start(command, environment, folder, output, output)
        process.join(timeout)
        if process.is_alive():
            process.kill()
            raise TimeoutExpired(command, timeout, output.read_text())
        return CompletedProcess(command, process.exitcode, output.read_text())


def _start(
    command: list[str], environment: Mapping[str, str], folder: Path, stdout: Path, stderr: Path
) -> ForkServerProcess:
    # a daemon: it ends with this process
    process = _server.Process(
        target=_child, args=(command, dict(environment), folder, stdout, stderr), daemon=True
    )
    process.start()
    return process


def _child(
    command: list[str], environment: dict[str, str], folder: Path, stdout: Path, stderr: Path
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in enumerate((Path(os.devnull), stdout, stderr)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    tempfile.tempdir = None  # as TMPDIR now says
    sys.path[:0] = [*environment.get("PYTHONPATH", "").split(os.pathsep), str(LIBRARY)]
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)
