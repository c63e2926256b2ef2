"""What a machine runs out of, numbers that are none, and batches split to fit."""

import contextlib
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
import yaml
from msgspec import structs
from torch import nn

import programs
import runs
from ablations.errors import UserError
from ablations.machine import device
from ablations.model import gpt2
from ablations.model.layers import Layers, Reading
from ablations.study import config
from ablations.study.settings import Training
from ablations.training.inputs import Inputs
from ablations.training.loop import Loop, Split
from ablations.training.resume import State
from ablations.training.schedule import schedule
from commands import ROOT, environment


@pytest.fixture
def study(tmp_path: Path) -> Path:
    runs.tokens_file(tmp_path)
    runs.row(tmp_path)
    return tmp_path


def trained(study: Path) -> subprocess.CompletedProcess[str]:
    """The program, as its rule starts it."""
    return programs.run("ablations.training.run", *runs.arguments(study), environment=environment())


# --- micro_batch


@pytest.mark.parametrize("layers", ["all", "last_block"])
def test_micro_batch_changes_nothing_but_rounding(study: Path, layers: str) -> None:
    found = {}
    for size in (None, 4, 3, 1):
        runs.row(study, layers=layers, **({"micro_batch": size} if size else {}))
        runs.train(study)
        metrics = json.loads((study / "run/metrics.json").read_text())
        found[size] = [
            entry[split]
            for entry in metrics["history"]
            for split in ("train_loss", "validation_loss")
        ]
        assert metrics["training"].get("micro_batch") == size
    assert found[4] == found[None]
    assert found[3] == pytest.approx(found[None], abs=2e-5)
    assert found[1] == pytest.approx(found[None], abs=2e-5)


def test_rows_that_differ_in_it_alone_do_not_differ_to_the_reader() -> None:
    study = yaml.safe_load((ROOT / "demo/config.yaml").read_text())
    before, row = config.parse(study), study["rows"][5]
    row["micro_batch"] = 2
    after = config.parse(study)
    assert after.row(row["id"]).settings != before.row(row["id"]).settings
    for each in before.rows:
        assert after.row(each.id).settings.compared() == each.settings.compared()


# --- memory


class Hungry(nn.Module):
    """A tail that asks for more memory than there is once it sees so many messages at a time."""

    def __init__(self, messages: int, error: Exception | None) -> None:
        super().__init__()
        self.linear, self.messages, self.error = nn.Linear(1, 2), messages, error

    def forward(self, x: torch.Tensor, _: Reading) -> torch.Tensor:
        if len(x) >= self.messages and torch.is_grad_enabled():
            if self.error:
                raise self.error
            torch.empty(2**60)
        return self.linear(x.float())


CUDA = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.10 GiB"
)


def train_hungry(folder: Path, tail: nn.Module, **changes: int) -> None:
    options = {"epochs": 1, "batch_size": 4, "learning_rate": 1e-3, "weight_decay": 0.1}
    training = Training(**options, eval_every=5, eval_batches=1, precision="auto", **changes)
    split = Split(Inputs(torch.zeros(8, 1), None, True), torch.zeros(8, dtype=torch.int64))
    plan = schedule(0, {"train": 8, "validation": 8}, training)
    machine = device.Device(torch.device("cpu"), "float32")
    loop = Loop(Layers([tail]), {"train": split, "validation": split}, training, machine, 2)
    loop.train(plan, State(folder / "state", runs.identity(runs.settings_of())))


@pytest.mark.parametrize("error", [None, CUDA])
def test_out_of_memory_names_micro_batch_and_a_size_that_helps(
    tmp_path: Path, error: Exception | None
) -> None:
    """As the CPU's allocator says it, for real, and as CUDA's does."""
    with pytest.raises(UserError, match=r"out of memory.*set micro_batch: 2, for this row"):
        train_hungry(tmp_path, Hungry(4, error))
    with pytest.raises(UserError, match=r"out of memory.*set micro_batch: 1, for this row"):
        train_hungry(tmp_path, Hungry(2, error), micro_batch=2)
    with pytest.raises(UserError, match="micro_batch is 1 already"):
        train_hungry(tmp_path, Hungry(1, error), micro_batch=1)
    train_hungry(tmp_path, Hungry(4, error), micro_batch=2)


def test_out_of_memory_before_the_first_step_is_told_too(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a model's frozen layers alone are too many for the GPU."""

    def load(*_: object) -> NoReturn:
        raise CUDA

    monkeypatch.setattr(gpt2, "layers", load)
    with pytest.raises(UserError, match=r"out of memory.*needs a device with more memory"):
        runs.train(study)


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^a mistake of ours$"):
        train_hungry(tmp_path, Hungry(4, RuntimeError("a mistake of ours")))


# --- numbers


def test_a_loss_that_is_no_number_ends_training_at_its_step(study: Path) -> None:
    runs.row(study, learning_rate=1e30)
    done = trained(study)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the loss is not a finite number at step ")
    assert "learning_rate" in done.stderr and "Traceback" not in done.stderr
    assert not (study / "run").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (  # of the row that reads one token alone, too
            {
                "token": "first",
                "context_length": "longest_training_example",
                "dimensions": structs.replace(runs.DIMENSIONS, n_positions=8),
            },
            "the longest training text has 10 tokens, but the model has 8",
        ),
        (
            {"layers": "all", "ignore_index": 1},
            "ignore_index: 1 is the class 'b'; allowed: a number that is no class",
        ),
        (
            {"batch_size": 43},
            "batch_size: 43 is out of range; allowed: at most 42, the number of",
        ),
        (
            {"train_size": 6},
            "train_size: 6 is out of range: the first 6 training texts lack a class.*"
            "allowed: at least 7, which hold every class",
        ),
    ],
    ids=["context", "class", "batch", "train_size"],
)
def test_what_does_not_fit_the_texts_is_refused_before_anything_is_computed(
    study: Path, options: dict[str, Any], reason: str
) -> None:
    if "train_size" in options:
        labels = {"train": np.arange(42) // 6 % 2, "validation": [0, 1], "test": [0, 1]}
        ids = {split: [[1, 2]] * len(found) for split, found in labels.items()}
        runs.write_tokens(study, ids, labels)
    runs.row(study, **{"layers": "last_block"} | options)
    with pytest.raises(UserError, match=reason):
        runs.train(study)
    assert not (study / "cache").exists() and not (study / "run").exists()


def test_numbers_that_the_last_step_spoils_are_no_result(
    study: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two steps of a size that overflows only in the second, whose loss was still finite."""
    size = {"epochs": 1, "batch_size": 20, "eval_batches": 1, "eval_every": 100}
    runs.row(study, layers="last_layer", learning_rate=1e20, **size)
    with caplog.at_level("INFO"), pytest.raises(UserError, match="not a finite number at step 1;"):
        runs.train(study)
    assert "epoch 1, step 0 of 2" in caplog.text
    assert not (study / "run").exists()


# --- disk


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs"]
    try:
        made = subprocess.run(["mount", *options, folder], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs the program mount, to make a small disk")
    if made.returncode:
        pytest.skip(f"may not make a small disk here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_and_the_next_run_is_clean(study: Path) -> None:
    runs.row(study, layers="last_block")
    with small_disk(study / "run", 1) as disk:
        (disk / "someone's file").write_bytes(b"x" * (2**20 - 4096))
        done = trained(study)
        assert done.returncode == 1
        assert os.strerror(errno.ENOSPC) in done.stderr and "free some space" in done.stderr
        assert "Traceback" not in done.stderr
        # whole files only, and the last one not among them
        assert {path.name for path in disk.iterdir()} <= {"someone's file", "predictions.csv"}
        (disk / "someone's file").unlink()
        runs.train(study)
        assert (disk / "metrics.json").exists()


def test_hidden_states_that_cannot_be_written_leave_nothing(study: Path) -> None:
    """With a limit on the size of files, which the same code reports, and needs no privilege."""
    runs.row(study, layers="last_block")
    command = [sys.executable, "-m", "ablations.training.run", *map(str, runs.arguments(study))]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))

    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, preexec_fn=limit
    )
    assert done.returncode == 1
    assert os.strerror(errno.EFBIG) in done.stderr and "Traceback" not in done.stderr
    assert [path.suffix for path in (study / "cache").iterdir()] == [".lock"]
    assert not (study / "run").exists()
    runs.train(study)


def test_hidden_states_that_are_more_than_the_disk_holds_are_refused_at_once(
    study: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs.row(study, layers="last_block")
    with small_disk(study / "cache", 1) as disk:
        (disk / "someone's file").write_bytes(b"x" * (2**20 - 12288))
        message = f"the disk of {disk} has .*free some space"
        with caplog.at_level("INFO"), pytest.raises(UserError, match=message):
            runs.train(study)
        assert "seed-123, on" in caplog.text and "trunk:" not in caplog.text  # computed nothing
        assert not (study / "run").exists()
        (disk / "someone's file").unlink()
        runs.train(study)


def test_the_cache_makes_room_before_it_fills_the_disk(study: Path) -> None:
    with small_disk(study / "cache", 1) as disk:
        runs.row(study, layers="last_two_blocks")
        runs.train(study)
        older = max(disk.glob("*/states.npy"), key=lambda path: path.stat().st_size)
        (disk / "someone's file").write_bytes(b"x" * (shutil.disk_usage(disk).free - 32768))
        runs.row(study, layers="last_block")
        runs.train(study, cache_gb=0.00004)  # one row's take 26 kB
        assert not older.exists()


def test_what_a_killed_job_left_in_the_cache_is_room(study: Path) -> None:
    with small_disk(study / "cache", 1) as disk:
        runs.row(study, layers="last_block")
        runs.train(study)
        entry = max(
            (path for path in disk.iterdir() if path.is_dir()),
            key=lambda path: (path / "states.npy").stat().st_size,
        )
        left = entry.rename(entry.with_suffix(".partial")) / "states.npy"
        left.write_bytes(b"x" * (left.stat().st_size + shutil.disk_usage(disk).free - 16384))
        runs.train(study)
        assert entry.is_dir() and not left.exists()


# --- the cache


@pytest.mark.parametrize("damage", ["times.json", "states.npy", "states.npy deleted"])
def test_a_damaged_cache_is_made_again(
    study: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Emptied, as after a loss of power, or deleted, as by a person; the results stay the same."""
    runs.row(study, layers="last_block")
    before = runs.train(study)
    name, _, deleted = damage.partition(" ")
    file = sorted((study / "cache").glob(f"*/{name}"))[0]
    if deleted:
        file.unlink()
    else:
        file.write_bytes(b"")
    with caplog.at_level("INFO"):
        assert runs.train(study) == before
    assert "cannot be read" in caplog.text
