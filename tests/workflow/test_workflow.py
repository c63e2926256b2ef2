"""The workflow as a whole: what one run of the demo writes, and what an edit makes run again."""

import copy
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import ROOT, copy_repository, environment, snakemake, table
from runs import MACHINE_FACTS
from texts import mirror

Config = dict[str, Any]
Stale = dict[str, int]  # rule → number of jobs

SPLITS = ("train", "validation", "test")
DEMO = yaml.safe_load((ROOT / "demo/config.yaml").read_text())
DEMO["seeds"] = DEMO["seeds"][:1]  # the others take time and show nothing more here
ROW_IDS = [row["id"] for row in DEMO["rows"]]
SEED = DEMO["seeds"][0]

# Every rule that reads finished runs; the outline holds what they need of the configuration.
RULES = (ROOT / "workflow/rules/results.smk").read_text()
AGGREGATION = set(re.findall(r"^rule (\w+):", RULES, re.M))
ANSWERS = AGGREGATION | {"outline"}


def copied(to: Path) -> Path:
    """The repository with a demo of one seed."""
    copy_repository(to)
    (to / "demo/config.yaml").write_text(yaml.safe_dump(DEMO, sort_keys=False))
    return to


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which the demo has run, with one seed; never to be changed."""
    root = copied(tmp_path_factory.mktemp("demo") / "repository")
    done = snakemake(root / "demo", "--cores", 2, "--configfile", "demo/config.yaml", root=root)
    (root / "output").write_text(done.stdout)
    return root


@pytest.fixture
def moved(demo: Path, tmp_path: Path) -> Path:
    """The finished demo, moved elsewhere with its repository, to be changed at will."""
    root = tmp_path / "another" / "folder"
    without_cache = shutil.ignore_patterns("cache")
    shutil.copytree(demo, root, symlinks=True, ignore=without_cache)
    return root


def plan(root: Path, *arguments: object, config: Config | None = None) -> Stale:
    """The jobs that a run would start, beside the last one, which only collects."""
    file = root / "demo/config.yaml"
    if config:
        file.write_text(yaml.safe_dump(config, sort_keys=False))
    return planned(root / "demo", *arguments, "--configfile", file, root=root)


def planned(directory: Path, *arguments: object, root: Path = ROOT) -> Stale:
    output = snakemake(directory, "--dry-run", "--cores", 1, *arguments, root=root).stdout
    if "Nothing to be done" in output:
        return {}
    stats = re.search(r"^Job stats:\njob +count\n[- ]+\n(.*?)^total", output, re.M | re.S)
    assert stats, output
    jobs = dict(line.split() for line in stats[1].splitlines())
    return {rule: int(count) for rule, count in jobs.items() if rule != "all"}


# --- what the demo writes


@pytest.fixture(scope="module")
def results(demo: Path) -> Path:
    return demo / "demo/results"


def run_folder(results: Path, row: str) -> Path:
    return results / f"runs/{row}/seed-{SEED}"


def test_the_messages_are_split_as_configured(results: Path) -> None:
    splits = {split: table(results / f"data/{split}.csv") for split in SPLITS}
    n = sum(map(len, splits.values()))
    train, validation = (int(DEMO["dataset"]["split"][split] * n) for split in SPLITS[:2])
    assert [len(rows) for rows in splits.values()] == [train, validation, n - train - validation]
    for rows in splits.values():
        assert rows[0].keys() == {"Label", "Text"}
        assert {row["Label"] for row in rows} == {"0", "1"}


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
    metrics = json.loads((run_folder(results, id) / "metrics.json").read_text())
    row = json.loads((results / f"rows/{id}.json").read_text())
    assert {key: metrics[key] for key in row.keys() - {"dimensions", "training"}} == {
        key: row[key] for key in row.keys() - {"dimensions", "training"}
    }
    assert metrics["seed"] == SEED
    training, accuracy = DEMO["training"], metrics["accuracy"]
    assert accuracy.keys() == set(SPLITS)
    assert all(0 <= value <= 1 for value in accuracy.values())
    steps = len(table(results / "data/train.csv")) // training["batch_size"] * training["epochs"]
    assert [entry["step"] for entry in metrics["history"]] == [
        *range(0, steps, training["eval_every"])
    ]
    for entry in metrics["history"]:
        assert entry.keys() == {"epoch", "step", "train_loss", "validation_loss"}
    assert len(metrics["epoch_accuracy"]) == training["epochs"]
    for entry in metrics["epoch_accuracy"]:
        assert entry.keys() == {"train", "validation"}
    assert metrics["training_time_seconds"] > metrics["trunk_time_seconds"]
    assert (metrics["trunk_time_seconds"] > 0) == (row["trainable_layers"] != "all")
    for key in ("context_tokens", "trainable_parameters", "threads", "peak_memory_bytes"):
        assert metrics[key] > 0
    assert metrics["precision"] in ("float32", "tf32")
    assert metrics["device"] and metrics["versions"]["torch"]
    assert re.fullmatch("[0-9a-f]{64}", metrics["dataset_sha256"])
    manifest = results / f"checkpoints/{row['model']}/manifest.json"
    expected = json.loads(manifest.read_text())["sha256"]
    assert metrics["checkpoint_sha256"] == (expected if row["weights"] == "pretrained" else None)


@pytest.mark.parametrize("id", ROW_IDS)
def test_predictions_and_history_agree_with_the_metrics(results: Path, id: str) -> None:
    folder = run_folder(results, id)
    metrics = json.loads((folder / "metrics.json").read_text())
    predictions = table(folder / "predictions.csv")
    assert list(predictions[0]) == ["split", "index", "label", "predicted", "logit_0", "logit_1"]
    for split in SPLITS:
        found = [line for line in predictions if line["split"] == split]
        labels = [line["Label"] for line in table(results / f"data/{split}.csv")]
        assert [line["index"] for line in found] == [str(index) for index in range(len(labels))]
        assert [line["label"] for line in found] == labels
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


def test_the_table_has_a_line_per_row_and_says_that_it_is_the_demo(results: Path) -> None:
    lines = table(results / "table.csv")
    assert [(line["row"], line["id"]) for line in lines] == [
        (str(number), id) for number, id in enumerate(ROW_IDS, 1)
    ]
    for line in lines:
        metrics = json.loads((run_folder(results, line["id"]) / "metrics.json").read_text())
        assert float(line["test_accuracy"]) == pytest.approx(metrics["accuracy"]["test"], abs=1e-5)
    text = (results / "table.md").read_text()
    assert DEMO["title"] in text and "not GPT-2" in text
    first = text.partition("\n## ")[0]
    assert len(re.findall(r"^\| *[1-8] ", first, re.M)) == len(ROW_IDS)
    assert max(map(len, re.findall(r"^\|.*", first, re.M))) <= 120
    assert len(table(results / "classes.csv")) == 2 * len(ROW_IDS)
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


# --- only what changed runs again: edits of the configuration


def row(config: Config, id: str) -> Config:
    return next(row for row in config["rows"] if row["id"] == id)


def in_row(id: str, **options: object) -> Callable[[Config], object]:
    return lambda config: row(config, id).update(options)


def in_all_floats(node: Any) -> Any:
    """The same configuration with keys in another order and whole numbers written as 1.0."""
    if isinstance(node, dict):
        return {key: in_all_floats(node[key]) for key in reversed(node)}
    if isinstance(node, list):
        return [in_all_floats(entry) for entry in node]
    return float(node) if isinstance(node, int) else node


# Rows, trunks, models and code are stated, each in a file.
ROW = {"stated": 1, "check": 1, "train": 1}
ROW_AND_TRUNK = ROW | {"stated": 2, "trunk": 1}
EVERY_ROW = {"stated": len(ROW_IDS), "check": 1, "train": len(ROW_IDS)}
ALL_RUNS = {"trunk": 5, "train": len(ROW_IDS)}

CONFIG_EDITS: dict[str, tuple[Callable[[Config], object], Stale, set[str]]] = {
    "nothing": (lambda config: None, {}, set()),
    "a row's training option": (in_row("large", epochs=2), ROW, AGGREGATION),
    "a row's context length": (in_row("large", context_length=64), ROW_AND_TRUNK, AGGREGATION),
    "a row's trunk, to one that is there": (
        in_row("first-token", trainable_token="last"),
        ROW,
        AGGREGATION,
    ),
    "a row's weights": (in_row("all-layers", weights="random"), ROW, AGGREGATION),
    "an option of the baseline, which all inherit": (
        in_row("baseline", weight_decay=0.2),
        EVERY_ROW,
        AGGREGATION,
    ),
    "a row added": (
        lambda config: config["rows"].insert(1, {"id": "longer", "epochs": 7}),
        ROW,
        ANSWERS,
    ),
    "a row removed": (
        lambda config: config.update(
            rows=[row for row in config["rows"] if row["id"] != "medium"],
            comparisons=[c for c in config["comparisons"] if c["variant"] != "medium"],
        ),
        {"check": 1},
        ANSWERS,
    ),
    "rows in another order": (lambda config: config["rows"].reverse(), {}, ANSWERS),
    "a seed added": (
        lambda config: config["seeds"].append(7),
        {"train": len(ROW_IDS)},
        ANSWERS,
    ),
    "a question": (
        lambda config: config["comparisons"][0].update(question="Really?"),
        {},
        ANSWERS,
    ),
    "a claim, which is not shown of stand-ins": (
        lambda config: config["comparisons"][0].update(claim="worse"),
        {},
        set(),
    ),
    "a published number, which is not shown of stand-ins": (
        in_row("medium", published={"train": 0.9, "validation": 0.9, "test": 0.9}),
        {},
        set(),
    ),
    "the title": (lambda config: config.update(title="Another"), {}, ANSWERS),
    "a shared training option": (
        lambda config: config["training"].update(learning_rate=2.0e-3),
        EVERY_ROW,
        AGGREGATION,
    ),
    "a shared option that one row sets itself": (
        lambda config: (
            row(config, "large").update(epochs=config["training"]["epochs"]),
            config["training"].update(epochs=3),
        ),
        {"stated": len(ROW_IDS) - 1, "check": 1, "train": len(ROW_IDS) - 1},
        AGGREGATION,
    ),
    "a model's pretraining": (
        lambda config: config["models"]["nano-large"]["pretrain"].update(steps=10),
        {"stated": 1, "pretrain": 1, "trunk": 1, "train": 1},
        AGGREGATION,
    ),
    "the size of the cache, and a mirror": (
        lambda config: config.update(cache_gb=3, mirror="some/folder"),
        {},
        set(),
    ),
    "key order, and 1 as 1.0": (
        lambda config: config.update(in_all_floats(config)),
        {},
        set(),
    ),
    "the split": (
        lambda config: config["dataset"]["split"].update(seed=1),
        {"split": 1, "tokens": 1, "check": 1, "pretrain": 3, **ALL_RUNS},
        AGGREGATION,
    ),
}


def check(found: Stale, expected: Stale, answers: set[str]) -> None:
    assert {rule: count for rule, count in found.items() if rule not in ANSWERS} == expected
    assert found.keys() & ANSWERS == answers


@pytest.mark.parametrize(("edit", "expected", "answers"), CONFIG_EDITS.values(), ids=CONFIG_EDITS)
def test_an_edit_of_the_configuration_reruns_only_what_it_changes(
    moved: Path, edit: Callable[[Config], object], expected: Stale, answers: set[str]
) -> None:
    config = copy.deepcopy(DEMO)
    edit(config)
    check(plan(moved, config=config), expected, answers)


# --- only what changed runs again: edits of code

# module → rules that run again, beside `stated`: the code of the programs that import it
CODE_EDITS: dict[str, tuple[Stale, set[str]]] = {
    "training/run.py": ({"train": len(ROW_IDS)}, AGGREGATION),
    "training/loop.py": ({"train": len(ROW_IDS)}, AGGREGATION),
    "training/hidden_states.py": (ALL_RUNS, AGGREGATION),
    "model/gpt2.py": ({"pretrain": 3, **ALL_RUNS}, AGGREGATION),
    "answers/table.py": ({}, {"table", "page"}),
    "answers/figures.py": ({}, {"figures", "page"}),
    "answers/interpretation.py": ({}, {"interpretation", "page"}),
    "study/config.py": ({}, set()),
    "study/messages.py": ({}, set()),
}


def edit(root: Path, module: str, line: str) -> None:
    path = root / "workflow/ablations" / module
    path.write_text(f"{path.read_text()}{line}\n")


def without_stated(found: Stale) -> Stale:
    return {rule: count for rule, count in found.items() if rule != "stated"}


@pytest.mark.parametrize(("expected", "answers"), CODE_EDITS.values(), ids=CODE_EDITS)
@pytest.mark.parametrize("records", ["kept", "deleted"])
def test_an_edit_of_code_makes_stale_what_it_computes(
    moved: Path,
    request: pytest.FixtureRequest,
    expected: Stale,
    answers: set[str],
    records: str,
) -> None:
    """Also where Snakemake's own records of what it did are gone."""
    if records == "deleted":
        shutil.rmtree(moved / "demo/.snakemake")
    edit(moved, request.node.callspec.id.partition("-")[2], "EDITED = True")
    found = plan(moved)
    assert ("stated" in found) == bool(expected or answers)
    check(without_stated(found), expected, answers)


def test_a_comment_a_docstring_and_a_module_that_nothing_imports_rerun_nothing(
    moved: Path,
) -> None:
    errors = moved / "workflow/ablations/errors.py"  # every program imports it
    errors.write_text(f"# A comment.\n\n{errors.read_text().replace('Bad input', 'Wrong input')}")
    (moved / "workflow/ablations/training/unused.py").write_text("UNUSED = True\n")
    assert plan(moved) == {}


def test_code_that_comes_back_makes_its_results_stale_again(moved: Path) -> None:
    """Also where Snakemake has no record of what other code computed in between."""
    path = moved / "workflow/ablations/answers/page.py"
    before = path.read_text()
    edit(moved, "answers/page.py", "EDITED = True")
    run = ["--cores", 1, "--configfile", moved / "demo/config.yaml"]
    snakemake(moved / "demo", *run, root=moved)
    assert plan(moved) == {}
    path.write_text(before)
    shutil.rmtree(moved / "demo/.snakemake")
    check(without_stated(plan(moved)), {}, {"page"})


def test_a_study_that_is_copied_deeper_reruns_nothing(demo: Path, tmp_path: Path) -> None:
    study = tmp_path / "a/good/deal/deeper/study"
    without_cache = shutil.ignore_patterns("cache")
    shutil.copytree(demo / "demo", study, symlinks=True, ignore=without_cache)
    assert planned(study, "--configfile", study / "config.yaml", root=demo) == {}


def touch(folder: Path) -> None:
    now = time.time()
    for path in folder.rglob("*"):
        if ".snakemake" not in path.parts:
            os.utime(path, (now, now))


@pytest.mark.parametrize("place", ["workflow", "demo/results", "."])
def test_a_touch_reruns_nothing(moved: Path, place: str) -> None:
    """Of code, as a fresh checkout over old results does; of inputs, checkpoints and outputs."""
    touch(moved / place)
    assert plan(moved) == {}


def test_an_older_folder_of_results_is_not_rerun_by_a_new_checkout(
    demo: Path, tmp_path: Path
) -> None:
    new = copied(tmp_path / "clone")
    touch(new)
    for name in ("results", ".snakemake"):
        without_cache = shutil.ignore_patterns("cache")
        shutil.copytree(
            demo / "demo" / name, new / "demo" / name, symlinks=True, ignore=without_cache
        )
    assert plan(new) == {}


def test_a_deleted_result_is_made_again(moved: Path) -> None:
    (run_folder(moved / "demo/results", "medium") / "metrics.json").unlink()
    check(plan(moved), {"train": 1}, AGGREGATION)


@pytest.mark.parametrize("bulk", ["checkpoints/nano-small/model.safetensors"])
def test_touched_bulk_that_a_manifest_stands_for_reruns_nothing(moved: Path, bulk: str) -> None:
    (moved / "demo/results" / bulk).touch()
    assert plan(moved) == {}


def test_a_touched_checkpoint_of_the_users_own_reruns_nothing_and_a_changed_one_its_rows(
    moved: Path,
) -> None:
    own = moved / "demo/own"
    shutil.copytree(moved / "demo/results/checkpoints/nano-small", own)
    config = copy.deepcopy(DEMO)
    config["models"]["nano-small"] = {"path": "own"}
    target = "results/checkpoints/nano-small/manifest.json"
    assert plan(moved, target, config=config) == {"stated": 1, "checkpoint": 1}
    file = moved / "demo/config.yaml"
    snakemake(moved / "demo", target, "--cores", 1, "--configfile", file, root=moved)
    (own / "model.safetensors").touch()
    (own / "config.json").touch()
    assert plan(moved, target) == {}
    with (own / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, os.SEEK_END)
        weights.write(b"\x01")
    assert plan(moved, target) == {"checkpoint": 1}


def test_a_touched_vocabulary_or_another_url_reruns_nothing(tmp_path: Path) -> None:
    """encoder.json is larger than what Snakemake compares by content."""
    overlay = ["--configfile", ROOT / "config.yaml"]
    files = [f"mirror={mirror()}"]
    tokens = "results/data/tokens.safetensors"
    snakemake(tmp_path, tokens, "--cores", 1, *overlay, "--config", *files)
    touch(tmp_path)
    other = tmp_path / "urls.yaml"
    other.write_text("dataset: {urls: ['https://example.org/elsewhere.zip']}\n")
    assert planned(tmp_path, tokens, *overlay, other) == {}


# --- what a dry run says and writes


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if ".snakemake" not in path.parts)


def test_a_dry_run_names_the_keys_that_changed_and_writes_nothing(tmp_path: Path) -> None:
    """Beside what Snakemake keeps for itself in .snakemake/."""
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(DEMO))
    targets = ["results/study.json", "results/rows/large.json"]
    run = [*targets, "--cores", 1, "--configfile", file]
    snakemake(tmp_path, *run)
    before = files_of(tmp_path)
    assert "Nothing to be done" in snakemake(tmp_path, *run, "--dry-run").stdout
    edited = copy.deepcopy(DEMO)
    edited["rows"][5].update(epochs=6, trainable_layers="lora", lora_rank=3)  # large
    edited["comparisons"][0]["question"] = "Really?"
    file.write_text(yaml.safe_dump(edited))
    said = snakemake(tmp_path, *run, "--dry-run").stdout
    reasons = [line for line in said.splitlines() if line.strip().startswith("reason: Params")]
    study, row = sorted(reasons, key=lambda line: "epochs" in line)
    assert "'questions: which-token: question: \"Really?\"'" in study and len(study) < 400
    changed = {"training: epochs: 6", 'trainable_layers: "lora"', "lora_rank: 3"}
    assert set(re.findall("'(.*?)'", row.partition("now: ")[2])) == changed
    assert len(row) < 400
    assert files_of(tmp_path) == before


OWN = {"files": "own.csv", "text": "text", "label": "label", "split": DEMO["dataset"]["split"]}
SHARES = {"train": 0.6, "validation": 0.1, "seed": 123}


@pytest.mark.parametrize(
    ("dataset", "change", "before", "now"),
    [
        (
            DEMO["dataset"],
            {"generated": {"messages": 1200, "seed": 0}},
            "dataset: generated: messages: 1100",
            "dataset: generated: messages: 1200",
        ),
        (
            DEMO["dataset"],
            {"split": SHARES},
            "dataset: split: train: 0.7",
            "dataset: split: train: 0.6",
        ),
        (OWN, {"balance": True}, "<nothing exclusive>", "dataset: balance: true"),
    ],
)
def test_a_dry_run_names_the_key_of_the_texts_that_changed(
    tmp_path: Path, dataset: Config, change: Config, before: str, now: str
) -> None:
    lines = ["text,label", *(f"number {n},{n % 2}" for n in range(40))]
    (tmp_path / "own.csv").write_text("\n".join(lines))
    file = tmp_path / "config.yaml"
    run = ["results/data/train.csv", "--cores", 1, "--configfile", file]
    file.write_text(yaml.safe_dump(DEMO | {"dataset": dataset}))
    snakemake(tmp_path, *run)
    file.write_text(yaml.safe_dump(DEMO | {"dataset": dataset | change}))
    said = snakemake(tmp_path, *run, "--dry-run").stdout
    (reason,) = [line for line in said.splitlines() if line.strip().startswith("reason: Params")]
    assert f"before: {before} now: {now}" in reason.replace("'", "")


def test_a_first_dry_run_and_one_that_is_refused_write_nothing(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/model.safetensors").touch()
    shape = {"n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 256, "vocab_size": 257}
    (tmp_path / "own/config.json").write_text(json.dumps({"model_type": "gpt2", **shape}))
    file = tmp_path / "config.yaml"
    rows = [{**DEMO["rows"][0], "model": "own", "epochs": 1}]
    mine = DEMO | {"models": {"own": {"path": "own"}}, "rows": rows, "comparisons": []}
    file.write_text(yaml.safe_dump(mine))
    before = files_of(tmp_path)
    assert planned(tmp_path, "--configfile", file)["train"] == 1
    assert files_of(tmp_path) == before
    file.write_text(yaml.safe_dump(mine | {"seeds": []}))
    assert snakemake(tmp_path, "--cores", 1, "--configfile", file, check=False).returncode == 1
    assert files_of(tmp_path) == before


# --- ways to call it


MINE = yaml.safe_dump(DEMO | {"rows": DEMO["rows"][:1], "comparisons": []})


def test_a_configfile_with_rows_is_a_study_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINE)
    found = planned(tmp_path, "--configfile", tmp_path / "mine.yaml")
    assert found["train"] == 1
    assert "checkpoint" not in found


def test_the_working_directory_holds_the_study_where_no_configfile_has_rows(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.yaml").write_text(MINE)
    assert planned(tmp_path)["train"] == 1
    (tmp_path / "seeds.yaml").write_text("seeds: [1, 2]\n")
    assert planned(tmp_path, "--configfile", tmp_path / "seeds.yaml")["train"] == 2


def test_a_configfile_without_rows_overlays_the_default(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("seeds: [1, 2]\n")
    assert planned(tmp_path, "--configfile", tmp_path / "mine.yaml")["train"] == 16


def test_two_configfiles_overlay_and_config_does_always(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("seeds: [1, 2]\n")
    files = ["--configfile", ROOT / "demo/config.yaml", tmp_path / "mine.yaml"]
    assert planned(tmp_path, *files)["train"] == 2 * len(ROW_IDS)
    found = planned(tmp_path, *files, "--config", "seeds=[1,2,3]")
    assert found["train"] == 3 * len(ROW_IDS)


def test_the_configuration_stands_beside_the_snakefile(tmp_path: Path) -> None:
    """With rows of random weights alone, of which the last fetches nothing."""
    found = planned(tmp_path)
    assert (found["train"], found["checkpoint"]) == (8, 3)


def test_random_weights_need_no_checkpoint(tmp_path: Path) -> None:
    run = f"results/runs/random-weights/seed-{SEED}/metrics.json"
    assert without_stated(planned(tmp_path, run)) == {
        "collection": 1,
        "vocabulary": 1,
        "split": 1,
        "tokens": 1,
        "train": 1,
    }
    baseline = {"id": "baseline", **DEMO["rows"][0], "weights": "random"}
    (tmp_path / "mine.yaml").write_text(
        yaml.safe_dump(DEMO | {"rows": [baseline], "comparisons": [], "seeds": [1, 2]})
    )
    found = planned(tmp_path, "--configfile", tmp_path / "mine.yaml")
    assert "pretrain" not in found
    assert (found["trunk"], found["train"]) == (2, 2)  # a trunk per seed, since weights are drawn


def test_a_target_may_come_first(tmp_path: Path) -> None:
    command = [f"results/runs/baseline/seed-{SEED}/metrics.json", "--resources", "gpu=1"]
    assert planned(tmp_path, *command)["train"] == 1


def test_a_target_that_is_of_no_run_says_which_was_meant(tmp_path: Path) -> None:
    target = "results/runs/basline/seed-123/metrics.json"
    done = snakemake(tmp_path, target, "--cores", 1, check=False)
    assert done.returncode != 0
    (said,) = [line for line in done.stdout.splitlines() if line.startswith(target)]
    assert "names no row: 'basline' (did you mean baseline?); allowed: baseline, first-" in said
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "results").exists()


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """Of which Snakemake itself takes the second."""
    (tmp_path / "mine.yaml").write_text("seeds: [1]\nseeds: [2]\n")
    done = snakemake(tmp_path, "--cores", 1, "--configfile", tmp_path / "mine.yaml", check=False)
    assert done.returncode != 0
    assert "mine.yaml, line 2, column 1: the key seeds appears a second time" in done.stdout


def test_a_study_below_the_folder_it_runs_in_is_told_where_its_results_go(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.yaml").write_text(MINE)
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--dry-run"]
    command += ["--cores", "1", "--configfile", "mine/config.yaml"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "add: --directory mine\n" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ({"epoch": 3}, "unknown key 'epoch' (did you mean epochs?)"),
        ({"weights": "randon"}, "'randon' (did you mean random?)"),
        ({"context_length": 5000}, "5000"),
    ],
)
def test_a_mistake_in_the_configuration_is_one_message_before_any_job(
    tmp_path: Path, mistake: Config, message: str
) -> None:
    config = DEMO | {"rows": [DEMO["rows"][0], {"id": "variant", **mistake}], "comparisons": []}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(tmp_path, "--cores", 1, "--configfile", tmp_path / "mine.yaml", check=False)
    assert done.returncode == 1
    told = [line for line in done.stdout.splitlines() if message in line]
    assert len(told) == 1 and "variant" in told[0]
    assert next(iter(mistake)) in told[0]
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "results").exists()


def test_graphs_and_reports_need_no_number_of_cores(moved: Path) -> None:
    config = ["--configfile", moved / "demo/config.yaml"]
    graph = snakemake(moved / "demo", "--rulegraph", *config, root=moved).stdout
    for rule in ("collection", "tokens", "trunk", "train", "table", "figures"):
        assert f'label = "{rule}"' in graph
    snakemake(moved / "demo", "--report", "results/report.html", *config, root=moved)
    report = (moved / "demo/results/report.html").read_text()
    assert DEMO["title"] in report


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
