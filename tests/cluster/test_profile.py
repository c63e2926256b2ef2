"""profiles/slurm on any machine: what it submits, and what it says where SLURM is not."""

import re
import shutil
import sys
from pathlib import Path

import tiny
from commands import ROOT, snakemake

RULE = re.compile(r"^ *(?:use rule \w+ as|rule) (\w+)(?: with)?:$", re.MULTILINE)


def test_what_computes_is_submitted_and_nothing_else() -> None:
    """A rule that is made from a local one must say that it is local too."""
    files = [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]
    submitted = set()
    for file in files:
        _, *parts = RULE.split(file.read_text(encoding="utf-8"))
        rules = zip(parts[::2], parts[1::2], strict=True)
        submitted |= {name for name, body in rules if "localrule: True" not in body}
    assert submitted == {"pretrain", "trunk", "train", "train_and_keep", "kept_model"}


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
