"""Runs read back: losses, recall, and a study of which a part is finished."""

import csv
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from ablations.answers.written import numbers, table
from ablations.errors import UserError
from ablations.study import config
from ablations.study.dataset import SPLITS
from synthetic_runs import (
    configuration,
    disagreeing,
    eight_rows,
    load,
    program,
    row,
    study,
    two_rows,
    write,
)

# --- what the logits say


def test_log_loss_is_the_cross_entropy_over_every_message_of_a_split(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 3, 0))
    path = tmp_path / "runs/variant/seed-100/predictions.csv"
    frame = pd.read_csv(path)
    draw = np.random.default_rng(0)
    logits = np.sort(draw.normal(0, 30, (len(frame), 2)))  # exp() would overflow
    logits[frame["predicted"] == 0] = np.flip(logits[frame["predicted"] == 0], axis=1)
    frame[["logit_0", "logit_1"]] = logits
    frame.sample(frac=1, random_state=0).to_csv(path, index=False)
    (run,) = row(load(tmp_path), "variant").runs
    for split in SPLITS:
        part = frame[frame["split"] == split]
        logits = torch.tensor(part[["logit_0", "logit_1"]].to_numpy())
        labels = torch.tensor(part["label"].to_numpy())
        expected = torch.nn.functional.cross_entropy(logits, labels).item()
        assert run.log_loss[split] == pytest.approx(expected, rel=1e-9)


def test_recall_precision_and_f1_of_each_class(tmp_path):
    rows = [configuration()["rows"][0]]
    made = configuration(seeds=[1, 2], rows=rows, comparisons=[])
    right = np.ones((2, 9), bool)
    right[0, [0, 3, 1]] = False  # two of the class 0 taken for 1, one of the class 1 for 2
    write(tmp_path, config.parse(made), {"baseline": right}, classes=("a", "b", "c"))
    read = load(tmp_path)
    (baseline,) = read.rows
    assert baseline.confusion.counts[0].tolist() == [[1, 2, 0], [0, 2, 1], [0, 0, 3]]
    assert baseline.confusion.recall == pytest.approx(np.array([[1 / 3, 2 / 3, 1], [1, 1, 1]]))
    assert baseline.confusion.precision == pytest.approx(np.array([[1, 2 / 4, 3 / 4], [1, 1, 1]]))
    first = [2 / 4, 4 / 7, 6 / 7]
    assert baseline.confusion.f1 == pytest.approx(np.array([first, [1, 1, 1]]))
    assert baseline.confusion.macro_f1 == pytest.approx([np.mean(first), 1])


def test_a_class_that_the_test_set_lacks_has_no_recall_and_does_not_count(tmp_path):
    right, classes = np.array([[True, False]]), {"classes": ("a", "b", "c")}
    read = study(tmp_path, right={"baseline": right}, written=classes)
    (baseline,) = read.rows
    assert baseline.confusion.recall[0] == pytest.approx([1, 0, np.nan], nan_ok=True)
    assert baseline.confusion.precision[0] == pytest.approx([1, np.nan, 0], nan_ok=True)
    assert baseline.confusion.f1[0] == pytest.approx([1, 0, np.nan], nan_ok=True)
    assert baseline.confusion.macro_f1 == pytest.approx([0.5])


# --- folds


def five_folds(folder, right, seeds=(1,), seen=(), **row):
    """The baseline and a variant with five folds; `right` is [seeds, texts] of either."""
    dataset = configuration()["dataset"]
    dataset |= {"split": {"folds": 5, "validation": 0.1, "seed": 123}}
    rows = [configuration()["rows"][0], {"id": "variant", **(row or {"epochs": 1})}]
    made = config.parse(
        configuration(dataset=dataset, seeds=list(seeds), rows=rows, comparisons=[])
    )
    write(folder, made, {"baseline": np.ones_like(right), "variant": right}, seen=seen)
    return load(folder)


def test_every_text_is_tested_by_its_fold_and_a_row_is_measured_on_all(tmp_path):
    right = np.ones((2, 43), bool)
    right[0, [0, 1, 20]] = False
    right[1, [0, 42]] = False
    read = five_folds(tmp_path, right, seeds=(1, 2))
    assert np.bincount(read.texts.fold).tolist() == [9, 9, 9, 8, 8]
    assert read.texts.lines.tolist() == list(range(43)) and read.texts.collection == 43
    variant = row(read, "variant")
    assert (variant.right == right).all()
    assert [(run.fold, run.metrics.seed) for run in variant.runs] == [
        (fold, seed) for fold in range(5) for seed in (1, 2)
    ]
    test = variant.accuracy["test"]
    assert test.mean == pytest.approx(81 / 86) and test.texts == (9, 9, 9, 8, 8)
    of_runs = [7 / 9, 8 / 9, 1, 1, 8 / 9, 1, 1, 1, 1, 7 / 8]
    assert test.runs == pytest.approx(of_runs)
    assert test.sd == pytest.approx(np.std(of_runs, ddof=1))
    assert variant.accuracy["validation"].mean == pytest.approx(39 / 40)  # of four texts each
    assert variant.confusion.counts.sum((1, 2)).tolist() == [43, 43]
    recall = [variant.recall[label].mean for label in (0, 1)]
    assert recall == pytest.approx([1 - 4 / 44, 1 - 1 / 42])
    assert table.by_class(read).lines[1][-1] == "77.78% (fold 1, seed 1)"
    assert [(found.index, found.rows_wrong) for found in read.missed] == [
        *((0, 1.0), (1, 0.5), (20, 0.5), (42, 0.5))
    ]
    lines = list(csv.DictReader(numbers.errors(read).splitlines()))
    assert [(line["index"], line["fold"]) for line in lines] == [
        *(("0", "1"), ("1", "1"), ("20", "3"), ("42", "5"))
    ]


def test_a_copy_counts_where_the_row_learns_from_it(tmp_path):
    """Texts 10 and 12, of the second fold, are the same as 32 and 34, of the fourth."""
    read = five_folds(tmp_path, np.ones((1, 44), bool), seen=(10, 12), train_size=12)
    assert np.flatnonzero(read.texts.in_train).tolist() == [10, 12, 32, 34]
    whole, fewer = read.rows
    assert whole.unseen.texts == whole.distinct.texts == 40
    # the second fold trains on 22 to 43 and then 0 to 8, the fourth on 40 to 43 and then 0 to 26
    assert read.texts.copied[[10, 12, 32, 34]].tolist() == [10, 12, 14, 16]
    assert fewer.unseen.texts == 43
    assert fewer.accuracy["train"].texts == (8,) * 5  # whole batches of the twelve


def test_a_fold_that_is_not_finished_is_named(tmp_path):
    five_folds(tmp_path, np.ones((1, 40), bool))
    (tmp_path / "runs/variant/fold-4/seed-1/metrics.json").unlink()
    (missing_run,) = load(tmp_path, so_far=True).unfinished
    assert (missing_run.row, missing_run.fold, missing_run.seed) == ("variant", 3, 1)


def test_predictions_are_of_the_folds_own_texts(tmp_path):
    five_folds(tmp_path, np.ones((1, 40), bool))
    one, other = (tmp_path / f"runs/variant/fold-{n}/seed-1/predictions.csv" for n in (1, 2))
    one.write_bytes(other.read_bytes())
    with pytest.raises(UserError, match=r"fold-1/seed-1/predictions\.csv"):
        load(tmp_path)


# --- what is finished so far


@pytest.fixture
def partly(tmp_path):
    """Eight rows, two seeds; `first-token` lacks one run, `large` both and its row file."""
    eight_rows(tmp_path, seeds=(1, 2), messages=20)
    (tmp_path / "runs/first-token/seed-2/metrics.json").unlink()
    shutil.rmtree(tmp_path / "runs/large")
    (tmp_path / "rows/large.json").unlink()
    return tmp_path


def missing(results):
    return [(run.number, run.row, run.seed, run.reason) for run in results.unfinished]


def test_what_is_finished_so_far(partly):
    with pytest.raises(UserError, match=r"first-token/seed-2/metrics\.json does not exist"):
        load(partly)
    read = load(partly, so_far=True)
    assert [row.number for row in read.rows] == [1, 3, 4, 5, 7, 8]
    assert missing(read) == [
        (2, "first-token", 2, "not finished"),
        (6, "large", 1, "not finished"),
        (6, "large", 2, "not finished"),
    ]
    named = {each.id for found in read.comparisons for each in (found.baseline, found.variant)}
    assert read.asked == 8 and len(read.comparisons) == 6 and not named & {"first-token", "large"}


def test_a_finished_study_lacks_nothing_so_far(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 1, 0))
    assert load(tmp_path, so_far=True).unfinished == ()


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_runs_of_what_the_study_was_before_are_not_finished(partly):
    change(partly / "runs/medium/seed-1/metrics.json", weights="random")
    change(partly / "runs/last-layer/seed-2/metrics.json", dataset_sha256="1" * 64)
    read = load(partly, so_far=True)
    assert (5, "medium", 1, "of other settings") in missing(read)
    assert (3, "last-layer", 2, "of another dataset") in missing(read)
    assert [row.id for row in read.rows][1:3] == ["all-layers", "random-weights"]


def test_a_failed_run_is_said_to_have_failed(tmp_path):
    results = tmp_path / "results"
    eight_rows(results, messages=20)
    log = tmp_path / "logs/train/large/seed-123.log"
    log.parent.mkdir(parents=True)
    log.write_text("2026-11-24 21:00:00 error: out of memory\n")
    (results / "runs/large/seed-123/metrics.json").unlink()
    assert missing(load(results, so_far=True)) == [(6, "large", 123, "failed: out of memory")]
    os.utime(log, (0, 0))  # of a row as it was before
    assert missing(load(results, so_far=True)) == [(6, "large", 123, "not finished")]


def test_a_damaged_file_is_an_error_also_so_far(partly):
    (partly / "runs/medium/seed-1/metrics.json").write_text("{")
    with pytest.raises(UserError, match=r"metrics\.json is not what it should be"):
        load(partly, so_far=True)


def test_without_a_finished_row_there_is_one_message(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 1, 0, seeds=2))
    for id in ("baseline", "variant"):
        (tmp_path / f"runs/{id}/seed-101/metrics.json").unlink()
    with pytest.raises(UserError, match="no row is finished yet"):
        load(tmp_path, so_far=True)
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "data/classes.json").unlink()
    done = program(tmp_path, tmp_path / "out", "--so-far")
    assert done.returncode == 1 and "no row is finished yet" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()
