"""The program that measures on a GPU runs on a CPU too; no time that it finds is asserted."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gpu
import wheels
from commands import ROOT, environment, shared
from texts import mirror

# They share a trunk; and one has a trunk, the other none.
SHARING, DIFFERENT = ["baseline", "last-layer"], ["baseline", "all-layers"]
FEW = ["--device", "cpu", "--sizes", *["nano"] * 4, "--threads", "1"]

Part = list[dict[str, Any]]


def measured(folder: Path, *options: str | Path) -> dict[str, Part]:
    """What each part measured, nothing of which failed."""
    done = subprocess.run(
        [sys.executable, ROOT / "bench/gpu.py", "--output", folder, *FEW, *options],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for path in folder.iterdir():
        part = json.loads(path.read_text())
        assert part["torch"] and part["device"] and part["texts"]
        found[path.stem] = part["measured"]
        assert not [each for each in part["measured"] if "error" in each]
    ended = re.findall(r"^\w+: (ended with .*|stopped after .*)$", done.stdout, re.MULTILINE)
    assert set(ended) == {"ended with 0"}
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Part]:
    """Of the parts determinism and deterministic, which are one function, the second."""
    folder, parts = tmp_path_factory.mktemp("found"), ["workflow", "estimates", "deterministic"]
    measured(folder, "--rows", *SHARING, "--epochs", "2", "--parts", *parts)  # kills take a while
    return measured(folder, "--rows", *DIFFERENT, "--epochs", "1", "--parts", "speed", "memory")


@pytest.mark.slow
def test_the_workflow_is_made_left_alone_killed_and_resumed(found: dict[str, Part]) -> None:
    first, again, killed = found["workflow"]
    assert first["runs"].keys() == set(SHARING)
    assert first["table_rows"] == len(SHARING)
    assert first["answers"] > 0
    assert again["nothing_to_be_done"]
    assert killed["row"] == "baseline"
    assert killed["resumed_after_step"] >= 0
    assert killed["same_bytes"] and killed["largest_logit_difference"] == 0


@pytest.mark.slow
def test_on_a_cpu_all_bits_are_the_same(found: dict[str, Part]) -> None:
    measured = found["deterministic"]
    assert [each["row"] for each in measured if each["part"] == "steps"] == SHARING
    assert [each["row"] for each in measured if each["part"] == "trunk"] == SHARING[:1]
    assert all(each["same_bits"] and each["largest_difference"] == 0 for each in measured)


@pytest.mark.slow
def test_every_loop_of_every_row_is_timed(found: dict[str, Part]) -> None:
    _, product, *runs = found["speed"]
    assert product["operations_per_second"] > 0
    loops = ["ours", "ours", "plain", "transformers"]
    assert [(each["row"], each["loop"]) for each in runs] == [
        (row, loop) for row in DIFFERENT for loop in loops
    ]
    for each in runs:
        assert each["training_time_seconds"] > 0
        if each["loop"] == "ours":
            assert each["training_time_seconds"] >= each["frozen_seconds"]
            assert (each["frozen_seconds"] > 0) == (each["row"] != "all-layers")
            assert each["share_of_product_rate"] > 0
            assert all(0 <= accuracy <= 1 for accuracy in each["accuracy"].values())


@pytest.mark.slow
def test_memory_is_measured_by_micro_batch(found: dict[str, Part]) -> None:
    sizes = [(each["row"], each["micro_batch"]) for each in found["memory"]]
    assert sizes == [(r, n) for r in ("xl-all-layers", "xl-lora") for n in (1, 2, 4, None)]
    assert all(0 < each["training_bytes"] <= each["all_bytes"] for each in found["memory"])


@pytest.mark.slow
def test_every_job_s_estimate_stands_beside_what_it_used(found: dict[str, Part]) -> None:
    first, *jobs = found["estimates"]
    assert first["runs"].keys() == set(SHARING)
    names = [each["job"] for each in jobs]
    assert {f"train/{row}/seed-123" for row in SHARING} <= set(names)
    assert sum(name.startswith("trunks/") for name in names) == 1
    for each in jobs:
        assert each["asked"]["memory_mb"] > 0 and each["asked"]["minutes"] > 0
        assert float(each["used"]["s"]) > 0


@pytest.mark.slow
def test_in_float32_the_first_epoch_is_the_reference_s(tmp_path: Path) -> None:
    folders = ["--mirror", mirror(), "--reference", shared("reference/golden.json").parent]
    rows = ["last-layer", "random-weights"]  # with a checkpoint, and without
    options = ["--rows", *rows, "--epochs", "1", "--parts", "parity"]
    runs = measured(tmp_path, *options, *folders)["parity"]
    assert [each["run"] for each in runs] == rows
    for each in runs:
        assert each["digits"] >= 5 and each["largest_accuracy_difference"] < 1e-5


def test_without_the_reference_there_is_no_parity(tmp_path: Path) -> None:
    results = gpu.Results(tmp_path / "parity.json", {})
    gpu.parity(gpu.argparse.Namespace(reference=None, mirror=None), results)
    assert results.measured[0]["skipped"]


def test_what_fails_is_a_measurement_too_and_none_is_lost(tmp_path: Path) -> None:
    def fails(name: str) -> dict[str, Any]:
        raise RuntimeError(f"no {name}")

    results = gpu.Results(tmp_path / "part.json", {"torch": "2"})
    results.add({"row": "a"}, dict)
    results.add({"row": "b"}, fails, "memory")
    found = json.loads((tmp_path / "part.json").read_text())
    assert found["torch"] == "2"
    one, other = found["measured"]
    assert one.keys() == {"row", "wall_seconds"}
    assert (other["row"], other["error"]) == ("b", "RuntimeError: no memory")


def test_the_real_collection_is_split_as_the_workflow_does() -> None:
    options = gpu.argparse.Namespace(mirror=mirror())
    tokens = gpu.texts(options)
    ids, _ = gpu.bench.by_split(tokens)
    assert {name: len(own) for name, own in ids.items()} == gpu.bench.MESSAGES
    assert max(map(len, ids["train"])) == gpu.bench.LONGEST


# --- wheels


def test_everything_that_is_needed_is_carried_but_torch() -> None:
    names = wheels.lacking({}, "3.12")
    assert {"snakemake", "snakemake-interface-common", "pulp", "msgspec", "tiktoken"} <= names
    assert not [name for name in names if name == "torch" or name.startswith("nvidia")]
    assert names <= wheels.named((ROOT / "constraints.txt").read_text()).keys()


def test_what_is_there_is_not_carried_unless_it_is_too_old() -> None:
    there = wheels.named("# of that machine\npandas==2.1.0\nscipy==1.17.1\nJinja2\n")
    names = wheels.lacking(there, "3.12")
    assert "pandas" in names
    assert not names & {"scipy", "jinja2"}
