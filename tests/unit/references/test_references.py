"""The references: classifiers that count, trained on the texts of each fold."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ablations import files
from ablations.data import collection
from ablations.data.generate import generate
from ablations.references import run
from ablations.study.references import REFERENCES
from commands import program, table
from texts import file, run_split, sms_collection

SPLITS = ("train", "validation", "test")
NAMES = tuple(REFERENCES)


def data(
    folder: Path, texts: Sequence[str], labels: Sequence[int], classes: int = 2, folds: int = 0
) -> Path:
    """A study's texts: six, two and two of ten in the splits, or in so many folds."""
    names = [f"fold-{fold + 1}" for fold in range(folds)] or ["split"]
    cuts = {}
    for fold, name in enumerate(names):
        place = (np.arange(len(texts)) - 2 * fold) % 10
        cuts[name] = np.select([place < 2, place < 4], ["test", "validation"], "train").tolist()
    collection.write(folder / "texts.csv", labels, texts, cuts)
    files.write_json(folder / "classes.json", [f"class {label}" for label in range(classes)])
    source = folder / "source.csv"
    source.write_text("the user's own file")
    files.write_json(folder / "collection.json", [file(source)])
    return folder


def arguments(folder: Path, name: str) -> list[str]:
    inputs = {"texts": "texts.csv", "classes": "classes.json", "collection": "collection.json"}
    found = ["--reference", name, "--output-dir", folder / "references" / name]
    for option, file_name in inputs.items():
        found += [f"--{option}", folder / file_name]
    return list(map(str, found))


def train(folder: Path, name: str) -> Path:
    """Trains a reference in this process; the folder of its files."""
    run.main(run.parser().parse_args(arguments(folder, name)))
    return folder / "references" / name


def metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def without_time(folder: Path) -> dict[str, Any]:
    found = metrics(folder)
    del found["training_time_seconds"]
    return {"metrics": found, "predictions": (folder / "predictions.csv").read_bytes()}


def generated(number: int = 200) -> tuple[list[str], list[int]]:
    labels, texts = zip(*generate(number, seed=0), strict=True)
    return list(texts), [("ham", "spam").index(label) for label in labels]


# --- what each reference is


def plain(name: str) -> Any:
    """The same by name, written down once more."""
    if name == "counts":
        return make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000))
    if name == "words":
        counting = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    else:
        counting = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    return make_pipeline(counting, LogisticRegression(C=10, max_iter=1000))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_reference_answers_as_the_plain_pipeline_does(tmp_path, name, classes):
    texts, labels = generated()
    labels = [label if label or index % 3 else classes - 1 for index, label in enumerate(labels)]
    found = table(train(data(tmp_path, texts, labels, classes), name) / "predictions.csv")
    lines = collection.lines(collection.read(tmp_path / "texts.csv").cuts["split"])
    pipeline = plain(name).fit(
        [texts[line] for line in lines["train"]], [labels[line] for line in lines["train"]]
    )
    for split in SPLITS:
        told = [line for line in found if line["split"] == split]
        assert [int(line["index"]) for line in told] == lines[split].tolist()
        assert [int(line["label"]) for line in told] == [labels[line] for line in lines[split]]
        expected = pipeline.predict_log_proba([texts[line] for line in lines[split]])
        logits = [[float(line[f"logit_{k}"]) for k in range(classes)] for line in told]
        np.testing.assert_allclose(logits, expected, atol=2e-6)
        assert [int(line["predicted"]) for line in told] == expected.argmax(1).tolist()


def test_on_the_published_split_it_is_as_right_as_was_measured(tmp_path):
    assert run_split(tmp_path, file(sms_collection(tmp_path), format="tsv")).returncode == 0
    listed = tmp_path.parent / f"{tmp_path.name}.collection.json"
    listed.rename(tmp_path / "collection.json")
    for name, right in {
        "counts": (100.00, 94.63, 94.67),
        "words": (100.00, 94.63, 96.33),
        "characters": (100.00, 97.99, 97.33),
    }.items():
        found = metrics(train(tmp_path, name))["accuracy"]
        assert tuple(round(100 * found[split], 2) for split in SPLITS) == right, name


def test_what_is_counted_is_learned_from_the_training_texts_alone(tmp_path):
    """A word, a pair and their weights: other validation and test texts change no other answer."""
    texts, labels = generated(100)
    others = [text if index % 10 else f"{text} unheard of" for index, text in enumerate(texts)]
    for name in NAMES:
        one, other = (
            table(train(data(tmp_path / folder, written, labels), name) / "predictions.csv")
            for folder, written in (("one", texts), ("other", others))
        )
        unchanged = [line for line in one if int(line["index"]) % 10]
        assert unchanged == [line for line in other if int(line["index"]) % 10]
        assert one != other or name != "characters"


# --- its files


@pytest.mark.parametrize("name", NAMES)
def test_its_metrics_are_those_of_its_predictions(tmp_path, name):
    texts, labels = generated(100)
    folder = train(data(tmp_path, texts, labels), name)
    found, lines = metrics(folder), table(folder / "predictions.csv")
    assert found["reference"] == name and found["fold"] is None
    assert found["classes"] == ["class 0", "class 1"]
    assert found["dataset_sha256"] == files.sha256(tmp_path / "source.csv")
    assert found["training_time_seconds"] > 0
    assert found["versions"].keys() == {"python", "scikit-learn"}
    for split in SPLITS:
        right = [line["label"] == line["predicted"] for line in lines if line["split"] == split]
        assert found["accuracy"][split] == pytest.approx(sum(right) / len(right))
    assert len(lines) == len(texts)


def test_each_fold_has_its_own_files(tmp_path):
    texts, labels = generated(100)
    folder = train(data(tmp_path, texts, labels, folds=5), "words")
    assert not (folder / "metrics.json").exists()
    tested = []
    for fold in range(1, 6):
        assert metrics(folder / f"fold-{fold}")["fold"] == fold
        lines = table(folder / f"fold-{fold}/predictions.csv")
        assert len(lines) == len(texts)
        tested += [int(line["index"]) for line in lines if line["split"] == "test"]
    assert sorted(tested) == list(range(100))
    alone = data(tmp_path / "alone", texts, labels)
    first = (train(alone, "words") / "predictions.csv").read_bytes()
    assert first == (folder / "fold-1/predictions.csv").read_bytes()


def test_the_same_texts_give_the_same_bytes(tmp_path):
    """Whatever the number of threads, and the order in which Python keeps words."""
    texts, labels = generated()
    for folder, settings in (
        ("one", {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "1"}),
        ("other", {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "2"}),
    ):
        of = data(tmp_path / folder, texts, labels)
        done = program("references.run", *arguments(of, "characters"), **settings)
        assert done.returncode == 0, done.stderr
    one, other = (tmp_path / folder / "references/characters" for folder in ("one", "other"))
    assert without_time(one) == without_time(other)


# --- texts that are hardly any


@pytest.mark.parametrize("name", NAMES)
def test_where_nothing_can_be_counted_it_answers_the_most_frequent_class(tmp_path, name):
    """No word of two letters, no character but blanks; elsewhere than in training there are."""
    labels = [1 if index % 3 else 0 for index in range(30)]
    texts = [" " if index % 10 > 3 else "a word" for index in range(30)]
    lines = table(train(data(tmp_path, texts, labels), name) / "predictions.csv")
    assert {line["predicted"] for line in lines} == {"1"}
    shares = np.bincount([label for index, label in enumerate(labels) if index % 10 > 3]) / 18
    for line in lines:
        logits = [float(line["logit_0"]), float(line["logit_1"])]
        np.testing.assert_allclose(np.exp(logits), shares, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_any_texts_will_do(tmp_path, name):
    """Of one character, empty, of any script, and very long."""
    texts = ["", "a", "🙂", "你好 世界", "\0", '"', "x" * 50_000, "é e\u0301", "1 2", "no\nyes"] * 3
    labels = [index % 2 for index in range(30)]
    found = metrics(train(data(tmp_path, texts, labels), name))
    assert found["accuracy"]["train"] == 1 or name != "characters"


def test_a_class_may_be_absent_from_validation_and_test(tmp_path):
    texts = [f"some word{index % 7}" for index in range(20)]
    labels = [0 if index % 10 < 4 else index % 3 for index in range(20)]
    found = metrics(train(data(tmp_path, texts, labels, 3), "words"))
    assert found["classes"] == ["class 0", "class 1", "class 2"]


def test_a_class_that_is_absent_from_training_is_named(tmp_path):
    texts, _ = generated(100)
    data(tmp_path, texts, [int(index % 10 < 2) for index in range(100)])
    done = program("references.run", *arguments(tmp_path, "words"))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    told = "texts.csv: split: no training text is of the class 'class 1'; expected some of each"
    assert told in done.stderr
