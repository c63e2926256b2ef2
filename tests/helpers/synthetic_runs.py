"""Finished studies made up for tests: a results folder as the workflow writes it."""

import copy
import functools
import itertools
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import yaml

import programs
from ablations import files
from ablations.answers import finished
from ablations.answers.compute import compute
from ablations.data import collection, cuts
from ablations.references import metrics as reference_metrics
from ablations.study import config, paths
from ablations.study.dataset import column
from ablations.study.settings import Settings, names
from ablations.training import predictions
from ablations.training.metrics import Accuracy, EpochAccuracy, Evaluation, Metrics
from ablations.training.predictions import Predictions
from texts import file, write_texts

ROOT = Path(__file__).parents[2]
CLASSES = ("ham", "spam")


def configuration(**changes):
    """config.yaml as plain values, without references, with top-level keys replaced."""
    return copy.deepcopy(_default()) | changes


@functools.cache
def _default():
    found = yaml.safe_load((ROOT / "config.yaml").read_text())
    named = set(found.pop("references"))
    asked = found["comparisons"]
    found["comparisons"] = [q for q in asked if not named & {q["baseline"], q["variant"]}]
    return found


def eight_rows(folder, seeds=(123,), messages=300, draw=0, **metrics):
    """The default study, with made-up runs that come close to the published accuracies."""
    parsed = config.parse(configuration(seeds=list(seeds)))
    generator = np.random.default_rng(draw)
    difficulty = generator.standard_normal(messages)
    right = {}
    for row in parsed.rows:
        own = difficulty + 0.4 * generator.standard_normal((len(seeds), messages))
        right[row.id] = own <= np.quantile(own, row.published.test, method="lower")
    write(folder, parsed, right, **metrics)


def two_rows(folder, baseline, variant, changed=None, comparison=None, margin=2, **metrics):
    """Two rows, one comparison; `baseline` and `variant` are right answers [seeds, messages]."""
    seeds = range(100, 100 + len(baseline))
    changed = changed or {"trainable_token": "first"}
    rows = [configuration()["rows"][0], {"id": "variant", **changed}]
    question = {"id": "q", "question": "Does it matter?", "baseline": "baseline"}
    rows[0].pop("published")
    if comparison and "published" in comparison:
        rows[0]["published"], rows[1]["published"] = comparison.pop("published")
    made = configuration(
        seeds=list(seeds),
        margin=margin,
        rows=rows,
        comparisons=[question | {"variant": "variant"} | (comparison or {})],
    )
    write(folder, config.parse(made), {"baseline": baseline, "variant": variant}, **metrics)


def study(folder, *rows, right=None, texts=20, seeds=(1,), written=None, **changes):
    """Writes a study of the baseline and these rows, without comparisons unless `changes` have
    some; gives its answers. All of theirs are right but those of the rows in `right`; `written`
    goes to write().
    """
    base = {"seeds": list(seeds), "rows": [configuration()["rows"][0], *rows], "comparisons": []}
    parsed = config.parse(configuration(**base | changes))
    every = {row.id: np.ones((len(seeds), texts), bool) for row in parsed.rows}
    write(folder, parsed, every | (right or {}), **(written or {}))
    return load(folder)


def write(folder, study, right, seen=(), per_row=None, notes=(), classes=CLASSES, **metrics):
    """Writes a whole study; `right` maps row ids to right answers to tested texts, [seeds, texts].

    `seen` are indices of tested texts that are also in the training set; `notes` stand in
    study.json; `metrics` go into every metrics.json, `per_row` (row id → metrics) into those of
    one row.
    """
    made = study.outline
    if notes:  # nothing published is beside stand-ins
        replace = msgspec.structs.replace
        rows = tuple(replace(row, published=None) for row in made.rows)
        asked = tuple(replace(question, claim=None) for question in made.questions)
        made = replace(made, notes=tuple(notes), rows=rows, questions=asked)
    files.write_json(folder / "study.json", made)
    tested = np.asarray(next(iter(right.values()))).shape[1]
    write_data(folder / "data", study, tested, seen, classes)
    texts = collection.read(folder / "data/texts.csv")
    for row in study.rows:
        files.write_json(folder / f"rows/{row.id}.json", row.settings)
        own = metrics | (per_row or {}).get(row.id, {})
        for fold, (seed, answers) in itertools.product(
            study.folds, zip(study.seeds, right[row.id], strict=True)
        ):
            write_run(folder, row.settings, seed, answers, classes, fold, texts, **own)
    write_references(folder, study, dict.fromkeys(study.references, np.arange(tested) % 10 > 0))


def write_data(folder, study, tested, seen, classes):
    """texts.csv and what else the answers read of the texts; of folds all of them are tested."""
    files.write_json(folder / "notes.json", [])
    texts = {"test": [text(index) for index in range(tested)]}
    if study.folds == (None,):
        known = [text(index) for index in seen]
        others = ["NA", *(f"training message {index}" for index in range(1044 - len(known)))]
        validation = [f"validation message {index}" for index in range(149)]
        texts = {"train": known + others, "validation": validation} | texts
    labels = {split: np.arange(len(found)) % len(classes) for split, found in texts.items()}
    if study.folds == (None,):
        write_texts(folder / "texts.csv", labels, texts)
    else:
        for index in seen:  # copies of texts of another fold
            texts["test"][index] = text((index + tested // 2) % tested)
        table = pd.DataFrame({"Label": labels["test"], "Text": texts["test"]})
        cut = cuts.folds(table, len(study.folds), study.dataset.split.validation, False, False)
        columns = {name: cut.pop(name) for name in map(column, study.folds)}
        collection.write(folder / "texts.csv", cut["Label"], cut["Text"], columns)
    files.write_json(folder / "classes.json", tuple(classes))
    files.write_json(folder / "collection.json", [file(folder / "made-up.csv")])


def text(index):
    """No text is nearly another: a word in five is its own."""
    word = "".join(chr(ord("a") + int(digit)) for digit in str(index))
    return f"message {index}, with a comma {word}{word}"


def write_run(folder, row, seed, answers, classes=CLASSES, fold=None, texts=None, **metrics):
    """Writes a run on the texts in data/; where `answers` to tested texts (of all folds) are wrong,
    it predicted the class after the label's. Of the other splits the first texts are right.
    """
    run = folder / "runs" / row.row / paths.run(seed, fold)
    texts, written = texts or collection.read(folder / "data/texts.csv"), {}
    lines = collection.lines(texts.cuts[column(fold)])
    if fold:
        answers = answers[lines["test"]]
    test, validation = float(np.mean(answers)), len(lines["validation"])
    tokens = {"longest_training_example": 120, "model_context_length": 1024, "variable": 120}
    decay = [1.2 / (1 + step / 100) for step in range(0, 650, 50)]
    frozen = row.trainable_layers != "all"
    made = {
        "seed": seed,
        "fold": fold,
        "classes": tuple(classes),
        "context_tokens": tokens.get(row.context_length, row.context_length),
        "accuracy": Accuracy(
            train=min(1.0, test + 0.01),
            validation=round(test * validation) / validation,
            test=test,
        ),
        "history": tuple(
            Evaluation(epoch=1, step=50 * i, train_loss=loss, validation_loss=1.1 * loss + 0.02)
            for i, loss in enumerate(decay)
        ),
        "epoch_accuracy": (EpochAccuracy(train=0.9, validation=0.9),),
        "trainable_parameters": 7_000_000,
        "training_time_seconds": 23.4 if frozen else 56.4,
        "trunk_time_seconds": 4.0 if frozen else 0.0,
        "device": "NVIDIA H200",
        "shared_device": False,
        "threads": 1,
        "precision": "tf32",
        "peak_memory_bytes": 2**30,
        "checkpoint_sha256": None if row.weights == "random" else "0" * 64,
        "dataset_sha256": "0" * 64,
        "versions": {"torch": "2.9.0", "python": "3.12.0"},
    } | metrics
    own = {name: getattr(row, name) for name in names(Settings)}
    files.write_json(run / "metrics.json", Metrics(**own, **made))
    for split, own in lines.items():
        own = own[: row.train_size] if split == "train" else own
        labels, accuracy = texts.labels[own], getattr(made["accuracy"], split)
        right = np.arange(len(own)) < round(accuracy * len(own))
        wrong = (labels + 1) % len(classes)
        predicted = np.where(answers if split == "test" else right, labels, wrong)
        logits = 2.0 * np.eye(len(classes))[predicted]
        written[split] = Predictions.of(own, labels, logits)
    predictions.write(run / "predictions.csv", written)


def write_references(folder, study, answers):
    """Writes the references of a study whose rows are there; `answers` map their names to right
    answers to tested texts, [texts]. Of the other splits every text is right.
    """
    texts = collection.read(folder / "data/texts.csv")
    for name, (fold, cut) in itertools.product(
        study.references, zip(study.folds, texts.cuts.values(), strict=True)
    ):
        lines, written = collection.lines(cut), {}
        tested = np.sort(lines["test"])
        right = answers[name][tested] if fold else answers[name]
        for split, own in (lines | {"test": tested}).items():
            labels = texts.labels[own]
            wrong = (labels + 1) % len(CLASSES)
            predicted = np.where(right, labels, wrong) if split == "test" else labels
            written[split] = Predictions.of(own, labels, 2.0 * np.eye(len(CLASSES))[predicted])
        made = reference_metrics.Metrics(
            reference=name,
            fold=fold,
            classes=CLASSES,
            accuracy=Accuracy(train=1.0, validation=1.0, test=float(right.mean())),
            training_time_seconds=0.2,
            dataset_sha256="0" * 64,
            versions={"scikit-learn": "1.9.1", "python": "3.12.0"},
        )
        own = folder / "references" / name / paths.in_fold("", fold)
        predictions.write(own / "predictions.csv", written)
        files.write_json(own / "metrics.json", made)


def load(folder, so_far=False):
    """The study's answers."""
    return compute(finished.load(folder, so_far))


def row(read, id):
    """The row of this id."""
    return next(row for row in read.rows if row.id == id)


def program(folder, output, *options):
    """Runs the program that writes the answers of a study, as its rule does."""
    module = "ablations.answers.write"
    return programs.run(module, "--results", folder, "--output", output, *options)


def disagreeing(messages, lost, gained, seeds=1):
    """Right answers of a baseline and a variant, [seeds, messages], the same with every seed."""
    baseline, variant = np.ones((2, seeds, messages), bool)
    variant[:, :lost] = False
    baseline[:, lost : lost + gained] = False
    return baseline, variant
