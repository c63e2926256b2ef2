"""What counts as a row's training time: the loop, and what its frozen layers cost once."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import runs
from ablations.machine.device import Device
from ablations.model.layers import Layers, Reading

UPDATES = 3 * (42 // 4)  # epochs, whole batches
# Of the 42 training, 9 validation and 17 test texts, all as long: those that training reads, among
# them 2 batches of 4 for evaluations.
READ = (42 + 8) / (42 + 9 + 17)
FROZEN = 100.0


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clock that moves only by the 100 s of frozen layers and the 1 s of an update."""
    now = 0.0
    forward = Layers.forward

    def timed(layers: Layers, x: Tensor, reading: Reading) -> Tensor:
        nonlocal now
        if not any(each.requires_grad for each in layers.parameters()):
            now += FROZEN
        elif torch.is_grad_enabled():
            now += 1
        return forward(layers, x, reading)

    monkeypatch.setattr(Layers, "forward", timed)
    monkeypatch.setattr(Device, "clock", lambda self: now)
    runs.tokens_file(tmp_path)
    return tmp_path


def times(study: Path, layers: str, **options: Any) -> tuple[float, float]:
    """Training time without the frozen layers', and theirs."""
    runs.row(study, layers=layers, **options)
    runs.train(study)
    metrics = json.loads((study / "run/metrics.json").read_text())
    trunk = metrics["trunk_time_seconds"]
    return metrics["training_time_seconds"] - trunk, trunk


@pytest.mark.parametrize(("layers", "passes"), [("all", 0), ("last_block", 1), ("last_layer", 2)])
def test_the_training_time_is_the_loop_s_and_the_frozen_layers(
    study: Path, layers: str, passes: int
) -> None:
    """A pass over the collection counts as far as training reads its texts."""
    loop, frozen = times(study, layers)
    assert loop == pytest.approx(UPDATES)
    assert frozen == pytest.approx(passes * FROZEN * READ)


def test_the_validation_set_counts_at_most_once(study: Path) -> None:
    _, frozen = times(study, "last_block", eval_batches=5)
    assert frozen == pytest.approx(FROZEN * (42 + 9) / (42 + 9 + 17))


def test_of_fewer_training_texts_the_others_do_not_count(study: Path) -> None:
    _, frozen = times(study, "last_block", train_size=20)
    assert frozen == pytest.approx(FROZEN * (20 + 8) / (42 + 9 + 17))


def test_a_trunk_that_another_run_computed_counts_as_if_computed_here(study: Path) -> None:
    assert times(study, "last_block") == times(study, "last_block")
