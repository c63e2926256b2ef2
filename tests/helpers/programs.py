"""Runs the library's programs as their command lines do, without paying for each Python's start.

A fork server that has imported torch forks one process per run; what reads its environment at
import (huggingface_hub) is imported only there.
"""

import contextlib
import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess

LIBRARY = Path(__file__).parents[2] / "workflow"

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["torch", "safetensors.torch"])


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
        process = _server.Process(
            target=_child, args=(command, dict(environment), stdout, stderr), daemon=True
        )
        process.start()
        wait()
        if process.is_alive():
            os.kill(process.pid or 0, signal)
        process.join(120)
        process.kill()
        process.join()
        return CompletedProcess(command, process.exitcode, stdout.read_text(), stderr.read_text())


def _child(command: list[str], environment: dict[str, str], stdout: Path, stderr: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [*environment.get("PYTHONPATH", "").split(os.pathsep), str(LIBRARY)]
    sys.argv = command
    with (
        stdout.open("w") as out,
        stderr.open("w") as err,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
