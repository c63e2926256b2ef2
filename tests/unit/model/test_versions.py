"""Every cut again, with the oldest and the newest transformers that pyproject.toml allows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TESTS = Path(__file__).with_name("test_transformer.py")


def oldest() -> str:
    (found,) = re.findall(r'"transformers>=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    return f"transformers=={found}.*"


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [oldest(), "transformers"])
def test_every_cut_is_the_whole_model_s_with_transformers(wanted: str, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, "--target", tmp_path, wanted], check=False).returncode:
        pytest.skip("no package index")
    paths = os.pathsep.join(map(str, (tmp_path, ROOT / "workflow", ROOT / "tests/helpers")))
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", ROOT, TESTS]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": paths})
