"""Texts of the user's own, from their files to the answers, in two layouts that share nothing."""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from msgspec import to_builtins
from safetensors.torch import save

import tiny
from ablations.data import byte_pairs, tokens
from ablations.model import gpt2
from ablations.study.dimensions import Dimensions
from commands import ROOT, program, snakemake, snakemake_in, table
from hub_server import REVISION, HubServer

MOODS = ("good", "so-so", "bad, very bad")
WORDS = {"good": "fine warm kind", "so-so": "plain grey usual", "bad, very bad": "cold sour loud"}
ROWS = [tiny.ROWS[0] | {"context_length": 24}, {"id": "all", "trainable_layers": "all"}]
QUESTION = {"id": "q", "question": "Better?", "baseline": "baseline", "variant": "all"}


def texts(count: int, start: int = 0) -> Iterator[tuple[str, int]]:
    """Texts with the index of their mood; the last class is the rarest."""
    for number in range(start, start + count):
        mood = (0, 0, 0, 1, 1, 2)[number % 6]
        word = WORDS[MOODS[mood]].split()[number % 3]
        yield f'It was "{word}",\nnumber {number}', mood


def study(folder: Path, **changes: Any) -> Path:
    return tiny.config(folder, rows=ROWS, comparisons=[QUESTION], training={"epochs": 1}, **changes)


def check_answers(results: Path, classes: list[str], sizes: dict[str, int], data: str) -> None:
    """Every answer is about these classes and texts."""
    assert json.loads((results / "data/classes.json").read_text()) == classes
    assert Counter(line["split"] for line in table(results / "data/texts.csv")) == sizes
    for row in ("baseline", "all"):
        run = results / f"runs/{row}/seed-123"
        assert json.loads((run / "metrics.json").read_text())["classes"] == classes
        predictions = table(run / "predictions.csv")
        assert len(predictions) == sum(sizes.values())
        logits = [f"logit_{label}" for label in range(len(classes))]
        assert list(predictions[0]) == ["split", "index", "label", "predicted", *logits]
        for line in predictions:
            values = [float(line[name]) for name in logits]
            assert int(line["predicted"]) == values.index(max(values))
    text = (results / "table.md").read_text()
    assert data in text and "SMS" not in text
    assert set(classes) >= {line["label"] for line in table(results / "errors.csv")}


@pytest.fixture
def spreadsheet(tmp_path: Path) -> Path:
    """One CSV file as a spreadsheet saves it: a mark, CRLF, quotes, columns of other things."""
    path = tmp_path / "reviews.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(["", "Review", "", "Mood"])
        writer.writerows([n, text, "x", MOODS[m]] for n, (text, m) in enumerate(texts(120)))
    return path


def test_a_csv_file_of_three_classes_and_what_its_edit_reruns(
    tmp_path: Path, spreadsheet: Path
) -> None:
    split = {"train": 0.6, "validation": 0.2, "seed": 5}
    dataset = {"files": "reviews.csv", "text": "Review", "label": "Mood"}
    file = study(tmp_path, dataset=dataset | {"stratify": True, "split": split})
    command = ["--configfile", file, "--cores", 1]
    snakemake(tmp_path, *command)
    sizes = {"train": 72, "validation": 24, "test": 24}
    names = ["bad, very bad", "good", "so-so"]
    check_answers(tmp_path / "results", names, sizes, "Data: reviews.csv; 3 classes (bad, very")
    counts = {"bad, very bad": 20, "good": 60, "so-so": 40}
    lines = table(tmp_path / "results/data/texts.csv")
    for split, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
        labels = [line["Label"] for line in lines if line["split"] == split]
        for label, name in enumerate(names):
            assert labels.count(str(label)) == pytest.approx(share * counts[name])
    written = {line["Text"] for line in lines if line["split"] == "train"}
    assert written < {text for text, _ in texts(120)}

    spreadsheet.touch()
    assert "Nothing to be done" in snakemake(tmp_path, "--dry-run", *command).stdout
    with spreadsheet.open("a", newline="") as own:
        own.write("120,one more,x,good\r\n")
    plan = snakemake(tmp_path, "--dry-run", *command).stdout
    for rule in ("collection", "split", "tokens", "pretrain", "train"):
        assert f"\nrule {rule}:" in plan or f"\nlocalrule {rule}:" in plan, plan


MODULE = """
configfile: "mine.yaml"

module ablations:
    snakefile: {snakefile!r}
    config: config
    prefix: "below/a prefix"

use rule * from ablations
"""


def test_another_workflow_uses_it_as_a_module_with_a_file_for_each_split(tmp_path: Path) -> None:
    """In a folder with a study of its own, of which nothing is touched."""
    folder = tmp_path / "another workflow"
    own = {
        folder / f"results/{name}" for name in ("study.json", "models/baseline/seed-123/README.md")
    }
    own |= {folder / "results/cache/entry/states.npy", folder / "results/code/training.run-0.json"}
    for file in own:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(file.name)
    with (folder / "train.jsonl").open("w") as file:
        for text, mood in texts(60):
            file.write(json.dumps({"id": 1, "body": text, "class": mood > 0}) + "\n")
    cells = list(zip(*texts(20, start=60), strict=True))
    columns = {"class": [mood > 0 for mood in cells[1]], "body": list(cells[0])}
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "held-out.parquet")
    dataset = {
        "files": {"train": "train.jsonl", "test": ["held-out.parquet"]},
        "text": "body",
        "label": "class",
        "classes": ["False", "True"],
        "split": {"validation": 0.25, "seed": 1},
    }
    study(folder, dataset=dataset).rename(folder / "whole.yaml")
    (folder / "mine.yaml").write_text("extends: whole.yaml\n")
    (folder / "Snakefile").write_text(MODULE.format(snakefile=str(ROOT / "Snakefile")))
    done = snakemake_in(folder, "--cores", 1)
    assert done.returncode == 0, done.stdout
    sizes = {"train": 45, "validation": 15, "test": 20}
    data = "Data: train.jsonl, held-out.parquet; 2 classes (False, True)"
    check_answers(folder / "below/a prefix/results", ["False", "True"], sizes, data)
    assert {path.name for path in folder.iterdir()} == {
        *("Snakefile", "mine.yaml", "whole.yaml", "train.jsonl", "held-out.parquet"),
        *(".snakemake", "results", "below"),
    }
    assert {path.name for path in (folder / "below/a prefix").iterdir()} == {
        *("results", "logs", "benchmarks"),
    }
    assert {path for path in (folder / "results").rglob("*") if path.is_file()} == own
    assert all(path.read_text() == path.name for path in own)


def test_a_model_of_the_hub_with_its_own_tokenizer_by_the_lines_that_describe_prints(
    tmp_path: Path, spreadsheet: Path
) -> None:
    merges = ["Ġ n", "u m", "b e", "be r", "Ġn um", "Ġnum ber"]
    made = {merge.replace(" ", ""): 257 + number for number, merge in enumerate(merges)}
    ids = byte_pairs.ids(()) | made
    shape = Dimensions(n_layer=2, n_head=2, n_embd=8, n_positions=64, vocab_size=len(ids))
    tensors = gpt2.checkpoint_tensors(gpt2.layers(shape, 1), shape)
    held = {
        "config.json": json.dumps(to_builtins(shape) | {"model_type": "gpt2"}).encode(),
        "model.safetensors": save(tensors),
        "vocab.json": json.dumps(ids).encode(),
        "merges.txt": "\n".join(["#version: 0.2", *merges, ""]).encode(),
    }
    split = {"train": 0.6, "validation": 0.2, "seed": 5}
    dataset = {"files": "reviews.csv", "text": "Review", "label": "Mood", "split": split}
    with HubServer() as server:
        server.add_repo("someone/other-gpt2", REVISION, held)
        hub = {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": server.url}
        done = program("model.describe", "someone/other-gpt2", "--revision", REVISION, **hub)
        rows = [ROWS[0] | {"model": "other-gpt2"}]
        file = tiny.config(tmp_path, dataset=dataset, rows=rows, **yaml.safe_load(done.stdout))
        snakemake(tmp_path, "--configfile", file, "--cores", 1, **hub)
    results = tmp_path / "results"
    read = tokens.read(results / "data/tokens/own.safetensors")
    written = table(results / "data/texts.csv")
    for found, line in zip(read.ids, written, strict=True):
        assert found.tolist().count(ids["Ġnumber"]) == line["Text"].count(" number")
    assert (read.about.vocab_size, read.about.padding_id) == (263, 256)
    assert "that of someone/other-gpt2, not GPT-2's" in (results / "table.md").read_text()


def test_rows_that_do_not_fit_the_texts_are_told_together_before_anything_computes(
    tmp_path: Path, spreadsheet: Path
) -> None:
    split = {"train": 0.6, "validation": 0.2, "seed": 5}
    dataset = {"files": "reviews.csv", "text": "Review", "label": "Mood", "split": split}
    rows = [ROWS[0], ROWS[1] | {"ignore_index": 2}, ROWS[1] | {"id": "wide", "batch_size": 73}]
    file = tiny.config(tmp_path, dataset=dataset, rows=rows, cache_gb=1e-6)
    done = snakemake(tmp_path, "--configfile", file, "--cores", 1, check=False)
    assert done.returncode == 1
    for message in (
        "rows: baseline: the hidden states of this row take",
        "rows: all: ignore_index: 2 is the class 'so-so'",
        "rows: wide: batch_size: 73 is out of range; allowed: at most 72, the number of training",
    ):
        assert message in done.stdout
    assert not list(tmp_path.glob("results/checkpoints/*/manifest.json"))
    assert not (tmp_path / "results/runs").exists()
