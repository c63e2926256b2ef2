"""The files that set up an environment agree with each other."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from commands import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines: list[str]) -> dict[str, str]:
    split = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonical(name): version for name, version in split}


def constraints() -> dict[str, str]:
    return pins((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())


def names(requirements: list[str]) -> set[str]:
    return {canonical(re.split(r"[^A-Za-z0-9_.-]", requirement)[0]) for requirement in requirements}


def test_every_dependency_is_pinned() -> None:
    wanted = names(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"])
    assert wanted <= constraints().keys()


def test_torch_is_pinned_for_cpu_and_cuda_alike() -> None:
    found = constraints()
    assert re.fullmatch(r"[0-9.]+", found["torch"])
    assert not [name for name in found if name.startswith(("nvidia", "cuda", "triton"))]


def test_conda_jobs_have_the_same_versions() -> None:
    environment = yaml.safe_load((ROOT / "workflow/envs/ablations.yaml").read_text())
    found = pins(environment["dependencies"][-1]["pip"])
    assert found.items() <= constraints().items()
    # not for jobs
    outside = {"snakemake", "snakemake-executor-plugin-slurm", "platformdirs", "psutil", "pygments"}
    assert found.keys() == names(PROJECT["dependencies"]) - outside


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    alone = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=alone, capture_output=True, text=True
    )


def test_make_alone_lists_every_target(checkout: Path) -> None:
    listed = re.findall(r"^  make ([a-z-]+)", make(checkout).stdout, re.MULTILINE)
    assert listed == re.findall(
        r"^([a-z-]+):", (checkout / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )


def test_set_up_happens_once_and_again_when_the_folder_moved(checkout: Path) -> None:
    assert "-m venv" in make(checkout, "--dry-run", "setup").stdout
    (checkout / ".venv").mkdir()
    (checkout / ".venv/.set-up").write_text(f"{checkout}\n")
    assert "-m venv" not in make(checkout, "--dry-run", "setup").stdout
    moved = checkout.rename(checkout.with_name("moved"))
    assert "-m venv" in make(moved, "--dry-run", "setup").stdout


@pytest.mark.parametrize("version", ["(3, 10, 13)", "(3, 14, 0)"])
def test_another_python_is_refused(checkout: Path, version: str) -> None:
    """A false interpreter that says it is another version."""
    python = checkout / "python"
    python.write_text(
        f"#!/bin/sh\n"
        f'[ "$1" = --version ] && echo "Python {version}" && exit\n'
        f'exec {sys.executable} -c "import sys; sys.version_info = {version}; $2"\n'
    )
    python.chmod(0o755)
    found = make(checkout, "setup", "PYTHON=./python")
    assert found.returncode != 0
    assert f"Python 3.11, 3.12 or 3.13 is needed; ./python is: Python {version}" in found.stderr
    assert not (checkout / ".venv").exists()


def test_a_missing_python_is_named(checkout: Path) -> None:
    found = make(checkout, "setup", "PYTHON=no-such-python")
    assert found.returncode != 0
    assert "Python 3.11, 3.12 or 3.13 is needed; no-such-python is" in found.stderr


def test_run_wants_to_know_which_study(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv/.set-up").write_text(f"{checkout}\n")
    for arguments in (["run"], ["run", "STUDYS=mine"]):
        done = make(checkout, *arguments)
        assert done.returncode != 0
        assert "which study? make run STUDY=folder, or make table" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "at_once"), [(["table"], 1), (["table", "GPUS=4"], 4), (["demo"], 2)]
)
def test_a_study_runs_as_many_jobs_at_once_as_gpus_are_named(
    checkout: Path, arguments: list[str], at_once: int
) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv/.set-up").write_text(f"{checkout}\n")
    assert f"--resources gpu={at_once} " in make(checkout, "--dry-run", *arguments).stdout


@pytest.mark.parametrize(
    ("study", "folder"),
    [
        ("my $$HOME 'own' \"study\" (1)", "my $$HOME 'own' \"study\" (1)"),
        ("-dash", "./-dash"),
        ("a-/-b/", "a-/-b"),
        ("/", "/"),
    ],
)
def test_a_study_may_have_any_name(checkout: Path, study: str, folder: str) -> None:
    """As the shell reads what make gives it."""
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/.set-up").write_text(f"{checkout}\n")
    python = checkout / ".venv/bin/python"
    python.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    python.chmod(0o755)
    done = make(checkout, "clean-cache", f"STUDY={study}")
    expected = ["-P", "-m", "ablations.study.clean_cache", "--directory"]
    expected += [folder]
    assert done.stdout.splitlines() == expected, done.stderr
