"""Rows that keep their model: what is written, what reruns, and that nothing stale is left."""

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import runs
import tiny
from commands import snakemake, table
from demos import planned


def study(folder: Path, *kept: str, **changes: Any) -> Path:
    rows = copy.deepcopy(tiny.ROWS[:2])
    for row in rows:
        row |= {"save_model": True} if row["id"] in kept else {}
    return tiny.config(folder, rows=rows, **changes)


def test_a_model_is_kept_beside_its_results_and_never_beside_others(tmp_path):
    config = study(tmp_path, "baseline")
    options = ("--configfile", config, "--cores", 1, "--resources", "gpu=1")
    snakemake(tmp_path, *options)
    run, model = (tmp_path / f"results/{name}/baseline/seed-123" for name in ("runs", "models"))
    test = [line for line in table(run / "predictions.csv") if line["split"] == "test"]
    lines = table(tmp_path / "results/data/texts.csv")
    texts = [line["Text"] for line in lines if line["split"] == "test"]
    logits = runs.predicted(model, texts)
    for found, line in zip(logits.tolist(), test, strict=True):
        expected = [float(line["logit_0"]), float(line["logit_1"])]
        assert found == pytest.approx(expected, abs=1e-5)
    assert "Stand-in models: nano" in (model / "README.md").read_text()
    assert not (tmp_path / "results/models/last-layer").exists()

    # no longer kept: nothing runs; another row kept: that row alone is trained
    study(tmp_path)
    assert planned(tmp_path, *options) == {}
    study(tmp_path, "last-layer")
    jobs = ("train_and_keep last-layer", "kept_model last-layer", "answers")
    assert planned(tmp_path, *options) == Counter(jobs)
    # a file of the folder is lost: it is written again, without training
    study(tmp_path, "baseline")
    (model / "tokenizer_config.json").unlink()
    assert planned(tmp_path, *options) == Counter(["kept_model baseline"])

    # the row changes and is not kept: its old model goes
    study(tmp_path, training={"epochs": 1})
    snakemake(tmp_path, run.relative_to(tmp_path) / "metrics.json", *options)
    assert not list(model.iterdir()) and not (run / "trained.safetensors").exists()
