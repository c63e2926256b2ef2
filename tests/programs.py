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
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

LIBRARY = Path(__file__).parents[1] / "workflow"

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["torch", "safetensors.torch"])


def run(
    module: str, *arguments: str | Path, environment: Mapping[str, str] = os.environ
) -> CompletedProcess[str]:
    """What `python -m MODULE ARGUMENTS` would give; ended after two minutes."""
    command = [module, *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = Path(folder) / "stdout", Path(folder) / "stderr"
        process = _server.Process(
            target=_child, args=(command, dict(environment), stdout, stderr), daemon=True
        )
        process.start()
        process.join(120)
        process.kill()
        process.join()
        return CompletedProcess(command, process.exitcode, stdout.read_text(), stderr.read_text())


def _child(command: list[str], environment: dict[str, str], stdout: Path, stderr: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, str(LIBRARY))
    sys.argv = command
    with (
        stdout.open("w") as out,
        stderr.open("w") as err,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
