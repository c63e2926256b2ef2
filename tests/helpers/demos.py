"""The demo as tests run it, and the jobs that a dry run plans."""

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from commands import ROOT, copy_repository, snakemake

DEMO: dict[str, Any] = yaml.safe_load((ROOT / "demo/config.yaml").read_text())
# More seeds, texts and steps take time and show nothing more here.
DEMO["seeds"] = DEMO["seeds"][:1]
DEMO["dataset"]["generated"]["messages"] = 300
DEMO["references"] = ["words", "characters"]
DEMO["training"] |= {"epochs": 2, "eval_every": 10}
for model in DEMO["models"].values():
    model["pretrain"]["steps"] = 20
ROW_IDS = [row["id"] for row in DEMO["rows"]]
SEED = DEMO["seeds"][0]

# Rules that take time; the others only write lines into files.
COMPUTING = {"collection", "tokenizer", "split", "tokens", "checkpoint", "pretrain", "trunk"}
COMPUTING |= {"train", "train_and_keep", "kept_model", "reference", "answers"}


def copied(to: Path) -> Path:
    """The repository with a short demo of one seed."""
    copy_repository(to)
    (to / "demo/config.yaml").write_text(yaml.safe_dump(DEMO, sort_keys=False))
    return to


def finished(root: Path) -> None:
    """Runs the demo in a copy of the repository; what that says is in its file `output`."""
    copied(root)
    done = snakemake(root / "demo", "--cores", 2, "--configfile", "demo/config.yaml", root=root)
    (root / "output").write_text(done.stdout)


def copy_study(source: Path, to: Path) -> None:
    """Copies a study, or the repository around it, as `cp -a` does, but for the hidden states."""
    shutil.copytree(source, to, symlinks=True, ignore=shutil.ignore_patterns("cache"))


def run_folder(results: Path, row: str) -> Path:
    return results / f"runs/{row}/seed-{SEED}"


def planned(directory: Path, *arguments: object, root: Path = ROOT) -> Counter[str]:
    """How many jobs of each kind a run would start: `train large`, `pretrain nano-large`, `split`.

    Without the jobs that only write a line; empty where nothing at all is to be done.
    """
    output = snakemake(directory, "--dry-run", "--cores", 1, *arguments, root=root).stdout
    if "Nothing to be done" in output:
        return Counter()
    found: Counter[str] = Counter()
    for rule, text in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", output, re.MULTILINE):
        named = re.search(
            r"^    wildcards: .*?\b(?:row|model|reference)=([\w-]+)", text, re.MULTILINE
        )
        if rule in COMPUTING:
            found[f"{rule} {named[1]}" if named else rule] += 1
    return found or Counter({"lines": 1})


def every(job: str, *names: str) -> Counter[str]:
    """The same job for these rows or models; without names for every row of the demo."""
    return Counter(f"{job} {name}" for name in names or ROW_IDS)
