"""Rows that keep their model: what is written, what reruns, and that nothing stale is left."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest

import tiny
from ablations.predict import Classifier
from commands import snakemake, table


def study(folder: Path, *kept: str, **changes: Any) -> Path:
    rows = copy.deepcopy(tiny.ROWS[:2])
    for row in rows:
        row |= {"save_model": True} if row["id"] in kept else {}
    return tiny.config(folder, rows=rows, **changes)


def jobs(output: str) -> set[str]:
    """The rules that would run, with the row where there is one, but those for tables."""
    pattern = r"^(?:local)?rule (\w+):\n((?:    .*\n)*)"
    found = re.findall(pattern, output, re.MULTILINE)
    rows = {rule: re.findall(r"row=([\w-]+)", text) for rule, text in found}
    return {f"{rule} {row}" for rule, named in rows.items() for row in named}


def test_a_model_is_kept_beside_its_results_and_never_beside_others(tmp_path):
    config = study(tmp_path, "baseline")
    options = ("--configfile", config, "--cores", 1, "--resources", "gpu=1")
    snakemake(tmp_path, *options)
    run, model = (tmp_path / f"results/{name}/baseline/seed-123" for name in ("runs", "models"))
    test = [line for line in table(run / "predictions.csv") if line["split"] == "test"]
    texts = [line["Text"] for line in table(tmp_path / "results/data/test.csv")]
    logits = Classifier(model, threads=1).logits(texts)
    for found, line in zip(logits.tolist(), test, strict=True):
        expected = [float(line["logit_0"]), float(line["logit_1"])]
        assert found == pytest.approx(expected, abs=1e-5)
    assert "Stand-in models: nano" in (model / "README.md").read_text()
    assert not (tmp_path / "results/models/last-layer").exists()

    # no longer kept: nothing runs; another row kept: that row alone is trained
    study(tmp_path)
    assert "Nothing to be done" in snakemake(tmp_path, *options, "--dry-run").stdout
    study(tmp_path, "last-layer")
    planned = snakemake(tmp_path, *options, "--dry-run").stdout
    assert jobs(planned) == {"train_and_keep last-layer", "kept_model last-layer"}
    # a file of the folder is lost: it is written again, without training
    study(tmp_path, "baseline")
    (model / "merges.txt").unlink()
    assert jobs(snakemake(tmp_path, *options, "--dry-run").stdout) == {"kept_model baseline"}

    # the row changes and is not kept: its old model goes
    study(tmp_path, training={"epochs": 1})
    snakemake(tmp_path, run.relative_to(tmp_path) / "metrics.json", *options)
    assert not list(model.iterdir()) and not (run / "trained.safetensors").exists()
