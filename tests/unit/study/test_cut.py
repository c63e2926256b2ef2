"""Where a row is cut, and that a trunk's file is named by all that tells it from another's."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import runs
from ablations.study import cut, settings
from ablations.study.settings import Settings


def row(folder: Path, **options: Any) -> Settings:
    return settings.read(runs.row(folder, **({"layers": "last_block"} | options)))


@pytest.mark.parametrize(
    ("layers", "first"),
    [("all", 0), ("lora", 0), ("last_two_blocks", 11), ("last_block", 12), ("last_layer", 14)],
)
def test_the_first_layer_that_trains(layers: str, first: int) -> None:
    assert cut.first_trained(layers, 12) == first
    assert cut.trunk_depth(layers, 12) == min(first, 12)


def test_runs_share_a_trunk_where_its_weights_do_not_depend_on_the_seed(tmp_path: Path) -> None:
    pretrained = row(tmp_path, weights="pretrained")
    assert cut.trunk_settings(pretrained, 1) == cut.trunk_settings(pretrained, 2)
    drawn = row(tmp_path, weights="random")
    assert cut.trunk_settings(drawn, 1) != cut.trunk_settings(drawn, 2)


@pytest.mark.parametrize("layers", ["all", "lora"])
def test_a_row_that_trains_all_layers_has_no_trunk(tmp_path: Path, layers: str) -> None:
    assert cut.trunk_settings(row(tmp_path, layers=layers), 1) is None


OTHERS: list[dict[str, Any]] = [
    {"weights": "pretrained"},
    {"token": "first"},
    {"context_length": 11},
    {"context_length": "variable", "batch_size": 1},
    {"causal_mask": False},
    {"average_embeddings": True},
    {"layers": "last_two_blocks"},
    {"precision": "bfloat16"},
]


@pytest.mark.parametrize("options", OTHERS, ids=str)
def test_trunks_of_other_settings_have_other_files(tmp_path: Path, options: dict[str, Any]) -> None:
    one, other = (cut.trunk_settings(row(tmp_path, **each), 1) for each in ({}, options))
    assert one and other and one != other
    assert cut.trunk_name(one, "small") != cut.trunk_name(other, "small")


def test_trunks_of_another_seed_or_model_have_other_files(tmp_path: Path) -> None:
    one = cut.trunk_settings(row(tmp_path), 1)
    assert one
    other = structs.replace(one, seed=2)
    names = [cut.trunk_name(one, "a"), cut.trunk_name(other, "a"), cut.trunk_name(one, "b")]
    assert len(set(names)) == 3
