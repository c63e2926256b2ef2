"""A study of three classes with names of their own, through every answer."""

import csv
import re

import matplotlib
import numpy as np
import pytest

from ablations.answers.written import figures, interpretation, numbers, table
from ablations.study import config
from synthetic_runs import configuration, load, write

CLASSES = ("negative", "neutral", "positive")
OTHERS = re.compile("ham|spam", re.IGNORECASE)


@pytest.fixture
def folder(tmp_path):
    """Two rows, 90 messages, three seeds."""
    rows = [configuration()["rows"][0], {"id": "variant", "trainable_token": "first"}]
    question = {"id": "q", "question": "?", "baseline": "baseline", "variant": "variant"}
    dataset = {"urls": ["https://example.org/reviews.csv"], "sha256": "0" * 64, "text": "review"}
    dataset |= {"label": "stars", "split": {"train": 0.7, "validation": 0.1, "seed": 123}}
    made = configuration(
        title="Three classes",
        seeds=[1, 2, 3],
        dataset=dataset,
        rows=rows,
        comparisons=[question],
    )
    right = {id: np.ones((3, 90), bool) for id in ("baseline", "variant")}
    right["variant"][:, 10:30] = False  # "neutral" for "negative", and so on
    right["baseline"][0, 2] = False  # one seed of three says "negative" for "positive"
    seen = [0, 1, 2, 4, 5, 8]
    write(tmp_path, config.parse(made), right, seen=seen, classes=CLASSES)
    return tmp_path


def test_the_table_names_the_classes(folder):
    shown = table.markdown(load(folder))
    assert (
        "6 of the 90 test messages (2 of them neutral, 3 of them positive) are in the training"
        " set verbatim; the column of the 84 unseen leaves them out."
    ) in shown
    assert (
        "Data: reviews.csv; 3 classes (negative, neutral, positive); texts: 1,045 train,"
        " 149 validation, 90 test."
    ) in shown
    assert "always answering positive would be right on 33.33%" in shown
    lines = numbers.rows(load(folder))
    (_, variant) = csv.DictReader(lines.splitlines())
    assert float(variant["test_accuracy"]) == pytest.approx(70 / 90)
    assert not OTHERS.search(shown + lines)


def test_errors_name_the_class_that_was_predicted(folder):
    written = numbers.errors(load(folder))
    lines = {line["index"]: line for line in csv.DictReader(written.splitlines())}
    named = [(lines[i]["label"], lines[i]["predicted_variant"]) for i in ("12", "13", "14")]
    assert named == [("negative", "neutral"), ("neutral", "positive"), ("positive", "negative")]
    assert lines["2"]["predicted_baseline"] == "positive 0.67"
    assert lines["2"]["predicted_variant"] == lines["2"]["label"] == "positive"
    assert len(lines) == 21 and not OTHERS.search(written)


def test_interpretation_and_its_numbers_name_no_other_classes(folder):
    read = load(folder)
    shown = interpretation.markdown(read)
    assert "`variant` is less accurate than `baseline`." in shown
    assert not OTHERS.search(shown + numbers.comparisons(read))


def test_figures_name_no_other_classes(folder):
    read = load(folder)
    with matplotlib.rc_context(figures.STYLE):
        drawn = {draw.__name__: draw(read) for draw in figures.FIGURES}
        texts = [
            text.get_text()
            for figure in drawn.values()
            for text in figure.findobj(lambda artist: isinstance(artist, matplotlib.text.Text))
        ]
        majority = [line.get_xdata()[0] for line in drawn["accuracies"].axes[-1].lines]
    assert majority[-1] == pytest.approx(100 / 3)
    assert any("variant" in text for text in texts)
    assert not any(OTHERS.search(text) for text in texts)
