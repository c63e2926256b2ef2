"""A saved state is gone on with by the very same run alone, whatever it is that differs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import runs
from ablations.data import tokens
from ablations.model.layers import Layers, Reading
from ablations.training.resume import State

OTHER = ["seed", "fold", "checkpoint", "row", "tokens", "code"]


def train(folder: Path, other: str = "") -> dict[str, object]:
    """A run, the one thing changed that is named; what came out."""
    path = runs.tokens_file(folder, seed=int(other == "tokens"))
    found = tokens.read(path)
    cut = found.cuts["split"]
    tokens.write(path, replace(found, cuts={"fold-1": cut, "fold-2": np.roll(cut, 20)}))
    runs.write_checkpoint(folder, seed=7 if other == "checkpoint" else 3)
    runs.row(folder, weights="pretrained", epochs=2 if other == "row" else 3)
    code = "edited" if other == "code" else "of code"
    which = ["--fold", "2" if other == "fold" else "1"]
    return runs.train(folder, *which, *(["--seed", "124"] if other == "seed" else []), code=code)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """States are saved after every update, and left as if the job died before its results."""
    monkeypatch.setenv("ABLATIONS_SAVE_SECONDS", "0")
    monkeypatch.setattr(State, "remove", lambda self: None)


@pytest.mark.parametrize("other", OTHER)
def test_a_state_of_another_run_changes_nothing(other: str, tmp_path: Path, kept: None) -> None:
    for name in ("alone", "after"):
        (tmp_path / name).mkdir()
    train(tmp_path / "after")
    assert list((tmp_path / "after/state").iterdir())
    assert train(tmp_path / "after", other) == train(tmp_path / "alone", other)


def test_the_same_run_has_nothing_left_to_do(
    tmp_path: Path, kept: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, updates = train(tmp_path), []
    forward = Layers.forward

    def counted(layers: Layers, x: Tensor, reading: Reading) -> Tensor:
        updates.extend([1] * torch.is_grad_enabled())
        return forward(layers, x, reading)

    monkeypatch.setattr(Layers, "forward", counted)
    assert train(tmp_path) == expected
    assert not updates
