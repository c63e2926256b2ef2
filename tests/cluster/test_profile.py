"""profiles/slurm on a machine that is no login node."""

import shutil
import sys
from pathlib import Path

import tiny
from commands import ROOT, snakemake


def test_without_sbatch_nothing_starts_and_no_log_is_shown(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "sh", "which"):
        (programs / name).symlink_to(shutil.which(name) or name)
    path = f"{programs}:{Path(sys.executable).parent}"
    study = tiny.config(tmp_path)
    asked = ["--workflow-profile", ROOT / "profiles/slurm", "--configfile", study]
    done = snakemake(tmp_path, *asked, check=False, PATH=path)
    assert done.returncode == 1
    assert "sbatch is not on PATH; run this on a login node" in done.stdout
    assert not (tmp_path / "results").exists() and "Error in rule" not in done.stdout
