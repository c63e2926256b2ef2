"""What a run will do, said before it starts; a mistake is one message, and nothing is written."""

import functools
import json
import re
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

import tiny
from commands import ROOT, program


def plan(folder: Path) -> tuple[int, str, str]:
    done = program("study.plan", "--directory", folder)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@functools.cache
def plan_of(study: str) -> str:
    """What is said of a study of the repository."""
    return plan(ROOT / study)[1]


def test_it_says_how_much_will_be_trained_and_where_results_go(tmp_path: Path) -> None:
    file = tiny.config(tmp_path / "mine", seeds=[1, 2])
    code, said, _ = plan(tmp_path / "mine")
    assert code == 0
    assert "3 rows × 2 seeds = 6 runs" in said
    assert "models pretrained here: nano\n" in said
    assert f"results go to {tmp_path / 'mine/results'}/" in said
    assert list((tmp_path / "mine").iterdir()) == [file]


def test_it_says_what_is_downloaded() -> None:
    said = plan_of(".")
    models = "gpt2-small (124M), gpt2-medium (355M), gpt2-large (774M)"
    assert f"models downloaded unless they are in the cache: {models}\n" in said


def test_it_estimates_time_memory_and_disk() -> None:
    said = plan_of("studies/extended")
    (line,) = (line for line in said.splitlines() if "estimated" in line)
    assert re.search(r"about \d+ h on two CPU cores \(a GPU was not measured\)", line)
    assert re.search(r"\d+ GB of memory at most \(xl-all-layers\)", line)
    assert "GB of hidden states in ../../results/cache/" in line
    progress = "in results/state/ for the progress of each run while it trains (xl-all-layers)"
    assert f"up to 37.4 GB {progress}" in line
    assert re.search(r"1\d\.\d GB of checkpoints to download", line)
    assert "cache_gb" not in said


@pytest.mark.parametrize(
    ("study", "told"),
    [
        (
            ".",
            {
                "about 3 h on": "about three hours on two CPU cores",
                "6.9 GB of hidden states": "about 7 GB of hidden states",
                "up to 3.0 GB in results/state/": "up to 3 GB in `results/state/`",
                "5.3 GB of checkpoints": "downloads of about 5.3 GB",
            },
        ),
        (
            "studies/extended",
            {
                "about 25 h on": "about 25 hours on two CPU cores",
                "30 GB of memory": "30 GB of memory",
                "9.4 GB of hidden states": "9 GB of hidden states",
                "up to 37.4 GB in results/state/": "up to 37 GB of disk for its progress",
                "11.7 GB of checkpoints": "12 GB of downloads",
            },
        ),
    ],
)
def test_the_readme_promises_what_it_estimates(study: str, told: dict[str, str]) -> None:
    said = plan_of(study)
    readme = " ".join((ROOT / "README.md").read_text().split())
    for estimated, promised in told.items():
        assert estimated in said and promised in readme


def changed(folder: Path, **changes: object) -> Path:
    """The published study, with changes."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    update_config(config, changes)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_it_says_where_the_cache_is_too_small_for_all_rows(tmp_path: Path) -> None:
    _, said, _ = plan(changed(tmp_path, cache_gb=5))
    assert "cache_gb: 5 does not hold all hidden states" in said


def test_all_messages_of_the_collection_take_more_than_the_cache_holds(tmp_path: Path) -> None:
    _, said, _ = plan(changed(tmp_path, dataset={"balance": False}))
    assert "35.1 GB of hidden states" in said and "if there are" not in said
    assert "cache_gb: 10 does not hold all hidden states" in said


def test_it_says_what_it_assumes_of_the_texts(tmp_path: Path) -> None:
    texts: tuple[dict[str, object], ...] = (
        {"split": {"seed": 5}},
        {"stratify": True},
        {"columns": ["label", "text", "source"]},
    )
    for dataset in texts:
        _, said, _ = plan(changed(tmp_path, dataset=dataset))
        assert "first run, if there are 1,494 texts of at most 120 tokens: about 3 h" in said
    _, said, _ = plan(changed(tmp_path, dataset={"balance": False, "quotes": False}))
    assert "if there are 5,572 texts of at most 257 tokens" in said
    assert "if there are 1,494 texts of at most 120 tokens" in plan_of("studies/tickets")
    for known in (".", "studies/extended", "demo"):
        assert "if there are" not in plan_of(known)


def test_it_says_the_sizes_of_the_splits_of_a_fold(tmp_path: Path) -> None:
    sizes = "  each fold trains on about 1,046 texts, validates on 149, tests 299\n"
    assert sizes in plan_of("studies/five-folds")
    split = {"folds": 4, "validation": 0.1}
    of_all = "trains on about 3,622 texts, validates on 557, tests 1,393\n"
    assert of_all in plan(changed(tmp_path, dataset={"balance": False, "split": split}))[1]
    unread = {"quotes": False, "split": split}  # other lines than the published study's
    shares = "trains on about 65% of the texts, validates on 10%, tests 25%\n"
    assert shares in plan(changed(tmp_path, dataset=unread))[1]
    assert "each fold" not in plan_of(".")


def test_it_says_what_a_grid_makes(tmp_path: Path) -> None:
    grid = {"learning_rate": [1e-3, 1e-2, 1e-1], "epochs": [1, 2]}
    question = {"id": "q", "question": "?", "baseline": "baseline", "variant": "sweep"}
    rows = [tiny.ROWS[0], {"id": "sweep", "grid": grid}]
    tiny.config(tmp_path, rows=rows, comparisons=[question])
    _, said, _ = plan(tmp_path)
    assert "to train: 7 rows × 1 seed = 7 runs; to answer: 6 questions" in said
    assert "the grid sweep: 6 rows (2 of epochs, 3 of learning_rate)" in said
    assert "a few minutes on two CPU cores" in said


@pytest.mark.parametrize("name", ["results", "logs", "benchmarks", ".snakemake"])
def test_a_file_where_a_folder_would_be_is_told(tmp_path: Path, name: str) -> None:
    tiny.config(tmp_path)
    (tmp_path / name).touch()
    code, _, message = plan(tmp_path)
    assert code == 1 and f"{tmp_path}/{name} is a file; allowed: a folder, or nothing" in message


def test_a_models_folder_is_relative_to_the_studys(tmp_path: Path) -> None:
    tiny.config(tmp_path / "mine", models={"nano": {"path": "own"}})
    code, _, message = plan(tmp_path / "mine")
    assert code == 1 and "models: nano: path: own holds no config.json" in message
    (tmp_path / "mine/own").mkdir()
    shape = {"n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 64, "vocab_size": 257}
    (tmp_path / "mine/own/config.json").write_text(json.dumps({"model_type": "gpt2", **shape}))
    (tmp_path / "mine/own/model.safetensors").touch()
    code, said, message = plan(tmp_path / "mine")
    assert code == 0 and "read from your folders: nano\n" in said, message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: [1\n", "config.yaml, line 2, column 1: a bracket is not closed"),
        ("seeds: [1]\nseeds: [2]\n", "the key seeds appears a second time, after line 1"),
        ("rows: []\nsedes: [1]\n", "unknown key 'sedes' (did you mean seeds?)"),
    ],
)
def test_a_mistake_is_said_and_nothing_written(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    code, said, told = plan(tmp_path)
    assert code == 1 and not said
    assert told.startswith("error: ") and message in told
    assert list(tmp_path.iterdir()) == [file]


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "none/config.yaml"
    assert plan(file.parent) == (
        *(1, ""),
        f"error: {file} is missing; a study is a folder with a config.yaml\n",
    )


def test_a_cache_that_cannot_be_written_is_told_with_what_to_set(tmp_path: Path) -> None:
    """Snakemake would end with a traceback."""
    tiny.config(tmp_path)
    (tmp_path / "none").touch()
    settings = {"HOME": str(tmp_path / "none"), "XDG_CACHE_HOME": ""}
    done = program("study.plan", "--directory", tmp_path, **settings)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"Snakemake keeps files in {tmp_path}/none/.cache/snakemake, which cannot" in done.stderr
    assert "export XDG_CACHE_HOME=/some/folder" in done.stderr
    settings["XDG_CACHE_HOME"] = str(tmp_path / "other")
    assert program("study.plan", "--directory", tmp_path, **settings).returncode == 0


def test_a_study_in_which_a_run_works_is_not_started_again(tmp_path: Path) -> None:
    folder = tmp_path / "my study"
    tiny.config(folder)
    lock = folder / ".snakemake/locks/0.input.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    code, _, error = plan(folder)
    assert code == 1
    assert f"{folder} is locked: another run is working there, or a run was killed." in error
    assert f"snakemake --unlock --directory '{folder}'\n" in error


@pytest.mark.parametrize("shared", [True, False])
def test_a_cache_that_other_studies_may_use_is_not_deleted(tmp_path: Path, shared: bool) -> None:
    (tmp_path / "mine/results/cache/notes").mkdir(parents=True)  # the user's, so it stays
    entry = f"results/cache/{'0123456789' * 2}"
    own, others = tmp_path / "mine" / entry, tmp_path / entry
    for folder in (own, others):
        folder.mkdir(parents=True)
        (folder / "states.npy").touch()
    where = "../results/cache" if shared else "results/cache"
    tiny.config(tmp_path / "mine", cache_dir=where)
    done = program("study.clean_cache", "--directory", tmp_path / "mine")
    assert done.returncode == 0, done.stderr
    assert not own.exists() and others.exists()
    assert (tmp_path / "mine/results/cache/notes").is_dir()
    notes, *told = done.stdout.splitlines()
    assert notes == f"{tmp_path}/mine/results/cache/notes holds no hidden states; it stays"
    assert told[:1] == (["cache_dir: ../results/cache"] if shared else [])
    assert not shared or f"relative to {tmp_path / 'mine'}, is not deleted" in told[1]
