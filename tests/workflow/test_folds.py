"""A study that tests every text once: its files, and what a change of folds or seeds reruns."""

from pathlib import Path

import pytest
import yaml

import demos
import tiny
from ablations.data import collection
from ablations.errors import UserError
from ablations.files import read_json
from ablations.study import config
from ablations.training import predictions
from ablations.training.metrics import Metrics
from commands import program, snakemake, table

SPLIT = {"folds": 3, "validation": 0.1, "seed": 123}
DATASET = {"generated": {"messages": 300, "seed": 0}, "keep_together": True, "split": SPLIT}
ROWS = [
    tiny.ROWS[0] | {"save_model": True},
    {"id": "two-blocks", "trainable_layers": 2, "train_size": 24},
]
QUESTION = {"id": "q", "question": "Does it matter?", "baseline": "baseline"}
COMPARISONS = [QUESTION | {"variant": "two-blocks"}]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    tiny.config(folder, rows=ROWS, dataset=DATASET, comparisons=COMPARISONS)
    snakemake(folder, "--cores", 2)
    return folder


def changed(study: Path, to: Path, **changes: object) -> Path:
    demos.copy_study(study, to)
    found = yaml.safe_load((to / "config.yaml").read_text()) | changes
    (to / "config.yaml").write_text(yaml.safe_dump(found))
    return to


def test_every_text_is_tested_once_by_each_row(study: Path) -> None:
    texts = collection.read(study / "results/data/texts.csv")
    assert list(texts.cuts) == ["fold-1", "fold-2", "fold-3"]
    for row, size in (("baseline", None), ("two-blocks", 24)):
        tested: list[int] = []
        for fold, cut in enumerate(texts.cuts.values(), start=1):
            run = study / f"results/runs/{row}/fold-{fold}/seed-123"
            assert read_json(run / "metrics.json", Metrics).fold == fold
            found, own = predictions.read(run / "predictions.csv", 2), collection.lines(cut)
            assert found["test"].lines.tolist() == sorted(own["test"])
            assert found["train"].lines.tolist() == sorted(own["train"][:size])
            tested += found["test"].lines.tolist()
        assert sorted(tested) == list(range(len(texts.texts)))


def test_one_pass_through_the_trunk_serves_all_folds(study: Path) -> None:
    kinds = {path.suffix for path in (study / "results/cache").iterdir()}
    entries = [path for path in (study / "results/cache").iterdir() if path.is_dir()]
    assert len(entries) == 2 and kinds <= {"", ".lock"}  # of one block, and of none


def test_answers_are_over_all_texts(study: Path) -> None:
    texts = collection.read(study / "results/data/texts.csv")
    baseline, other = table(study / "results/table.csv")
    assert (baseline["folds"], baseline["seeds"], other["train_size"]) == ("3", "1", "24")
    (question,) = table(study / "results/comparisons.csv")
    assert int(question["texts"]) == len(texts.texts)
    said = (study / "results/table.md").read_text()
    assert "No test text is in the training set of the same fold verbatim or nearly so" in said
    assert "pretrained by this workflow on all texts, tested ones too" in said


def test_each_fold_keeps_its_model(study: Path) -> None:
    for fold in (1, 2, 3):
        kept = study / f"results/models/baseline/fold-{fold}/seed-123"
        assert f"# baseline, fold {fold}, seed 123" in (kept / "README.md").read_text()
    done = program("predict", kept, "win a prize")
    assert done.returncode == 0 and "spam" in done.stdout


def test_status_and_plan_name_folds(study: Path, tmp_path: Path) -> None:
    other = changed(study, tmp_path / "study")
    (other / "results/runs/baseline/fold-2/seed-123/metrics.json").unlink()
    said = program("training.status", "--directory", other).stdout
    assert "5 of 6 runs are finished." in said and "baseline, fold 2, seed 123: " in said
    said = program("study.plan", "--directory", other).stdout
    assert "to train: 2 rows × 3 folds × 1 seed = 6 runs" in said


def test_a_further_seed_trains_its_own_runs_alone(study: Path, tmp_path: Path) -> None:
    planned = demos.planned(changed(study, tmp_path / "study", seeds=[123, 7]))
    assert planned == {
        **{"train_and_keep baseline": 3, "train two-blocks": 3, "kept_model baseline": 3},
        "answers": 1,
    }


def test_other_folds_are_trained_anew(study: Path, tmp_path: Path) -> None:
    other = DATASET | {"split": SPLIT | {"folds": 4}}
    planned = demos.planned(changed(study, tmp_path / "study", dataset=other))
    assert planned["split"] == planned["tokens"] == 1
    assert planned["train_and_keep baseline"] == planned["train two-blocks"] == 4


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"split": {"folds": 1, "validation": 0.1, "seed": 1}}, "split: folds: 1 is out of range"),
        ({"split": SPLIT | {"validation": 0.7}}, "leave nothing to train on"),
        ({"split": SPLIT, "stratify": True}, None),
        ({"split": {**SPLIT, "keep_together": True, "stratify": True}}, None),
        ({"split": {"train": 0.7, **SPLIT}}, None),  # it says nothing
        (
            {"split": {"train": 0.7, "validation": 0.1, "seed": 1}, "keep_together": True},
            "keep_together: nothing is cut into folds; allowed with split: folds",
        ),
    ],
)
def test_what_the_door_says_of_folds(dataset: dict, message: str | None, tmp_path: Path) -> None:
    made = {"generated": DATASET["generated"]} | dataset
    written = yaml.safe_load(tiny.config(tmp_path, rows=ROWS, dataset=made).read_text())
    if message is None:
        config.parse(written)
    else:
        with pytest.raises(UserError, match=message):
            config.parse(written)


def test_folds_of_splits_that_have_files_are_refused(tmp_path: Path) -> None:
    files = {"train": "tickets.csv", "test": "tickets.csv"}
    dataset = {"files": files, "text": "text", "label": "team", "split": SPLIT}
    file = tiny.config(tmp_path, rows=ROWS, dataset=dataset)
    with pytest.raises(UserError, match="dataset: split: folds: the splits have files"):
        config.parse(yaml.safe_load(file.read_text()))
