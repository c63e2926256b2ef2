"""Where a row is cut, and that a trunk's file is named by all that tells it from another's."""

from typing import Any

import pytest
from msgspec import structs

import runs
from ablations.study import cut
from ablations.study.cut import Trunk


def trunk(seed: int = 1, **options: Any) -> Trunk | None:
    return cut.trunk(runs.settings_of(**({"layers": "last_block"} | options)), seed)


@pytest.mark.parametrize(
    ("layers", "first", "blocks"),
    [
        ("all", -15, 0),
        ("lora", -15, 0),
        (12, -14, 0),
        (3, -5, 9),
        (1, -3, 11),
        ("last_two_blocks", -4, 10),
        ("last_block", -3, 11),
        ("last_layer", -1, 12),
    ],
)
def test_layers_are_numbered_from_the_head(layers: str | int, first: int, blocks: int) -> None:
    shape = structs.replace(runs.DIMENSIONS, n_layer=12)
    row = runs.settings_of(dimensions=shape, layers=layers)
    assert cut.first_trained(row) == first
    assert cut.trunk_end(row) == min(first, cut.LAST_BLOCK)
    assert cut.blocks(cut.embeddings(12), first, 12) == blocks
    assert cut.blocks(first, cut.HEAD, 12) == 12 - blocks


def test_late_lora_shares_the_trunk_of_as_many_last_blocks() -> None:
    shape = structs.replace(runs.DIMENSIONS, n_layer=6)
    for number in (1, 2, 6):
        late = trunk(dimensions=shape, layers="lora", lora_blocks=number)
        assert late == trunk(dimensions=shape, layers=number)


def test_runs_share_a_trunk_where_its_weights_do_not_depend_on_the_seed() -> None:
    assert trunk(1, weights="pretrained") == trunk(2, weights="pretrained")
    assert trunk(1, weights="random") != trunk(2, weights="random")


@pytest.mark.parametrize("layers", ["all", "lora"])
def test_a_row_that_trains_all_layers_has_no_trunk(layers: str) -> None:
    assert trunk(layers=layers) is None


OTHERS: list[dict[str, Any]] = [
    {"weights": "pretrained"},
    {"token": "first"},
    {"context_length": 11},
    {"context_length": "variable", "batch_size": 1},
    {"causal_mask": False},
    {"average_embeddings": True},
    {"mask_padding": True},
    {"layers": "last_two_blocks"},
    {"precision": "bfloat16"},
]


@pytest.mark.parametrize("options", OTHERS, ids=str)
def test_trunks_of_other_settings_have_other_files(options: dict[str, Any]) -> None:
    one, other = (trunk(**each) for each in ({}, options))
    assert one and other and one != other
    assert one.name != other.name


def test_trunks_of_another_seed_or_model_have_other_files() -> None:
    one = trunk()
    assert one
    others = [structs.replace(one, **each) for each in ({"seed": 2}, {"model": "another"})]
    assert len({trunk.name for trunk in (one, *others)}) == 3
