"""A stand-in that the workflow pretrains: what cannot be pretrained is refused."""

from pathlib import Path

import pytest

import runs
from ablations.errors import UserError
from ablations.files import write_json
from ablations.model import pretrain
from ablations.model.checkpoint import read_manifest
from ablations.study.models import Model, Pretrain, Recipe


def pretrained(folder: Path, learning_rate: float) -> None:
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 8, "n_positions": 16}
    recipe = Recipe(steps=3, batch_size=4, learning_rate=learning_rate, seed=1)
    model = Model("nano", runs.DIMENSIONS, pretrain=Pretrain(pretrain=recipe, **shape))
    write_json(folder / "model.json", model)
    arguments = ["--model", folder / "model.json", "--tokens", runs.tokens_file(folder)]
    arguments += ["--threads", "1", "--output", folder / "nano/manifest.json"]
    pretrain.main(pretrain.parser().parse_args(list(map(str, arguments))))


def test_it_writes_a_checkpoint(tmp_path: Path) -> None:
    pretrained(tmp_path, 1e-3)
    assert read_manifest(tmp_path / "nano").dimensions == runs.DIMENSIONS


def test_weights_that_are_no_numbers_are_no_checkpoint(tmp_path: Path) -> None:
    message = "models: nano: pretrain: the loss is not a finite number at step 2; a smaller"
    with pytest.raises(UserError, match=message):
        pretrained(tmp_path, 1e30)
    assert not (tmp_path / "nano").exists()
