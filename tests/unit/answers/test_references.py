"""References stand below the rows in every form of the answers, and may be asked about."""

import csv
import io
import json
import re

import numpy as np
import pytest

import synthetic_runs
from ablations.answers import statistics
from ablations.answers.written import figures, interpretation, numbers, table, terminal
from ablations.errors import UserError
from ablations.study import config
from synthetic_runs import configuration

NAMES = ["counts", "words", "characters"]
SHARES = {"counts": 0.90, "words": 0.93, "characters": 0.95}
ROWS = {"baseline": 0.95, "first-token": 0.80, "all-layers": 0.99}
QUESTIONS = [("baseline", "characters"), ("characters", "all-layers"), ("first-token", "words")]
FOLDS = {"folds": 3, "validation": 0.1, "seed": 123}


def study(folder, seeds=(123,), folds=False, texts=300, references=NAMES):
    """Three rows, three references and three questions; each side errs on the first texts."""
    made = configuration()
    rows = [row for row in made["rows"] if row["id"] in ROWS]
    asked = [
        {"id": f"q{number}", "question": "Better?", "baseline": one, "variant": other}
        for number, (one, other) in enumerate(QUESTIONS)
        if {one, other} <= {*ROWS, *references}
    ]
    made |= {"rows": rows, "seeds": list(seeds), "comparisons": asked, "references": references}
    if folds:
        made["dataset"]["split"] = FOLDS
    parsed = config.parse(made)
    right = {id: np.arange(texts) >= round((1 - share) * texts) for id, share in ROWS.items()}
    synthetic_runs.write(
        folder, parsed, {id: np.stack([r] * len(seeds)) for id, r in right.items()}
    )
    answers = {n: np.arange(texts) >= round((1 - share) * texts) for n, share in SHARES.items()}
    synthetic_runs.write_references(folder, parsed, answers)
    return folder


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    return synthetic_runs.load(study(tmp_path_factory.mktemp("study")))


def lines(text):
    return list(csv.DictReader(io.StringIO(text)))


# --- the table


def test_their_intervals_are_those_of_a_row_as_accurate(read):
    (counted,) = (each for each in read.references if each.id == "characters")
    row = synthetic_runs.row(read, "baseline")
    assert counted.accuracy["test"] == row.accuracy["test"]
    low, _ = statistics.wilson(0.95, 300)
    assert counted.accuracy["test"].low == pytest.approx(float(low))
    assert counted.accuracy["train"].texts == (1045,)  # no batch is left out
    assert "95.00% (91.9–96.9)" in table.compact(read).markdown().splitlines()[-1]


def test_table_csv_and_classes_csv_have_their_lines(read):
    found = lines(numbers.rows(read))
    assert [line["id"] for line in found[-3:]] == NAMES
    assert {line["row"] for line in found[-3:]} == {""}
    last = found[-1]
    assert float(last["test_accuracy"]) == 0.95 and float(last["training_time_seconds"]) == 0.2
    assert last["model"] == last["seeds"] == last["published_test_accuracy"] == ""
    of_classes = [line for line in lines(numbers.classes(read)) if line["id"] in NAMES]
    assert [(line["id"], line["class"], line["seed"]) for line in of_classes] == [
        (name, label, "") for name in NAMES for label in ("ham", "spam")
    ]


def test_errors_csv_says_what_they_predicted_and_counts_rows_alone(read):
    found = lines(numbers.errors(read))
    assert list(found[0])[-3:] == [f"predicted_{name}" for name in NAMES]
    worst = found[0]
    assert worst["rows_wrong"] == "3"
    assert worst["predicted_characters"] != worst["label"]
    assert len(found) == 60  # of the first token's row; no reference is wrong elsewhere


# --- what is said


def test_the_summary_names_the_rows_that_are_not_better(read, tmp_path):
    said = "Not better than counted characters (95.00% of 300 test texts right):"
    for text in (terminal.summary(read), table.markdown(read)):
        assert f"{said} baseline and first-token." in text
    for each in read.references:
        assert f"{each.id} ({each.declared.called})" in table.markdown(read)


def test_a_question_about_one_names_what_it_counts_and_no_settings(read):
    one, other, third = read.comparisons
    assert (one.overall.difference, one.verdict) == (0, "no detectable difference")
    assert other.verdict == "better" and other.overall.difference == pytest.approx(0.04)
    assert third.verdict == "better" and third.overall.difference == pytest.approx(0.13)
    for found in read.comparisons:
        assert found.settings == found.clean_pairs == () and not found.confounded
        assert found.time_ratio is None and found.outcome is None
    text = interpretation.markdown(read)
    assert text.count("is a reference: it counts ") == 3
    assert (
        "`characters` is a reference: it counts 2 to 5 characters, TF-IDF, and was trained in 0.2"
        in text
    )
    assert "Two rows, or a row and a reference, answer the same" in text
    assert "only be noise" not in text and "Training times are not compared" not in text
    (line, *_) = lines(numbers.comparisons(read))
    assert line["settings"] == line["time_ratio"] == "" and line["confounded"] == "false"


def test_figures_show_them(read):
    drawn = figures.accuracies(read)
    labels = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert labels == [*ROWS, *NAMES]
    (axes,) = figures.accuracy_and_time(read).axes
    (entry,) = (e for e in axes.figure.legends[0].texts if e.get_text() == "counted characters")
    heights = [line.get_ydata()[0] for line in axes.get_lines() if line.get_linestyle() == "-."]
    assert heights == [pytest.approx(95)] and entry
    axes = figures.differences(read).axes[0]
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == [f"{other}\nagainst {one}" for one, other in QUESTIONS]


# --- seeds and folds


def test_with_several_seeds_its_one_answer_is_compared_with_each(tmp_path):
    read = synthetic_runs.load(study(tmp_path, seeds=(1, 2, 3)))
    assert [len(each.runs) for each in read.references] == [1, 1, 1]
    assert read.comparisons[1].seeds == 3
    assert read.comparisons[1].overall.difference == pytest.approx(0.04)
    # equivalence is as possible as with a row: the reference on either side answers once
    few = synthetic_runs.load(study(tmp_path / "few", seeds=(1, 2, 3), texts=100))
    assert [each.equivalence.possible for each in few.comparisons] == [True] * 3
    worst = table.by_class(read).headings.index("Worst run's test acc")
    assert table.by_class(read).lines[-1][worst] == "–"


def test_with_folds_every_text_is_tested_and_a_run_named_by_its_fold(tmp_path):
    read = synthetic_runs.load(study(tmp_path, folds=True))
    counted = read.references[-1]
    assert len(counted.runs) == 3 and counted.right.shape == (1, 300)
    assert counted.accuracy["test"].mean == 0.95
    worst = table.by_class(read).headings.index("Worst run's test acc")
    assert re.fullmatch(r"[\d.]+% \(fold \d\)", table.by_class(read).lines[-1][worst])


# --- files that are not there, or of something else


def test_a_reference_that_is_missing_is_named_and_left_out_of_a_table_so_far(tmp_path):
    folder = study(tmp_path)
    (folder / "references/words/metrics.json").unlink()
    with pytest.raises(UserError, match=r"references/words/metrics\.json does not exist"):
        synthetic_runs.load(folder)
    read = synthetic_runs.load(folder, so_far=True)
    assert [each.id for each in read.references] == ["counts", "characters"]
    assert "References not finished: words." in terminal.summary(read)
    assert len(read.comparisons) == 2 and read.asked == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"reference": "counts"},
            "is of the reference counts, fold None; expected words, fold None",
        ),
        ({"fold": 2}, "is of the reference words, fold 2; expected words, fold None"),
        ({"dataset_sha256": "1" * 64}, "is of another dataset"),
        ({"accuracy": {"train": 1, "validation": 1, "test": 0.5}}, "accuracy: test is 0.5, but"),
        (
            {"accuracy": {"train": 1, "validation": 0.5, "test": 0.9}},
            "was changed by hand, delete the folder {folder}/references/words and",
        ),
    ],
)
def test_files_of_something_else_are_refused(tmp_path, change, said):
    folder = study(tmp_path)
    path = folder / "references/words/metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError) as caught:
        synthetic_runs.load(folder)
    assert said.format(folder=folder) in str(caught.value)
    assert "references/words/metrics.json" in str(caught.value)
