"""The workflow and its programs as commands, and where the repository lies."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import programs

# Tests run beside each other on a few cores, where threads that spin while they wait for another
# take that other's core. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

ROOT = Path(__file__).parents[2]
REPOSITORY = ("Snakefile", "config.yaml", "profiles", "workflow", "demo/config.yaml")


def shared(name: str) -> Path:
    """A file of the reference folder beside the repository; the test is skipped without it."""
    path = ROOT.parent / "shared" / name
    if not path.is_file():
        pytest.skip(f"needs ../shared/{name}")
    return path


def environment(**extra: str) -> dict[str, str]:
    """The environment of a job: this Python first on PATH, the library importable, no mirror."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ABLATIONS_")}
    return inherited | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT / "workflow"),
        **extra,
    }


def snakemake_in(
    folder: Path, *arguments: object, timeout: float = 600, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Runs Snakemake in a folder, on the Snakefile that it finds; its output is in stdout.

    Its jobs are forked too. Tests that need a user's own processes start Snakemake themselves.
    """
    path = os.pathsep.join([str(programs.binaries()), environment()["PATH"]])
    settings = environment(**{"PATH": path, **extra})
    return programs.snakemake(list(map(str, arguments)), settings, folder, timeout)


def snakemake(
    directory: Path,
    *arguments: object,
    check: bool = True,
    timeout: float = 600,
    root: Path = ROOT,
    **extra: str,
) -> subprocess.CompletedProcess[str]:
    """Runs the workflow, or a copy of it, in this directory; its output is in stdout."""
    command = ["--snakefile", root / "Snakefile", "--directory", directory, *arguments]
    done = snakemake_in(root, *command, timeout=timeout, **extra)
    if check and done.returncode:
        pytest.fail(f"snakemake exited with {done.returncode}:\n{done.stdout}")
    return done


def program(module: str, *arguments: object, **extra: str) -> subprocess.CompletedProcess[str]:
    """Runs one stage of the library as its rule does: python -m ablations.<module> …"""
    command, settings = [f"ablations.{module}", *map(str, arguments)], environment(**extra)
    if "PYTHONHASHSEED" not in extra:
        return programs.run(*command, environment=settings)
    new = [sys.executable, "-m", *command]  # only a new interpreter reads it
    return subprocess.run(new, env=settings, capture_output=True, text=True, timeout=300)


def copy_repository(to: Path) -> Path:
    """Copies what a user needs of the repository."""
    for name in REPOSITORY:
        source, target = ROOT / name, to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    return to


def table(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
