"""Which study and which files a command asks for, and what is wrong with that."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from ablations.errors import UserError
from ablations.study import command, config, jobs
from commands import ROOT

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
STUDY = config.parse(CONFIG)
ROWS = (STUDY.row("baseline"), replace(STUDY.row("large"), save_model=True))
KEPT = jobs.of_study(replace(STUDY, rows=ROWS, questions=()))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "results/runs/basline/seed-123/metrics.json",
            "names no row: 'basline' (did you mean baseline?); allowed: baseline, large",
        ),
        ("results/runs/basline", "names no row: 'basline'"),
        ("results/rows/lrage.json", "names no row: 'lrage' (did you mean large?)"),
        ("results/runs/baseline/seed-9/metrics.json", "names no run: 'seed-9'"),
        ("./results//rows/basline.json", "names no row: 'basline'"),
        ("{here}/results/rows/basline.json", "names no row: 'basline'"),
        (
            "{here}/results/rows/baseline.json",
            "is an absolute path; allowed: results/rows/baseline.json, relative to",
        ),
        (
            "results/models/baseline/seed-123/manifest.json",
            "the row baseline keeps no model; to keep it, set save_model: true in the row",
        ),
        ("results/runs/baseline/seed-123/trained.safetensors", "the row baseline keeps no model"),
        (
            "results/runs/baseline/",
            "is a folder; allowed: a file in it, such as results/runs/baseline/seed-123/metrics.js",
        ),
        ("results/runs/baseline/seed-123", "is a folder; allowed: a file in it, such as results/"),
        ("results/models/large", "such as results/models/large/seed-123/manifest.json"),
    ],
)
def test_a_target_that_is_of_no_run_says_which_was_meant(target: str, message: str) -> None:
    target = target.format(here=Path.cwd())
    (said,) = command.misnamed([target], KEPT)
    assert said.startswith(target) and message in said


@pytest.mark.parametrize(
    "target",
    [
        "results/runs/large/seed-123/trained.safetensors",
        "results/models/large/seed-123/manifest.json",
        "./results/rows/baseline.json",
        "results/table.md",
        "results/runs",
        "--cores",
        "",
    ],
)
def test_any_other_target_is_snakemakes_business(target: str) -> None:
    assert not list(command.misnamed([target], KEPT))


def test_a_study_below_the_folder_it_runs_in_is_told_where_its_results_go(tmp_path: Path) -> None:
    (tmp_path / "my study").mkdir()
    study, overlay = tmp_path / "my study/config.yaml", tmp_path / "my study/overlay.yaml"
    study.write_text("rows: []\n")
    overlay.write_text("seeds: [1]\n")
    (said,) = command.elsewhere([study, overlay], tmp_path)
    assert said.endswith("add: --directory 'my study'")
    assert not list(command.elsewhere([study], study.parent))
    assert not list(command.elsewhere([study], tmp_path / "another"))


def test_config_gives_numbers_within_lists_and_no_rows() -> None:
    given = {"seeds": ["1", "2"], "training": {"epochs": "3"}}
    found, _ = command.configuration(CONFIG | {"seeds": ["1", "2"]}, [], given)
    assert found["seeds"] == [1, 2]
    assert found["training"] == CONFIG["training"] | {"epochs": 3}
    with pytest.raises(UserError, match="--config cannot give rows; write them into a --configf"):
        command.configuration(CONFIG, [], {"rows": []})


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """Of which Snakemake itself takes the second."""
    file = tmp_path / "mine.yaml"
    file.write_text("seeds: [1]\nseeds: [2]\n")
    with pytest.raises(UserError, match="line 2, column 1: the key seeds appears a second time"):
        command.configuration(CONFIG, [file], {})


def test_files_ahead_of_the_clock_are_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.touch()
    command.refuse_later_than_now(files)
    tomorrow = time.time() + 86400
    os.utime(files[1], (tomorrow, tomorrow))
    with pytest.raises(UserError, match=f"ahead of the clock: 1, such as {files[1]}") as raised:
        command.refuse_later_than_now(files)
    subprocess.run(str(raised.value).splitlines()[-1], shell=True, check=True)
    command.refuse_later_than_now(files)
    assert not list((tmp_path / ".snakemake").iterdir())


# --- what is extended


def written(file: Path, **found: Any) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(found))
    return file


def test_what_files_extend_lies_below_all_that_they_say(tmp_path: Path) -> None:
    written(tmp_path / "a/base.yaml", one=1, two=1, three=1, four=1)
    first = written(tmp_path / "a/first.yaml", extends="base.yaml", two=2, three=2, four=2)
    second = written(tmp_path / "b/second.yaml", three=3, four=3)
    raw = {"extends": "base.yaml", "two": 2, "three": 3, "four": "4"}  # as Snakemake merges them
    found, said = command.configuration(raw, [first, second], {"four": 4})
    assert found == {"one": 1, "two": 2, "three": 3, "four": 4}
    names = [Path(each.where).name for each in said]
    assert names == ["base.yaml", "first.yaml", "second.yaml", "--config"]


@pytest.mark.parametrize("entry", [None, "ablations"])
def test_an_imported_workflow_extends_what_its_importers_file_names(
    tmp_path: Path, entry: str | None
) -> None:
    written(tmp_path / "studies/base.yaml", seeds=[1], title="base")
    own = {"extends": "base.yaml", "title": "own"}
    file = written(tmp_path / "studies/own.yaml", **({entry: own, "x": 1} if entry else own))
    other = written(tmp_path / "other.yaml", x=1)
    found, _ = command.imported(own, [other, file])
    assert found == {"seeds": [1], "title": "own"}


def test_what_no_file_says_extends_a_file_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "base.yaml", seeds=[1])
    monkeypatch.chdir(tmp_path)
    given = {"extends": "base.yaml"}
    for found, _ in (command.imported(given, []), command.configuration(given, [], given)):
        assert found == {"seeds": [1]}
