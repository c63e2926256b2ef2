"""Only what changed runs again: edits of the configuration and of code, touches, copies."""

import copy
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import ROOT, snakemake
from demos import DEMO, ROW_IDS, SEED, copied, copy_study, every, planned, run_folder
from texts import mirror

Config = dict[str, Any]


def plan(root: Path, *arguments: object, config: Config | None = None) -> Counter[str]:
    """The jobs that a run of the demo in this repository would start."""
    file = root / "demo/config.yaml"
    if config:
        file.write_text(yaml.safe_dump(config, sort_keys=False))
    return planned(root / "demo", *arguments, "--configfile", file, root=root)


# --- edits of the configuration


def row(config: Config, id: str) -> Config:
    return next(row for row in config["rows"] if row["id"] == id)


def in_all_floats(node: Any) -> Any:
    """The same configuration with keys in another order and whole numbers written as 1.0."""
    if isinstance(node, dict):
        return {key: in_all_floats(node[key]) for key in reversed(node)}
    if isinstance(node, list):
        return [in_all_floats(entry) for entry in node]
    return float(node) if isinstance(node, int) else node


def what_decides_nothing(config: Config) -> None:
    """Claims and published numbers among it, which are not shown of stand-ins."""
    config |= {"cache_gb": 3, "mirror": "some/folder"}
    config["comparisons"][0]["claim"] = "worse"
    row(config, "medium")["published"] = {"train": 0.9, "validation": 0.9, "test": 0.9}
    config |= in_all_floats(config)


def what_is_said(config: Config) -> None:
    config["title"] = "Another"
    config["comparisons"][0]["question"] = "Really?"
    config["rows"].reverse()


def rows_one_by_one(config: Config) -> None:
    row(config, "large")["context_length"] = 64
    row(config, "last-layer")["epochs"] = 3
    row(config, "first-token")["trainable_token"] = "last"  # the baseline's trunk, which is there
    row(config, "all-layers")["weights"] = "random"
    config["rows"].insert(1, {"id": "longer", "epochs": 7})
    config["rows"].remove(row(config, "medium"))
    config["comparisons"] = [each for each in config["comparisons"] if each["variant"] != "medium"]


def what_rows_share(config: Config) -> None:
    """The rows but one say themselves what `training` or the baseline changes to."""
    training = config["training"]
    for id in ROW_IDS:
        if id not in ("baseline", "medium"):
            row(config, id)["learning_rate"] = training["learning_rate"]
        if id not in ("baseline", "last-layer"):
            row(config, id)["weight_decay"] = training["weight_decay"]
    training["learning_rate"] = 2.0e-3
    row(config, "baseline")["weight_decay"] = 0.2
    config["models"]["nano-large"]["pretrain"]["steps"] = 10


ALL_RUNS = every("train") + Counter(trunk=5)
CONFIG_EDITS: list[tuple[Callable[[Config], object], Counter[str]]] = [
    (what_decides_nothing, Counter()),
    (what_is_said, Counter(["answers"])),
    (
        rows_one_by_one,
        every("train", "large", "last-layer", "first-token", "all-layers", "longer")
        + Counter(trunk=1, answers=1),
    ),
    (
        what_rows_share,
        every("train", "baseline", "medium", "last-layer", "large")
        + Counter({"pretrain nano-large": 1, "trunk": 1, "answers": 1}),
    ),
    (
        lambda config: config.update(seeds=[SEED, 7], references=["counts", "characters"]),
        every("train") + Counter({"reference counts": 1, "answers": 1}),
    ),
    (
        lambda config: config["dataset"]["split"].update(seed=1),
        every("pretrain", *DEMO["models"])
        + ALL_RUNS
        + every("reference", *DEMO["references"])
        + Counter(split=1, tokens=1, answers=1),
    ),
]


@pytest.mark.parametrize(("edit", "expected"), CONFIG_EDITS)
def test_an_edit_of_the_configuration_reruns_only_what_it_changes(
    moved: Path, edit: Callable[[Config], object], expected: Counter[str]
) -> None:
    config = copy.deepcopy(DEMO)
    edit(config)
    assert plan(moved, config=config) == expected


# --- edits of code


def replace(path: Path, old: str, new: str) -> None:
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


def append(root: Path, module: str, line: str = "EDITED = True") -> None:
    with (root / "workflow/ablations" / module).open("a") as file:
        file.write(f"{line}\n")


def test_an_edit_of_what_is_written_for_people_reruns_nothing(moved: Path) -> None:
    """Nor does one of what no job runs."""
    library = moved / "workflow/ablations"
    replace(library / "errors.py", "Bad input", "# Wrong input")
    replace(library / "training/loop.py", "; training stopped.", ", so training stopped.")
    replace(library / "training/loop.py", "epoch %d ended: ", "the end of epoch %d: ")
    append(moved, "training/loop.py", "# a comment")
    append(moved, "study/config.py")
    append(moved, "training/unused.py")
    assert plan(moved) == {}


def test_an_edit_of_the_loop_trains_every_run_again(moved: Path) -> None:
    replace(moved / "workflow/ablations/training/loop.py", "lr=self", "lr=2 * self")
    assert plan(moved) == every("train") + Counter(answers=1)


def test_an_edit_of_the_model_is_noticed_without_snakemake_s_own_records(moved: Path) -> None:
    shutil.rmtree(moved / "demo/.snakemake")
    append(moved, "model/gpt2.py")
    assert plan(moved) == every("pretrain", *DEMO["models"]) + ALL_RUNS + Counter(answers=1)


def test_code_that_comes_back_makes_its_results_stale_again(moved: Path) -> None:
    """Also where Snakemake has no record of what other code computed in between."""
    path = moved / "workflow/ablations/answers/written/page.py"
    before = path.read_text()
    append(moved, "answers/written/page.py")
    snakemake(moved / "demo", "--cores", 1, "--configfile", "demo/config.yaml", root=moved)
    path.write_text(before)
    shutil.rmtree(moved / "demo/.snakemake")
    assert plan(moved) == Counter(answers=1)


# --- touches, copies, lost files


def touch(path: Path) -> None:
    now = time.time()
    for each in [path, *path.rglob("*")]:
        if ".snakemake" not in each.parts:
            os.utime(each, (now, now))


def test_a_touch_reruns_nothing(moved: Path) -> None:
    """Of inputs, checkpoints and outputs; of code; of bulk that a manifest stands for."""
    bulk = "demo/results/checkpoints/nano-small/model.safetensors"
    for place in ("demo/results", "workflow", bulk):
        touch(moved / place)
    assert plan(moved) == {}


def test_results_in_a_new_checkout_and_deeper_rerun_nothing(demo: Path, tmp_path: Path) -> None:
    """The checkout's files are younger than the results."""
    new = copied(tmp_path / "clone")
    touch(new)
    study = tmp_path / "a/good/deal/deeper/study"
    copy_study(demo / "demo", study)
    assert planned(study, "--configfile", new / "demo/config.yaml", root=new) == {}


def test_a_row_file_that_was_edited_by_hand_trains_its_row_again(moved: Path) -> None:
    """A result that was deleted is made again too."""
    replace(moved / "demo/results/rows/last-layer.json", '"epochs":2', '"epochs":3')
    (run_folder(moved / "demo/results", "medium") / "metrics.json").unlink()
    assert plan(moved) == every("train", "medium", "last-layer") + Counter(answers=1)


def test_a_touched_checkpoint_of_the_users_own_reruns_nothing_and_a_changed_one_its_rows(
    moved: Path,
) -> None:
    own = moved / "demo/own"
    shutil.copytree(moved / "demo/results/checkpoints/nano-small", own)
    config = copy.deepcopy(DEMO)
    config["models"]["nano-small"] = {"path": "own"}
    file = moved / "demo/config.yaml"
    file.write_text(yaml.safe_dump(config))
    target = "results/checkpoints/nano-small/manifest.json"
    done = snakemake(moved / "demo", target, "--cores", 1, "--configfile", file, root=moved)
    assert re.findall(r"^(?:local)?rule (\w+):", done.stdout, re.M)[-1] == "checkpoint"
    (own / "model.safetensors").touch()
    (own / "config.json").touch()
    assert plan(moved, target) == {}
    with (own / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, os.SEEK_END)
        weights.write(b"\x01")
    assert plan(moved, target) == every("checkpoint", "nano-small")


def test_a_touched_vocabulary_or_another_url_reruns_nothing(tmp_path: Path) -> None:
    overlay = ["--configfile", ROOT / "config.yaml"]
    tokens = "results/data/tokens/gpt2.safetensors"
    snakemake(tmp_path, tokens, "--cores", 1, *overlay, "--config", f"mirror={mirror()}")
    touch(tmp_path)
    other = tmp_path / "urls.yaml"
    other.write_text("dataset: {urls: ['https://example.org/elsewhere.zip']}\n")
    assert planned(tmp_path, tokens, *overlay, other) == {}
