"""Finished studies made up for tests: study.json, data and runs as the workflow writes them."""

import copy
import csv
import functools
import json
from pathlib import Path

import numpy as np
import yaml

import programs
from ablations import config, results, study

ROOT = Path(__file__).parents[1]


def configuration(**changes):
    """config.yaml as plain values, with top-level keys replaced."""
    return copy.deepcopy(_default()) | changes


@functools.cache
def _default():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def eight_rows(folder, seeds=(123,), messages=300, **metrics):
    """The default study, with made-up runs that come close to the published accuracies."""
    parsed = config.parse(configuration(seeds=list(seeds)))
    generator = np.random.default_rng(0)
    difficulty = generator.standard_normal(messages)
    right = {}
    for row in parsed.rows:
        own = difficulty + 0.4 * generator.standard_normal((len(seeds), messages))
        right[row.id] = own <= np.quantile(own, row.published.test, method="lower")
    write(folder, study.facts(parsed), right, **metrics)


def two_rows(folder, baseline, variant, changed=None, comparison=None, notes=(), **metrics):
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
        rows=rows,
        comparisons=[question | {"variant": "variant"} | (comparison or {})],
    )
    facts = study.facts(config.parse(made)) | {"notes": list(notes)}
    write(folder, facts, {"baseline": baseline, "variant": variant}, **metrics)


def write(folder, facts, right, seen=(), per_row=None, **metrics):
    """Writes a whole study; `right` maps row ids to right test answers [seeds, messages].

    `seen` are indices of test messages that also stand in the training set; `metrics` go into
    every metrics.json, `per_row` (row id → metrics) into those of one row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(json.dumps(facts, sort_keys=True))
    messages = np.asarray(next(iter(right.values()))).shape[1]
    labels = np.arange(messages) % 2
    texts = [f"message {index}, with a comma" for index in range(messages)]
    write_messages(folder / "data/test.csv", labels, texts)
    known = [texts[index] for index in seen]
    others = ["NA", *(f"training message {index}" for index in range(1044 - len(known)))]
    write_messages(folder / "data/train.csv", np.arange(1045) % 2, known + others)
    unseen = [f"validation message {index}" for index in range(149)]
    write_messages(folder / "data/validation.csv", np.arange(149) % 2, unseen)
    for row in facts["rows"]:
        for position, seed in enumerate(facts["seeds"]):
            answers = np.asarray(right[row["id"]])[position]
            run = folder / "runs" / row["id"] / f"seed-{seed}"
            own = metrics | (per_row or {}).get(row["id"], {})
            write_run(run, row, seed, labels, answers, **own)


def write_messages(path, labels, texts):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Label", "Text"])
        writer.writerows(zip(labels, texts, strict=True))


def write_run(run, row, seed, labels, answers, **metrics):
    run.mkdir(parents=True, exist_ok=True)
    settings = row["settings"]
    test = float(np.mean(answers))
    tokens = {"longest_training_example": 120, "model_context_length": 1024}
    length = settings["context_length"]
    decay = [1.2 / (1 + step / 100) for step in range(0, 650, 50)]
    made = {
        "row": row["id"],
        "seed": seed,
        "context_tokens": tokens.get(length, length),
        "accuracy": {"train": min(1.0, test + 0.01), "validation": test, "test": test},
        "history": [
            {"epoch": 1, "step": 50 * i, "train_loss": loss, "validation_loss": 1.1 * loss + 0.02}
            for i, loss in enumerate(decay)
        ],
        "epoch_accuracy": [{"train": 0.9, "validation": 0.9}],
        "training_time_seconds": 23.4 if settings["trainable_layers"] != "all" else 56.4,
        "trunk_time_seconds": 4.0 if settings["trainable_layers"] != "all" else 0.0,
        "device": "NVIDIA H200",
        "threads": 1,
        "precision": "tf32",
    } | metrics
    (run / "metrics.json").write_text(json.dumps(made))
    predicted = np.where(answers, labels, 1 - labels)
    lines = [f"test,{i},{labels[i]},{predicted[i]},0.1,0.2" for i in range(len(labels))]
    lines = ["split,index,label,predicted,logit_0,logit_1", "train,0,0,0,0.1,0.2", *lines]
    (run / "predictions.csv").write_text("\n".join(lines) + "\n")


def load(folder):
    return results.load(folder / "study.json", folder / "runs", folder / "data")


def program(folder, module, *outputs):
    """Runs a program on a study as a rule does."""
    study_options = ["--study", folder / "study.json", "--runs", folder / "runs"]
    return programs.run(f"ablations.{module}", *study_options, "--data", folder / "data", *outputs)


def disagreeing(messages, lost, gained, seeds=1):
    """Right answers of a baseline and a variant, [seeds, messages], the same with every seed."""
    baseline, variant = np.ones((2, seeds, messages), bool)
    variant[:, :lost] = False
    baseline[:, lost : lost + gained] = False
    return baseline, variant
