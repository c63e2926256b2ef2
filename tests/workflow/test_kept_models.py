"""A study that keeps a model: what reruns, that nothing stale is left; another uses its cache."""

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import runs
import tiny
from commands import snakemake, table
from demos import copy_study, planned


def study(folder: Path, *kept: str, **changes: Any) -> Path:
    rows = copy.deepcopy(tiny.ROWS[:2])
    for row in rows:
        row |= {"save_model": True} if row["id"] in kept else {}
    return tiny.config(folder, rows=rows, **changes)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished study, whose baseline keeps its model; never to be changed."""
    folder = tmp_path_factory.mktemp("studies") / "first"
    config = study(folder, "baseline")
    snakemake(folder, "--configfile", config, "--cores", 1)
    return folder


def test_a_model_is_kept_beside_its_results_and_never_beside_others(first, tmp_path):
    folder = tmp_path / "study"
    copy_study(first, folder)
    options = ("--configfile", folder / "config.yaml", "--cores", 1, "--resources", "gpu=1")
    run, model = (folder / f"results/{name}/baseline/seed-123" for name in ("runs", "models"))
    test = [line for line in table(run / "predictions.csv") if line["split"] == "test"]
    lines = table(folder / "results/data/texts.csv")
    texts = [line["Text"] for line in lines if line["split"] == "test"]
    logits = runs.predicted(model, texts)
    for found, line in zip(logits.tolist(), test, strict=True):
        expected = [float(line["logit_0"]), float(line["logit_1"])]
        assert found == pytest.approx(expected, abs=1e-5)
    assert "Stand-in models: nano" in (model / "README.md").read_text()
    assert not (folder / "results/models/last-layer").exists()

    # no longer kept: nothing runs; another row kept: that row alone is trained
    study(folder)
    assert planned(folder, *options) == {}
    study(folder, "last-layer")
    jobs = ("train_and_keep last-layer", "kept_model last-layer", "answers")
    assert planned(folder, *options) == Counter(jobs)
    # a file of the folder is lost: it is written again, without training
    study(folder, "baseline")
    (model / "tokenizer_config.json").unlink()
    assert planned(folder, *options) == Counter(["kept_model baseline"])

    # the row changes and is not kept: its old model goes
    study(folder, training={"epochs": 1})
    snakemake(folder, run.relative_to(folder) / "metrics.json", *options)
    assert not list(model.iterdir()) and not (run / "trained.safetensors").exists()


def entries(folder: Path) -> dict[str, int]:
    """The cache's arrays, and when each was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/states.npy")}


def test_a_study_uses_anothers_hidden_states(first):
    computed = entries(first / "results/cache")
    assert len(computed) == 1  # of the collection

    second = first.parent / "second"
    config = study(second, cache_dir="../first/results/cache")
    snakemake(second, "--cores", 1, "--configfile", config)
    assert entries(first / "results/cache") == computed
    assert not (second / "results/cache").exists()
    kept = "results/runs/baseline/seed-123/predictions.csv"
    assert (first / kept).read_bytes() == (second / kept).read_bytes()
    for file in (second / "results/rows").iterdir():
        assert "cache" not in file.read_text()
