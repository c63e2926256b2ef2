"""Ways to call the workflow: which study it takes, what a dry run says, what is refused at once."""

import copy
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

import programs
import tiny
from commands import ROOT, environment, snakemake
from demos import DEMO, SEED, planned

Config = dict[str, Any]


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if ".snakemake" not in path.parts)


def write(folder: Path, config: Config) -> Path:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


# --- what a dry run says and writes


def test_a_dry_run_names_the_keys_that_changed_and_writes_nothing(tmp_path: Path) -> None:
    """Beside what Snakemake keeps for itself in .snakemake/."""
    targets = ["results/study.json", "results/rows/large.json", "results/data/texts.csv"]
    run = [*targets, "--cores", 1, "--configfile", write(tmp_path, DEMO)]
    snakemake(tmp_path, *run)
    before = files_of(tmp_path)
    edited = copy.deepcopy(DEMO)
    edited["rows"][5].update(epochs=6, trainable_layers="lora", lora_rank=3)  # large
    edited["comparisons"][0]["question"] = "Really?"
    edited["dataset"]["split"]["train"] = 0.6
    write(tmp_path, edited)
    said = snakemake(tmp_path, *run, "--dry-run").stdout
    reasons = [line for line in said.splitlines() if line.strip().startswith("reason: ")]
    keys = ("Really?", "epochs: 6", "train: 0.6")
    study, row, split = (next(line for line in reasons if key in line) for key in keys)
    assert "'questions: which-token: question: \"Really?\"'" in study and len(study) < 400
    changed = {"training: epochs: 6", 'trainable_layers: "lora"', "lora_rank: 3"}
    assert set(re.findall("'(.*?)'", row.partition("now: ")[2])) == changed
    assert len(row) < 400
    assert "before: 'dataset: split: train: 0.7' now: 'dataset: split: train: 0.6'" in split
    assert files_of(tmp_path) == before


def test_what_jobs_read_of_the_configuration_is_made_again_where_it_was_edited_by_hand(
    tmp_path: Path,
) -> None:
    targets = ["results/study.json", "results/rows/baseline.json", "results/rows/large.json"]
    run = [*targets, "--cores", 1, "--configfile", write(tmp_path, DEMO)]
    snakemake(tmp_path, *run)
    study, baseline, _ = (tmp_path / target for target in targets)
    written = {file: file.read_text() for file in files_of(tmp_path / "results") if file.is_file()}
    baseline.write_text(baseline.read_text().replace("0.001", "0.5"))
    study.write_text(study.read_text()[:50])
    edited = {study: study.read_text(), baseline: baseline.read_text()}
    assert not edited.items() & written.items()
    said = snakemake(tmp_path, *run, "--dry-run").stdout
    assert said.count("reason: Forced execution") == 2
    assert {study: study.read_text(), baseline: baseline.read_text()} == edited
    snakemake(tmp_path, *run)
    assert {file: file.read_text() for file in written} == written
    assert planned(tmp_path, *run) == {}


def test_a_first_dry_run_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/model.safetensors").touch()
    shape = {"n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 256, "vocab_size": 257}
    (tmp_path / "own/config.json").write_text(json.dumps({"model_type": "gpt2", **shape}))
    rows = [{**DEMO["rows"][0], "model": "own", "epochs": 1}]
    own = {"models": {"own": {"path": "own"}}, "rows": rows, "comparisons": []}
    file = write(tmp_path, DEMO | own)
    before = files_of(tmp_path)
    assert planned(tmp_path, "--configfile", file)["train baseline"] == 1
    assert files_of(tmp_path) == before


# --- which study


def test_a_configfile_with_rows_is_a_study_of_its_own(tmp_path: Path) -> None:
    """This one needs no checkpoint, and a trunk for each seed, since weights are drawn."""
    rows = [DEMO["rows"][0] | {"weights": "random"}]
    study = {"rows": rows, "comparisons": [], "references": [], "seeds": [1, 2]}
    assert planned(tmp_path, "--configfile", write(tmp_path, DEMO | study)) == Counter(
        {"collection": 1, "split": 1, "tokens": 1, "trunk": 2, "train baseline": 2, "answers": 1}
    )


def test_the_working_directory_holds_the_study_where_no_configfile_has_rows(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(DEMO))
    found = planned(tmp_path, "--configfile", write(tmp_path, {"seeds": [1, 2]}))
    assert found["train large"] == 2


def of_trainings(found: Counter[str]) -> int:
    return sum(count for job, count in found.items() if job.startswith("train "))


def test_a_configfile_without_rows_overlays_the_one_beside_the_snakefile(tmp_path: Path) -> None:
    found = planned(tmp_path, "--configfile", write(tmp_path, {"seeds": [1, 2]}))
    assert of_trainings(found) == 2 * 8
    assert sum(found[job] for job in found if job.startswith("checkpoint ")) == 3


def test_two_configfiles_and_config_overlay_always(tmp_path: Path) -> None:
    files = [ROOT / "demo/config.yaml", write(tmp_path, {"seeds": [1, 2]})]
    found = planned(tmp_path, "--configfile", *files, "--config", "seeds=[1,2,3]")
    assert found["train large"] == 3 and of_trainings(found) == 3 * 8


def test_a_study_that_extends_another_is_whole_wherever_it_is(tmp_path: Path) -> None:
    """Also for the jobs of a cluster, which read it again, from another folder."""
    write(tmp_path, DEMO)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/config.yaml").write_text("extends: ../mine.yaml\nseeds: [1, 2]\n")
    assert planned(tmp_path / "deep")["train large"] == 2
    submitted = ["--executor", "slurm", "--jobs", 2]
    found = planned(tmp_path, "--configfile", tmp_path / "deep/config.yaml", *submitted)
    assert found["train large"] == 2 and of_trainings(found) == 2 * 8
    (kept,) = (tmp_path / ".snakemake/ablations").glob("?" * 20 + ".json")
    assert json.loads(kept.read_text()) == json.loads(json.dumps(DEMO | {"seeds": [1, 2]}))


def test_a_target_may_come_first_and_random_weights_need_no_checkpoint(tmp_path: Path) -> None:
    run = f"results/runs/random-weights/seed-{SEED}/metrics.json"
    assert planned(tmp_path, run, "--resources", "gpu=1") == Counter(
        {"collection": 1, "tokenizer": 1, "split": 1, "tokens": 1, "train random-weights": 1}
    )


def test_a_study_below_the_folder_it_runs_in_is_told_where_its_results_go(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.yaml").write_text(yaml.safe_dump(DEMO))
    command = ["-s", str(ROOT / "workflow/Snakefile")]  # where the catalog looks
    command += ["--dry-run", "--cores", "1", "--configfile", "mine/config.yaml"]
    done = programs.snakemake(command, environment(), tmp_path, 120)
    assert done.returncode == 0, done.stdout
    assert "add: --directory mine\n" in done.stdout
    assert "rule train:" in done.stdout


# --- what is refused before any job


def refused(folder: Path, *arguments: object) -> str:
    """What is said of a call that must not start anything."""
    before = files_of(folder)
    done = snakemake(folder, "--cores", 1, *arguments, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout
    assert files_of(folder) == before
    return done.stdout


def test_a_target_that_is_of_no_run_says_which_was_meant(tmp_path: Path) -> None:
    target = "results/runs/basline/seed-123/metrics.json"
    (said,) = [line for line in refused(tmp_path, target).splitlines() if line.startswith(target)]
    assert "names no row: 'basline' (did you mean baseline?); allowed: baseline, first" in said


def test_a_file_where_results_would_go_is_told(tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    assert "results is a file; allowed: a folder, or nothing" in refused(tmp_path)


def test_a_slip_in_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    """Where Snakemake itself would say that the file is not valid."""
    (tmp_path / "config.yaml").write_text("seeds: [1]\nmargin 2\n")
    assert "config.yaml, line 2, column 1: 'margin 2' is no key with a colon" in refused(tmp_path)


# --- what a job runs


def test_jobs_run_the_python_of_snakemake_whatever_else_is_found(tmp_path: Path) -> None:
    """On PATH, on PYTHONPATH and in the study's folder, which may have any name."""
    folder, programs = tmp_path / "a {study} of 'mine' $HOME ü", tmp_path / "bin"
    study = tiny.config(folder, rows=tiny.ROWS[:1])
    for module in ("ablations", "random", "statistics", "queue", "snakemake"):
        (folder / f"{module}.py").write_text("raise SystemExit('the study's own')\n")
    (tmp_path / "others").mkdir()
    for module in ("ablations", "statistics"):  # not random: every Python would end with it
        (tmp_path / f"others/{module}.py").write_text("raise SystemExit('another's')\n")
    programs.mkdir()
    (programs / "python").write_text("#!/bin/sh\necho the wrong python; exit 1\n")
    (programs / "python").chmod(0o755)
    settings = os.environ | {
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "PYTHONPATH": f":{tmp_path / 'others'}",  # the empty part is the working directory
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [Path(sys.executable).parent / "snakemake", "--cores", "1", "--directory", folder]
    command += ["--snakefile", ROOT / "Snakefile", "results/table.md"]
    done = subprocess.run(command, env=settings, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "results/table.md").exists() and study.exists()


def test_what_is_in_another_encoding_is_refused_with_what_to_set(tmp_path: Path) -> None:
    settings = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile", ROOT / "Snakefile"]
    done = subprocess.run(
        [*command, "--directory", tmp_path, "-n"], env=environment(**settings), capture_output=True
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1 and b"run: PYTHONUTF8=1 snakemake" in said
    assert b"Traceback" not in said and b"Logging error" not in said


# --- beside runs


def test_graphs_need_no_number_of_cores(tmp_path: Path) -> None:
    config = ["--configfile", ROOT / "demo/config.yaml"]
    graph = snakemake(tmp_path, "--rulegraph", *config).stdout
    for rule in ("collection", "tokens", "trunk", "train"):
        assert f'label = "{rule}"' in graph
