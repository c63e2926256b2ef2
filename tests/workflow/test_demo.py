"""One run of the demo: what it writes, and some of its jobs again."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import termios
from collections import Counter
from pathlib import Path

import pytest

from ablations.model.checkpoint import read_manifest
from ablations.study import settings
from ablations.training.metrics import read as read_metrics
from commands import environment, snakemake, table
from demos import DEMO, ROW_IDS, SEED, run_folder
from runs import MACHINE_FACTS

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def results(demo: Path) -> Path:
    return demo / "demo/results"


def test_the_messages_are_split_as_configured(results: Path) -> None:
    rows = table(results / "data/texts.csv")
    n, sizes = len(rows), Counter(row["split"] for row in rows)
    train, validation = (int(DEMO["dataset"]["split"][split] * n) for split in SPLITS[:2])
    assert sizes == {"train": train, "validation": validation, "test": n - train - validation}
    assert rows[0].keys() == {"Label", "Text", "split"}
    assert {(row["split"], row["Label"]) for row in rows} == {
        (split, label) for split in SPLITS for label in "01"
    }


def test_a_row_file_holds_what_decides_the_result_and_nothing_else(results: Path) -> None:
    assert sorted(path.stem for path in (results / "rows").iterdir()) == sorted(ROW_IDS)
    for id in ROW_IDS:
        row = json.loads((results / f"rows/{id}.json").read_text())
        settings = {"model", "weights", "trainable_token", "trainable_layers", "context_length"}
        assert row.keys() == {"row", "dimensions", "training", *settings}
        assert row["row"] == id
        assert row["training"] == DEMO["training"]


@pytest.mark.parametrize("id", ROW_IDS)
def test_metrics_hold_the_contracts_keys(results: Path, id: str) -> None:
    row = settings.read(results / f"rows/{id}.json")
    metrics = read_metrics(results, row, SEED, None)
    training, texts = row.training, Counter(e["split"] for e in table(results / "data/texts.csv"))
    steps = texts["train"] // training.batch_size * training.epochs
    assert [each.step for each in metrics.history] == [*range(0, steps, training.eval_every)]
    assert len(metrics.epoch_accuracy) == training.epochs
    assert metrics.training_time_seconds > metrics.trunk_time_seconds
    assert (metrics.trunk_time_seconds > 0) == (row.trainable_layers != "all")
    for key in ("context_tokens", "trainable_parameters", "threads", "peak_memory_bytes"):
        assert getattr(metrics, key) > 0
    assert metrics.precision in ("float32", "tf32")
    assert metrics.device and metrics.versions["torch"]
    assert re.fullmatch("[0-9a-f]{64}", metrics.dataset_sha256)
    expected = read_manifest(results / f"checkpoints/{row.model}").sha256
    assert metrics.checkpoint_sha256 == (expected if row.weights == "pretrained" else None)


@pytest.mark.parametrize("id", ROW_IDS)
def test_predictions_and_history_agree_with_the_metrics(results: Path, id: str) -> None:
    folder = run_folder(results, id)
    metrics = json.loads((folder / "metrics.json").read_text())
    predictions = table(folder / "predictions.csv")
    assert list(predictions[0]) == ["split", "index", "label", "predicted", "logit_0", "logit_1"]
    texts = table(results / "data/texts.csv")
    for split in SPLITS:
        found = [line for line in predictions if line["split"] == split]
        own = [index for index, text in enumerate(texts) if text["split"] == split]
        assert [line["index"] for line in found] == list(map(str, own))
        assert [line["label"] for line in found] == [texts[index]["Label"] for index in own]
        right = [line["label"] == line["predicted"] for line in found]
        if split != "train":  # whose last incomplete batch the recipe leaves out
            assert metrics["accuracy"][split] == pytest.approx(sum(right) / len(right))
    for line in predictions:
        zero, one = float(line["logit_0"]), float(line["logit_1"])
        assert line["predicted"] == ("1" if one > zero else "0") or zero == one
    history = [
        {key: float(value) for key, value in line.items()} for line in table(folder / "history.csv")
    ]
    assert history == metrics["history"]


@pytest.mark.parametrize("name", DEMO["references"])
def test_references_are_trained_on_the_same_texts(results: Path, name: str) -> None:
    folder = results / "references" / name
    metrics = json.loads((folder / "metrics.json").read_text())
    of_row = json.loads((run_folder(results, "baseline") / "metrics.json").read_text())
    assert metrics["reference"] == name
    for key in ("fold", "classes", "dataset_sha256"):
        assert metrics[key] == of_row[key]
    one, other = (
        [{key: line[key] for key in ("split", "index", "label")} for line in table(path)]
        for path in (
            folder / "predictions.csv",
            run_folder(results, "baseline") / "predictions.csv",
        )
    )
    assert one == other


def test_the_table_has_a_line_per_row_and_says_that_it_is_the_demo(results: Path) -> None:
    lines = table(results / "table.csv")
    counting = [("", name) for name in DEMO["references"]]
    assert [(line["row"], line["id"]) for line in lines] == [
        *((str(number), id) for number, id in enumerate(ROW_IDS, 1)),
        *counting,
    ]
    for line in lines[: len(ROW_IDS)]:
        metrics = json.loads((run_folder(results, line["id"]) / "metrics.json").read_text())
        assert float(line["test_accuracy"]) == pytest.approx(metrics["accuracy"]["test"], abs=1e-5)
    text = (results / "table.md").read_text()
    assert DEMO["title"] in text and "not GPT-2" in text
    first = text.partition("\n## ")[0]
    assert len(re.findall(r"^\| *[1-8] ", first, re.M)) == len(ROW_IDS)
    assert max(map(len, re.findall(r"^\|.*", first, re.M))) <= 120
    assert len(table(results / "classes.csv")) == 2 * len(ROW_IDS + counting)
    assert r"\bottomrule" in (results / "table.tex").read_text()


def test_every_question_is_answered(results: Path) -> None:
    answers = (results / "interpretation.md").read_text()
    for comparison in DEMO["comparisons"]:
        assert comparison["question"] in answers
    assert len(table(results / "comparisons.csv")) == len(DEMO["comparisons"])


def test_figures_errors_logs_and_benchmarks_are_there(demo: Path, results: Path) -> None:
    assert all(path.read_text().lstrip().startswith("<?xml") for path in results.glob("figures/*"))
    assert len(list(results.glob("figures/*.svg"))) >= 1
    assert (results / "errors.csv").is_file()
    for id in ROW_IDS:
        assert (demo / f"demo/logs/train/{id}/seed-{SEED}.log").is_file()
        assert (demo / f"demo/benchmarks/train/{id}/seed-{SEED}.tsv").is_file()


def test_no_result_names_the_folder_it_was_made_in(demo: Path, results: Path) -> None:
    for path in results.rglob("*"):
        if path.is_file():
            assert str(demo).encode() not in path.read_bytes(), path


# --- one row again, on a terminal


@pytest.fixture(scope="module")
def again(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the demo in which one row has run again, and what that wrote on a terminal."""
    root = tmp_path_factory.mktemp("again") / "repository"
    shutil.copytree(demo, root, symlinks=True)
    for path in run_folder(root / "demo/results", "last-layer").iterdir():
        path.write_text("to be overwritten")
    target = f"results/runs/last-layer/seed-{SEED}/metrics.json"
    command = [sys.executable, "-m", "snakemake", target, "--cores", "2", "--resources", "gpu=1"]
    command += ["--directory", "demo", "--configfile", "demo/config.yaml", "--forcerun", "train"]
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 80))
    with subprocess.Popen(
        command, cwd=root, env=environment(), stdin=end, stdout=end, stderr=end
    ) as process:
        os.close(end)
        shown = b""
        while part := _read(terminal):
            shown += part
    os.close(terminal)
    text = shown.decode()
    assert process.returncode == 0, text
    return root, text


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # so Linux reports that the other end is closed
        return b""


def test_a_row_that_runs_again_gives_the_same_bytes(results: Path, again: tuple[Path, str]) -> None:
    before, after = (run_folder(at, "last-layer") for at in (results, again[0] / "demo/results"))
    for name in ("predictions.csv", "history.csv"):
        assert (after / name).read_bytes() == (before / name).read_bytes()
    first, second = (json.loads((at / "metrics.json").read_text()) for at in (before, after))
    assert first.keys() == second.keys()
    for key in first.keys() - set(MACHINE_FACTS):
        assert first[key] == second[key], key


def test_a_terminal_shows_a_bar(again: tuple[Path, str]) -> None:
    assert re.search(r"\r *\d+%\|.*\| *\d+/\d+ \[.*step", again[1])


def test_a_log_holds_plain_lines_with_epoch_step_loss_and_time_left(
    again: tuple[Path, str],
) -> None:
    text = (again[0] / f"demo/logs/train/last-layer/seed-{SEED}.log").read_text()
    assert "".join(text.splitlines()).isprintable()
    lines = re.findall(
        r"epoch (\d+), step (\d+) of \d+: train loss [\d.]+, validation loss [\d.]+, \d+ s left",
        text,
    )
    metrics = json.loads(
        (run_folder(again[0] / "demo/results", "last-layer") / "metrics.json").read_text()
    )
    assert [(int(epoch), int(step)) for epoch, step in lines] == [
        (entry["epoch"], entry["step"]) for entry in metrics["history"]
    ]


# --- one job at a time


# Replaces Python in the jobs: two at once find each other's folder and fail.
ALONE = """#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" = --output ] && output=$2; shift; done
mkdir "$ALONE" || exit 1
sleep 1
rmdir "$ALONE"
echo done > "$output"
"""


@pytest.mark.parametrize(("resources", "works"), [([], True), (["--resources", "gpu=2"], False)])
def test_one_job_that_computes_runs_at_a_time_unless_more_gpus_are_named(
    moved: Path, tmp_path: Path, resources: list[str], works: bool
) -> None:
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text(ALONE)
    python.chmod(0o755)
    targets = [f"results/checkpoints/nano-{size}/manifest.json" for size in ("small", "medium")]
    arguments = [*targets, "--forcerun", "pretrain", "--cores", 2]
    done = snakemake(
        moved / "demo",
        *arguments,
        *["--configfile", moved / "demo/config.yaml", *resources],
        root=moved,
        check=False,
        PATH=os.pathsep.join([str(python.parent), os.environ["PATH"]]),
        ALONE=str(tmp_path / "alone"),
    )
    assert (done.returncode == 0) == works, done.stdout
