"""Studies with grids, and the one of nineteen rows."""

import json
import re
from pathlib import Path

import pytest

import tiny
from ablations.study import extends
from commands import ROOT, snakemake, table


def test_a_grid_runs_as_its_rows_do(tmp_path: Path) -> None:
    sweep = {"trainable_layers": ["last_layer", "last_block"], "learning_rate": [1e-3, 1e-2]}
    best = {"id": "best", "choose": "validation", "grid": {"epochs": [1, 3]}}
    question = {"question": "Better?", "baseline": "baseline"}
    study = {
        "rows": [tiny.ROWS[0], {"id": "sweep", "grid": sweep}, best],
        "comparisons": [
            {"id": "rate", "variant": "sweep", **question},
            {"id": "length", "variant": "best", **question},
        ],
    }
    path = tiny.config(tmp_path, **study)
    snakemake(tmp_path, "--cores", 1, "--configfile", path)

    of_sweep = [f"layers-last-{part}-lr-1e-{n}" for part in ("layer", "block") for n in (3, 2)]
    of_best = ["best-epochs-1", "best-epochs-3"]
    trained = {"baseline", *of_best, *(f"sweep-{each}" for each in of_sweep)}
    assert {path.name for path in (tmp_path / "results/runs").iterdir()} == trained
    drawn = {path.stem for path in (tmp_path / "results/figures").glob("grid-*.svg")}
    assert drawn == {"grid-sweep"}
    lines = {line["id"]: line for line in table(tmp_path / "results/table.csv")}
    (chosen,) = lines.keys() & set(of_best)
    assert lines.keys() == trained - {id for id in of_best if id != chosen}
    best_accuracy = max(
        json.loads((tmp_path / f"results/runs/{id}/seed-123/metrics.json").read_text())["accuracy"][
            "validation"
        ]
        for id in of_best
    )
    assert float(lines[chosen]["validation_accuracy"]) == pytest.approx(best_accuracy, abs=1e-5)
    compared = {line["id"]: line["variant"] for line in table(tmp_path / "results/comparisons.csv")}
    assert compared == {"length": chosen} | {f"rate-{id}": f"sweep-{id}" for id in of_sweep}

    sweep["learning_rate"].append(1e-1)
    tiny.config(tmp_path, **study)
    planned = snakemake(tmp_path, "--cores", 1, "--configfile", path, "--dry-run").stdout
    assert re.search(r"^train +2$", planned, re.M), planned


@pytest.mark.slow
def test_all_nineteen_rows_run_on_stand_ins(tmp_path: Path) -> None:
    """The study as it ships, but for its texts, the size of its models and how long it trains."""
    study = extends.whole(ROOT / "studies/extended/config.yaml")
    kept = {key: study[key] for key in ("title", "rows", "comparisons", "references")}
    models = {name: tiny.MODEL | {"n_layer": 2 + i} for i, name in enumerate(study["models"])}
    training = {"epochs": 1, "eval_every": 20}
    path = tiny.config(tmp_path, **kept, models=models, training=training)
    snakemake(tmp_path, "--cores", 2, "--resources", "gpu=2", "--configfile", path)

    lines = table(tmp_path / "results/table.csv")
    ids = [row["id"] for row in study["rows"]]
    assert [line["id"] for line in lines] == ids + study["references"]
    asked = [question["id"] for question in study["comparisons"]]
    answers = table(tmp_path / "results/comparisons.csv")
    assert [line["id"] for line in answers] == asked
    text = (tmp_path / "results/interpretation.md").read_text()
    assert all(question["question"] in text for question in study["comparisons"])
    assert list((tmp_path / "results/figures").glob("*.svg"))

    def logits(row: str) -> bytes:
        return (tmp_path / f"results/runs/{row}/seed-123/predictions.csv").read_bytes()

    assert logits("ignore-index") == logits("baseline")
    without_effect = {"baseline", "ignore-index"}
    others = [id for id in ids if id not in without_effect]
    assert len({logits(row) for row in others}) == len(others) == 17
