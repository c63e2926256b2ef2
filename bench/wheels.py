#!/usr/bin/env python3
"""Downloads the wheels that the workflow needs and another machine's Python lacks, to carry there.

On that machine, which has PyTorch and no network:

    python3 -m pip freeze > there.txt

Here, in the environment of `make setup`; the versions are those of constraints.txt:

    .venv/bin/python bench/wheels.py wheels --there there.txt --python 3.12

There again:

    python3 -m pip install --no-index --no-deps --target site wheels/*.whl
    PYTHONPATH=site python3 bench/gpu.py --output found
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
GLIBC = 34  # of the machine, at least 2.34; wheels for older ones run there too
TORCH = "torch"  # of which every machine has its own build


def named(lines: str) -> dict[str, str | None]:
    """Packages and, where they are told, versions, from lines of `pip freeze` or names alone."""
    found = re.findall(r"^([A-Za-z0-9][\w.-]*)(?:==(\S+))?", lines, re.MULTILINE)
    return {canonicalize_name(name): version or None for name, version in found}


def lacking(there: dict[str, str | None], python: str) -> set[str]:
    """Names of all that the workflow needs, save what is there in a version that will do."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    waiting, found = list(about["dependencies"]), set()
    while waiting:
        need = Requirement(waiting.pop())
        name = canonicalize_name(need.name)
        if name in found | {TORCH} or (need.marker and not need.marker.evaluate(environment)):
            continue
        if name in there:
            version = there[name]
            if version is None or need.specifier.contains(version, prereleases=True):
                continue
        found.add(name)
        waiting += metadata.requires(name) or []
    return found


def carry(pinned: str, python: str, folder: Path) -> None:
    """Downloads a wheel; where there is none, builds one, which must be of Python alone."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in range(GLIBC, 4, -1)]
    platforms += [f"--platform=manylinux{year}_x86_64" for year in (2014, 2010, 1)]
    that = [*platforms, "--python-version", python, "--implementation", "cp"]
    download = [*pip, "download", "--no-deps", "--only-binary=:all:", *that]
    if subprocess.run([*download, "--dest", str(folder), pinned], capture_output=True).returncode:
        with tempfile.TemporaryDirectory() as built:
            subprocess.run([*pip, "wheel", "--no-deps", "-w", built, pinned], check=True)
            (wheel,) = Path(built).iterdir()
            if not wheel.name.endswith("-none-any.whl"):
                sys.exit(f"{pinned} has no wheel for Python {python}, and is not of Python alone")
            shutil.copy(wheel, folder)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--there", type=Path, help="that machine's packages; else only torch")
    parser.add_argument("--python", default="3.12", help="that machine's")
    arguments = parser.parse_args()
    there = named(arguments.there.read_text()) if arguments.there else {}
    pinned = named((ROOT / "constraints.txt").read_text())
    names = sorted(lacking(there, arguments.python))
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        carry(f"{name}=={pinned[name]}", arguments.python, arguments.folder)
    size = sum(path.stat().st_size for path in arguments.folder.glob("*.whl"))
    print(f"{len(names)} packages, {size / 1e6:.0f} MB in {arguments.folder}")


if __name__ == "__main__":
    main()
